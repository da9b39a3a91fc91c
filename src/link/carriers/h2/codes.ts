/** Frame types, RFC 9113 section 6. */
export const FRAME = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const

/**
 * Frame flags, RFC 9113 section 6. ACK (SETTINGS, PING) uses the same bit as END_STREAM elsewhere.
 */
export const FLAG = { ack: 0x01, endStream: 0x01, endHeaders: 0x04, padded: 0x08, priority: 0x20 } as const

/**
 * Error codes, RFC 9113 section 7. The handlers of received octets return one of them; `none` means
 * that the connection continues.
 */
export const H2 = {
  none: 0,
  protocol: 1,
  internal: 2,
  flowControl: 3,
  streamClosed: 5,
  frameSize: 6,
  refusedStream: 7,
  cancel: 8,
  compression: 9,
  enhanceYourCalm: 11,
} as const

/** SETTINGS parameters, RFC 9113 section 6.5.2. */
export const SETTING = {
  headerTableSize: 1,
  enablePush: 2,
  maxConcurrentStreams: 3,
  initialWindowSize: 4,
  maxFrameSize: 5,
  maxHeaderListSize: 6,
} as const

export const FRAME_HEADER_OCTETS = 9
/**
 * The largest frame payload in both directions. We never announce a larger one, and never need to
 * send a larger one (RFC 9113 section 4.2).
 */
export const MAX_FRAME_OCTETS = 16_384
/** The largest stream ID and the largest window (RFC 9113 sections 5.1.1 and 6.9.1). */
export const MAX_31_BITS = 0x7fff_ffff
/** The size of all windows at the start of a connection (RFC 9113 section 6.9.2). */
export const DEFAULT_WINDOW_OCTETS = 65_535
