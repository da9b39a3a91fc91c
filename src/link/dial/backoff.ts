import type { Clock, Random } from '../../clock.ts'
import { EnigmError, isAuthenticationFailure } from '../../errors.ts'

const FIRST_MS = 100
/**
 * The longest wait between dials. At one dial per second, an unreachable resolver is found within a
 * second of its return.
 */
const MAX_MS = 1000
/**
 * The longest wait after an identity error. This error ends only when somebody changes the
 * configuration of the peer, which is rarely a matter of seconds.
 */
const MAX_AUTHENTICATION_MS = 5000
/**
 * Each wait is up to 2% longer, and never shorter: the docs promise at most one dial per second.
 */
const JITTER = 0.02
/**
 * Limits the connections that come up and die without an answer, if the resolver answered before:
 * 8 in a row without a wait, then 4 per second. A question or a restart that kills a few
 * connections must not cost the other queries their answers.
 */
const UNANSWERED = { most: 8, perMs: 1 / 250 }
/** After this time without an answer, a resolver counts as one that does not answer. */
const UNANSWERED_FOR_MS = 10_000

/** Decides when the next dial may start, and which error queries get until then. */
export class Backoff {
  readonly #clock: Clock
  readonly #random: Random
  #failures = 0
  #everUp = false
  #untilMs = 0
  /** The resolver answered, and fewer connections died since then than `UNANSWERED` allows. */
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

  /** The error to fail with instead of a dial; undefined: a dial may start. */
  refusal(): EnigmError | undefined {
    return this.#clock.nowMs() < this.#untilMs ? this.#error : undefined
  }

  /**
   * How many ms the next dial must wait, although it is not refused. Queries wait with it and do
   * not fail.
   */
  get waitMs(): number {
    if (this.#left >= 1) return 0
    this.#fill()
    return Math.max(0, Math.ceil((1 - this.#left) / UNANSWERED.perMs))
  }

  /** Whether the resolver has answered on this path, and not been silent for long since. */
  get answers(): boolean {
    return this.#answers
  }

  /** Connections died without an answer since the last answer, so the next one may too. */
  get diesUnanswered(): boolean {
    return this.#unansweredSinceMs !== undefined
  }

  up(): void {
    this.#everUp = true
  }

  /** A connection gave an answer: the backoff ends. */
  answered(): void {
    this.#answers = true
    this.#unansweredSinceMs = undefined
    this.#left = UNANSWERED.most
    if (this.#failures === 0) return
    this.#failures = 0
    this.#untilMs = 0
  }

  /**
   * A connection came up and died without an answer. It counts as a failed dial if the resolver has
   * not answered for 10 s; otherwise it counts against `UNANSWERED`.
   */
  died(): void {
    const nowMs = this.#clock.nowMs()
    this.#fill()
    this.#unansweredSinceMs ??= nowMs
    if (nowMs - this.#unansweredSinceMs >= UNANSWERED_FOR_MS) this.#answers = false
    if (this.#answers) this.#left--
    else this.failed(new EnigmError('connect-failed', 'the resolver accepts connections but answers nothing'))
  }

  /**
   * Records the failure of a dial that began at `sinceMs`. The first failure after a success causes
   * no wait. The wait counts from the beginning of the dial: if an unreachable network held the
   * dial for 3 s, the wait is over already. So a dial is always in progress when the network
   * returns.
   */
  failed(error: EnigmError, sinceMs: number = this.#clock.nowMs()): void {
    this.#failures++
    this.#error = new EnigmError(error.code, error.message, { hop: error.hop })
    const doublings = this.#failures - (this.#everUp ? 2 : 1)
    const capMs = isAuthenticationFailure(error.code) ? MAX_AUTHENTICATION_MS : MAX_MS
    const delayMs = doublings < 0 ? 0 : Math.min(capMs, FIRST_MS * 2 ** Math.min(doublings, 10))
    this.#untilMs = sinceMs + delayMs * (1 + (JITTER * this.#random.below(1001)) / 1000)
  }

  /** The network changed: forgets everything about the last one. */
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
