import type { Clock, Timer } from '../clock.ts'

/** Reports are at least this far apart: a peer that floods us causes 100 a second. */
const EVERY_MS = 10

/**
 * Reports how often something happened that a peer causes at will. It is reported at once if the
 * last report is 10 ms old; what happens sooner is counted and reported together.
 */
export class CountedReports {
  readonly #clock: Clock
  readonly #report: (count: number) => void
  #count = 0
  #reportedMs = Number.NEGATIVE_INFINITY
  #timer: Timer | undefined

  /** `report` gets the number of occurrences since the last report, at least 1. */
  constructor(clock: Clock, report: (count: number) => void) {
    this.#clock = clock
    this.#report = report
  }

  /** It happened once. */
  add(): void {
    this.#count++
    if (this.#timer !== undefined) return
    const waitMs = this.#reportedMs + EVERY_MS - this.#clock.nowMs()
    if (waitMs <= 0) this.flush()
    else this.#timer = this.#clock.setTimer(waitMs, () => this.flush())
  }

  /** Reports now what was counted and not reported yet. */
  flush(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    const count = this.#count
    if (count === 0) return
    this.#count = 0
    this.#reportedMs = this.#clock.nowMs()
    this.#report(count)
  }
}
