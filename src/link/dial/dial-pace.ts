import type { Clock } from '../../clock.ts'
import type { EnigmError } from '../../errors.ts'

/**
 * While a resolver is unreachable, all its links together start one dial in this time, over all
 * addresses and transports.
 */
const EVERY_MS = 1000

/** A link that reports whether its last dial failed. */
interface Failing {
  readonly failing: boolean
}

/**
 * Limits the dials of one resolver's links while all of them fail. While one works, no dial is
 * delayed, and only the policy refuses dials.
 */
export class DialPace {
  readonly #clock: Clock
  /** The reason why no dial is allowed now, for any purpose; undefined: dials are allowed. */
  readonly refusal: () => EnigmError | undefined
  readonly #links: Failing[] = []
  #lastMs = Number.NEGATIVE_INFINITY
  #beforeMs = Number.NEGATIVE_INFINITY

  constructor(clock: Clock, refusal: () => EnigmError | undefined) {
    this.#clock = clock
    this.refusal = refusal
  }

  add(link: Failing): void {
    this.#links.push(link)
  }

  /** Returns 0 if a dial may start now, else the time in ms to wait before the next call. */
  turnInMs(): number {
    const nowMs = this.#clock.nowMs()
    if (this.refusal() !== undefined) return EVERY_MS
    const allFail = this.#links.length > 0 && this.#links.every((link) => link.failing)
    const waitMs = allFail ? this.#lastMs + EVERY_MS - nowMs : 0
    if (waitMs > 0) return waitMs
    this.#beforeMs = this.#lastMs
    this.#lastMs = nowMs
    return 0
  }

  /** The last dial does not count: it sent nothing, because there was no route. */
  giveBack(): void {
    this.#lastMs = this.#beforeMs
  }
}
