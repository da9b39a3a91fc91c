import type { Clock, Random } from '../clock.ts'
import type { Deadline } from '../deadlines.ts'
import type { EnigmError } from '../errors.ts'
import type { Emit } from '../events.ts'
import type { Protection, Transport } from '../resolve.ts'
import type { Carrier, Opened } from './carriers/carrier.ts'
import type { DialPace } from './dial/dial-pace.ts'

/** How to dial, and how to forget. */
export interface Wiring<P extends Protection> {
  readonly resolver: string
  readonly transport: Transport
  /** Rejects with an EnigmError, with the signal's reason when aborted. `first`: the address to try first. */
  dial(signal: AbortSignal, first: string | undefined): Promise<Opened<P>>
  forgetSessions(): void
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

/** Told when `current` is there (again), or when a dial failed. */
export interface Owner {
  ready(): void
  dialFailed(error: EnigmError): void
}

/** A connection and what is thought of it. */
export interface Kept<P extends Protection> {
  readonly carrier: Carrier<P>
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
  /** Takes no more, whatever it says. */
  leaving: boolean
  gone: boolean
  answered: boolean
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
export function newlyKept<P extends Protection>(carrier: Carrier<P>, idleSinceMs: number): Kept<P> {
  const doubts = {
    suspect: false,
    overdue: false,
    hedged: false,
    charged: false,
    outdone: false,
    leaving: false,
    gone: false,
    answered: false,
    barren: false,
    probed: false,
  }
  return { carrier, ...doubts, doubtedSinceMs: 0, idleSinceMs, rustedMs: 0, outrun: undefined, watch: undefined, watchMs: 0 }
}
