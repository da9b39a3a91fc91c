/** What QUIC (RFC 9000) must do for DNS over QUIC; src/system/quic.ts does it with OpenSSL. */

export interface QuicOptions {
  readonly address: string
  readonly port: number
  /** The name that is sent (SNI); undefined: the peer is known by its address. */
  readonly serverName: string | undefined
  /** PEM of the only trusted roots. */
  readonly roots: string
  /** Groups of the key exchange, as OpenSSL lists them. */
  readonly groups: string
  /** The handshake fails without a valid chain. */
  readonly verify: boolean
  /** Sends a datagram to the peer. `datagram` is not used again. */
  readonly send: (datagram: Uint8Array) => void
}

/** A QUIC implementation. */
export interface Quic {
  /** A client connection; its first datagrams leave during the call. */
  connect(options: QuicOptions): QuicConnection
}

/** What was agreed, once the handshake is done. */
export interface QuicSession {
  readonly cipher: string
  readonly group: string | undefined
  /**
   * The chain that was verified, in DER, from the peer's leaf to the root; the leaf alone if none
   * could be; empty: the peer showed no certificate.
   */
  readonly chain: readonly Uint8Array[]
  /** OpenSSL's result of the verification of the chain; 0: valid. */
  readonly verifyResult: number
}

/** Why a connection is over. */
export interface QuicEnd {
  /** The error code of the application or of QUIC. */
  readonly code: number
  /** The peer closed it, or it timed out. */
  readonly remote: boolean
}

/**
 * One connection. No call blocks, and none throws for anything that the peer sends. After `free`
 * every call is without effect.
 */
export interface QuicConnection {
  /** Takes a datagram of the peer. */
  receive(datagram: Uint8Array): void
  /** Makes progress: timers, acknowledgements, datagrams that are due. */
  drive(): void
  /** Milliseconds until `drive` must be called; undefined: only a datagram matters. */
  timeoutMs(): number | undefined
  /**
   * Continues the handshake. A number: OpenSSL's result of a failed verification; 0: it failed
   * otherwise.
   */
  handshake(): QuicSession | 'more' | number
  /** Writes a whole request and ends that direction; undefined: the peer allows no stream now. */
  request(octets: Uint8Array): QuicStream | undefined
  /** The streams that have octets, an end or a reset to read. The list is a copy. */
  readable(): readonly QuicStream[]
  /** Set once the connection is over. */
  ended(): QuicEnd | undefined
  /** Tells the peer with this code (RFC 9250 section 4.3), and frees everything. */
  close(code: number): void
}

/** The peer's direction of one stream. */
export interface QuicStream {
  /**
   * The next octets; `end`: there are no more; `more`: none now; a number: the peer's reset code.
   */
  read(): Uint8Array | 'end' | 'more' | number
  /** Frees it. If it did not end, this code tells the peer that it is not wanted. */
  free(code: number): void
}

/** What this Node lacks for QUIC, in one sentence; undefined: nothing. */
export function missingQuic({ node, openssl }: NodeJS.ProcessVersions = process.versions): string | undefined {
  const [major = 0, minor = 0] = openssl.split('.').map(Number)
  if (major > 3 || (major === 3 && minor >= 5)) return undefined
  return `DNS over QUIC needs Node 24 or later: Node ${node} has OpenSSL ${openssl}, which has no QUIC`
}
