import { LinkedSet } from '../containers.ts'
import { Deadlines } from '../deadlines.ts'
import { EnigmError } from '../errors.ts'
import type { Ask, Carried, Link, Protection, Receiver, Transport } from '../resolve.ts'
import { type Loss, MAX_IN_FLIGHT } from './carriers/carrier.ts'
import { Connections } from './connections.ts'
import type { KeeperTools, Kept, Wiring } from './kept.ts'
import { LastChances } from './last-chances.ts'
import { Attempt, doubtOf, type Judge, leave, leftQueue, Pending } from './pending.ts'
import type { Renewable } from './renewable.ts'

/** Queries waiting for one dial. Beyond it: `overloaded`. */
const MAX_WAITING = MAX_IN_FLIGHT
/** A query that was certainly not processed (GOAWAY, REFUSED_STREAM) may move on this often; one that may have been, once. */
const MAX_REFUSALS = 16

/** Of the queries on a connection that is merely late, so many are asked on a second one: its first answer decides for the others. */
const CANARIES = 4

/** A link that can be told that the network changed or the machine slept. */
export interface RenewableLink<P extends Protection = Protection> extends Link<P>, Renewable {}

/** Keeps one connection to one resolver alive while it is needed; see `Link` for the contract. */
export class KeptLink<P extends Protection> implements RenewableLink<P> {
  readonly id: string
  readonly transport: Transport
  readonly #tools: KeeperTools
  readonly #deadlines: Deadlines
  readonly #connections: Connections<P>
  readonly #pending = new LinkedSet<Pending<P>>()
  readonly #waiting = new Set<Pending<P>>()
  readonly #lastChances = new LastChances<P>()
  readonly #closed = deferred()
  readonly #judge: Judge<P> = {
    answered: (attempt, carried) => this.#answered(attempt, carried),
    lost: (attempt, error, loss) => this.#lost(attempt, error, loss),
  }
  #closing = false

  constructor(wiring: Wiring<P>, tools: KeeperTools) {
    this.id = `${wiring.resolver}/${wiring.transport}`
    this.transport = wiring.transport
    this.#tools = tools
    this.#deadlines = new Deadlines(tools.clock)
    this.#connections = new Connections(wiring, tools, this.#deadlines, {
      ready: () => this.#resend(),
      dialFailed: (error) => this.#dialFailed(error),
    })
  }

  send(request: Uint8Array, ask: Ask, to: Receiver<P>): void {
    if (this.#closing) {
      to.failed(new EnigmError('closed', 'the link is closed'))
      return
    }
    if (this.#tools.clock.nowMs() >= ask.deadlineMs) {
      to.failed(late())
      return
    }
    const pending = new Pending(request, ask, to)
    pending.deadline = this.#deadlines.add(ask.deadlineMs, () => {
      this.#fail(pending, this.#outOfTime(pending))
      this.#goOn()
    })
    this.#pending.add(pending)
    this.#place(pending)
  }

  renew(online: boolean): void {
    for (const pending of this.#pending.list()) pending.resent = false
    this.#connections.renew(this.#someWait, online)
  }

  reconsider(): void {
    this.#connections.reconsider()
  }

  close(): Promise<void> {
    this.#closing = true
    this.#finishIfDone()
    return this.#closed.promise
  }

  /** On the connection there is, or on the next one. */
  #place(pending: Pending<P>): void {
    const { current } = this.#connections
    if (current !== undefined && !this.#lastChances.reserve(current, pending.ask.givesWay === true)) this.#send(current, pending)
    else if (this.#waiting.size >= MAX_WAITING) this.#fail(pending, new EnigmError('overloaded', 'too many queries wait for a connection'))
    else {
      this.#waiting.add(pending)
      pending.waits = true
      if (current === undefined) this.#dialFor(pending)
    }
  }

  /** Its connection died under it. */
  #placeAgain(pending: Pending<P>): void {
    this.#lastChances.add(pending)
    const { current } = this.#connections
    if (current === undefined) this.#dialFor(pending)
    else this.#admit(current)
  }

  #dialFor(pending: Pending<P>): void {
    const refusal = this.#connections.dial()
    if (refusal !== undefined) this.#fail(pending, refusal)
  }

  /** Those that wait go onto `current`, in their order: who has a last chance before who was never asked. */
  #admit(current: Kept<P>): void {
    for (const pending of this.#lastChances.next(current)) this.#send(current, pending)
    if (this.#waiting.size === 0 || this.#lastChances.reserve(current, false)) return
    const all = !this.#lastChances.reserve(current, true)
    for (const pending of this.#waiting)
      if ((all || pending.ask.givesWay !== true) && this.#leftWaiting(pending)) this.#send(current, pending)
  }

  #send(kept: Kept<P>, pending: Pending<P>): void {
    if (pending.ask.mayLeave?.() === false) {
      this.#fail(pending, new EnigmError('closed', 'nobody waits for it any more'))
      return
    }
    const attempt = new Attempt(kept, pending, this.#judge)
    attempt.sent = kept.carrier.send(pending.request, attempt)
    // A literal: an array that grows by `push` takes room for 17 at once.
    if (pending.attempts.length === 0) pending.attempts = [attempt]
    else pending.attempts.push(attempt)
    this.#connections.sent(kept)
  }

  /**
   * `current` is there: first those go onto it that were never written, and then once more those that wait on a suspect, whichever answers first. In this order
   * because over HTTP/1.1 what made the other one suspect may hold this one up as well.
   */
  #resend(): void {
    const { current } = this.#connections
    if (current === undefined) return
    this.#admit(current)
    for (const pending of this.#pending.list()) if (pending.attempts.length === 1 && leftQueue(pending)) this.#send(current, pending)
    let canaries = CANARIES
    for (const pending of this.#pending.list()) {
      if (leftQueue(pending)) this.#send(current, pending)
      if (pending.resent || pending.attempts.some(({ kept }) => kept === current)) continue
      const doubt = doubtOf(pending)
      if (doubt === 'none' || (doubt === 'late' && canaries-- <= 0)) continue
      pending.resent = true
      this.#send(current, pending)
    }
  }

  #leftWaiting(pending: Pending<P>): boolean {
    if (!pending.waits) return false
    pending.waits = false
    return this.#waiting.delete(pending)
  }

  #answered(attempt: Attempt<P>, carried: Carried<P>): void {
    const { kept, pending } = attempt
    this.#connections.answered(kept, carried.rttMs)
    leave(attempt)
    for (const other of pending.attempts) this.#connections.outdone(other.kept)
    if (pending.movedFrom !== undefined) this.#connections.outdone(pending.movedFrom)
    this.#settle(pending)
    pending.to.carried(carried)
    this.#goOn()
    this.#finishIfDone()
  }

  #lost(attempt: Attempt<P>, error: EnigmError, loss: Loss): void {
    const { kept, pending } = attempt
    leave(attempt)
    if (pending.attempts.length > 0) return
    // What was not even written has cost nothing, and a connection that leaves is judged in `#moveOn`.
    const free = loss === 'unsent' || (loss === 'refused' && kept.leaving)
    const again = free || (loss === 'refused' ? pending.refusals++ < MAX_REFUSALS : loss === 'lost' && !pending.resent)
    if (loss === 'lost') pending.resent = true
    if (!again) {
      this.#fail(pending, error)
      this.#goOn()
    } else if (loss === 'lost') this.#placeAgain(pending)
    else if (kept.leaving) queueMicrotask(() => this.#moveOn(kept, pending, error))
    else this.#place(pending)
  }

  /**
   * By now all are told that the connection will not serve: a query that meets one that serves nobody, twice, has failed. One that serves others is none of
   * its refusals: behind nginx with `keepalive_timeout 0` each connection serves one query, and there are no more of them than queries.
   */
  #moveOn(kept: Kept<P>, pending: Pending<P>, error: EnigmError): void {
    this.#connections.turnedAway(kept, error)
    if (!this.#pending.has(pending)) return
    const serves = kept.answered || kept.carrier.inFlight > 0
    if (serves || pending.refusals++ < MAX_REFUSALS) this.#place(pending)
    else {
      this.#fail(pending, error)
      this.#goOn()
    }
  }

  get #someWait(): boolean {
    return this.#waiting.size + this.#lastChances.waiting > 0
  }

  /** There is room, or no connection any more, and somebody waits. */
  #goOn(): void {
    if (!this.#someWait) return
    const { current } = this.#connections
    const refusal = current === undefined ? this.#connections.dial() : undefined
    if (current !== undefined) this.#admit(current)
    else if (refusal !== undefined) this.#dialFailed(refusal)
  }

  #dialFailed(error: EnigmError): void {
    for (const pending of this.#pending.list()) if (pending.attempts.length === 0) this.#fail(pending, error)
  }

  /** A `deadline` says that the path lived, or was not known to be dead. */
  #outOfTime(pending: Pending<P>): EnigmError {
    const { current } = this.#connections
    if (pending.attempts.length === 0 && current === undefined) return new EnigmError('connect-timeout', 'no connection in time')
    const dead = pending.attempts.length > 0 && pending.attempts.every(({ kept }) => kept.suspect && kept.overdue)
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
    this.#lastChances.settled(pending)
    if (pending.deadline !== undefined) this.#deadlines.remove(pending.deadline)
    if (pending.attempts.length > 0) for (const { sent } of pending.attempts.splice(0)) sent?.cancel()
  }

  #finishIfDone(): void {
    if (!this.#closing || this.#pending.size > 0) return
    this.#connections.close()
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
