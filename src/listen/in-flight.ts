import type { Clock } from '../clock.ts'

/** Counts the queries that are being asked, says when there are too many, and waits for the last of them. */
export class InFlight {
  readonly #limit: number
  #count = 0
  #waiting: (() => void)[] = []

  constructor(limit: number) {
    this.#limit = limit
  }

  get count(): number {
    return this.#count
  }

  get full(): boolean {
    return this.#count >= this.#limit
  }

  enter(): void {
    this.#count++
  }

  /** Bound, so that it can be handed out as a callback without a closure per query. */
  readonly leave = (): void => {
    this.#count--
    if (this.#count > 0) return
    for (const wake of this.#waiting.splice(0)) wake()
  }

  /** Resolves when nothing is in flight, or after `limitMs`. */
  drained(clock: Clock, limitMs: number): Promise<void> {
    if (this.#count === 0) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = clock.setTimer(limitMs, resolve)
      this.#waiting.push(() => {
        timer.cancel()
        resolve()
      })
    })
  }
}
