import type { Clock, Timer } from './clock.ts'

const TICK_MS = 8

/** One deadline that was set. */
export interface Deadline {
  readonly tick: number
}

/** A link of the ring of its bucket; the bucket itself is one too, so that the ring is never empty. */
class Node implements Deadline {
  readonly tick: number
  fn: (() => void) | undefined
  before: Node = this
  after: Node = this

  constructor(tick: number, fn: (() => void) | undefined) {
    this.tick = tick
    this.fn = fn
  }
}

/**
 * Any number of deadlines on one timer. A timer a query would be armed and cleared for nothing almost always: a query is answered long before its deadline.
 * Due times are `Clock.nowMs` times, so after a suspend all that has passed is due at the first tick. No timer runs while no deadline is set.
 */
export class Deadlines {
  readonly #clock: Clock
  readonly #tickMs: number
  readonly #buckets = new Map<number, Node>()
  #timer: Timer | undefined
  #armedTick = Number.POSITIVE_INFINITY

  /** Deadlines fall into buckets `tickMs` wide: nothing is called early, and at most so late. */
  constructor(clock: Clock, tickMs = TICK_MS) {
    this.#clock = clock
    this.#tickMs = tickMs
  }

  add(dueMs: number, fn: () => void): Deadline {
    const node = new Node(Math.ceil(dueMs / this.#tickMs), fn)
    let bucket = this.#buckets.get(node.tick)
    if (bucket === undefined) {
      bucket = new Node(node.tick, undefined)
      this.#buckets.set(node.tick, bucket)
    }
    node.before = bucket.before
    node.after = bucket
    bucket.before.after = node
    bucket.before = node
    if (node.tick < this.#armedTick) this.#arm(node.tick)
    return node
  }

  /** May be called any number of times, also after it fired. */
  remove(deadline: Deadline): void {
    const node = deadline as Node
    if (node.after === node) return
    unlink(node)
    const bucket = this.#buckets.get(node.tick)
    if (bucket === undefined || bucket.after !== bucket) return
    this.#buckets.delete(node.tick)
    if (this.#buckets.size === 0) this.#disarm()
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
    const nowTick = Math.floor(this.#clock.nowMs() / this.#tickMs)
    const due = [...this.#buckets.keys()].filter((tick) => tick <= nowTick).sort((a, b) => a - b)
    for (const tick of due) {
      const bucket = this.#buckets.get(tick)
      this.#buckets.delete(tick)
      for (let node = bucket?.after; node !== undefined && node !== bucket; node = bucket?.after) {
        unlink(node)
        node.fn?.()
      }
    }
    let earliest = Number.POSITIVE_INFINITY
    for (const tick of this.#buckets.keys()) earliest = Math.min(earliest, tick)
    if (earliest < this.#armedTick) this.#arm(earliest)
  }
}

function unlink(node: Node): void {
  node.before.after = node.after
  node.after.before = node.before
  node.before = node
  node.after = node
}
