const CELLS = 6

/**
 * What one worker counts, in memory that the main thread reads whenever it writes the status: no message per query. One writer. Doubles hold every count
 * exactly up to 2^53, and an aligned one is a single store on the platforms that have batched UDP (x64, arm64), so a reader never sees half of it.
 */
export class Counters {
  readonly shared: SharedArrayBuffer
  readonly #cells: Float64Array

  /** Over `shared` of another thread's Counters, or over memory of its own. */
  constructor(shared = new SharedArrayBuffer(CELLS * Float64Array.BYTES_PER_ELEMENT)) {
    this.shared = shared
    this.#cells = new Float64Array(shared)
  }

  get hits(): number {
    return this.#cells[0]!
  }
  set hits(count: number) {
    this.#cells[0] = count
  }
  get misses(): number {
    return this.#cells[1]!
  }
  set misses(count: number) {
    this.#cells[1] = count
  }
  /** Questions that this worker turned away. */
  get overloaded(): number {
    return this.#cells[4]!
  }
  set overloaded(count: number) {
    this.#cells[4] = count
  }
  /** Queries of other hosts that came too fast. */
  get limited(): number {
    return this.#cells[5]!
  }
  set limited(count: number) {
    this.#cells[5] = count
  }
  get entries(): number {
    return this.#cells[2]!
  }
  get bytes(): number {
    return this.#cells[3]!
  }

  /** Notes how full the cache of this worker is. */
  size(cache: { readonly entries: number; readonly bytes: number }): void {
    this.#cells[2] = cache.entries
    this.#cells[3] = cache.bytes
  }
}
