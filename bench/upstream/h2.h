/* The server side of HTTP/2, as much as a DoH client needs (RFC 9113): heads are skipped, each DATA frame holds a query, the peer's window is kept to. */
static void frame_head(unsigned char *at, unsigned length, unsigned type, unsigned flags, unsigned stream) {
  at[0] = length >> 16; at[1] = length >> 8; at[2] = length; at[3] = type; at[4] = flags;
  at[5] = stream >> 24; at[6] = stream >> 16; at[7] = stream >> 8; at[8] = stream;
}

static void respond(struct peer *p, unsigned stream, const unsigned char *message, size_t length) {
  /* :status 200, content-type and content-length as literals without indexing (RFC 7541 section 6.2.2) */
  static const char type[] = "\x88\x0f\x10\x17" "application/dns-message" "\x0f\x0d\x03";
  unsigned char out[700];
  unsigned block = sizeof type - 1 + 3;
  frame_head(out, block, 1, 4, stream);
  memcpy(out + 9, type, sizeof type - 1);
  out[9 + block - 3] = '0' + length / 100; out[9 + block - 2] = '0' + length / 10 % 10; out[9 + block - 1] = '0' + length % 10;
  frame_head(out + 9 + block, length, 0, 1, stream);
  memcpy(out + 18 + block, message, length);
  p->window -= length;
  SSL_write(p->ssl, out, 18 + block + length);
}

static void settle(struct peer *p) {
  while (p->head != p->tail && p->window >= p->queue[p->head % PENDING].length) {
    struct pending *next = &p->queue[p->head++ % PENDING];
    respond(p, next->stream, next->message, next->length);
  }
}

static void eat_data(struct peer *p, unsigned stream, unsigned flags, const unsigned char *body, size_t length) {
  p->eaten += length;
  if (p->eaten > 16384) {
    unsigned char update[13];
    frame_head(update, 4, 8, 0, 0);
    for (int i = 0; i < 4; i++) update[9 + i] = p->eaten >> (24 - 8 * i);
    SSL_write(p->ssl, update, sizeof update);
    p->eaten = 0;
  }
  if (flags & 8 && length > body[0]) { length -= body[0] + 1; body++; }
  if (length < 12 || p->tail - p->head >= PENDING) return;
  struct pending *mine = &p->queue[p->tail % PENDING];
  mine->stream = stream;
  mine->length = reply(body, length, mine->message, 512, 468);
  if (mine->length > 0) p->tail++;
  settle(p);
}

static size_t eat_doh(struct peer *p) {
  size_t at = 0;
  if (!p->preface) {
    if (p->filled < 24) return 0;
    at = 24;
    p->preface = 1;
    /* SETTINGS: MAX_CONCURRENT_STREAMS 1000; and no dynamic table to keep (HEADER_TABLE_SIZE 0): heads are not read */
    static const unsigned char hello[] = {0, 0, 12, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 3, 0xe8, 0, 1, 0, 0, 0, 0};
    SSL_write(p->ssl, hello, sizeof hello);
  }
  while (p->filled - at >= 9) {
    const unsigned char *f = p->plain + at;
    size_t length = f[0] << 16 | f[1] << 8 | f[2];
    if (p->filled - at - 9 < length) break;
    unsigned stream = (f[5] & 0x7f) << 24 | f[6] << 16 | f[7] << 8 | f[8];
    unsigned char out[32];
    if (f[3] == 0) eat_data(p, stream, f[4], f + 9, length);
    else if (f[3] == 1 && f[4] & 1) { frame_head(out, 1, 1, 5, stream); out[9] = 0x8d; SSL_write(p->ssl, out, 10); } /* a GET: 404 */
    else if (f[3] == 4 && !(f[4] & 1)) { frame_head(out, 0, 4, 1, 0); SSL_write(p->ssl, out, 9); }
    else if (f[3] == 6 && !(f[4] & 1) && length == 8) { frame_head(out, 8, 6, 1, 0); memcpy(out + 9, f + 9, 8); SSL_write(p->ssl, out, 17); }
    else if (f[3] == 8 && stream == 0 && length == 4) { p->window += (long)(f[9] & 0x7f) << 24 | f[10] << 16 | f[11] << 8 | f[12]; settle(p); }
    at += 9 + length;
  }
  return at;
}
