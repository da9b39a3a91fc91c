import type { X509Certificate } from 'node:crypto'
import type { Duplex } from 'node:stream'
import type { Clock, Random } from '../../clock.ts'
import { EnigmError } from '../../errors.ts'
import type { Carried, Protection } from '../../resolve.ts'
import { onOctets } from '../dial/byte-stream.ts'
import type { Connection } from '../dial/connect.ts'

/**
 * Requests on one connection, waiting and written together. Beyond it: `overloaded`. Higher than
 * the limit of the pipeline (cache/coalesce.ts), so that the pipeline decides which queries are
 * refused, by client.
 */
export const MAX_IN_FLIGHT = 5000
/**
 * An idle connection is closed after this time, or after the time that the resolver states or that
 * was learnt. A closed connection reveals less to an observer than an idle one.
 */
export const IDLE_MS = 30_000

/**
 * Fewer octets than this are no sign of life: a peer that trickles single octets is as good as
 * gone, and must not hold the others up.
 */
export const SIGN_OF_LIFE_OCTETS = 512

/** A request that was sent, or waits to be. */
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
 * `final`: asking again would not help. `lost`: it may have been processed. `refused`: it was
 * certainly not processed (RFC 9113 section 8.7). `unsent`: it was not even written.
 */
export type Loss = 'final' | 'lost' | 'refused' | 'unsent'

/**
 * The receiver of one reply. Exactly one of the two is called, once, unless it was cancelled
 * before.
 */
export interface Ticket<P extends Protection = Protection> {
  /** It waits behind others for its place (`Ask.givesWay`). */
  readonly givesWay?: boolean
  /** `wire` has the request's ID; the carrier reuses it after the call returns. */
  answered(carried: Carried<P>): void
  failed(error: EnigmError, loss: Loss): void
}

/** What a carrier reports about itself while it lives. After `down` it says nothing more. */
export interface Watcher {
  /** The peer showed that it is there. */
  heard(): void
  /** It takes no more requests; those in flight go on. Once. */
  draining(): void
  /** The last request in flight is gone. */
  idle(): void
  /** A reply that matches nothing that was asked. */
  mismatch(): void
  /** It is dead; called before its tickets fail. */
  down(error: EnigmError): void
}

/** What is known of a connection from the moment that it is up. */
export interface Established<P extends Protection = Protection> {
  /** The address of the peer. */
  readonly address: string
  readonly protection: P
  /** From the first packet to the end of the handshake that won. */
  readonly handshakeMs: number
  /** What the peer showed; undefined where it showed none, or the session was resumed. */
  certificate(): X509Certificate | undefined
}

/**
 * A connection on which nothing of ours was written yet. Either `carry` or `close` is called, once.
 */
export interface Opened<P extends Protection = Protection, C extends Carrier<P> = Carrier<P>> extends Established<P> {
  carry(tools: CarrierTools): C
  close(): void
}

/** Requests and replies on one established connection: DoT, HTTP/2 or HTTP/1.1. */
export interface Carrier<P extends Protection = Protection> extends Established<P> {
  readonly inFlight: number
  /**
   * How many of them wait unwritten behind a request that blocks the connection. Only HTTP/1.1 has
   * such.
   */
  readonly waiting?: number
  /** How long it may be idle. Changes as the resolver says so. */
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
  /** Closes at once. What is in flight is `lost`. No `down` follows. */
  destroy(error: EnigmError): void
}

/** A carrier for a schedule: nothing is written but on `send` and `cells.more`. */
export interface CellCarrier<P extends Protection = Protection> extends Carrier<P> {
  readonly cells: Cells
}

/**
 * Records of one size, written only on request: `send` writes the first record of a request, in the
 * same turn for any request. Requests are as long as `octets` says, so that they fill their
 * records; over HTTP/2 one of a single record may be shorter.
 */
export interface Cells {
  /**
   * Whether `send` would write a record now: the last record was sent, the peer accepts more, and
   * no request is half written.
   */
  readonly ready: boolean
  /** The request sent last has records to come; nothing else can be sent before they are. */
  readonly unfinished: boolean
  /** Octets of a request that fills `records` records. */
  octets(records: number): number
  /**
   * Writes the next record of the unfinished request, unless the last one has not left yet or the
   * peer takes no more.
   */
  more(): void
}

export interface CarrierTools {
  readonly clock: Clock
  readonly random: Random
  readonly watcher: Watcher
  /**
   * What a resolver is asked where the protocol has no sign of life of its own. Default: the root.
   */
  readonly probe?: Uint8Array
}

/**
 * The life of a carrier, the same for every protocol: it lives, it may drain (what is in flight
 * goes on, nothing new is taken), and it ends once, by the peer or by `destroy`. At its end all
 * requests in flight fail, once. Later data from the peer is ignored. What it runs on is the
 * business of the class below: a byte stream (`StreamCarrier`), or a connection that has streams of
 * its own.
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
  /** Closes what it runs on. */
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

  /** Turns a request away that cannot be taken; undefined: it can. */
  protected turnedAway(ticket: Ticket<P>): Sent | undefined {
    if (this.dead || this.draining) return refuse(ticket, lost('the connection takes no more'), 'refused')
    return this.inFlight < MAX_IN_FLIGHT ? undefined : refuse(ticket, new EnigmError('overloaded', 'too many queries in flight'), 'final')
  }

  /** Something was written that the peer owes an answer to. */
  protected wrote(): void {
    this.silentSinceMs ??= this.clock.nowMs()
  }

  /** The last data may arrive after the end; it is ignored. */
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

  /** The peer, or something between, ended it. */
  protected die(error: EnigmError): void {
    if (this.dead) return
    this.dead = true
    this.shut()
    this.watcher.down(error)
    this.failAll(error)
  }
}

/** A carrier on one byte stream, whose end is the carrier's end. */
export abstract class StreamCarrier<P extends Protection> extends LivingCarrier<P> {
  protected readonly stream: Duplex

  constructor(connection: Connection<P>, tools: CarrierTools) {
    super(connection, tools)
    this.stream = connection.stream
  }

  /** Reads what the peer sends from now on, until the end. */
  protected listen(onOctetsOf: (octets: Uint8Array) => void): void {
    onOctets(this.stream, (octets) => {
      if (!this.dead) onOctetsOf(octets)
    })
    this.stream.on('end', () => this.onEnd())
    this.listenForTheEnd()
  }

  /** The same where the protocol has a reader of its own. */
  protected listenForTheEnd(): void {
    this.stream.on('error', (cause) => this.die(lost('the connection broke', cause)))
    this.stream.on('close', () => this.die(lost('the connection closed')))
  }

  /** The peer sends no more. */
  protected onEnd(): void {
    this.die(lost('the resolver closed the connection'))
  }

  protected shut(): void {
    this.stream.destroy()
  }
}

/** The error of a request that was not answered though nothing is wrong with it. */
export function lost(message: string, cause?: unknown): EnigmError {
  return new EnigmError('connection-lost', message, cause === undefined ? undefined : { cause })
}

/** Fails a ticket that never got onto the wire; later, so that `send` has returned by then. */
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
