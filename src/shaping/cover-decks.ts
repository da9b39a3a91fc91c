import type { Random } from '../clock.ts'

/** Draws random numbers below `size`. Each is drawn once before any is repeated. */
export class Deck {
  readonly #size: number
  readonly #random: Random
  #left: number[] = []

  constructor(size: number, random: Random) {
    this.#size = size
    this.#random = random
  }

  draw(): number {
    if (this.#left.length === 0) this.#left = Array.from({ length: this.#size }, (_, i) => i)
    const at = this.#random.below(this.#left.length)
    const drawn = this.#left[at] ?? 0
    const last = this.#left.pop() ?? 0
    if (at < this.#left.length) this.#left[at] = last
    return drawn
  }
}

/**
 * A name is not asked again for this time, even if its TTL is shorter, to save its servers work.
 */
const LEAST_AWAY_MS = 60_000
const MOST_AWAY_MS = 86_400_000
/** The assumed lifetime of an answer without a TTL, and of a name without an answer yet. */
const USUAL_AWAY_MS = 3_600_000

/**
 * Draws numbers below `size`, first the one whose answer left the resolver's cache longest ago. In
 * this order the resolver must look up each name again. With a random order most names would still
 * be in its cache: with 384 names, five lookups per second and a TTL of an hour, only one draw in
 * thirty causes a lookup. Numbers that were never drawn come first, in random order.
 */
export class ExpiryDeck {
  /** A binary heap of numbers, ordered by `#goneMs`. `#place` holds the position of each number. */
  readonly #heap: Int32Array
  readonly #place: Int32Array
  readonly #goneMs: Float64Array

  constructor(size: number, random: Random) {
    this.#heap = Int32Array.from({ length: size }, (_, i) => i)
    this.#goneMs = new Float64Array(size).fill(Number.NEGATIVE_INFINITY)
    for (let at = size - 1; at > 0; at--) {
      const other = random.below(at + 1)
      const drawn = this.#heap[other] ?? 0
      this.#heap[other] = this.#heap[at] ?? 0
      this.#heap[at] = drawn
    }
    this.#place = new Int32Array(size)
    this.#heap.forEach((number, at) => {
      this.#place[number] = at
    })
  }

  draw(nowMs: number): number {
    const drawn = this.#heap[0] ?? 0
    this.#gone(drawn, nowMs + USUAL_AWAY_MS)
    return drawn
  }

  /** The answer to `drawn` stays in the resolver's cache for `ttlS`. Undefined: not known. */
  answered(drawn: number, nowMs: number, ttlS: number | undefined): void {
    const awayMs = ttlS === undefined ? USUAL_AWAY_MS : ttlS * 1000
    this.#gone(drawn, nowMs + Math.min(MOST_AWAY_MS, Math.max(LEAST_AWAY_MS, awayMs)))
  }

  #gone(number: number, atMs: number): void {
    this.#goneMs[number] = atMs
    this.#rise(this.#place[number] ?? 0)
    this.#sink(this.#place[number] ?? 0)
  }

  #before(a: number, b: number): boolean {
    return (this.#goneMs[this.#heap[a] ?? 0] ?? 0) < (this.#goneMs[this.#heap[b] ?? 0] ?? 0)
  }

  #rise(from: number): void {
    for (let at = from; at > 0; ) {
      const above = (at - 1) >> 1
      if (!this.#before(at, above)) return
      this.#swap(at, above)
      at = above
    }
  }

  #sink(from: number): void {
    for (let at = from; ; ) {
      const [left, right] = [2 * at + 1, 2 * at + 2]
      if (left >= this.#heap.length) return
      const least = right < this.#heap.length && this.#before(right, left) ? right : left
      if (!this.#before(least, at)) return
      this.#swap(at, least)
      at = least
    }
  }

  #swap(a: number, b: number): void {
    const [one, other] = [this.#heap[a] ?? 0, this.#heap[b] ?? 0]
    this.#heap[a] = other
    this.#heap[b] = one
    this.#place[other] = a
    this.#place[one] = b
  }
}

/** When this many numbers with the wanted size are known, no new ones are tried. */
const ENOUGH_KNOWN = 8

/** Draws numbers below `size` by the number of blocks of their last reply. */
export class SizeDeck {
  readonly #random: Random
  /** The number of blocks of each reply. 0: not known yet. */
  readonly #blocks: Uint8Array

  constructor(size: number, random: Random) {
    this.#random = random
    this.#blocks = new Uint8Array(size)
  }

  /**
   * A number whose reply takes `blocks`; else one that was never drawn; else one with any large
   * reply. Undefined: every reply fits in one block.
   */
  draw(blocks: number): number | undefined {
    const [wanted, unknown] = [this.#having((n) => n === blocks), this.#having((n) => n === 0)]
    const tries = unknown.length > 0 && (wanted.length === 0 || (wanted.length < ENOUGH_KNOWN && this.#random.below(2) === 0))
    const from = tries ? unknown : wanted.length > 0 ? wanted : this.#having((n) => n > 1)
    return from[this.#random.below(Math.max(1, from.length))]
  }

  /** The reply to `drawn` took this many blocks. */
  answered(drawn: number, blocks: number): void {
    this.#blocks[drawn] = Math.min(255, blocks)
  }

  #having(is: (blocks: number) => boolean): readonly number[] {
    return Array.from(this.#blocks.keys()).filter((i) => is(this.#blocks[i] ?? 0))
  }
}
