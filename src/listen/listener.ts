import type { Clock } from '../clock.ts'
import type { SocketAddress } from '../config/listen-address.ts'
import type { Emit } from '../events.ts'
import type { Responder, View } from '../resolve.ts'
import type { ConnectionBudget } from './connection-budget.ts'
import type { QueryRate } from './query-rate.ts'
import type { ReplyRate } from './reply-rate.ts'

/** A receiver of queries on one endpoint, independent of the way in which packets are read. */
export interface Listener {
  /** As configured: a wildcard stays a wildcard. */
  readonly address: string
  /** The actual port, also if port 0 was requested. */
  readonly port: number
  readonly transport: 'udp' | 'tcp'
  /** The descriptor that the service manager passed, if there is one; workers share it. */
  readonly inheritedFd?: number | undefined
  /**
   * Takes the queries that have arrived so far (for at most half of `drainMs`, because clients may
   * never stop; queries in an inherited socket are left to the next process). Waits up to `drainMs`
   * for the answers to queries in progress, then frees everything. May be called repeatedly. Never
   * rejects. It does not keep the process alive: neither a connection that is not read nor the
   * drain timer does so, and the caller must wait.
   */
  close(): Promise<void>
}

/** The parameters of every listener. */
export interface ListenOptions extends SocketAddress {
  readonly responder: Responder
  /**
   * Whether this client may ask; other clients get no reply. Synchronous and cheap, because it is
   * called for every packet. The address has no zone.
   */
  allowed(address: string): boolean
  /** Which answers this client may get. Synchronous and cheap. */
  view(address: string): View
  readonly clock: Clock
  readonly emit: Emit
  /** How long `close` waits for the answers to queries in progress. */
  readonly drainMs: number
  readonly limits?: Partial<ListenLimits>
  /** Several workers share the endpoint (SO_REUSEPORT). */
  readonly reusePort?: boolean
  /** A bound socket that the service manager passed: it is used instead of a new one. */
  readonly inheritedFd?: number | undefined
  /** System calls that handle many datagrams at once; absent: one at a time, with dgram. */
  readonly datagramCalls?: DatagramCalls | undefined
  /**
   * Calls `heard` when addresses of the host may have changed. If it returns undefined, or is
   * absent, a wildcard is checked twice a second.
   */
  readonly addressChanges?: (heard: () => void) => { close(): void } | undefined
  /**
   * Limit of TCP connections of all listeners together; absent: each listener has only its own
   * limit.
   */
  readonly connectionBudget?: ConnectionBudget
  /** Limits replies over UDP to other hosts; absent: no limit. */
  readonly replyRate?: ReplyRate
  /** Limits the queries of each client; absent: no limit. */
  readonly queryRate?: QueryRate
}

/** All limits of a listener. */
export interface ListenLimits {
  /**
   * Queries in progress over the whole listener; above this number a query gets SERVFAIL at once.
   */
  readonly inFlight: number
  /** TCP connections over the whole listener. */
  readonly connections: number
  /** Applies to all listeners that share a budget. */
  readonly connectionsPerClient: number
  readonly inFlightPerConnection: number
  /**
   * A TCP connection is closed after this time without a complete query, an answer in progress or a
   * completed write.
   */
  readonly idleMs: number
  /**
   * Octets of answers that a TCP client has not accepted yet; above this number nothing more is
   * read from that client.
   */
  readonly unreadOctets: number
  /**
   * The same over all clients of the listener; above this number the client that holds the most
   * loses a connection.
   */
  readonly totalUnreadOctets: number
}

/**
 * The default limits. RFC 7766 section 6.2.3 leaves the idle time to the server; seconds are
 * typical.
 */
export const DEFAULT_LIMITS: ListenLimits = {
  // Higher than the limit of the pipeline per client (cache/admission.ts), because a refusal of the
  // pipeline states its reason.
  inFlight: 12_500,
  connections: 256,
  connectionsPerClient: 64,
  inFlightPerConnection: 100,
  idleMs: 10_000,
  unreadOctets: 256 * 1024,
  totalUnreadOctets: 32 * 1024 * 1024,
}

/**
 * Reports the errors of one place, at most one per minute: a socket that fails for every packet
 * must not flood the log.
 */
export function sparseFaults(options: Pick<ListenOptions, 'clock' | 'emit'>, where: string): () => void {
  let nextMs = Number.NEGATIVE_INFINITY
  return () => {
    const nowMs = options.clock.nowMs()
    if (nowMs < nextMs) return
    nextMs = nowMs + 60_000
    options.emit({ type: 'fault', where })
  }
}

/**
 * The system calls of a batched UDP listener. system/ provides them on the platforms that have
 * them. All are synchronous and access memory only during the call: the kernel keeps no reference
 * to it.
 */
export interface DatagramCalls {
  /**
   * A bound, non-blocking socket; throws an Error with the system's `code` (EADDRINUSE, EACCES
   * ...). `reusePort`: several workers can share the address.
   */
  open(address: string, port: number, reusePort: boolean): number
  /** A duplicate descriptor of the same socket; throws as `open` does. */
  share(fd: number): number
  /** Closes a descriptor from `open` or `share` that has no other owner. */
  close(fd: number): void
  /**
   * The memory address of `buffer`. `buffer` must come from Buffer.allocUnsafeSlow and stay
   * referenced as long as the address is used.
   */
  addressOf(buffer: Buffer): bigint
  /** recvmmsg(2) into `count` mmsghdr at `headers`. Returns the number of messages, 0 for none. */
  receive(fd: number, headers: Buffer, count: number): number
  /** The socket name (sockaddr_in or sockaddr_in6) of a numeric address without a zone. */
  nameOf(address: string, port: number): Buffer
  /**
   * sendmmsg(2) of `count` mmsghdr at `headers`. Returns how many were sent before the first
   * failure.
   */
  send(fd: number, headers: Buffer, count: number): number
}
