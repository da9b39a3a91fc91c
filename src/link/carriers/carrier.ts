import type { X509Certificate } from 'node:crypto'
import type { Duplex } from 'node:stream'
import type { Clock, Random } from '../../clock.ts'
import { EnigmError } from '../../errors.ts'
import type { Carried, Protection } from '../../resolve.ts'
import { onOctets } from '../dial/byte-stream.ts'
import type { Connection } from '../dial/connect.ts'

/**
 * Limit of requests on one connection, waiting and written together. Further requests get
 * `overloaded`. It is higher than the limit of the pipeline (cache/coalesce.ts), so that the
 * pipeline decides which clients' queries are refused.
 */
export const MAX_IN_FLIGHT = 5000
/**
 * Fewer octets than this are no sign of life. So a peer that sends single octets slowly counts as
 * silent, and does not delay other queries.
 */
export const SIGN_OF_LIFE_OCTETS = 512

/** A request that was sent or waits. */
export interface Sent {
  /** Cancels the request: its ticket is not called afterwards. May be called repeatedly. */
  cancel(): void
  /**
   * Whether the request was not written yet, because another one blocks the connection (HTTP/1.1).
   * Cancelling it then costs nothing.
   */
  readonly waits?: boolean
}

/**
 * How far a failed request got. `final`: a retry would not help. `lost`: the peer may have
 * processed it. `refused`: the peer has not processed it (RFC 9113 section 8.7). `denied`: the peer
 * says so, but it says so of requests that it answered as well. `unsent`: it was not written.
 */
export type Loss = 'final' | 'lost' | 'refused' | 'denied' | 'unsent'

/**
 * The receiver of one reply. Either `answered` or `failed` is called, once, unless the request is
 * cancelled before that.
 */
export interface Ticket<P extends Protection = Protection> {
  /** Whether the request waits behind all others for a free place (`Ask.givesWay`). */
  readonly givesWay?: boolean
  /** `wire` has the request's ID; the carrier reuses it after the call returns. */
  answered(carried: Carried<P>): void
  failed(error: EnigmError, loss: Loss): void
}

/** Receives the reports of a carrier about itself. There are none after `down`. */
export interface Watcher {
  /** The peer showed that it is alive. */
  heard(): void
  /** The carrier accepts no more requests. Those in flight continue. Called once. */
  draining(): void
  /** The last request in flight has ended. */
  idle(): void
  /** A reply came that matches no request. */
  mismatch(): void
  /** The carrier is dead. Called before its tickets fail. */
  down(error: EnigmError): void
}

/** The facts about a connection that has come up. */
export interface Established<P extends Protection = Protection> {
  /** The address of the peer. */
  readonly address: string
  readonly protection: P
  /** The time from the first packet to the end of the successful handshake. */
  readonly handshakeMs: number
  /** The peer's certificate. Undefined: it sent none, or the session was resumed. */
  certificate(): X509Certificate | undefined
}

/**
 * An open connection on which no request was written yet. Either `carry` or `close` is called,
 * once.
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
   * How many requests are not written yet, because another one blocks the connection. Only HTTP/1.1
   * can have some.
   */
  readonly waiting?: number
  /** Whether a reply has begun and is not complete. Over DoT it delays all replies after it. */
  readonly replyUnfinished?: boolean
  /**
   * The idle time in ms that the resolver states or the protocol sets. The link never keeps an idle
   * connection longer, but may close it sooner. Infinity: no time is stated.
   */
  readonly idleMs: number
  /**
   * The time (boot time in ms) since which the peer has been silent although it owes a reply.
   * Undefined: no reply is pending.
   */
  readonly silentSinceMs: number | undefined
  /** Sends a request. `request` must not change until its ticket is called. */
  send(request: Uint8Array, ticket: Ticket<P>): Sent
  /**
   * Asks the peer for a sign of life, in addition to the pending replies. False: nothing was sent.
   */
  probe(): boolean
  /** Closes the connection at once. Requests in flight are `lost`. No `down` follows. */
  destroy(error: EnigmError): void
}

/** A carrier for a schedule. It writes data only when `send` or `cells.more` is called. */
export interface CellCarrier<P extends Protection = Protection> extends Carrier<P> {
  readonly cells: Cells
}

/**
 * Writes requests in records of one size, one record at a time. `send` writes the first record of a
 * request at once; `more` writes the others. A request must have the length that `octets` returns,
 * so that it fills its records. Over HTTP/2 a request of one record may be shorter.
 */
export interface Cells {
  /**
   * Whether `send` would write a record now: the last record has left, the peer accepts more, and
   * no request is half written.
   */
  readonly ready: boolean
  /** Whether the last request has records left to send. Nothing else can be sent before them. */
  readonly unfinished: boolean
  /** Whether the peer accepts no more data although it owes no reply. */
  readonly spent: boolean
  /** How many octets a request has that fills `records` records. */
  octets(records: number): number
  /**
   * Writes the next record of the unfinished request. Does nothing if the last record has not left
   * yet, or if the peer accepts no more data.
   */
  more(): void
}

export interface CarrierTools {
  readonly clock: Clock
  readonly random: Random
  readonly watcher: Watcher
  /** The query that tests the peer if the protocol has no ping. Default: a query for the root. */
  readonly probe?: Uint8Array
}

/**
 * The life cycle of a carrier, the same for every protocol. A carrier is alive; it may drain
 * (requests in flight continue, and new ones are refused); and it ends once, by the peer or by
 * `destroy`. At the end all requests in flight fail. Later data from the peer is ignored. A
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

  /** Refuses a request that cannot be sent. Undefined: it can be sent. */
  protected turnedAway(ticket: Ticket<P>): Sent | undefined {
    if (this.dead || this.draining) return refuse(ticket, lost('the connection accepts no more queries'), 'refused')
    return this.inFlight < MAX_IN_FLIGHT ? undefined : refuse(ticket, new EnigmError('overloaded', 'too many queries in flight'), 'final')
  }

  /** A request was written at `nowMs`, so a reply is pending. */
  protected wrote(nowMs = this.clock.nowMs()): void {
    this.silentSinceMs ??= nowMs
  }

  /** The peer showed that it is alive. Data that arrives after the end is ignored. */
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

  /** Reads what the peer sends from now until the end: the first `end` octets of an array. */
  protected listen(onOctetsOf: (octets: Uint8Array, end: number) => void): void {
    onOctets(this.stream, (octets, end) => {
      if (!this.dead) onOctetsOf(octets, end)
    })
    this.stream.on('end', () => this.onEnd())
    this.listenForTheEnd()
  }

  /** Waits for the end of the stream only, if the protocol has its own reader. */
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

/** Makes the `connection-lost` error of a request that was valid but got no answer. */
export function lost(message: string, cause?: unknown): EnigmError {
  return new EnigmError('connection-lost', message, cause === undefined ? undefined : { cause })
}

/** Fails the ticket of a request that was not written. It is called after `send` has returned. */
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
