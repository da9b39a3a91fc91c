import type { Clock, Timer } from './clock.ts'
import { type Linked, LinkedSet } from './containers.ts'

const TICK_MS = 8
/** The range of the wheel: a query's deadline is 4 s away. */
const WHEEL_MS = 8192

/** One deadline that was set. */
export interface Deadline {
  readonly tick: number
}

class DeadlineNode implements Deadline, Linked<DeadlineNode> {
  readonly tick: number
  readonly fn: (of: unknown) => void
  readonly of: unknown
  before: DeadlineNode | undefined
  after: DeadlineNode | undefined
  holder: LinkedSet<DeadlineNode> | undefined

  constructor(tick: number, fn: (of: unknown) => void, of: unknown) {
    this.tick = tick
    this.fn = fn
    this.of = of
  }
}

/**
 * Any number of deadlines with one timer. A timer per query would almost always be set and cleared
 * for nothing: a query is answered long before its deadline. Due times are `Clock.nowMs` times, so
 * after a suspend all that have passed are due at the first tick. No timer runs while there is no
 * deadline.
 */
export class Deadlines {
  readonly #clock: Clock
  readonly #tickMs: number
  readonly #slots: number
  /**
   * `#slots` - 1, with `#slots` a power of 2: a mask is cheaper than a remainder of doubles, which
   * is a function call.
   */
  readonly #mask: number
  /**
   * By the low bits of the tick; made at the first use. Holds ticks from `#tick` to `#tick` +
   * `#slots` - 1.
   */
  readonly #wheel: (LinkedSet<DeadlineNode> | undefined)[] = []
  /** Deadlines beyond the range of the wheel. */
  readonly #beyond = new LinkedSet<DeadlineNode>()
  /** Deadlines that are due but not called yet. */
  readonly #due = new LinkedSet<DeadlineNode>()
  /** The tick up to which deadlines were processed. */
  #tick: number
  #size = 0
  #timer: Timer | undefined
  #armedTick = Number.POSITIVE_INFINITY

  /**
   * Deadlines are grouped in slots of `tickMs`: none is called early, and none later than one slot.
   */
  constructor(clock: Clock, tickMs = TICK_MS) {
    this.#clock = clock
    this.#tickMs = tickMs
    this.#slots = 2 ** Math.ceil(Math.log2(WHEEL_MS / tickMs))
    this.#mask = this.#slots - 1
    this.#tick = this.#nowTick()
  }

  /** `of` is passed to `fn`: one function for all queries costs less than a closure for each. */
  add(dueMs: number, fn: () => void): Deadline
  add<T>(dueMs: number, fn: (of: T) => void, of: T): Deadline
  add(dueMs: number, fn: (of: never) => void, of?: unknown): Deadline {
    if (this.#size === 0) this.#tick = this.#nowTick()
    const node = new DeadlineNode(Math.max(this.#tick, Math.ceil(dueMs / this.#tickMs)), fn as (of: unknown) => void, of)
    this.#place(node)
    this.#size++
    if (node.tick < this.#armedTick) this.#arm(node.tick)
    return node
  }

  /** May be called repeatedly, also after the deadline fired. */
  remove(deadline: Deadline): void {
    const node = deadline as DeadlineNode
    if (node.holder?.delete(node) !== true) return
    this.#size--
    if (this.#size === 0) this.#disarm()
  }

  #nowTick(): number {
    return Math.floor(this.#clock.nowMs() / this.#tickMs)
  }

  #place(node: DeadlineNode): void {
    if (node.tick >= this.#tick + this.#slots) this.#beyond.add(node)
    else {
      const slot = node.tick & this.#mask
      // Filled at once: an array with holes is a dictionary, in which each access is a search.
      if (this.#wheel.length === 0) for (let i = 0; i < this.#slots; i++) this.#wheel.push(undefined)
      const list = this.#wheel[slot] ?? new LinkedSet<DeadlineNode>()
      this.#wheel[slot] = list
      list.add(node)
    }
  }

  #arm(tick: number): void {
    this.#timer?.cancel()
    this.#armedTick = tick
    this.#timer = this.#clock.setTimer(Math.max(0, tick * this.#tickMs - this.#clock.nowMs()), () => this.#fire())
  }

  #disarm(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#armedTick = Number.POSITIVE_INFINITY
  }

  #fire(): void {
    this.#disarm()
    this.#turn()
    try {
      for (let node = this.#due.first; node !== undefined; node = this.#due.first) {
        this.remove(node)
        node.fn(node.of)
      }
    } finally {
      const earliest = this.#earliest()
      if (earliest < this.#armedTick) this.#arm(earliest)
    }
  }

  /**
   * Moves deadlines that are due, in their order, and those that have come into the range of the
   * wheel.
   */
  #turn(): void {
    const nowTick = this.#nowTick()
    const last = Math.min(nowTick, this.#tick + this.#slots - 1)
    for (let tick = this.#tick; tick <= last; tick++) {
      const list = this.#wheel[tick & this.#mask]
      for (let node = list?.first; node !== undefined; node = list?.first) {
        list?.delete(node)
        this.#due.add(node)
      }
    }
    this.#tick = Math.max(this.#tick, nowTick)
    const reached = this.#beyond.list().filter((node) => node.tick < this.#tick + this.#slots)
    for (const node of reached.sort((a, b) => a.tick - b.tick)) {
      this.#beyond.delete(node)
      if (node.tick <= nowTick) this.#due.add(node)
      else this.#place(node)
    }
  }

  #earliest(): number {
    if (this.#size === 0) return Number.POSITIVE_INFINITY
    if (this.#due.size > 0) return this.#tick
    if (this.#size > this.#beyond.size) {
      for (let tick = this.#tick; tick < this.#tick + this.#slots; tick++) {
        const list = this.#wheel[tick & this.#mask]
        if (list !== undefined && list.size > 0) return tick
      }
    }
    return this.#beyond.list().reduce((earliest, { tick }) => Math.min(earliest, tick), Number.POSITIVE_INFINITY)
  }
}
