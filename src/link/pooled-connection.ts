import type { Deadline } from '../deadlines.ts'
import type { EnigmError } from '../errors.ts'
import type { Protection } from '../resolve.ts'
import type { Carrier, Sent } from './carriers/carrier.ts'

/**
 * - `current`: takes new queries. At most one does.
 * - `lane`: takes questions of the quarantine alone (retry-quarantine.ts).
 * - `suspect`: was `current`, and is silent. It takes nothing, may still answer, and may come back.
 * - `draining`: takes nothing, and closes when no reply is pending.
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
  /** How many queries it answered. */
  served: number
  /** Queries that it refused when it took no more. */
  refused: number
  failure: ConnectionFailure
  /** The meaning of its silence so far. */
  readonly silence: Silence<P>
  /** Questions of the quarantine in flight on it. */
  owed: number
  /** The step that must end before the next question is sent on it. */
  trialStep: TrialStep
}

/**
 * Whether the backoff counts a connection as a failed dial, at most once.
 * - `none`: not so far.
 * - `counted`: it ended, or became silent, without one answer.
 * - `excused`: the link itself ends it.
 */
export type ConnectionFailure = 'none' | 'counted' | 'excused'

/**
 * - `free`: nothing.
 * - `pausing`: it answered a question of the quarantine, and may close after that.
 * - `proving`: `probe` is in flight on it, and its answer shows that the resolver answers.
 */
export type TrialStep = { readonly is: 'free' } | { readonly is: 'pausing' } | { readonly is: 'proving'; readonly probe: Sent }

/**
 * What the silence of a connection means: `none`: nothing. `late`: a few of its queries are also
 * asked elsewhere. `dead`: all of them are.
 */
export type Doubt = 'none' | 'late' | 'dead'

/** What the silence detector knows about one connection (liveness.ts). */
export interface Silence<P extends Protection> {
  doubt: Doubt
  /** A second connection was dialled because of its silence. */
  hedged: boolean
  /** That dial was charged to the hedge budget. */
  charged: boolean
  /** A query that it did not answer was answered on another connection since. */
  answeredElsewhere: boolean
  /** A probe was sent and no sign of life came since. */
  probed: boolean
  /** The beginning of the silence for which it was last doubted. Boot time. */
  doubtedSinceMs: number
  /** The suspect that it replaced. If this connection answers first, that one is dead. */
  superseded: PooledConnection<P> | undefined
  idleSinceMs: number
  /** How long it was idle before the query that it has not answered yet. */
  idleBeforeMs: number
  watch: Deadline | undefined
  watchMs: number
}

/** Whether it is closed. */
export function isGone<P extends Protection>({ state }: PooledConnection<P>): boolean {
  return state === 'gone'
}

/** The reaction of a link to changes of a connection in its pool. */
export interface PoolStrategy<P extends Protection, C extends Carrier<P> = Carrier<P>> {
  /** The state of the silence detector for a connection that has just come up. */
  newSilence(): Silence<P>
  up(connection: PooledConnection<P, C>, routeRttMs: number | undefined): void
  /** `connection` is `current` and replaces `before`, which must drain or become a suspect. */
  becameCurrent(connection: PooledConnection<P, C>, before: PooledConnection<P, C> | undefined): void
  heard(connection: PooledConnection<P, C>): void
  /** No query is in flight on it. */
  idle(connection: PooledConnection<P, C>): void
  /** The resolver or the network ended it. Called before its state changes. */
  died(connection: PooledConnection<P, C>, error: EnigmError): void
  gone(connection: PooledConnection<P, C>): void
}

/**
 * Is notified of changes in a pool. `ready`: `current` exists. `lanesChanged`: a lane came, ended
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
