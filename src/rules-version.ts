/**
 * Versions are below this: a stored answer has 19 bits for the one under which it was judged. The
 * last number is no version.
 */
export const RULES_VERSIONS = 2 ** 19

/**
 * The number of times that the rules about names have changed, in memory that all threads share. An
 * answer that was stored under another version is judged again before it is used. One thread
 * changes it.
 */
export class RulesVersion {
  readonly shared: SharedArrayBuffer
  readonly #word: Int32Array

  /** Uses the memory of another thread, or its own. */
  constructor(shared = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)) {
    this.shared = shared
    this.#word = new Int32Array(shared)
  }

  /** A plain read: all that a hit pays for rules. */
  get current(): number {
    return this.#word[0]!
  }

  /** The rules have changed. Every thread sees it at its next query. */
  change(): void {
    Atomics.store(this.#word, 0, (this.current + 1) % (RULES_VERSIONS - 1))
  }
}
