import type { Clock, Timer } from '../clock.ts'
import { EnigmError } from '../errors.ts'
import type { Ask, Carried, Protection, Transport } from '../resolve.ts'
import type { Candidate, Roster } from './roster.ts'
import { type Failure, mostTelling } from './telling.ts'
import { blamesResolver, isFinal } from './verdict.ts'

/** Resolvers asked for one query; each is asked once (its link has a retry of its own). */
const MAX_ATTEMPTS = 3
/** How long a suspect resolver is waited for before the next one is asked as well: twice its usual time, within these. */
const SUSPECT_MS = { least: 150, most: 350, unknown: 300 }
/** A healthy one that is silent for this long, or twice its usual time, is asked for the root to see whether the path is alive; as long again for the reply. */
const CHECK_LEAST_MS = 100
/** And one whose path is alive is waited for this long: names that need a long search must not make a second operator learn them. */
const PATIENCE_MS = 1500
/** Node fires a timer up to 1 ms early. */
const EARLY_MS = 1

export type Selected<P extends Protection> = Carried<P> & { readonly transport: Transport; readonly upstream: string }

interface Attempt<P extends Protection> {
  readonly candidate: Candidate<P>
  readonly startedMs: number
  /** The smoothed time of the resolver when it was asked. */
  readonly usualMs: number | undefined
  readonly suspect: boolean
  open: boolean
  checked: boolean
}

/**
 * One query on its way. Exactly one timer is set while it flies (none before, none after), one in all for a query that is answered in its first
 * phase: 0.6 us with the cancel. Selection and upstream together cost 5 us a query, padding and events included (Node 20, two busy cores).
 */
export class Flight<P extends Protection> {
  readonly #roster: Roster<P>
  readonly #clock: Clock
  readonly #message: Uint8Array
  readonly #dnssecOk: boolean
  readonly #ask: Ask
  readonly #asked: Candidate<P>[] = []
  readonly #attempts: Attempt<P>[] = []
  readonly #failures: Failure[] = []
  #resolve!: (selected: Selected<P>) => void
  #reject!: (error: EnigmError) => void
  #timer: Timer | undefined
  #settled = false
  /** A reply that settles nothing, and whose: returned if no better one comes. */
  #kept: { readonly reply: Selected<P>; readonly from: Candidate<P> } | undefined

  constructor(roster: Roster<P>, clock: Clock, message: Uint8Array, dnssecOk: boolean, ask: Ask) {
    this.#roster = roster
    this.#clock = clock
    this.#message = message
    this.#dnssecOk = dnssecOk
    this.#ask = ask
  }

  /** Once. Settles by the deadline; rejects with an EnigmError. */
  start(): Promise<Selected<P>> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
      const nowMs = this.#clock.nowMs()
      if (nowMs >= this.#ask.deadlineMs) this.#land(new EnigmError('deadline', 'no time left to ask'))
      else if (!this.#askNext(nowMs)) this.#giveUp()
    })
  }

  /** Asks one more resolver, if there is one that may be asked. */
  #askNext(startedMs: number): boolean {
    const candidate = this.#attempts.length < MAX_ATTEMPTS ? this.#roster.next(this.#asked) : undefined
    if (candidate === undefined) return false
    const { standing, upstream } = candidate
    const usualMs = standing.waitMs === undefined ? undefined : Math.max(standing.waitMs, standing.rttMs ?? 0)
    const attempt: Attempt<P> = { candidate, startedMs, usualMs, suspect: standing.suspect, open: true, checked: false }
    standing.lastTriedMs = startedMs
    this.#asked.push(candidate)
    this.#attempts.push(attempt)
    this.#setTimer(startedMs + this.#firstPatienceMs(attempt), startedMs)
    upstream.exchange(this.#message, this.#dnssecOk, this.#ask).then(
      (reply) => this.#onReply(attempt, reply),
      (error: unknown) => this.#onFailure(attempt, error),
    )
    return true
  }

  #firstPatienceMs({ suspect, usualMs }: Attempt<P>): number {
    if (this.#kept !== undefined) return PATIENCE_MS
    if (this.#attempts.length === MAX_ATTEMPTS || this.#roster.next(this.#asked) === undefined) return Number.POSITIVE_INFINITY
    if (!suspect) return Math.min(PATIENCE_MS, Math.max(CHECK_LEAST_MS, 2 * (usualMs ?? 0)))
    return usualMs === undefined ? SUSPECT_MS.unknown : Math.min(SUSPECT_MS.most, Math.max(SUSPECT_MS.least, 2 * usualMs))
  }

  #setTimer(atMs: number, nowMs: number): void {
    this.#timer?.cancel()
    const delayMs = Math.max(0, Math.min(atMs, this.#ask.deadlineMs) - nowMs)
    this.#timer = this.#clock.setTimer(delayMs, () => this.#onTimer())
  }

  #onTimer(): void {
    const last = this.#attempts.at(-1)
    const nowMs = this.#clock.nowMs()
    const dueMs = nowMs + EARLY_MS
    const patientUntilMs = (last?.startedMs ?? nowMs) + PATIENCE_MS
    // Once a reply is kept, the timer stands at the end of the patience with the other attempt.
    if (last === undefined || this.#kept !== undefined || dueMs >= this.#ask.deadlineMs) {
      this.#giveUp()
      return
    }
    const silent = last.candidate.standing.silentSince(last.startedMs)
    if (dueMs < patientUntilMs && !silent) {
      this.#setTimer(patientUntilMs, nowMs)
    } else if (dueMs < patientUntilMs && !last.suspect && !last.checked) {
      last.checked = true
      void this.#roster.probe(last.candidate)
      this.#setTimer(Math.min(patientUntilMs, nowMs + Math.max(CHECK_LEAST_MS, 2 * (last.usualMs ?? 0))), nowMs)
    } else {
      if (silent) this.#roster.failed(last.candidate, last.startedMs)
      if (!this.#askNext(nowMs)) this.#setTimer(this.#ask.deadlineMs, nowMs)
    }
  }

  #onReply(attempt: Attempt<P>, carried: Carried<P> & { readonly transport: Transport }): void {
    const { candidate, startedMs } = attempt
    const { wire, rttMs, protection, transport, ageS } = carried
    const nowMs = this.#clock.nowMs()
    attempt.open = false
    const final = isFinal(wire)
    if (final) this.#roster.answered(candidate, rttMs, nowMs - startedMs, nowMs)
    else this.#roster.alive(candidate)
    if (this.#settled) return
    const upstream = candidate.upstream.id
    // Not spread, see upstream.ts.
    const reply: Selected<P> =
      ageS === undefined ? { wire, rttMs, protection, transport, upstream } : { wire, rttMs, protection, transport, upstream, ageS }
    if (final) {
      if (this.#kept !== undefined && !blamesResolver(wire)) this.#roster.bettered(this.#kept.from)
      this.#land(reply)
    } else if (this.#kept !== undefined) {
      this.#land(this.#kept.reply)
    } else {
      this.#kept = { reply, from: candidate }
      if (this.#someOpen()) this.#setTimer((this.#attempts.at(-1)?.startedMs ?? startedMs) + PATIENCE_MS, nowMs)
      else if (!this.#askNext(nowMs)) this.#land(reply)
    }
  }

  #onFailure(attempt: Attempt<P>, error: unknown): void {
    attempt.open = false
    const fault = this.#roster.rejected(attempt.candidate, error, attempt.startedMs)
    if (this.#settled) return
    this.#failures.push({ who: attempt.candidate.upstream.id, error: fault })
    const wasLast = attempt === this.#attempts.at(-1)
    const nowMs = this.#clock.nowMs()
    if (this.#kept === undefined && wasLast && nowMs < this.#ask.deadlineMs && this.#askNext(nowMs)) return
    if (!this.#someOpen()) this.#giveUp()
    else if (wasLast && this.#kept === undefined) this.#setTimer(this.#ask.deadlineMs, nowMs)
  }

  #someOpen(): boolean {
    return this.#attempts.some((attempt) => attempt.open)
  }

  /** Lands with what there is. */
  #giveUp(): void {
    for (const { open, candidate, startedMs } of this.#attempts) {
      if (!open) continue
      const who = candidate.upstream.id
      const error = new EnigmError('deadline', `${who} did not answer in time`)
      this.#failures.push({ who, error: this.#roster.rejected(candidate, error, startedMs) })
    }
    this.#land(this.#kept?.reply ?? mostTelling('no resolver answered', this.#failures))
  }

  #land(outcome: Selected<P> | EnigmError): void {
    this.#settled = true
    this.#timer?.cancel()
    this.#timer = undefined
    if (outcome instanceof EnigmError) this.#reject(outcome)
    else this.#resolve(outcome)
  }
}
