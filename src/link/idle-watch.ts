import type { Clock } from '../clock.ts'
import type { Deadline, Deadlines } from '../deadlines.ts'

/**
 * Reports when a connection was idle for long enough. A connection with cells is idle between any
 * two cells, so `idle` must be cheap and sets no timer.
 */
export class IdleWatch {
  readonly #clock: Clock
  readonly #deadlines: Deadlines
  readonly #over: () => void
  #watch: Deadline | undefined
  #watchMs = 0
  #overMs = 0

  /**
   * `over` is called when the time of the last `idle` has passed. The caller must check whether the
   * connection is still idle.
   */
  constructor(clock: Clock, deadlines: Deadlines, over: () => void) {
    this.#clock = clock
    this.#deadlines = deadlines
    this.#over = over
  }

  /** The connection is idle from now on: `over` is due after `forMs`. */
  idle(forMs: number): void {
    this.#overMs = this.#clock.nowMs() + forMs
    if (this.#watch === undefined || this.#overMs < this.#watchMs) this.#look()
  }

  stop(): void {
    if (this.#watch !== undefined) this.#deadlines.remove(this.#watch)
    this.#watch = undefined
  }

  #look(): void {
    this.stop()
    this.#watchMs = this.#overMs
    this.#watch = this.#deadlines.add(this.#watchMs, () => {
      this.#watch = undefined
      if (this.#clock.nowMs() < this.#overMs) this.#look()
      else this.#over()
    })
  }
}
