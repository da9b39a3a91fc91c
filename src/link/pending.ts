import type { Linked } from '../containers.ts'
import type { Deadline } from '../deadlines.ts'
import type { EnigmError } from '../errors.ts'
import type { Ask, Carried, Protection, Receiver } from '../resolve.ts'
import type { Loss, Sent, Ticket } from './carriers/carrier.ts'
import type { Doubt, PooledConnection } from './pooled-connection.ts'

const NONE: never[] = []

/** One query and its attempts. A class, because a spread object literal costs 1.6 us on Node 20. */
export class Pending<P extends Protection> implements Linked<Pending<P>> {
  readonly request: Uint8Array
  readonly ask: Ask
  readonly to: Receiver<P>
  deadline: Deadline | undefined = undefined
  /** Its attempts in flight, usually one. */
  attempts: RequestAttempt<P>[] = NONE
  /** Whether it waits for a connection. */
  waits = false
  /** Whether it was retried already, after a loss or a silence. */
  resent = false
  refusals = 0
  /** The silent connection on which it waited unwritten behind other queries. */
  movedFrom: PooledConnection<P> | undefined = undefined
  /** Whether it was retried a second time, alone, after two connections became silent. */
  isolated = false
  /** Its number in the order of writing: the query written last is suspected first. */
  turn = 0
  /** Its place in the retry quarantine. */
  quarantined: QuarantineEntry<P> | undefined = undefined
  before: Pending<P> | undefined = undefined
  after: Pending<P> | undefined = undefined
  holder: object | undefined = undefined

  constructor(request: Uint8Array, ask: Ask, to: Receiver<P>) {
    this.request = request
    this.ask = ask
    this.to = to
  }
}

/**
 * A query's entry in the quarantine. It is a separate object, because the query itself is a member
 * of the link's set of all queries.
 */
export interface QuarantineEntry<P extends Protection> extends Linked<QuarantineEntry<P>> {
  readonly pending: Pending<P>
  /**
   * Whether it may be sent on a connection that has not answered anything yet. True if it was alone
   * on a connection that had answered, or if it was not processed there.
   */
  needsNoProof: boolean
}

/** Is notified of the end of an attempt. */
export interface AttemptListener<P extends Protection> {
  answered(attempt: RequestAttempt<P>, carried: Carried<P>): void
  lost(attempt: RequestAttempt<P>, error: EnigmError, loss: Loss): void
}

/** One request on one connection. A class, so that a query costs no closures. */
export class RequestAttempt<P extends Protection> implements Ticket<P> {
  readonly connection: PooledConnection<P>
  readonly pending: Pending<P>
  /**
   * How many questions of the quarantine may be in flight at once on this connection. 1: it is
   * alone. 0: it is not from the quarantine.
   */
  readonly trial: number
  readonly #listener: AttemptListener<P>
  sent: Sent | undefined

  constructor(connection: PooledConnection<P>, pending: Pending<P>, trial: number, listener: AttemptListener<P>) {
    this.connection = connection
    this.pending = pending
    this.trial = trial
    this.#listener = listener
  }
  get givesWay(): boolean {
    return this.pending.ask.givesWay === true
  }
  answered(carried: Carried<P>): void {
    this.#listener.answered(this, carried)
  }
  failed(error: EnigmError, loss: Loss): void {
    this.#listener.lost(this, error, loss)
  }
}

/**
 * Cancels an attempt that waits unwritten behind other queries on a suspect. Returns whether there
 * was one.
 */
export function leftQueue<P extends Protection>(pending: Pending<P>): boolean {
  const held = pending.attempts.find(({ connection, sent }) => isSuspect(connection) && sent?.waits === true)
  if (held === undefined) return false
  pending.movedFrom = held.connection
  leave(held)
  held.sent?.cancel()
  return true
}

/** The strongest doubt about the connections of a query. */
export function doubtOf<P extends Protection>({ attempts }: Pending<P>): Doubt {
  if (!attempts.some(({ connection }) => isSuspect(connection))) return 'none'
  return attempts.some(({ connection }) => connection.silence.doubt === 'dead') ? 'dead' : 'late'
}

/**
 * Whether a query was retried, and both connections became silent in the middle of a reply. Silence
 * between replies proves nothing, because the name may be slow.
 */
export function isHeldUpTwice<P extends Protection>({ attempts, isolated }: Pending<P>): boolean {
  if (attempts.length < 2 || isolated) return false
  return attempts.every(
    ({ connection: { carrier, silence }, trial }) => trial === 0 && silence.doubt === 'dead' && carrier.replyUnfinished === true,
  )
}

/** Removes an attempt from its query. */
export function leave<P extends Protection>(attempt: RequestAttempt<P>): void {
  const { attempts } = attempt.pending
  if (attempt.trial > 0) attempt.connection.owed--
  if (attempts.at(-1) === attempt) attempts.pop()
  else attempts.splice(attempts.indexOf(attempt), 1)
}

/**
 * Whether queries of a silent connection are asked on other connections. Queries on a lane are on
 * their second try, so the lane must count as dead.
 */
function isSuspect<P extends Protection>({ state, silence }: PooledConnection<P>): boolean {
  return state === 'lane' ? silence.doubt === 'dead' : silence.doubt !== 'none'
}
