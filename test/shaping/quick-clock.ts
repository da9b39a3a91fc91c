import type { Clock, Timer } from '../../src/clock.ts'

interface Pending {
  readonly dueMs: number
  readonly fn: () => void
  cancelled: boolean
}

/**
 * A clock that moves only when told, for thousands of timers a run: promise callbacks run between
 * them, but no turn of the event loop.
 */
export class QuickClock implements Clock {
  #nowMs = 1_000_000
  readonly #pending: Pending[] = []

  nowMs(): number {
    return this.#nowMs
  }
  wallMs(): number {
    return this.#nowMs
  }
  get timers(): number {
    return this.#pending.filter(({ cancelled }) => !cancelled).length
  }

  setExactTimer(dueMs: number, prepare: () => void, fn: () => void): Timer {
    return this.setTimer(Math.max(1, Math.ceil(dueMs - this.#nowMs)), () => {
      prepare()
      fn()
    })
  }

  setTimer(delayMs: number, fn: () => void): Timer {
    const pending: Pending = { dueMs: this.#nowMs + delayMs, fn, cancelled: false }
    let at = this.#pending.length
    while (at > 0 && (this.#pending[at - 1]?.dueMs ?? 0) > pending.dueMs) at--
    this.#pending.splice(at, 0, pending)
    return {
      cancel: () => {
        pending.cancelled = true
      },
    }
  }

  async advance(byMs: number): Promise<void> {
    const untilMs = this.#nowMs + byMs
    await settle()
    for (let next = this.#pending[0]; next !== undefined && next.dueMs <= untilMs; next = this.#pending[0]) {
      this.#pending.shift()
      if (next.cancelled) continue
      this.#nowMs = Math.max(this.#nowMs, next.dueMs)
      next.fn()
      await settle()
    }
    this.#nowMs = untilMs
  }
}

async function settle(): Promise<void> {
  for (let i = 0; i < 12; i++) await Promise.resolve()
}
