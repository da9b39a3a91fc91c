import type { Clock, Random } from '../clock.ts'
import type { Deadline } from '../deadlines.ts'
import type { EnigmError } from '../errors.ts'
import type { Emit } from '../events.ts'
import type { Protection, Transport } from '../resolve.ts'
import type { Carrier, Opened, Sent } from './carriers/carrier.ts'
import type { DialPace } from './dial/dial-pace.ts'

/** How to dial, and how to forget. */
export interface Wiring<P extends Protection> {
  readonly resolver: string
  readonly transport: Transport
  /** Rejects with an EnigmError, with the signal's reason when aborted. `first`: the address to try first. */
  dial(signal: AbortSignal, first: string | undefined): Promise<Opened<P>>
  forgetSessions(): void
  /** What its resolver is asked to see whether it answers; absent: the root. A message without OPT. */
  readonly probe?: Uint8Array
}

export interface KeeperTools {
  readonly clock: Clock
  readonly random: Random
  readonly emit: Emit
  /** Called before each dial; may `renew` the link: on another network, noticed only now, no session of the last one must be shown. */
  readonly beforeDial?: () => void
  /** Shared by the links of one resolver; says also whether anything may be dialled at all. */
  readonly dialPace: DialPace
}

/** Told when `current` is there (again), a lane came or went or is late, or a dial may begin; or when a dial failed, for `current` or for a lane. */
export interface Owner {
  ready(): void
  lanesChanged(): void
  dialFailed(error: EnigmError, lane: boolean): void
}

/** A connection and what is thought of it. */
export interface Kept<P extends Protection> {
  readonly carrier: Carrier<P>
  /** 1 for the first connection of its link. */
  readonly number: number
  /** Written to, and silent. */
  suspect: boolean
  /** Silent for so long, or while another answered, that speaking after all is a surprise: all of its queries are asked elsewhere, not just a few. */
  overdue: boolean
  /** A second connection was dialled because of it. */
  hedged: boolean
  /** That was out of the budget. */
  charged: boolean
  /** A query that it left unanswered was answered on another one since. */
  outdone: boolean
  /** Since when it had been silent when it was last doubted. */
  doubtedSinceMs: number
  /** The suspect in whose place it came. If it answers while that one is still silent, that one is dead. */
  outrun: Kept<P> | undefined
  /** For questions of the quarantine alone (retry.ts). */
  lane: boolean
  /** Silent for a little while a question of the quarantine is under way: the others are worth another lane. */
  late: boolean
  /** Questions of the quarantine under way on it. */
  owed: number
  /** What is to show that the resolver answers on it, on its way. */
  proof: Sent | undefined
  /** It answered something of the quarantine just now: whether it closes after that is to be seen first. */
  resting: boolean
  /** Queries that it turned away when it took no more. */
  refused: number
  /** The first of these was looked at. */
  blamed: boolean
  /** Takes no more, whatever it says. */
  leaving: boolean
  gone: boolean
  answered: boolean
  /** How many queries it answered. */
  served: number
  /** It ended without one answer, and the backoff knows. */
  barren: boolean
  probed: boolean
  idleSinceMs: number
  /** How long it had been idle before what it was asked last and has not answered yet. */
  rustedMs: number
  watch: Deadline | undefined
  watchMs: number
}

/** A connection that has just come up. */
export function newlyKept<P extends Protection>(carrier: Carrier<P>, number: number, idleSinceMs: number): Kept<P> {
  const doubts = {
    suspect: false,
    overdue: false,
    hedged: false,
    charged: false,
    outdone: false,
    lane: false,
    late: false,
    resting: false,
    owed: 0,
    proof: undefined,
    refused: 0,
    blamed: false,
    leaving: false,
    gone: false,
    answered: false,
    barren: false,
    probed: false,
  }
  return {
    carrier,
    number,
    ...doubts,
    doubtedSinceMs: 0,
    idleSinceMs,
    served: 0,
    rustedMs: 0,
    outrun: undefined,
    watch: undefined,
    watchMs: 0,
  }
}
