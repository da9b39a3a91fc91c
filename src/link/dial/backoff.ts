import type { Clock, Random } from '../../clock.ts'
import { EnigmError, isAuthenticationFailure } from '../../errors.ts'

const FIRST_MS = 100
/** A resolver that is merely away is found within a second of its return, at one dial a second. */
const MAX_MS = 1000
/** Who the peer is changes by somebody's hand: seldom within a second. */
const MAX_AUTHENTICATION_MS = 5000
/** Never sooner: once a second is a promise. */
const JITTER = 0.02

/** When the next dial may start, and with what error to answer until then. */
export class Backoff {
  readonly #clock: Clock
  readonly #random: Random
  #failures = 0
  #everUp = false
  #untilMs = 0
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

  up(): void {
    this.#everUp = true
  }

  /** A connection answered something: all is well again. */
  answered(): void {
    if (this.#failures === 0) return
    this.#failures = 0
    this.#untilMs = 0
  }

  /**
   * A dial that began at `sinceMs` failed, or a connection came up and died without one answer. The first one after good times costs no wait. The wait counts from the
   * beginning: a dial that a dark network held for 3 s has waited already, and one that is always under way finds the network the moment it returns.
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
  }
}
