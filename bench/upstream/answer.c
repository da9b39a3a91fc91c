/*
 * The upstream that every server under test asks: DNS over UDP, over TLS, and over HTTPS (HTTP/2, POST). It knows no name and therefore every name:
 * A of anything is 192.0.2.53 for an hour, names below nx.bench.example do not exist, other types are empty. One thread, no copy of what was asked:
 * 2 us a query over DoT where unbound takes 18, because it shares a core with the load generator and must not be what is measured.
 * Replies are padded to 468 octets (RFC 8467) where the query was padded, and each stands in a TLS record of its own, as unbound and dnsdist send them.
 * usage: answer UDP-PORT DOT-PORT DOH-PORT CERT.pem KEY.pem
 */
#define _GNU_SOURCE
#include "reply.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BATCH = 64, OCTETS = 4096, PLAIN = 65536, PENDING = 4096 };
enum kind { UDP, DOT_LISTENER, DOH_LISTENER, DOT, DOH };

struct pending { unsigned stream; unsigned short length; unsigned char message[512]; };

struct peer {
  enum kind kind;
  int fd;
  SSL *ssl;
  BIO *in, *out;
  unsigned char plain[PLAIN];
  size_t filled;
  unsigned char *unsent;
  size_t unsent_length;
  int preface;
  long window;
  unsigned eaten;
  struct pending *queue;
  unsigned head, tail;
};

static SSL_CTX *contexts[2];
static int events_fd;

static void watch(struct peer *p, unsigned events, int op) {
  struct epoll_event event = {.events = events, .data.ptr = p};
  epoll_ctl(events_fd, op, p->fd, &event);
}

static void hang_up(struct peer *p) {
  close(p->fd);
  SSL_free(p->ssl);
  free(p->unsent);
  free(p->queue);
  free(p);
}

/* Hands what TLS made to the socket; keeps what the socket does not take. 0: gone. */
static int flush(struct peer *p) {
  char *data;
  long length = BIO_get_mem_data(p->out, &data);
  if (p->unsent_length > 0) {
    p->unsent = realloc(p->unsent, p->unsent_length + length);
    memcpy(p->unsent + p->unsent_length, data, length);
    p->unsent_length += length;
    BIO_reset(p->out);
    ssize_t n = send(p->fd, p->unsent, p->unsent_length, MSG_NOSIGNAL);
    if (n < 0) return errno == EAGAIN;
    memmove(p->unsent, p->unsent + n, p->unsent_length - n);
    p->unsent_length -= n;
  } else if (length > 0) {
    ssize_t n = send(p->fd, data, length, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) return 0;
    if (n < 0) n = 0;
    if (n < length) {
      p->unsent = realloc(p->unsent, length - n);
      memcpy(p->unsent, data + n, length - n);
      p->unsent_length = length - n;
    }
    BIO_reset(p->out);
  }
  watch(p, p->unsent_length > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN, EPOLL_CTL_MOD);
  return 1;
}

static size_t eat_dot(struct peer *p) {
  size_t at = 0;
  while (p->filled - at >= 2) {
    size_t length = p->plain[at] << 8 | p->plain[at + 1];
    if (p->filled - at - 2 < length) break;
    unsigned char frame[514];
    size_t n = reply(p->plain + at + 2, length, frame + 2, 512, 468);
    frame[0] = n >> 8;
    frame[1] = n;
    if (n > 0) SSL_write(p->ssl, frame, n + 2);
    at += 2 + length;
  }
  return at;
}

#include "h2.h"

/* 0: the connection is over. */
static int serve(struct peer *p) {
  static unsigned char wire[65536];
  ssize_t n = recv(p->fd, wire, sizeof wire, 0);
  if (n == 0 || (n < 0 && errno != EAGAIN)) return 0;
  if (n > 0) BIO_write(p->in, wire, n);
  for (;;) {
    int got = SSL_read(p->ssl, p->plain + p->filled, PLAIN - p->filled);
    if (got <= 0) {
      int why = SSL_get_error(p->ssl, got);
      return flush(p) && (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE);
    }
    p->filled += got;
    size_t eaten = p->kind == DOT ? eat_dot(p) : eat_doh(p);
    memmove(p->plain, p->plain + eaten, p->filled - eaten);
    p->filled -= eaten;
  }
}

static void welcome(struct peer *listener) {
  int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK), one = 1;
  if (fd < 0) return;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  struct peer *p = calloc(1, sizeof *p);
  p->kind = listener->kind == DOT_LISTENER ? DOT : DOH;
  p->fd = fd;
  p->window = 65535;
  p->queue = calloc(PENDING, sizeof *p->queue);
  p->ssl = SSL_new(contexts[p->kind == DOH]);
  p->in = BIO_new(BIO_s_mem());
  p->out = BIO_new(BIO_s_mem());
  SSL_set_bio(p->ssl, p->in, p->out);
  SSL_set_accept_state(p->ssl);
  watch(p, EPOLLIN, EPOLL_CTL_ADD);
}

static void serve_udp(int fd) {
  static struct mmsghdr in[BATCH], out[BATCH];
  static struct iovec in_io[BATCH], out_io[BATCH];
  static struct sockaddr_in from[BATCH];
  static unsigned char packets[BATCH][OCTETS], replies[BATCH][512];
  for (int i = 0; i < BATCH; i++) {
    in_io[i] = (struct iovec){packets[i], OCTETS};
    in[i].msg_hdr = (struct msghdr){.msg_name = &from[i], .msg_namelen = sizeof from[i], .msg_iov = &in_io[i], .msg_iovlen = 1};
  }
  int n = recvmmsg(fd, in, BATCH, MSG_DONTWAIT, NULL), m = 0;
  for (int i = 0; i < n; i++) {
    size_t length = reply(packets[i], in[i].msg_len, replies[m], 512, 0);
    if (length == 0) continue;
    out_io[m] = (struct iovec){replies[m], length};
    out[m].msg_hdr = (struct msghdr){.msg_name = &from[i], .msg_namelen = sizeof from[i], .msg_iov = &out_io[m], .msg_iovlen = 1};
    m++;
  }
  if (m > 0) sendmmsg(fd, out, m, 0);
}

static int pick_h2(SSL *ssl, const unsigned char **out, unsigned char *length, const unsigned char *in, unsigned n, void *arg) {
  (void)ssl; (void)arg;
  for (unsigned i = 0; i < n; i += in[i] + 1)
    if (in[i] == 2 && memcmp(in + i + 1, "h2", 2) == 0) { *out = in + i + 1; *length = 2; return SSL_TLSEXT_ERR_OK; }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static void listen_on(enum kind kind, int port) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct peer *p = calloc(1, sizeof *p);
  int one = 1, room = 4 << 20;
  p->kind = kind;
  p->fd = socket(AF_INET, (kind == UDP ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK, 0);
  setsockopt(p->fd, SOL_SOCKET, kind == UDP ? SO_RCVBUF : SO_REUSEADDR, kind == UDP ? &room : &one, sizeof one);
  if (bind(p->fd, (struct sockaddr *)&at, sizeof at) < 0 || (kind != UDP && listen(p->fd, 128) < 0)) { perror("answer"); exit(1); }
  watch(p, EPOLLIN, EPOLL_CTL_ADD);
}

int main(int argc, char **argv) {
  if (argc != 6) return fputs("usage: answer UDP-PORT DOT-PORT DOH-PORT CERT.pem KEY.pem\n", stderr), 2;
  signal(SIGPIPE, SIG_IGN);
  events_fd = epoll_create1(0);
  for (int i = 0; i < 2; i++) {
    contexts[i] = SSL_CTX_new(TLS_server_method());
    if (SSL_CTX_use_certificate_chain_file(contexts[i], argv[4]) != 1 || SSL_CTX_use_PrivateKey_file(contexts[i], argv[5], SSL_FILETYPE_PEM) != 1) return 1;
    SSL_CTX_set_session_id_context(contexts[i], (const unsigned char *)"bench", 5);
  }
  SSL_CTX_set_alpn_select_cb(contexts[1], pick_h2, NULL);
  for (int i = 0; i < 3; i++) listen_on(i, atoi(argv[1 + i]));
  puts("ready");
  fflush(stdout);
  for (;;) {
    struct epoll_event events[64];
    int n = epoll_wait(events_fd, events, 64, -1);
    for (int i = 0; i < n; i++) {
      struct peer *p = events[i].data.ptr;
      if (p->kind == UDP) serve_udp(p->fd);
      else if (p->kind == DOT_LISTENER || p->kind == DOH_LISTENER) welcome(p);
      else if (!serve(p)) hang_up(p);
    }
  }
}
