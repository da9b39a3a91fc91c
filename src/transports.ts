/** What is known of a transport wherever it is named. */
interface TransportFacts {
  /** What people call it. */
  readonly label: string
  /** Its port where none is named. */
  readonly port: number
  /** The protocols that are offered in the handshake (ALPN, RFC 7301), the preferred one first. */
  readonly alpn: readonly string[]
  /** Whether a peer that agrees on none of them is of no use. */
  readonly alpnRequired: boolean
  /**
   * Whether queries carry the option edns-tcp-keepalive (RFC 7828): nothing else says how long a
   * connection may be idle.
   */
  readonly keepalive: boolean
  /**
   * Whether a padded reply has one size on the wire: over HTTP/2 the digits of its headers change
   * it.
   */
  readonly evenReplies: boolean
}

/**
 * Every transport there is. A new one is a row here, its place in the trusted set
 * (config/trusted-set.ts), and what carries it (link/transports.ts): without either of these
 * nothing compiles.
 */
export const TRANSPORTS = {
  // A server that knows no ALPN is well-behaved (RFC 7858 was written without).
  dot: { label: 'DoT', port: 853, alpn: ['dot'], alpnRequired: false, keepalive: true, evenReplies: true },
  doh: { label: 'DoH', port: 443, alpn: ['h2', 'http/1.1'], alpnRequired: true, keepalive: false, evenReplies: false },
} as const satisfies Readonly<Record<string, TransportFacts>>

/** The name of a transport, in the configuration, in events and in documents. */
export type Transport = keyof typeof TRANSPORTS

/** All of them, in the order of the table. */
export const TRANSPORT_NAMES = Object.keys(TRANSPORTS) as readonly Transport[]

/** Whether `text` is the name of one. */
export function isTransport(text: string): text is Transport {
  return Object.hasOwn(TRANSPORTS, text)
}
