import type { X509Certificate } from 'node:crypto'
import type { Duplex } from 'node:stream'
import type { Clock, Random } from '../../clock.ts'
import { EnigmError } from '../../errors.ts'
import type { Carried, Protection } from '../../resolve.ts'
import { onOctets } from '../dial/byte-stream.ts'
import type { Connection } from '../dial/connect.ts'

/**
 * Limit of requests on one connection, waiting and written together. Above it: `overloaded`. Higher
 * than the limit of the pipeline (cache/coalesce.ts), so that the pipeline decides which queries
 * are refused, by client.
 */
export const MAX_IN_FLIGHT = 5000
/**
 * An idle connection is closed after this time, or after the time that the resolver states or that
 * was learnt. A closed connection reveals less to an observer than an idle one.
 */
export const IDLE_MS = 30_000

/**
 * Fewer octets than this are no sign of life: a peer that sends single octets slowly counts as
 * silent, and must not delay other queries.
 */
export const SIGN_OF_LIFE_OCTETS = 512

/** A request that was sent or waits. */
export interface Sent {
  /** Cancels the request: its ticket is not called afterwards. May be called repeatedly. */
  cancel(): void
  /**
   * It waits behind a request that blocks the connection (HTTP/1.1), and was not written:
   * cancelling it costs nothing.
   */
  readonly waits?: boolean
}

/**
 * `final`: a retry would not help. `lost`: it may have been processed. `refused`: it was
 * certainly not processed (RFC 9113 section 8.7). `unsent`: it was not even written.
 */
export type Loss = 'final' | 'lost' | 'refused' | 'unsent'

/**
 * The receiver of one reply. Exactly one of the two is called, once, unless it was cancelled
 * before.
 */
export interface Ticket<P extends Protection = Protection> {
  /** It waits behind others for a free place (`Ask.givesWay`). */
  readonly givesWay?: boolean
  /** `wire` has the request's ID; the carrier reuses it after the call returns. */
  answered(carried: Carried<P>): void
  failed(error: EnigmError, loss: Loss): void
}

/** Reports of a carrier about itself during its life. There are none after `down`. */
export interface Watcher {
  /** The peer showed that it is alive. */
  heard(): void
  /** It takes no more requests; those in flight continue. Called once. */
  draining(): void
  /** The last request in flight has ended. */
  idle(): void
  /** A reply that matches no request. */
  mismatch(): void
  /** It is dead; called before its tickets fail. */
  down(error: EnigmError): void
}

/** The facts about a connection that has come up. */
export interface Established<P extends Protection = Protection> {
  /** The address of the peer. */
  readonly address: string
  readonly protection: P
  /** From the first packet to the end of the successful handshake. */
  readonly handshakeMs: number
  /** The peer's certificate; undefined if it sent none, or if the session was resumed. */
  certificate(): X509Certificate | undefined
}

/**
 * A connection on which nothing of ours was written yet. Either `carry` or `close` is called, once.
 */
export interface Opened<P extends Protection = Protection, C extends Carrier<P> = Carrier<P>> extends Established<P> {
  carry(tools: CarrierTools): C
  close(): void
  /** See Connection. */
  readonly routeRttMs?: number
}

/** Requests and replies on one established connection: DoT, HTTP/2 or HTTP/1.1. */
export interface Carrier<P extends Protection = Protection> extends Established<P> {
  readonly inFlight: number
  /**
   * How many of them wait unwritten behind a request that blocks the connection. Only HTTP/1.1 has
   * such.
   */
  readonly waiting?: number
  /** Whether a reply began and is not complete. Over DoT it delays all replies after it. */
  readonly replyUnfinished?: boolean
  /** The maximum idle time. Changes when the resolver states another one. */
  readonly idleMs: number
  /**
   * The boot time since which a written request has met silence; undefined if no reply is pending
   * or the peer has sent something since.
   */
  readonly silentSinceMs: number | undefined
  /** `request` must not change until its ticket is called. */
  send(request: Uint8Array, ticket: Ticket<P>): Sent
  /**
   * Asks the peer for a sign of life besides the pending replies; false if the protocol has none.
   */
  probe(): boolean
  /** Closes at once. Requests in flight are `lost`. No `down` follows. */
  destroy(error: EnigmError): void
}

/** A carrier for a schedule: data is written only by `send` and `cells.more`. */
export interface CellCarrier<P extends Protection = Protection> extends Carrier<P> {
  readonly cells: Cells
}

/**
 * Records of one size, written only on request: `send` writes the first record of a request, in the
 * same turn for any request. Requests have the length that `octets` returns, so that they fill
 * their records; over HTTP/2 one of a single record may be shorter.
 */
export interface Cells {
  /**
   * Whether `send` would write a record now: the last record was sent, the peer accepts more, and
   * no request is half written.
   */
  readonly ready: boolean
  /** The last request has records left to send; nothing else can be sent before them. */
  readonly unfinished: boolean
  /** Octets of a request that fills `records` records. */
  octets(records: number): number
  /**
   * Writes the next record of the unfinished request, unless the last one is not sent yet or the
   * peer accepts no more.
   */
  more(): void
}

export interface CarrierTools {
  readonly clock: Clock
  readonly random: Random
  readonly watcher: Watcher
  /** The query that tests the peer if the protocol has no ping. Default: a root query. */
  readonly probe?: Uint8Array
}

/**
 * The life cycle of a carrier, the same for every protocol. It is alive; it may drain (requests in
 * flight continue, and no new one is taken); and it ends once, by the peer or by `destroy`. At its
 * end all requests in flight fail, each once. Data from the peer after the end is ignored. A
 * subclass provides the transport: a byte stream (`StreamCarrier`), or a connection that has
 * streams.
 */
export abstract class LivingCarrier<P extends Protection> implements Carrier<P> {
  readonly address: string
  readonly protection: P
  readonly handshakeMs: number
  silentSinceMs: number | undefined
  protected readonly clock: Clock
  protected readonly watcher: Watcher
  protected draining = false
  protected dead = false
  readonly #established: Established<P>

  constructor(established: Established<P>, { clock, watcher }: CarrierTools) {
    this.address = established.address
    this.protection = established.protection
    this.handshakeMs = established.handshakeMs
    this.clock = clock
    this.watcher = watcher
    this.#established = established
  }

  abstract readonly inFlight: number
  abstract readonly idleMs: number
  abstract send(request: Uint8Array, ticket: Ticket<P>): Sent
  abstract probe(): boolean
  /** Fails all requests in flight. Called once, at the end. */
  protected abstract failAll(error: EnigmError): void
  /** Closes the transport below. */
  protected abstract shut(): void

  certificate(): X509Certificate | undefined {
    return this.#established.certificate()
  }

  destroy(error: EnigmError): void {
    if (this.dead) return
    this.dead = true
    this.shut()
    this.failAll(error)
  }

  /** Refuses a request that cannot be taken; undefined: it can be taken. */
  protected turnedAway(ticket: Ticket<P>): Sent | undefined {
    if (this.dead || this.draining) return refuse(ticket, lost('the connection takes no more'), 'refused')
    return this.inFlight < MAX_IN_FLIGHT ? undefined : refuse(ticket, new EnigmError('overloaded', 'too many queries in flight'), 'final')
  }

  /** A request was written to which the peer owes a reply. */
  protected wrote(): void {
    this.silentSinceMs ??= this.clock.nowMs()
  }

  /** The last data may arrive after the end, and is ignored. */
  protected heard(): void {
    if (this.dead) return
    this.silentSinceMs = undefined
    this.watcher.heard()
  }

  /** A request ended; perhaps no reply is pending now. */
  protected rest(): void {
    if (this.dead || this.inFlight > 0) return
    this.silentSinceMs = undefined
    this.watcher.idle()
  }

  protected drain(): void {
    if (this.draining || this.dead) return
    this.draining = true
    this.watcher.draining()
  }

  /** The peer, or a device on the path, ended the connection. */
  protected die(error: EnigmError): void {
    if (this.dead) return
    this.dead = true
    this.shut()
    this.watcher.down(error)
    this.failAll(error)
  }
}

/** A carrier on one byte stream. It ends when the stream ends. */
export abstract class StreamCarrier<P extends Protection> extends LivingCarrier<P> {
  protected readonly stream: Duplex

  constructor(connection: Connection<P>, tools: CarrierTools) {
    super(connection, tools)
    this.stream = connection.stream
  }

  /** Reads what the peer sends from now until the end. */
  protected listen(onOctetsOf: (octets: Uint8Array) => void): void {
    onOctets(this.stream, (octets) => {
      if (!this.dead) onOctetsOf(octets)
    })
    this.stream.on('end', () => this.onEnd())
    this.listenForTheEnd()
  }

  /** The same if the protocol has its own reader. */
  protected listenForTheEnd(): void {
    this.stream.on('error', (cause) => this.die(lost('the connection broke', cause)))
    this.stream.on('close', () => this.die(lost('the connection closed')))
  }

  /** The peer sends nothing more. */
  protected onEnd(): void {
    this.die(lost('the resolver closed the connection'))
  }

  protected shut(): void {
    this.stream.destroy()
  }
}

/** The error of a request that was valid but got no answer. */
export function lost(message: string, cause?: unknown): EnigmError {
  return new EnigmError('connection-lost', message, cause === undefined ? undefined : { cause })
}

/** Fails a ticket that was never written. It does so later, after `send` has returned. */
function refuse(ticket: Ticket<never>, error: EnigmError, loss: 'final' | 'refused'): Sent {
  let taken = true
  queueMicrotask(() => {
    if (taken) ticket.failed(error, loss)
  })
  return {
    cancel() {
      taken = false
    },
  }
}
