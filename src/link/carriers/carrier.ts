import type { Clock, Random } from '../../clock.ts'
import type { EnigmError } from '../../errors.ts'
import type { Carried, Protection } from '../../resolve.ts'
import type { Connection } from '../dial/connect.ts'

/**
 * Requests on one connection, waiting and written together. Beyond it: `overloaded`. More than the
 * pipeline has under way at once (cache/in-flight.ts): what it turns away it chooses by client.
 */
export const MAX_IN_FLIGHT = 5000
/** An idle connection is closed after this (until more or less has been learnt), or earlier where the resolver says so: a closed socket tells less than one that lingers. */
export const IDLE_MS = 30_000

/** Fewer octets than this are no sign of life: a peer that trickles single octets is as good as gone, and must not hold the others up. */
export const SIGN_OF_LIFE_OCTETS = 512

/** `wire` is a private copy with the request's ID. */
export interface Reply {
  readonly wire: Uint8Array
  readonly rttMs: number
  /** Seconds it had spent in an HTTP cache (RFC 8484 section 5.1). */
  readonly ageS?: number
  /** Whether it came back padded, where the carrier has looked. */
  readonly padded?: boolean
}

/** What a link hands on of a reply. Written out: a spread costs 1.6 us on Node 20. */
export function carriedOf<P extends Protection>({ wire, rttMs, ageS, padded }: Reply, protection: P): Carried<P> {
  const carried: { wire: Uint8Array; rttMs: number; protection: P; ageS?: number; padded?: boolean } = { wire, rttMs, protection }
  if (ageS !== undefined) carried.ageS = ageS
  if (padded !== undefined) carried.padded = padded
  return carried
}

/** A request that was sent, or waits to be. */
export interface Sent {
  /** Takes it back: its ticket is not called any more. Any number of times. */
  cancel(): void
  /** It is behind another one that the protocol lets nothing past, and was not written: taking it back costs nothing. */
  readonly waits?: boolean
}

/**
 * `final`: asking again would not help. `lost`: it may have been processed. `refused`: it certainly
 * was not (RFC 9113 section 8.7). `unsent`: it stood behind another one, and was not even written.
 */
export type Loss = 'final' | 'lost' | 'refused' | 'unsent'

/** Who waits for one request. Exactly one of the two is called, once, unless it was cancelled before. */
export interface Ticket {
  /** It waits behind others for its place (`Ask.givesWay`). */
  readonly givesWay?: boolean
  answered(reply: Reply): void
  failed(error: EnigmError, loss: Loss): void
}

/** What a carrier reports about itself while it lives. After `down` it says nothing more. */
export interface Watcher {
  /** The peer showed that it is there. */
  heard(): void
  /** It takes no more requests; those in flight go on. */
  draining(): void
  /** The last request in flight is gone. */
  idle(): void
  /** A reply that matches nothing that was asked. */
  mismatch(): void
  /** It is dead; called before its tickets fail. */
  down(error: EnigmError): void
}

/** Requests and replies on one established connection: DoT, HTTP/2 or HTTP/1.1. */
export interface Carrier<P extends Protection = Protection> {
  readonly connection: Connection<P>
  readonly inFlight: number
  /** How many of them are behind another one that the protocol lets nothing past, and not written: HTTP/1.1 alone has them. */
  readonly waiting?: number
  /** How long it may be idle. Changes as the resolver says so. */
  readonly idleMs: number
  /** Since when something written has met silence; undefined while nothing is owed or the peer was heard since. Boot time. */
  readonly silentSinceMs: number | undefined
  /** `request` must not change until its ticket is called. */
  send(request: Uint8Array, ticket: Ticket): Sent
  /** Asks for a sign of life, beside what it owes; false where the protocol has no way to. */
  probe(): boolean
  /** Closes at once. What is in flight is `lost`. No `down` follows. */
  destroy(error: EnigmError): void
  /** Only where `CarrierTools.paced` asked for it and the protocol can. */
  readonly cells?: Cells | undefined
}

/**
 * Records of one size, each written when it is told and never by the carrier's own will: `send` writes the first record of a request, in the same turn for
 * any request. Requests are as long as `octets` says, so that they fill their records.
 */
export interface Cells {
  /** Whether `send` would write a record now: the last one has left, the peer takes more, nothing is unfinished. */
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
  /** Whoever sends keeps a schedule: records of one size, and nothing written but on `send` and `more`. */
  readonly paced?: boolean
}

/** Keeps `silentSinceMs`. */
export class Pulse {
  readonly #clock: Clock
  readonly #watcher: Watcher
  silentSinceMs: number | undefined

  constructor(clock: Clock, watcher: Watcher) {
    this.#clock = clock
    this.#watcher = watcher
  }
  wrote(): void {
    this.silentSinceMs ??= this.#clock.nowMs()
  }
  heard(): void {
    this.silentSinceMs = undefined
    this.#watcher.heard()
  }
  /** Nothing is owed any more. */
  rest(): void {
    this.silentSinceMs = undefined
  }
}

/** Fails a ticket that never got onto the wire; later, so that `send` has returned by then. */
export function refuse(ticket: Ticket, error: EnigmError, loss: 'final' | 'refused'): Sent {
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
