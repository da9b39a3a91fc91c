import type { Clock } from '../clock.ts'
import type { Deadline, Deadlines } from '../deadlines.ts'
import { keptCopy } from '../dns/response.ts'
import { EnigmError, isOurs, mayBeTheName } from '../errors.ts'
import type { Ask, Carried, Protection, Receiver, ReplyVerdict, Transport } from '../resolve.ts'
import type { Asker } from './asker.ts'
import { type FailedTry, hopError, mostTelling } from './classification.ts'
import type { Health } from './health.ts'
import type { Order } from './order.ts'
import type { ResolverHealth } from './resolver-health.ts'
import type { SecondOpinions } from './second-opinions.ts'
import type { Ranks } from './split.ts'

/**
 * Limit of resolvers that may learn one query. A resolver does not count if no connection to it
 * could be made, because it has learnt nothing. Each is asked once; its link may retry. If all fail
 * while the network comes up, those that have learnt the query are asked again, and others only up
 * to the limit.
 */
export const MAX_INFORMED = 3
/**
 * How long to wait for a suspect resolver before the next one is asked too: twice its usual time,
 * but at least `least` and at most `most`. `unknown`: if its usual time is not known.
 */
const SUSPECT_MS = { least: 150, most: 350, unknown: 300 }
/**
 * If a healthy resolver is silent for 80 ms, or for 1.5 times its usual time if that is longer, a
 * probe is sent to find out whether the path is alive, and the connection to the next resolver is
 * prepared. The resolver then has 80 ms, or 1.25 times its usual time if that is longer, to answer
 * the probe. Both together stay below 200 ms if the usual time is at most 70 ms.
 */
const CHECK_LEAST_MS = 80
const CHECK = { first: 1.5, again: 1.25 }
/**
 * A resolver whose path is alive has this long to answer. A slow name alone must not be a reason to
 * ask a second operator.
 */
const PATIENCE_MS = 1500
/**
 * The same if names are divided among operators. Another operator learns a name only if the first
 * one fails (for example, it refuses connections), or if nothing came from it for this long, not
 * even a reply to a probe. A resolver that is slow for every name is alive.
 */
const DIVIDED_PATIENCE_MS = 2300

const NOBODY: readonly never[] = []

/** A reply, and the attempt that got it. */
interface KeptReply<P extends Protection> {
  readonly carried: Carried<P>
  readonly transport: Transport
  readonly from: ResolverHealth<P>
}

/** One attempt at one resolver, with its purpose and its receiver. */
class ResolverAttempt<P extends Protection> implements Asker<P, [transport: Transport, verdict: ReplyVerdict]> {
  readonly candidate: ResolverHealth<P>
  readonly startedMs: number
  /** The smoothed response time of the resolver at the time it was asked. */
  readonly usualMs: number | undefined
  readonly suspect: boolean
  readonly purpose: Ask['purpose']
  readonly deadlineMs: number
  readonly givesWay: true | undefined
  readonly #flight: Flight<P>
  open = true
  checked = false
  /** Whether the query was written to this resolver. */
  informed = false

  constructor(flight: Flight<P>, candidate: ResolverHealth<P>, startedMs: number, { purpose, deadlineMs, givesWay }: Ask) {
    const { waitMs, rttMs, suspect } = candidate.pathHealth
    this.candidate = candidate
    this.startedMs = startedMs
    this.usualMs = waitMs === undefined ? undefined : Math.max(waitMs, rttMs ?? 0)
    this.suspect = suspect
    this.purpose = purpose
    this.deadlineMs = deadlineMs
    this.givesWay = givesWay
    this.#flight = flight
  }

  mayLeave(): boolean {
    return this.#flight.mayInform(this)
  }
  carried(carried: Carried<P>, transport: Transport, verdict: ReplyVerdict): void {
    this.#flight.onReply(this, carried, transport, verdict)
  }
  failed(error: EnigmError): void {
    this.#flight.onFailure(this, error)
  }
}

/** What all queries to a group of resolvers share. */
export interface FlightTools<P extends Protection> {
  readonly clock: Clock
  readonly deadlines: Deadlines
  readonly opinions: SecondOpinions
  /** The only resolvers that may be asked. */
  readonly order: Order<ResolverHealth<P>>
}

/**
 * One query in progress. It never has more than one timer at a time. A query that is answered soon
 * sets only one.
 */
export class Flight<P extends Protection> {
  readonly #health: Health<P>
  readonly #clock: Clock
  readonly #deadlines: Deadlines
  readonly #opinions: SecondOpinions
  readonly #order: Order<ResolverHealth<P>>
  readonly #message: Uint8Array
  readonly #dnssecOk: boolean
  readonly #ask: Ask
  readonly #ranks: Ranks | undefined
  /**
   * The resolvers that were asked, and the attempts, in their order. Each new one makes a new array
   * literal, because an array that grows by `push` takes room for 17 at once.
   */
  #asked: readonly ResolverHealth<P>[] = NOBODY
  #attempts: readonly ResolverAttempt<P>[] = NOBODY
  #failures: FailedTry[] | undefined
  readonly #to: Receiver<P, [transport: Transport, upstream: string]>
  #timer: Deadline | undefined
  #settled = false
  /** How many resolvers have learnt the query. */
  #informed = 0
  /** Those that had learnt it when the query started again. */
  #informedBefore: readonly ResolverHealth<P>[] = NOBODY
  /** The attempt for a second opinion. */
  #second: ResolverAttempt<P> | undefined
  /** Whether the timer restarts the query, because all failed while the network came up. */
  #awaitsNetwork = false
  /** A reply that does not settle the question. It is returned if no better one comes. */
  #kept: KeptReply<P> | undefined

  constructor(
    health: Health<P>,
    tools: FlightTools<P>,
    message: Uint8Array,
    dnssecOk: boolean,
    ask: Ask,
    to: Receiver<P, [transport: Transport, upstream: string]>,
    ranks?: Ranks,
  ) {
    this.#health = health
    this.#ranks = ranks
    this.#clock = tools.clock
    this.#deadlines = tools.deadlines
    this.#opinions = tools.opinions
    this.#order = tools.order
    this.#message = message
    this.#dnssecOk = dnssecOk
    this.#ask = ask
    this.#to = to
  }

  /** Starts the query. Call it once. The query ends by its deadline. */
  start(): void {
    const nowMs = this.#ask.startedMs ?? this.#clock.nowMs()
    if (nowMs >= this.#ask.deadlineMs) this.#fail(new EnigmError('deadline', 'no time left to ask'))
    else if (!this.#askNext(nowMs)) this.#giveUp()
  }

  /**
   * Whether the query may be written to the resolver of `attempt` now. False if the query has
   * ended, or if three other resolvers have learnt it.
   */
  mayInform(attempt: ResolverAttempt<P>): boolean {
    if (this.#settled) return false
    if (!attempt.informed && !this.#informedBefore.includes(attempt.candidate)) {
      if (this.#informed >= MAX_INFORMED) return false
      this.#informed++
    }
    attempt.informed = true
    return true
  }

  /** The resolver to ask next, if there is one. */
  #next(): ResolverHealth<P> | undefined {
    if (this.#informed < MAX_INFORMED) return this.#health.nextToInform(this.#order, this.#asked, this.#ranks)
    return this.#informedBefore.find((candidate) => !this.#asked.includes(candidate))
  }

  /** Asks one more resolver, if there is one that may be asked. */
  #askNext(startedMs: number): boolean {
    const candidate = this.#next()
    if (candidate === undefined) return false
    const attempt = new ResolverAttempt(this, candidate, startedMs, this.#ask)
    this.#asked = this.#asked.length === 0 ? [candidate] : [...this.#asked, candidate]
    this.#attempts = this.#attempts.length === 0 ? [attempt] : [...this.#attempts, attempt]
    this.#setTimer(startedMs + this.#firstPatienceMs(attempt))
    this.#health.ask(candidate, this.#message, this.#dnssecOk, attempt)
    return true
  }

  #firstPatienceMs({ suspect, usualMs }: ResolverAttempt<P>): number {
    if (this.#kept !== undefined) return PATIENCE_MS
    // There is no other resolver to ask, so a check of this path would change nothing.
    const another = this.#informed < MAX_INFORMED ? this.#health.next(this.#order, this.#asked, this.#ranks) : this.#next()
    if (another === undefined) return PATIENCE_MS
    if (!suspect) return Math.min(PATIENCE_MS, Math.max(CHECK_LEAST_MS, CHECK.first * (usualMs ?? 0)))
    return usualMs === undefined ? SUSPECT_MS.unknown : Math.min(SUSPECT_MS.most, Math.max(SUSPECT_MS.least, 2 * usualMs))
  }

  #setTimer(atMs: number): void {
    this.#stopTimer()
    this.#timer = this.#deadlines.add(Math.min(atMs, this.#ask.deadlineMs), onTime<P>, this)
  }

  #stopTimer(): void {
    if (this.#timer !== undefined) this.#deadlines.remove(this.#timer)
    this.#timer = undefined
  }

  /** Called at the time that was set. */
  onTimer(): void {
    if (this.#awaitsNetwork) {
      this.#startAgain()
      return
    }
    const last = this.#attempts.at(-1)
    const nowMs = this.#clock.nowMs()
    const patientUntilMs = (last?.startedMs ?? nowMs) + (this.#ranks === undefined ? PATIENCE_MS : DIVIDED_PATIENCE_MS)
    // If a reply is kept, the timer limits how long we wait for a better one.
    if (last === undefined || this.#kept !== undefined || nowMs >= this.#ask.deadlineMs) {
      this.#giveUp()
      return
    }
    const silent = last.candidate.pathHealth.silentSince(last.startedMs)
    if (nowMs < patientUntilMs && !silent) {
      this.#setTimer(patientUntilMs)
    } else if (nowMs < patientUntilMs && (!last.suspect || this.#ranks !== undefined) && !last.checked) {
      this.#check(last)
      this.#health.makeReady(this.#order, this.#asked, this.#ranks)
      this.#setTimer(Math.min(patientUntilMs, nowMs + this.#checkMs(last)))
    } else {
      if (silent) this.#check(last)
      if (!(silent ? this.#askNext(nowMs) : this.#askSecond(nowMs))) this.#setTimer(this.#ask.deadlineMs)
    }
  }

  /**
   * Handles the silence of a resolver: nothing came from it since the attempt began. A probe finds
   * out whether the path is alive. If a probe of this attempt got no reply, or if the resolver was
   * a suspect, the path counts as dead.
   */
  #check(attempt: ResolverAttempt<P>): void {
    // If names are divided, a suspect is probed too: another operator must not learn the name
    // without a proof that the path is dead.
    const countsAsDead = attempt.checked || (attempt.suspect && this.#ranks === undefined)
    this.#health.silent(attempt.candidate, attempt.startedMs, countsAsDead)
    attempt.checked = true
  }

  /** How many ms a probe of the attempt's path may take. */
  #checkMs({ usualMs = 0 }: ResolverAttempt<P>): number {
    return this.#ranks === undefined ? Math.max(CHECK_LEAST_MS, CHECK.again * usualMs) : DIVIDED_PATIENCE_MS
  }

  /**
   * Asks one more resolver although the path to the last one is alive. The budget of second
   * opinions limits this.
   */
  #askSecond(nowMs: number): boolean {
    if (this.#next() === undefined || !this.#opinions.take(this.#message) || !this.#askNext(nowMs)) return false
    this.#second = this.#attempts.at(-1)
    return true
  }

  /** Called when `attempt` was answered. */
  onReply(attempt: ResolverAttempt<P>, carried: Carried<P>, transport: Transport, { final, blamesResolver, ofHop }: ReplyVerdict): void {
    const { candidate, startedMs } = attempt
    attempt.open = false
    if (this.#settled) return
    if (ofHop) {
      this.#passOver(attempt, hopError(candidate.id, carried))
    } else if (final) {
      if (attempt === this.#second) this.#opinions.helped()
      if (this.#kept !== undefined && !blamesResolver) this.#health.countBadReply(this.#kept.from)
      this.#answer(carried, transport, candidate)
    } else if (this.#kept !== undefined) {
      if (attempt === this.#second) this.#opinions.inVain(this.#message)
      this.#answer(this.#kept.carried, this.#kept.transport, this.#kept.from)
    } else {
      this.#kept = { carried: keptCopy(carried), transport, from: candidate }
      const nowMs = this.#clock.nowMs()
      if (this.#someOpen()) this.#setTimer((this.#attempts.at(-1)?.startedMs ?? startedMs) + PATIENCE_MS)
      else if (!(nowMs - startedMs >= PATIENCE_MS ? this.#askSecond(nowMs) : this.#askNext(nowMs))) this.#giveUp()
    }
  }

  /** Called when `attempt` failed. */
  onFailure(attempt: ResolverAttempt<P>, error: EnigmError): void {
    attempt.open = false
    this.#passOver(attempt, error)
  }

  /** Goes on to the next resolver, because an attempt failed. */
  #passOver(attempt: ResolverAttempt<P>, fault: EnigmError): void {
    if (this.#settled) return
    this.#noteFailure({ who: attempt.candidate.id, error: fault })
    const wasLast = attempt === this.#attempts.at(-1)
    const nowMs = this.#clock.nowMs()
    // If the name itself may be the cause, one more resolver learns it only within the budget of
    // second opinions.
    const askMore = () => (mayBeTheName(fault) ? this.#askSecond(nowMs) : this.#askNext(nowMs))
    if (this.#kept === undefined && wasLast && nowMs < this.#ask.deadlineMs && askMore()) return
    if (!this.#someOpen()) this.#giveUp()
    else if (wasLast && this.#kept === undefined) this.#setTimer(this.#ask.deadlineMs)
  }

  #noteFailure(failure: FailedTry): void {
    this.#failures ??= []
    this.#failures.push(failure)
  }

  #someOpen(): boolean {
    return this.#attempts.some((attempt) => attempt.open)
  }

  /** Ends the query with the best result so far. */
  #giveUp(): void {
    for (const { open, candidate, startedMs } of this.#attempts) {
      if (!open) continue
      const error = new EnigmError('deadline', `${candidate.id} did not answer in time`)
      this.#health.exhausted(candidate, startedMs, error)
      this.#noteFailure({ who: candidate.id, error })
    }
    if (this.#second !== undefined) this.#opinions.inVain(this.#message)
    if (this.#kept === undefined && this.#waitForNetwork()) return
    if (this.#kept === undefined) this.#fail(mostTelling('no resolver answered', this.#failures ?? []))
    else this.#answer(this.#kept.carried, this.#kept.transport, this.#kept.from)
  }

  /** Waits before the query starts again. False: it must fail now. */
  #waitForNetwork(): boolean {
    // The policy refused the query, or we shut down: another network does not help.
    if (this.#failures?.some(({ error }) => isOurs(error.code)) === true) return false
    const nowMs = this.#clock.nowMs()
    const againMs = this.#health.againAtMs(nowMs)
    if (againMs === undefined || againMs >= this.#ask.deadlineMs) return false
    this.#awaitsNetwork = true
    this.#setTimer(againMs)
    return true
  }

  #startAgain(): void {
    this.#awaitsNetwork = false
    this.#failures = undefined
    const informed = this.#attempts.filter((attempt) => attempt.informed).map(({ candidate }) => candidate)
    this.#informedBefore = [...new Set([...this.#informedBefore, ...informed])]
    this.#asked = NOBODY
    this.#attempts = NOBODY
    this.#second = undefined
    if (!this.#askNext(this.#clock.nowMs())) this.#giveUp()
  }

  #answer(carried: Carried<P>, transport: Transport, from: ResolverHealth<P>): void {
    this.#settled = true
    this.#stopTimer()
    this.#to.carried(carried, transport, from.id)
  }

  #fail(error: EnigmError): void {
    this.#settled = true
    this.#stopTimer()
    this.#to.failed(error)
  }
}

function onTime<P extends Protection>(flight: Flight<P>): void {
  flight.onTimer()
}
