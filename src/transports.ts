/** The facts of a transport, wherever it is named. */
interface TransportFacts {
  /** Its name for people. */
  readonly label: string
  /** Its default port. */
  readonly port: number
  /** The protocols offered in the handshake (ALPN, RFC 7301), the preferred one first. */
  readonly alpn: readonly string[]
  /** Whether a peer that accepts none of them is unusable. */
  readonly alpnRequired: boolean
  /**
   * Whether queries carry the option edns-tcp-keepalive (RFC 7828), because nothing else states how
   * long a connection may be idle.
   */
  readonly keepalive: boolean
  /**
   * Whether a padded reply has one size on the wire: over HTTP/2 the digits of its headers change
   * it.
   */
  readonly evenReplies: boolean
  /** Whether its connections can keep a schedule: records of one size, written on request. */
  readonly schedule: boolean
  /** Whether it consists of datagrams, which no proxy carries. */
  readonly datagrams: boolean
  /** Whether it needs QUIC, which older versions of Node do not have. */
  readonly quic: boolean
  /** Whether it pads replies itself, so that they need no padding option. */
  readonly padsReplies: boolean
  /**
   * What keeps a question from everybody between this host and the resolver: TLS to the resolver,
   * or a message that only the resolver can open.
   */
  readonly seal: 'tls' | 'hpke' | 'dnscrypt'
}

/**
 * Every transport. A new one needs a row here, its place in the trusted set
 * (config/trusted-set.ts), and its carrier (link/transports.ts): if one of them is missing, the
 * code does not compile.
 */
export const TRANSPORTS = {
  // A server without ALPN is acceptable (RFC 7858 does not mention it).
  dot: {
    label: 'DoT',
    port: 853,
    alpn: ['dot'],
    alpnRequired: false,
    keepalive: true,
    evenReplies: true,
    schedule: true,
    datagrams: false,
    quic: false,
    padsReplies: false,
    seal: 'tls',
  },
  doh: {
    label: 'DoH',
    port: 443,
    alpn: ['h2', 'http/1.1'],
    alpnRequired: true,
    keepalive: false,
    evenReplies: false,
    schedule: true,
    datagrams: false,
    quic: false,
    padsReplies: false,
    seal: 'tls',
  },
  // The connection is to the relay (RFC 9230): one that speaks HTTP/1.1 alone would send one query
  // at a time.
  odoh: {
    label: 'ODoH',
    port: 443,
    alpn: ['h2'],
    alpnRequired: true,
    keepalive: false,
    evenReplies: false,
    schedule: true,
    datagrams: false,
    quic: false,
    padsReplies: false,
    seal: 'hpke',
  },
  // RFC 9250. It has a limit for idle connections of its own.
  doq: {
    label: 'DoQ',
    port: 853,
    alpn: ['doq'],
    alpnRequired: true,
    keepalive: false,
    evenReplies: false,
    schedule: false,
    datagrams: true,
    quic: true,
    padsReplies: false,
    seal: 'tls',
  },
  // No TLS, and no connection: a signed certificate, and datagrams.
  dnscrypt: {
    label: 'DNSCrypt',
    port: 443,
    alpn: [],
    alpnRequired: false,
    keepalive: false,
    evenReplies: false,
    schedule: false,
    datagrams: true,
    quic: false,
    padsReplies: true,
    seal: 'dnscrypt',
  },
} as const satisfies Readonly<Record<string, TransportFacts>>

/** The name of a transport, in the configuration, in events and in documents. */
export type Transport = keyof typeof TRANSPORTS

/** All of them, in the order of the table. */
export const TRANSPORT_NAMES = Object.keys(TRANSPORTS) as readonly Transport[]

/** Whether `text` is the name of one. */
export function isTransport(text: string): text is Transport {
  return Object.hasOwn(TRANSPORTS, text)
}
