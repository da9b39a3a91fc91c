import { LinkedSet } from '../containers.ts'
import { Deadlines } from '../deadlines.ts'
import { EnigmError } from '../errors.ts'
import type { Ask, Carried, Link, Protection, Receiver, Transport } from '../resolve.ts'
import { type Loss, MAX_IN_FLIGHT } from './carriers/carrier.ts'
import type { DialTarget, DialTools } from './dial/dialler.ts'
import { Liveness } from './liveness.ts'
import { type AttemptListener, doubtOf, isHeldUpTwice, leave, leftQueue, Pending, RequestAttempt } from './pending.ts'
import type { Pool } from './pool.ts'
import { isGone, type PooledConnection } from './pooled-connection.ts'
import { RetryQuarantine } from './retry-quarantine.ts'

/** Limit of queries that wait for one dial. Further queries get `overloaded`. */
const MAX_WAITING = MAX_IN_FLIGHT
/**
 * How often a query is retried if connections refuse it but accept others. In addition, the carrier
 * itself retries it three times after REFUSED_STREAM.
 */
const MAX_REFUSALS = 16
/**
 * If a draining connection refused at most this many queries, one of them may be the reason. So
 * they are retried one at a time. If it refused more but accepted others, the server has reached
 * its limit of requests on one connection.
 */
const FEW = 8
/**
 * How many queries of a late connection are also asked on a second one. The first answer shows
 * whether the others must be retried too.
 */
const CANARIES = 4

/** Reactions of a link to changes of its environment. */
export interface Renewable {
  /**
   * The network changed, or the machine was suspended: drops all connections and TLS sessions. A
   * ticket would let an observer link the client on the old network with the client on the new one.
   * An on-demand link retries its queries in flight on a new connection. If the link was in use and
   * the host is `online`, it dials again.
   */
  renew(online: boolean): void
  /**
   * Ends the backoff. For example, the wall clock was set, and certificates may have become valid.
   */
  reconsider(): void
}

/** A link that can react to a change of the network or to a suspend. */
export interface RenewableLink<P extends Protection = Protection> extends Link<P>, Renewable {}

/**
 * A link that dials when a query comes, and keeps one connection while it is needed. See `Link` for
 * the contract.
 */
export class OnDemandLink<P extends Protection> implements RenewableLink<P> {
  readonly id: string
  readonly transport: Transport
  readonly #tools: DialTools
  readonly #deadlines: Deadlines
  readonly #liveness: Liveness<P>
  readonly #pool: Pool<P>
  readonly #pending = new LinkedSet<Pending<P>>()
  readonly #waiting = new Set<Pending<P>>()
  readonly #quarantine: RetryQuarantine<P>
  readonly #closed = deferred()
  readonly #listener: AttemptListener<P> = {
    answered: (attempt, carried) => this.#answered(attempt, carried),
    lost: (attempt, error, loss) => this.#lost(attempt, error, loss),
  }
  readonly #onDeadline = (pending: Pending<P>) => {
    this.#fail(pending, this.#outOfTime(pending))
    this.#goOn()
  }
  #turnedAway: { readonly attempt: RequestAttempt<P>; readonly error: EnigmError; readonly loss: Loss }[] = []
  #closing = false
  #renewing = false
  /** Counts written queries. */
  #turn = 0

  constructor(target: DialTarget<P>, tools: DialTools) {
    this.id = `${target.resolver}/${target.transport}`
    this.transport = target.transport
    this.#tools = tools
    this.#deadlines = new Deadlines(tools.clock)
    this.#liveness = new Liveness(target, tools, this.#deadlines, {
      ready: () => this.#resend(),
      lanesChanged: () => this.#goOn(),
      dialFailed: (error, lane) => (lane ? this.#quarantine.laneFailed(error) : this.#dialFailed(error)),
    })
    const quarantineLink = {
      send: (connection: PooledConnection<P>, pending: Pending<P>, atOnce: number) => this.#send(connection, pending, atOnce),
      goOn: () => this.#goOn(),
      dialFailed: (error: EnigmError) => this.#dialFailed(error),
    }
    this.#pool = this.#liveness.pool
    this.#quarantine = new RetryQuarantine(this.#liveness, tools.clock, quarantineLink, target.probe)
  }

  send(request: Uint8Array, ask: Ask, to: Receiver<P>): void {
    if (this.#closing) {
      to.failed(new EnigmError('closed', 'the link is closed'))
      return
    }
    const nowMs = this.#tools.clock.nowMs()
    if (nowMs >= ask.deadlineMs) {
      to.failed(late())
      return
    }
    const pending = new Pending(request, ask, to)
    pending.deadline = this.#deadlines.add(ask.deadlineMs, this.#onDeadline, pending)
    this.#pending.add(pending)
    this.#place(pending, nowMs)
  }

  renew(online: boolean): void {
    for (const pending of this.#pending.list()) {
      pending.resent = false
      pending.isolated = false
      pending.refusals = 0
    }
    for (const pending of this.#quarantine.renew()) this.#wait(pending)
    this.#renewing = true
    this.#liveness.renew(this.#waiting.size > 0, online)
    this.#renewing = false
    // Fails the waiting queries if no dial is allowed.
    this.#goOn()
  }

  reconsider(): void {
    this.#pool.reconsider()
  }

  close(): Promise<void> {
    this.#closing = true
    this.#finishIfDone()
    return this.#closed.promise
  }

  /** Sends a query on `current`. If there is none, the query waits for the next connection. */
  #place(pending: Pending<P>, nowMs = this.#tools.clock.nowMs()): void {
    const { current } = this.#pool
    if (current !== undefined) this.#send(current, pending, 0, nowMs)
    else if (this.#waiting.size >= MAX_WAITING) this.#fail(pending, new EnigmError('overloaded', 'too many queries wait for a connection'))
    else {
      this.#wait(pending)
      const refusal = this.#mayDial ? this.#liveness.dial() : undefined
      if (refusal !== undefined) this.#fail(pending, refusal)
    }
  }

  /**
   * Whether a dial for `current` may begin. It may not if a lane will become `current`, or while
   * this is not decided yet.
   */
  get #mayDial(): boolean {
    return !this.#quarantine.laneToBeCurrent && this.#turnedAway.length === 0
  }

  #wait(pending: Pending<P>): void {
    this.#waiting.add(pending)
    pending.waits = true
  }

  #send(connection: PooledConnection<P>, pending: Pending<P>, trial: number, nowMs = this.#tools.clock.nowMs()): void {
    if (pending.ask.mayLeave?.() === false) {
      this.#fail(pending, new EnigmError('closed', 'no client waits for it'))
      return
    }
    const attempt = new RequestAttempt(connection, pending, trial, this.#listener)
    pending.turn = ++this.#turn
    if (trial > 0) connection.owed++
    attempt.sent = connection.carrier.send(pending.request, attempt)
    // A literal: an array that grows by `push` takes room for 17 at once.
    if (pending.attempts.length === 0) pending.attempts = [attempt]
    else pending.attempts.push(attempt)
    this.#liveness.sent(connection, nowMs)
  }

  /**
   * Sends waiting queries on the new `current`: first those that were never written, then copies of
   * those that wait on a suspect. The first answer counts. The order matters over HTTP/1.1, because
   * the query that blocked the suspect may block this connection too.
   */
  #resend(): void {
    const { current } = this.#pool
    if (current === undefined) return
    for (const pending of this.#waiting) if (this.#leftWaiting(pending)) this.#send(current, pending, 0)
    for (const pending of this.#pending.list()) if (pending.attempts.length === 1 && leftQueue(pending)) this.#send(current, pending, 0)
    let canaries = CANARIES
    for (const pending of this.#pending.list()) {
      if (leftQueue(pending)) this.#send(current, pending, 0)
      if (pending.resent || pending.attempts.some(({ connection }) => connection === current)) continue
      const doubt = doubtOf(pending)
      if (doubt === 'none' || (doubt === 'late' && canaries-- <= 0)) continue
      pending.resent = true
      this.#send(current, pending, 0)
    }
    this.#goOn()
  }

  /**
   * Retries queries alone on lanes, if they are delayed on two silent connections although a new
   * `current` answers. Over DoT one reply that comes in slow small pieces delays all replies behind
   * it. Its query was retried together with theirs, so it blocked the second connection too. The
   * budget counts this as one second connection, because an observer sees it as one.
   */
  #isolateHeldUp(): void {
    const heldUp = this.#pending.list().filter(isHeldUpTwice)
    if (heldUp.length === 0 || !this.#liveness.takeLaneBudget()) return
    for (const pending of heldUp) {
      pending.isolated = true
      this.#quarantine.add(pending, true)
    }
  }

  #leftWaiting(pending: Pending<P>): boolean {
    if (!pending.waits) return false
    pending.waits = false
    return this.#waiting.delete(pending)
  }

  #answered(attempt: RequestAttempt<P>, carried: Carried<P>): void {
    const { connection, pending } = attempt
    this.#liveness.answered(connection, carried.rttMs)
    this.#quarantine.answered(connection, attempt.trial > 0)
    leave(attempt)
    if (connection.served === 1 && connection === this.#pool.current) this.#isolateHeldUp()
    for (const other of pending.attempts) this.#liveness.answeredElsewhere(other.connection)
    if (pending.movedFrom !== undefined) this.#liveness.answeredElsewhere(pending.movedFrom)
    this.#settle(pending)
    pending.to.carried(carried)
    this.#goOn()
    this.#finishIfDone()
  }

  #lost(attempt: RequestAttempt<P>, error: EnigmError, loss: Loss): void {
    const { connection, pending, trial } = attempt
    leave(attempt)
    if (loss === 'refused') connection.refused++
    if (loss === 'lost' && isGone(connection)) this.#quarantine.connectionDied()
    if (pending.attempts.length > 0) return
    const mayRetry = trial === 0 && !pending.resent
    if ((loss === 'refused' || loss === 'unsent' || (loss === 'denied' && mayRetry)) && connection.state === 'draining') {
      if (this.#turnedAway.push({ attempt, error, loss }) === 1) this.#tools.clock.setTimer(0, () => this.#moveOn())
    } else if (loss === 'unsent' || this.#renewing) this.#place(pending)
    else if (loss === 'refused' && pending.refusals++ < MAX_REFUSALS) this.#place(pending)
    else if (loss === 'lost' && mayRetry) {
      pending.resent = true
      if (isGone(connection)) this.#quarantine.add(pending, connection.served > 0)
      else this.#place(pending)
    } else if ((loss === 'lost' || loss === 'denied') && trial === 1 && connection.served > 0) this.#failForItsName(pending, error)
    else this.#fail(pending, error)
    this.#goOn()
  }

  /**
   * Retries the queries that a draining connection refused or denied, once all of them are known.
   * They keep their order, so that the query after the last accepted one soon comes first on its
   * connection.
   */
  #moveOn(): void {
    const all = this.#turnedAway.sort((a, b) => a.attempt.pending.turn - b.attempt.pending.turn)
    for (const { attempt } of all) this.#pool.countDrained(attempt.connection)
    const looked = new Set<PooledConnection<P>>()
    const doubted: Pending<P>[] = []
    for (const { attempt, error, loss } of all) {
      if (!this.#pending.has(attempt.pending)) continue
      if (loss === 'unsent') this.#place(attempt.pending)
      else if (loss === 'denied') doubted.push(attempt.pending)
      else this.#askElsewhere(attempt, error, !looked.has(attempt.connection))
      if (loss === 'refused') looked.add(attempt.connection)
    }
    this.#turnedAway = []
    this.#askAlone(doubted)
    this.#goOn()
  }

  /**
   * Retries queries one at a time, because one of them may have ended their connection. A few have
   * time on the next connection before it becomes `current`; more get lanes beside it.
   */
  #askAlone(doubted: readonly Pending<P>[]): void {
    if (doubted.length === 0) return
    const few = doubted.length <= FEW
    if (!few) this.#quarantine.connectionDied()
    else if (this.#quarantine.idle) this.#quarantine.laneToBeCurrent = true
    for (const pending of doubted) {
      pending.resent = true
      if (few) pending.refusals++
      this.#quarantine.add(pending, few)
    }
  }

  /**
   * Retries a query that was not processed. If a connection refused queries and answered none, one
   * of them is the cause.
   */
  #askElsewhere({ connection, pending, trial }: RequestAttempt<P>, error: EnigmError, isFirst: boolean): void {
    const { answers } = this.#pool
    const serves = connection.served > 0 || connection.carrier.inFlight > 0
    if (trial === 0) this.#quarantine.tookNoMore(connection)
    else this.#quarantine.cutShort()
    const again = pending.refusals++ > 0 || pending.resent
    const alone = trial === 1 && !this.#quarantine.isUsedUp(connection)
    if (again && !serves && !answers) this.#fail(pending, error)
    else if (again && (trial > 0 ? alone : isFirst && !serves && connection.refused > FEW)) this.#failForItsName(pending, error)
    else if (serves ? connection.refused > FEW && trial === 0 : !answers) this.#place(pending)
    else {
      if (this.#quarantine.idle) this.#quarantine.laneToBeCurrent = true
      this.#quarantine.add(pending, true)
    }
  }

  /**
   * Fails a query because of its name. The query was alone on a connection, the connection died,
   * and the resolver answers other queries.
   */
  #failForItsName(pending: Pending<P>, { code, message, cause }: EnigmError): void {
    this.#fail(pending, new EnigmError(code, message, { cause, ofTheName: true }))
  }

  /**
   * Continues after any change. It drives the quarantine, and dials if queries wait and no
   * connection exists.
   */
  #goOn(): void {
    if (!this.#quarantine.idle || this.#quarantine.laneToBeCurrent) this.#quarantine.drive()
    if (this.#waiting.size === 0 || !this.#mayDial || this.#pool.current !== undefined) return
    const refusal = this.#liveness.dial()
    if (refusal !== undefined) this.#dialFailed(refusal)
  }

  #dialFailed(error: EnigmError): void {
    const lanes = this.#pool.lanes.length > 0
    const failed = this.#pending
      .list()
      .filter(({ attempts, quarantined }) => attempts.length === 0 && !(lanes && quarantined !== undefined))
    // A receiver may send a new query at once, and that may move or fail others.
    for (const pending of failed) if (this.#pending.has(pending)) this.#fail(pending, error)
  }

  /**
   * The error of a query at its deadline. `deadline` means that the path was not known to be dead.
   */
  #outOfTime(pending: Pending<P>): EnigmError {
    const { current } = this.#pool
    if (pending.attempts.length === 0 && (current === undefined || pending.quarantined !== undefined)) {
      const { message = 'no connection in time', hop } = this.#pool.overdue ?? {}
      return new EnigmError('connect-timeout', message, { hop })
    }
    const dead = pending.attempts.length > 0 && pending.attempts.every(({ connection }) => connection.silence.doubt === 'dead')
    return dead ? new EnigmError('connection-lost', 'the resolver went silent') : late()
  }

  #fail(pending: Pending<P>, error: EnigmError): void {
    this.#settle(pending)
    pending.to.failed(error)
    this.#finishIfDone()
  }

  #settle(pending: Pending<P>): void {
    this.#pending.delete(pending)
    this.#leftWaiting(pending)
    this.#quarantine.delete(pending)
    if (pending.deadline !== undefined) this.#deadlines.remove(pending.deadline)
    if (pending.attempts.length === 0) return
    for (const { sent, trial, connection } of pending.attempts.splice(0)) {
      if (trial > 0) connection.owed--
      sent?.cancel()
    }
  }

  #finishIfDone(): void {
    if (!this.#closing || this.#pending.size > 0) return
    this.#pool.close()
    this.#quarantine.close()
    this.#closed.resolve()
  }
}

function late(): EnigmError {
  return new EnigmError('deadline', 'no answer in time')
}

function deferred(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = () => {}
  const promise = new Promise<void>((settle) => {
    resolve = settle
  })
  return { promise, resolve }
}
