import type { Clock, Random, Timer } from '../../src/clock.ts'

interface Pending {
  readonly dueMs: number
  readonly order: number
  readonly fn: () => void
}

/**
 * A clock that moves only when told. `advance` runs due timers in order and lets promise callbacks
 * run between them.
 */
export class FakeClock implements Clock {
  #nowMs = 1_000_000
  #wallOffsetMs = Date.UTC(2026, 0, 1)
  #order = 0
  #sleptMs = 0
  readonly #pending = new Set<Pending>()

  nowMs(): number {
    return this.#nowMs
  }

  wallMs(): number {
    return this.#nowMs + this.#wallOffsetMs
  }

  sleptMs(): number {
    return this.#sleptMs
  }

  /** Moves the wall clock alone, as NTP or a user does. */
  jumpWall(byMs: number): void {
    this.#wallOffsetMs += byMs
  }

  /** The machine sleeps: boot time and wall time go on, timers do not. */
  suspend(forMs: number): void {
    this.#nowMs += forMs
    this.#sleptMs += forMs
    for (const pending of [...this.#pending]) {
      this.#pending.delete(pending)
      this.#pending.add(Object.assign(pending, { dueMs: pending.dueMs + forMs }))
    }
  }

  /**
   * The process is stopped, or its loop is busy: time goes on, and timers that fall due are late.
   */
  stopFor(ms: number): void {
    this.#nowMs += ms
  }

  get timers(): number {
    return this.#pending.size
  }

  setExactTimer(dueMs: number, prepare: () => void, fn: () => void): Timer {
    return this.setTimer(Math.max(1, Math.ceil(dueMs - this.#nowMs)), () => {
      prepare()
      fn()
    })
  }

  setTimer(delayMs: number, fn: () => void): Timer {
    const pending = { dueMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, fn }
    this.#pending.add(pending)
    return { cancel: () => void this.#pending.delete(pending) }
  }

  async advance(byMs: number): Promise<void> {
    const untilMs = this.#nowMs + byMs
    for (;;) {
      await settle()
      const next = [...this.#pending].filter((p) => p.dueMs <= untilMs).sort((a, b) => a.dueMs - b.dueMs || a.order - b.order)[0]
      if (next === undefined) break
      this.#pending.delete(next)
      this.#nowMs = Math.max(this.#nowMs, next.dueMs)
      next.fn()
    }
    this.#nowMs = untilMs
    await settle()
  }
}

async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve()
  await new Promise((resolve) => setImmediate(resolve))
}

/** A reproducible random source (mulberry32): for tests only. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  const word = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return (t ^ (t >>> 14)) >>> 0
  }
  return {
    below: (limit) => Math.floor((word() / 2 ** 32) * limit),
    bytes: (length) => Uint8Array.from({ length }, () => word() & 255),
  }
}
