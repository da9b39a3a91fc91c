import type { Clock } from '../clock.ts'

/** Extra load: one second connection for twenty answers. */
const PER_ANSWER = 0.05
const AT_FIRST = 8
const MOST = 20
/** Somebody who asks once a minute may hedge, too. */
const PER_MS = 1 / 10_000

/** How often a second connection may be dialled for a query that is late but not lost. One that turns out to have been needed costs nothing. */
export class HedgeBudget {
  readonly #clock: Clock
  #left = AT_FIRST
  #filledMs: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#filledMs = clock.nowMs()
  }

  answered(): void {
    if (this.#left < MOST) this.#left += PER_ANSWER
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
