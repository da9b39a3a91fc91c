import { type Linked, LinkedSet } from '../../containers.ts'

/**
 * How many of the places that a peer grants are reserved for requests that do not give way: one in
 * 8. It is 0 if the peer states no limit.
 */
export function heldBack(places: number): number {
  return places >>> 3
}

/**
 * The requests that wait for a place on a connection, in their order. Requests that give way
 * (`Ask.givesWay`) come after all others.
 */
export class TurnQueue<T extends Linked<T>> {
  readonly #first = new LinkedSet<T>()
  readonly #behind = new LinkedSet<T>()

  get size(): number {
    return this.#first.size + this.#behind.size
  }

  /** The number of requests that do not give way. */
  get sizeFirst(): number {
    return this.#first.size
  }

  /** The next request. */
  get peek(): T | undefined {
    return this.#first.first ?? this.#behind.first
  }

  add(item: T, givesWay: boolean): void {
    if (givesWay) this.#behind.add(item)
    else this.#first.add(item)
  }

  /** Returns whether it was in the queue. */
  delete(item: T): boolean {
    return this.#first.delete(item) || this.#behind.delete(item)
  }

  /**
   * Removes and returns the next request if it may use one of `free` places. Requests that give way
   * must leave `reserve` places free.
   */
  next(free: number, reserve = 0): T | undefined {
    const queue = this.#first.size > 0 ? this.#first : this.#behind
    if (free <= (queue === this.#first ? 0 : reserve)) return undefined
    const item = queue.first
    if (item !== undefined) queue.delete(item)
    return item
  }

  /** A copy of all waiting requests. */
  all(): readonly T[] {
    return [...this.#first.list(), ...this.#behind.list()]
  }

  clear(): void {
    this.#first.clear()
    this.#behind.clear()
  }
}
