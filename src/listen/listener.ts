import type { Clock } from '../clock.ts'
import type { SocketAddress } from '../config/listen-address.ts'
import type { Emit } from '../events.ts'
import type { Responder, View } from '../resolve.ts'
import type { ConnectionBudget } from './connection-budget.ts'
import type { ReplyRate } from './reply-rate.ts'

/** Something that takes queries on one endpoint, whatever reads the packets behind it. */
export interface Listener {
  /** As configured: a wildcard stays a wildcard. */
  readonly address: string
  /** The real port, also when 0 was asked for. */
  readonly port: number
  readonly transport: 'udp' | 'tcp'
  /** The descriptor that the service manager passed, if it did; workers share it. */
  readonly inheritedFd?: number | undefined
  /**
   * Takes the queries that have arrived by now (for half of `drainMs` at most, from clients that
   * never stop; of an inherited socket it leaves them to the next process), lets what is in flight
   * be answered for `drainMs`, then frees everything. May be called again. Never rejects. It does
   * not keep the process alive by itself: a connection that is not read and the drain timer do not,
   * so the caller that waits must.
   */
  close(): Promise<void>
}

/** What every listener needs to know. */
export interface ListenOptions extends SocketAddress {
  readonly responder: Responder
  /**
   * Whether this client may ask; others get silence. Sync and cheap: it is called for every packet.
   * The address has no zone.
   */
  allowed(address: string): boolean
  /** Which answers this client is entitled to. Sync and cheap. */
  view(address: string): View
  readonly clock: Clock
  readonly emit: Emit
  /** How long `close` waits for answers under way. */
  readonly drainMs: number
  readonly limits?: Partial<ListenLimits>
  /** Several workers share the endpoint (SO_REUSEPORT). */
  readonly reusePort?: boolean
  /** A bound socket that the service manager passed: it is taken instead of binding one. */
  readonly inheritedFd?: number | undefined
  /** System calls that take many datagrams at once; absent: one at a time, through dgram. */
  readonly datagramCalls?: DatagramCalls | undefined
  /**
   * Calls `heard` when addresses of the host may have changed; undefined, or absent: it is looked
   * for twice a second, where a wildcard needs it.
   */
  readonly addressChanges?: (heard: () => void) => { close(): void } | undefined
  /** TCP connections of all listeners together; absent: each has its own limit only. */
  readonly connectionBudget?: ConnectionBudget
  /** Bounds what other hosts are sent over UDP; absent: no bound. */
  readonly replyRate?: ReplyRate
}

/** Every bound of a listener. */
export interface ListenLimits {
  /** Queries being asked at once, over the whole listener; beyond it SERVFAIL at once. */
  readonly inFlight: number
  /** TCP connections over the whole listener. */
  readonly connections: number
  /** Over all listeners that share a budget. */
  readonly connectionsPerClient: number
  readonly inFlightPerConnection: number
  /**
   * A TCP connection without a whole query, an answer under way or a completed write for so long is
   * closed.
   */
  readonly idleMs: number
  /** Answers a TCP client has not taken yet; beyond it nothing more of that client is read. */
  readonly unreadOctets: number
  /**
   * The same over all clients of the listener; beyond it the client that holds the most loses a
   * connection.
   */
  readonly totalUnreadOctets: number
}

/**
 * The limits where none are given. RFC 7766 section 6.2.3 leaves the idle time to the server:
 * seconds.
 */
export const DEFAULT_LIMITS: ListenLimits = {
  // Above what the pipeline takes of one client (cache/admission.ts): its refusal says why.
  inFlight: 12_500,
  connections: 256,
  connectionsPerClient: 64,
  inFlightPerConnection: 100,
  idleMs: 10_000,
  unreadOctets: 256 * 1024,
  totalUnreadOctets: 32 * 1024 * 1024,
}

/**
 * Faults of one place, at most one a minute: a socket that fails for every packet must not flood
 * the log.
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
 * The address without its zone (RFC 4007 section 11): `fe80::1%eth0` is `fe80::1` to an access
 * list.
 */
export function withoutZone(address: string): string {
  const at = address.indexOf('%')
  return at < 0 ? address : address.slice(0, at)
}

/**
 * The system calls behind a batched UDP listener, as system/ offers them where the platform has
 * them. All are synchronous and touch memory only during the call: nothing is handed to the kernel
 * beyond it.
 */
export interface DatagramCalls {
  /**
   * A bound, non-blocking socket; throws an Error with the system's `code` (EADDRINUSE, EACCES
   * ...). `reusePort` lets several workers share the address.
   */
  open(address: string, port: number, reusePort: boolean): number
  /** Another descriptor of the same socket; throws as `open` does. */
  share(fd: number): number
  /** Frees a descriptor of `open` or `share` that nothing else has taken over. */
  close(fd: number): void
  /**
   * Where `buffer` begins. It must come from Buffer.allocUnsafeSlow and stay referenced as long as
   * the address is used.
   */
  addressOf(buffer: Buffer): bigint
  /** recvmmsg(2) into `count` mmsghdr at `headers`; how many came, 0 for none. */
  receive(fd: number, headers: Buffer, count: number): number
  /** The socket name (sockaddr_in or sockaddr_in6) of a numeric address without a zone. */
  nameOf(address: string, port: number): Buffer
  /** sendmmsg(2) of `count` mmsghdr at `headers`; how many went before one did not. */
  send(fd: number, headers: Buffer, count: number): number
}
