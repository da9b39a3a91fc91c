import type { Clock } from '../clock.ts'

/**
 * Some at once, and then one in so long: a new connection tells that something was late, and
 * whoever serves a page can make names that are.
 */
const MOST = 4
const PER_MS = 1 / 10_000

/**
 * How often a second connection may be dialled for a query that is late but not lost: four, and six
 * a minute, whatever is asked. One that turns out to have been needed costs nothing.
 */
export class HedgeBudget {
  readonly #clock: Clock
  #left = MOST
  #filledMs: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#filledMs = clock.nowMs()
  }

  take(): boolean {
    const nowMs = this.#clock.nowMs()
    this.#left = Math.min(MOST, this.#left + (nowMs - this.#filledMs) * PER_MS)
    this.#filledMs = nowMs
    if (this.#left < 1) return false
    this.#left--
    return true
  }

  /** The first connection was dead indeed. */
  needed(): void {
    this.#left++
  }
}
