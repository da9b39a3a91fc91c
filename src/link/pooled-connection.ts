import type { Deadline } from '../deadlines.ts'
import type { EnigmError } from '../errors.ts'
import type { Protection } from '../resolve.ts'
import type { Carrier, Sent } from './carriers/carrier.ts'

/**
 * - `current`: takes new queries. At most one does.
 * - `lane`: takes questions of the quarantine alone (retry-quarantine.ts).
 * - `suspect`: was `current`, and is silent. It takes nothing, may still answer, and may come back.
 * - `draining`: takes nothing, and closes when nothing is owed.
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
  /** Queries that it turned away when it took no more. */
  refused: number
  failure: Failure
  /** What its silence is thought to mean. */
  readonly silence: Silence<P>
  /** Questions of the quarantine under way on it. */
  owed: number
  /** What the quarantine waits for before the next question goes onto it. */
  trialStep: TrialStep
}

/**
 * Whether the backoff counts a connection as a failed dial, which it does once at most.
 * - `none`: not so far.
 * - `counted`: it ended, or went silent, without one answer.
 * - `excused`: the link itself ends it.
 */
export type Failure = 'none' | 'counted' | 'excused'

/**
 * - `free`: nothing.
 * - `pausing`: it answered a question of the quarantine, and may close after that.
 * - `proving`: `probe` is asked on it, whose answer shows that the resolver answers.
 */
export type TrialStep = { readonly is: 'free' } | { readonly is: 'pausing' } | { readonly is: 'proving'; readonly probe: Sent }

/**
 * What the silence of a connection is thought to mean: nothing; that it is late, so that a few of its questions are asked elsewhere as well; or that it is as good
 * as dead, so that all are.
 */
export type Doubt = 'none' | 'late' | 'dead'

/** What whoever judges the silence of a connection has noted of it (liveness.ts). */
export interface Silence<P extends Protection> {
  doubt: Doubt
  /** A second connection was dialled because of it. */
  hedged: boolean
  /** That was out of the budget. */
  charged: boolean
  /** A query that it left unanswered was answered on another one since. */
  answeredElsewhere: boolean
  /** A sign of life was asked for, and has not come. */
  probed: boolean
  /** Since when it had been silent when it was last doubted. */
  doubtedSinceMs: number
  /** The suspect in whose place it came. If it answers while that one is still silent, that one is dead. */
  superseded: PooledConnection<P> | undefined
  idleSinceMs: number
  /** How long it had been idle before what it was asked last and has not answered yet. */
  idleBeforeMs: number
  watch: Deadline | undefined
  watchMs: number
}

/** Whether it is over. */
export function isGone<P extends Protection>({ state }: PooledConnection<P>): boolean {
  return state === 'gone'
}

/** Whoever judges the connections of a pool, and is told what happens to them. */
export interface PoolStrategy<P extends Protection, C extends Carrier<P> = Carrier<P>> {
  /** What is known of the silence of a connection that has come up. */
  newSilence(): Silence<P>
  up(connection: PooledConnection<P, C>): void
  /** `connection` is `current`, in the place of `before`, which is to leave or to be a suspect. */
  becameCurrent(connection: PooledConnection<P, C>, before: PooledConnection<P, C> | undefined): void
  heard(connection: PooledConnection<P, C>): void
  /** Nothing is owed on it. */
  idle(connection: PooledConnection<P, C>): void
  /** The resolver, or something between, ended it; called while it is what it was. */
  died(connection: PooledConnection<P, C>, error: EnigmError): void
  gone(connection: PooledConnection<P, C>): void
}

/** Told when `current` is there (again), a lane came or went or is late, or a dial may begin; or when a dial failed, for `current` or for a lane. */
export interface PoolListener {
  ready(): void
  lanesChanged(): void
  dialFailed(error: EnigmError, lane: boolean): void
}

/** Of a connection that has come up just now. */
export function newSilence<P extends Protection>(idleSinceMs: number): Silence<P> {
  return {
    ...{ doubt: 'none', hedged: false, charged: false, answeredElsewhere: false, probed: false, doubtedSinceMs: 0, superseded: undefined },
    ...{ idleSinceMs, idleBeforeMs: 0, watch: undefined, watchMs: 0 },
  }
}
