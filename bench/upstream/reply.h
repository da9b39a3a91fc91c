/* Queries answered so far: the address of asked.bench.example, over UDP, tells the harness whether hits were hits. */
static unsigned asked;

/* One reply to one query. Returns its octets, or 0 for what gets none. `block`: pad to a multiple of it where the query was padded; 0: never. */
#include <stddef.h>
#include <string.h>
#include <strings.h>

static size_t name_end(const unsigned char *m, size_t at, size_t end) {
  while (at < end && m[at] != 0) at += m[at] + 1;
  return at + 1;
}

static int is_nx(const unsigned char *q, size_t from, size_t end) {
  static const char suffix[] = "\2nx\5bench\7example";
  return end - from >= sizeof suffix && strncasecmp((const char *)q + end - sizeof suffix, suffix, sizeof suffix) == 0;
}

static size_t reply(const unsigned char *q, size_t length, unsigned char *out, size_t room, size_t block) {
  static const unsigned char a[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0x0e, 0x10, 0, 4, 192, 0, 2, 53};
  static const unsigned char soa[] = {0, 0, 6, 0, 1, 0, 0, 0x0e, 0x10, 0, 22, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 1, 0x2c};
  if (length < 17 || q[2] & 0xf8 || q[5] != 1) return 0;
  size_t end = name_end(q, 12, length), at = end + 4, from = end + 4;
  if (at > length || at + 128 > room) return 0;
  int nx = is_nx(q, 12, end), is_a = q[end] == 0 && q[end + 1] == 1;
  int is_count = block == 0 && q[12] == 5 && memcmp(q + 13, "asked", 5) == 0;
  asked += !is_count;
  memcpy(out, q, at);
  out[2] = 0x80 | (q[2] & 1);
  out[3] = 0x80 | (q[3] & 0x10) | (nx ? 3 : 0);
  memset(out + 6, 0, 6);
  if (is_a && !nx) {
    out[7] = 1;
    memcpy(out + at, a, sizeof a);
    if (is_count)
      for (int i = 0; i < 4; i++) out[at + 12 + i] = asked >> (24 - 8 * i);
    at += sizeof a;
  } else {
    out[9] = 1;
    memcpy(out + at, soa, sizeof soa);
    at += sizeof soa;
  }
  if (q[11] != 1 || from + 11 > length || q[from + 2] != 41) return at;
  int padded = 0;
  for (size_t o = from + 11; o + 4 <= length; o += 4 + (q[o + 2] << 8 | q[o + 3])) padded |= q[o] == 0 && q[o + 1] == 12;
  out[11] = 1;
  memset(out + at, 0, 11);
  out[at + 2] = 41;
  out[at + 3] = 4;
  out[at + 4] = 0xd0;
  out[at + 7] = q[from + 7] & 0x80;
  if (!padded || block == 0) return at + 11;
  size_t pad = (block - (at + 15) % block) % block;
  if (at + 15 + pad > room) return at + 11;
  out[at + 9] = (pad + 4) >> 8;
  out[at + 10] = pad + 4;
  memset(out + at + 11, 0, pad + 4);
  out[at + 12] = 12;
  out[at + 13] = pad >> 8;
  out[at + 14] = pad;
  return at + 15 + pad;
}
