/*
 * The floor: what receiving and sending a datagram costs in C with nothing in between but the QR bit. recvmmsg and sendmmsg, one socket.
 * usage: echo PORT
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { BATCH = 64, OCTETS = 1500 };

int main(int argc, char **argv) {
  static unsigned char packets[BATCH][OCTETS];
  static struct sockaddr_in from[BATCH];
  static struct iovec io[BATCH];
  static struct mmsghdr messages[BATCH];
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(argc > 1 ? atoi(argv[1]) : 0), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int fd = socket(AF_INET, SOCK_DGRAM, 0), room = 4 << 20;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
  if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0) return perror("echo"), 1;
  for (int i = 0; i < BATCH; i++) {
    io[i] = (struct iovec){packets[i], OCTETS};
    messages[i].msg_hdr = (struct msghdr){.msg_name = &from[i], .msg_iov = &io[i], .msg_iovlen = 1};
  }
  for (;;) {
    for (int i = 0; i < BATCH; i++) {
      messages[i].msg_hdr.msg_namelen = sizeof from[i];
      io[i].iov_len = OCTETS;
    }
    int n = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
    for (int i = 0; i < n; i++) {
      packets[i][2] |= 0x80;
      io[i].iov_len = messages[i].msg_len;
    }
    if (n > 0) sendmmsg(fd, messages, n, 0);
  }
}
