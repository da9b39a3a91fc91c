import type { Clock, Timer } from '../clock.ts'

/** Deadlines fall into buckets this wide: nothing is called early, and at most this late. */
const TICK_MS = 8

/** One deadline that was set. */
export interface Deadline {
  readonly tick: number
  readonly fn: () => void
}

/**
 * Any number of deadlines on one timer. A timer a query would be armed and cleared for nothing almost always: a query is answered long before its deadline.
 * Due times are `Clock.nowMs` times, so after a suspend all that has passed is due at the first tick. No timer runs while no deadline is set.
 */
export class Deadlines {
  readonly #clock: Clock
  readonly #buckets = new Map<number, Set<Deadline>>()
  #timer: Timer | undefined
  #armedTick = Number.POSITIVE_INFINITY

  constructor(clock: Clock) {
    this.#clock = clock
  }

  add(dueMs: number, fn: () => void): Deadline {
    const deadline = { tick: Math.ceil(dueMs / TICK_MS), fn }
    const bucket = this.#buckets.get(deadline.tick)
    if (bucket === undefined) this.#buckets.set(deadline.tick, new Set([deadline]))
    else bucket.add(deadline)
    if (deadline.tick < this.#armedTick) this.#arm(deadline.tick)
    return deadline
  }

  /** May be called any number of times, also after it fired. */
  remove(deadline: Deadline): void {
    const bucket = this.#buckets.get(deadline.tick)
    if (bucket === undefined || !bucket.delete(deadline) || bucket.size > 0) return
    this.#buckets.delete(deadline.tick)
    if (this.#buckets.size === 0) this.#disarm()
  }

  #arm(tick: number): void {
    this.#timer?.cancel()
    this.#armedTick = tick
    this.#timer = this.#clock.setTimer(Math.max(0, tick * TICK_MS - this.#clock.nowMs()), () => this.#fire())
  }

  #disarm(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#armedTick = Number.POSITIVE_INFINITY
  }

  #fire(): void {
    this.#disarm()
    const nowTick = Math.floor(this.#clock.nowMs() / TICK_MS)
    const due = [...this.#buckets.keys()].filter((tick) => tick <= nowTick).sort((a, b) => a - b)
    for (const tick of due) {
      const bucket = this.#buckets.get(tick)
      this.#buckets.delete(tick)
      for (const deadline of bucket ?? []) deadline.fn()
    }
    let earliest = Number.POSITIVE_INFINITY
    for (const tick of this.#buckets.keys()) earliest = Math.min(earliest, tick)
    if (earliest < this.#armedTick) this.#arm(earliest)
  }
}
