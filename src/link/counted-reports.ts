import type { Clock, Timer } from '../clock.ts'

/** The shortest interval between reports. A peer that floods us causes at most 100 per second. */
const EVERY_MS = 10

/**
 * Counts events that a peer can cause as often as it likes, and reports them together. An event is
 * reported at once if the last report is at least 10 ms old.
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

  /** Counts one event. */
  add(): void {
    this.#count++
    if (this.#timer !== undefined) return
    const waitMs = this.#reportedMs + EVERY_MS - this.#clock.nowMs()
    if (waitMs <= 0) this.flush()
    else this.#timer = this.#clock.setTimer(waitMs, () => this.flush())
  }

  /** Reports the counted events now. */
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
