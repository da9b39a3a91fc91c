/*
 * Latency as a client sees it. Spins on its core, so that its own wake-ups are not in the figure. RATE 0: one query in flight; else that many a second whether or
 * not answers come (an answer's time counts from when its query was due). Names are n0 to n(NAMES-1) below bench.example, in a fixed random order.
 * usage: prober PORT SECONDS RATE NAMES; prints sent, lost, and p50, p99, p99.9 in ns.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

typedef long long ns;
enum { IDS = 65536 };
static const ns LOST = 1000000000;

static ns now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int by_size(const void *a, const void *b) {
  ns x = *(const ns *)a, y = *(const ns *)b;
  return (x > y) - (x < y);
}

static size_t query(unsigned char *out, unsigned id, unsigned names) {
  static unsigned state = 12345;
  state = state * 1664525u + 1013904223u;
  char label[16];
  int n = snprintf(label, sizeof label, "n%u", (unsigned)((unsigned long long)state * names >> 32));
  unsigned char head[12] = {id >> 8, id, 1, 0, 0, 1};
  memcpy(out, head, 12);
  out[12] = n;
  memcpy(out + 13, label, n);
  memcpy(out + 13 + n, "\5bench\7example\0\0\1\0\1", 19);
  return 32 + n;
}

int main(int argc, char **argv) {
  if (argc != 5) return fputs("usage: prober PORT SECONDS RATE NAMES\n", stderr), 2;
  ns step = atoi(argv[3]) > 0 ? 1000000000LL / atoi(argv[3]) : 0, due[IDS] = {0};
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0) return perror("prober"), 1;
  size_t room = 1 << 22, sent = 0, got = 0, lost = 0;
  ns *took = malloc(room * sizeof *took), begin = now(), last = begin + (ns)(atof(argv[2]) * 1e9);
  for (;;) {
    ns t = now();
    int waiting = sent > got + lost;
    if (step == 0 && waiting && t - due[(sent - 1) % IDS] > LOST) due[(sent - 1) % IDS] = 0, lost++, waiting = 0;
    int is_due = step == 0 ? !waiting : t >= begin + (ns)sent * step;
    if (t < last && is_due && sent < room) {
      unsigned char packet[64];
      size_t length = query(packet, sent % IDS, atoi(argv[4]));
      due[sent % IDS] = step == 0 ? t : begin + (ns)sent * step;
      if (send(fd, packet, length, 0) > 0) sent++;
    } else if (t >= last && (!waiting || t > last + LOST)) break;
    unsigned char reply[4096];
    ssize_t n = recv(fd, reply, sizeof reply, 0);
    if (n < 12) continue;
    unsigned id = reply[0] << 8 | reply[1];
    if (due[id] == 0) continue;
    took[got++] = now() - due[id];
    due[id] = 0;
  }
  if (got == 0) return fputs("no answer\n", stderr), 1;
  qsort(took, got, sizeof *took, by_size);
  printf("%zu %zu %lld %lld %lld\n", sent, sent - got, took[got / 2], took[got * 99 / 100], took[got * 999 / 1000]);
}
