import type { Clock, Timer } from '../../../src/clock.ts'

/**
 * Turns of the event loop between one moment and the next: work that is put off to the next turn,
 * and from there again, is still of its moment.
 */
const TURNS = 4
const EPOCH_MS = Date.UTC(2026, 0, 1)

interface Pending {
  dueMs: number
  readonly order: number
  readonly fn: () => void
}

/**
 * A clock that moves only when told. It stands on its own: a recorder must fit trees whose other
 * test tools differ.
 */
export class VirtualClock implements Clock {
  #nowMs = 1_000_000
  #wallAheadMs = EPOCH_MS
  #sleptMs = 0
  #order = 0
  readonly #pending = new Set<Pending>()

  nowMs(): number {
    return this.#nowMs
  }
  wallMs(): number {
    return this.#nowMs + this.#wallAheadMs
  }
  sleptMs(): number {
    return this.#sleptMs
  }
  get timers(): number {
    return this.#pending.size
  }

  setTimer(delayMs: number, fn: () => void): Timer {
    const pending = { dueMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, fn }
    this.#pending.add(pending)
    return { cancel: () => void this.#pending.delete(pending) }
  }
  setExactTimer(dueMs: number, prepare: () => void, fn: () => void): Timer {
    return this.setTimer(Math.max(1, Math.ceil(dueMs - this.#nowMs)), () => {
      prepare()
      fn()
    })
  }

  /** Moves the wall clock alone. */
  jumpWall(byMs: number): void {
    this.#wallAheadMs += byMs
  }
  /** The machine sleeps: timers stand still. */
  suspend(forMs: number): void {
    this.#nowMs += forMs
    this.#sleptMs += forMs
    for (const pending of this.#pending) pending.dueMs += forMs
  }
  /** The process is stopped: timers that fall due are late. */
  stopFor(forMs: number): void {
    this.#nowMs += forMs
  }

  /** Runs the timers that are due by then, in order. */
  async advanceTo(untilMs: number): Promise<void> {
    for (;;) {
      await settle()
      let next: Pending | undefined
      for (const one of this.#pending)
        if (one.dueMs <= untilMs && (next === undefined || one.dueMs < next.dueMs || (one.dueMs === next.dueMs && one.order < next.order)))
          next = one
      if (next === undefined) break
      this.#pending.delete(next)
      this.#nowMs = Math.max(this.#nowMs, next.dueMs)
      next.fn()
    }
    this.#nowMs = Math.max(this.#nowMs, untilMs)
    await settle()
  }
}

const turn = setImmediate

export async function settle(): Promise<void> {
  for (let i = 0; i < TURNS; i++) await new Promise((resolve) => turn(resolve))
}
