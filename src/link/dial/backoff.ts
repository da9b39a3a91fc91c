import type { Clock, Random } from '../../clock.ts'
import { EnigmError, isAuthenticationFailure } from '../../errors.ts'

const FIRST_MS = 100
/** A resolver that is merely away is found within a second of its return, at one dial a second. */
const MAX_MS = 1000
/** Who the peer is changes by somebody's hand: seldom within a second. */
const MAX_AUTHENTICATION_MS = 5000
/** Never sooner: once a second is a promise. */
const JITTER = 0.02
/**
 * Connections that come up and die without an answer, of a resolver that answered before: so many
 * in a row at once, and then so many a second. A question, or a
 * restart, that kills a few connections must not cost the others their answers.
 */
const UNANSWERED = { most: 8, perMs: 1 / 250 }
/** After this without an answer it is no resolver that answers any more. */
const UNANSWERED_FOR_MS = 10_000

/** When the next dial may start, and with what error to answer until then. */
export class Backoff {
  readonly #clock: Clock
  readonly #random: Random
  #failures = 0
  #everUp = false
  #untilMs = 0
  /**
   * Something was answered on this path, and since then fewer connections died than `UNANSWERED`
   * allows.
   */
  #answers = false
  /** How many more connections may die. */
  #left = UNANSWERED.most
  #unansweredSinceMs: number | undefined
  #filledMs = 0
  #error: EnigmError | undefined

  constructor(clock: Clock, random: Random) {
    this.#clock = clock
    this.#random = random
  }

  get failing(): boolean {
    return this.#failures > 0
  }

  /** The error to fail with instead of dialling, or undefined: dial. */
  refusal(): EnigmError | undefined {
    return this.#clock.nowMs() < this.#untilMs ? this.#error : undefined
  }

  /** How long the next dial must wait though nothing refuses it: nobody fails because of that. */
  get waitMs(): number {
    if (this.#left >= 1) return 0
    this.#fill()
    return Math.max(0, Math.ceil((1 - this.#left) / UNANSWERED.perMs))
  }

  /** Whether the resolver has answered on this path, and was not silent for long since. */
  get answers(): boolean {
    return this.#answers
  }

  /** Connections died without an answer since the last one, so that the next one may as well. */
  get diesUnanswered(): boolean {
    return this.#unansweredSinceMs !== undefined
  }

  up(): void {
    this.#everUp = true
  }

  /** A connection answered something: all is well again. */
  answered(): void {
    this.#answers = true
    this.#unansweredSinceMs = undefined
    this.#left = UNANSWERED.most
    if (this.#failures === 0) return
    this.#failures = 0
    this.#untilMs = 0
  }

  /**
   * A connection came up and died without one answer: a failed dial where the resolver has not
   * answered for long, else one of a bounded number.
   */
  died(): void {
    const nowMs = this.#clock.nowMs()
    this.#fill()
    this.#unansweredSinceMs ??= nowMs
    if (nowMs - this.#unansweredSinceMs >= UNANSWERED_FOR_MS) this.#answers = false
    if (this.#answers) this.#left--
    else this.failed(new EnigmError('connect-failed', 'the resolver takes connections and answers nothing'))
  }

  /**
   * A dial that began at `sinceMs` failed. The first one after good times costs no wait. The wait
   * counts from the beginning: a dial that a dark network held for 3 s has waited already, and one
   * that is always under way finds the network the moment it returns.
   */
  failed(error: EnigmError, sinceMs: number = this.#clock.nowMs()): void {
    this.#failures++
    this.#error = new EnigmError(error.code, error.message)
    const doublings = this.#failures - (this.#everUp ? 2 : 1)
    const capMs = isAuthenticationFailure(error.code) ? MAX_AUTHENTICATION_MS : MAX_MS
    const delayMs = doublings < 0 ? 0 : Math.min(capMs, FIRST_MS * 2 ** Math.min(doublings, 10))
    this.#untilMs = sinceMs + delayMs * (1 + (JITTER * this.#random.below(1001)) / 1000)
  }

  /** Another network: what was learnt on the last one says nothing. */
  reset(): void {
    this.#failures = 0
    this.#untilMs = 0
    this.#left = UNANSWERED.most
    this.#unansweredSinceMs = undefined
  }

  #fill(): void {
    const nowMs = this.#clock.nowMs()
    this.#left = Math.min(UNANSWERED.most, this.#left + (nowMs - this.#filledMs) * UNANSWERED.perMs)
    this.#filledMs = nowMs
  }
}
