import { type Linked, LinkedSet } from '../../containers.ts'

/**
 * Of the places that a peer grants, so many are held back for those that do not give way: one in 8,
 * and none where it grants no number.
 */
export function heldBack(places: number): number {
  return places >>> 3
}

/**
 * Requests that wait for a place on a connection, in their order, but those that give way
 * (`Ask.givesWay`) behind all others.
 */
export class TurnQueue<T extends Linked<T>> {
  readonly #first = new LinkedSet<T>()
  readonly #behind = new LinkedSet<T>()

  get size(): number {
    return this.#first.size + this.#behind.size
  }

  /** Of these, those that do not give way. */
  get sizeFirst(): number {
    return this.#first.size
  }

  /** Whose turn is next. */
  get peek(): T | undefined {
    return this.#first.first ?? this.#behind.first
  }

  add(item: T, givesWay: boolean): void {
    if (givesWay) this.#behind.add(item)
    else this.#first.add(item)
  }

  /** Says whether it was there. */
  delete(item: T): boolean {
    return this.#first.delete(item) || this.#behind.delete(item)
  }

  /**
   * Takes out whose turn it is where `free` places are free, of which those that give way must
   * leave `reserve`.
   */
  next(free: number, reserve = 0): T | undefined {
    const queue = this.#first.size > 0 ? this.#first : this.#behind
    if (free <= (queue === this.#first ? 0 : reserve)) return undefined
    const item = queue.first
    if (item !== undefined) queue.delete(item)
    return item
  }

  /** All that wait, as they stand now. */
  all(): readonly T[] {
    return [...this.#first.list(), ...this.#behind.list()]
  }

  clear(): void {
    this.#first.clear()
    this.#behind.clear()
  }
}
