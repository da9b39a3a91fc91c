import type { Deadline } from '../deadlines.ts'
import type { EnigmError } from '../errors.ts'
import type { Protection } from '../resolve.ts'
import type { Carrier, Sent } from './carriers/carrier.ts'

/**
 * What a connection of a pool is used for.
 * - `current`: accepts new queries. At most one connection is `current`.
 * - `lane`: accepts only questions of the quarantine (retry-quarantine.ts).
 * - `suspect`: was `current` and is silent. It accepts nothing, but may still answer and come back.
 * - `draining`: accepts nothing, and closes when no reply is pending.
 * - `gone`: closed, by us or by the resolver.
 */
export type ConnectionState = 'current' | 'lane' | 'suspect' | 'draining' | 'gone'

/** A connection of a pool. */
export interface PooledConnection<P extends Protection, C extends Carrier<P> = Carrier<P>> {
  readonly carrier: C
  /** 1 for the first connection of its link. */
  readonly number: number
  /** Only the pool changes it. */
  state: ConnectionState
  /** How many queries it has answered. */
  served: number
  /** How many queries it refused while it drained. */
  refused: number
  failure: ConnectionFailure
  /** What the silence detector knows about it. */
  readonly silence: Silence<P>
  /** How many questions of the quarantine are in flight on it. */
  owed: number
  /** The step that must end before the next question is sent on it. */
  trialStep: TrialStep
}

/**
 * Whether the backoff counts a connection as a failed dial. It counts at most once.
 * - `none`: not so far.
 * - `counted`: it ended or became silent without any answer.
 * - `excused`: the link itself ends it.
 */
export type ConnectionFailure = 'none' | 'counted' | 'excused'

/**
 * The step that must end before a connection gets the next question of the quarantine.
 * - `free`: none.
 * - `pausing`: it answered a question of the quarantine, and may close after that.
 * - `proving`: `probe` is in flight on it. An answer shows that the resolver answers.
 */
export type TrialStep = { readonly is: 'free' } | { readonly is: 'pausing' } | { readonly is: 'proving'; readonly probe: Sent }

/**
 * How a link reacts to the silence of a connection. `none`: not at all. `late`: a few of its
 * queries are also asked on another connection. `dead`: all of them are.
 */
export type Doubt = 'none' | 'late' | 'dead'

/** What the silence detector knows about one connection (liveness.ts). */
export interface Silence<P extends Protection> {
  doubt: Doubt
  /** Whether a second connection was dialled because of its silence. */
  hedged: boolean
  /** Whether that dial was charged to the hedge budget. */
  charged: boolean
  /** Whether another connection has answered a query that this one did not answer. */
  answeredElsewhere: boolean
  /** Whether a probe was sent, and no sign of life came since then. */
  probed: boolean
  /** When the silence began because of which it was last in doubt. Boot time. */
  doubtedSinceMs: number
  /** The suspect that it replaced. If this connection answers first, the suspect is dead. */
  superseded: PooledConnection<P> | undefined
  idleSinceMs: number
  /** How long it was idle before the query that it has not answered yet. */
  idleBeforeMs: number
  watch: Deadline | undefined
  watchMs: number
}

/** Whether a connection is closed. */
export function isGone<P extends Protection>({ state }: PooledConnection<P>): boolean {
  return state === 'gone'
}

/** How a link reacts to changes of a connection in its pool. */
export interface PoolStrategy<P extends Protection, C extends Carrier<P> = Carrier<P>> {
  /** The state of the silence detector for a connection that has just come up. */
  newSilence(): Silence<P>
  up(connection: PooledConnection<P, C>, routeRttMs: number | undefined): void
  /** `connection` is `current` and replaces `before`, which must drain or become a suspect. */
  becameCurrent(connection: PooledConnection<P, C>, before: PooledConnection<P, C> | undefined): void
  heard(connection: PooledConnection<P, C>): void
  /** No query is in flight on `connection`. */
  idle(connection: PooledConnection<P, C>): void
  /** The resolver or the network ended `connection`. Called before its state changes. */
  died(connection: PooledConnection<P, C>, error: EnigmError): void
  gone(connection: PooledConnection<P, C>): void
}

/**
 * Receives the changes in a pool. `ready`: `current` exists. `lanesChanged`: a lane came up, ended
 * or is late, or a postponed dial may begin. `dialFailed`: a dial failed, for `current` or for a
 * lane.
 */
export interface PoolListener {
  ready(): void
  lanesChanged(): void
  dialFailed(error: EnigmError, lane: boolean): void
}

/** The initial state of a connection that has just come up. */
export function newSilence<P extends Protection>(idleSinceMs: number): Silence<P> {
  return {
    ...{ doubt: 'none', hedged: false, charged: false, answeredElsewhere: false, probed: false, doubtedSinceMs: 0, superseded: undefined },
    ...{ idleSinceMs, idleBeforeMs: 0, watch: undefined, watchMs: 0 },
  }
}
