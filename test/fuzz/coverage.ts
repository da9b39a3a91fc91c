import { GLOBAL, wordsOfNumber } from './instrument.ts'

const MAX_EDGES = 1 << 15
/**
 * How often an arm ran, in eight sizes: twice where once was known is news, 1,001 times where 1,000
 * was known is none.
 */
const BUCKETS = 8
const bucketOf = Uint8Array.from({ length: 256 }, (_, n) =>
  n < 4 ? Math.max(0, n - 1) : n < 8 ? 3 : n < 16 ? 4 : n < 32 ? 5 : n < 128 ? 6 : 7,
)
/** Comparisons remembered from one run. */
const MAX_WORDS = 64

/** What instrumented code reports to. One for the process: the code finds it by a global name. */
export class Coverage {
  readonly #hits = new Uint8Array(MAX_EDGES)
  readonly #eights = new BigUint64Array(this.#hits.buffer)
  readonly #words = new Set<string>()
  #edges = 0
  /** Comparisons that failed are kept while this is set. */
  curious = false

  /** The arms there are in what was loaded. */
  get edges(): number {
    return this.#edges
  }
  /** One above the largest feature. */
  get features(): number {
    return MAX_EDGES * BUCKETS
  }

  /** For instrumented code only. */
  counters(count: number): Uint8Array {
    const from = this.#edges
    this.#edges += count
    if (this.#edges > MAX_EDGES) throw new Error(`more than ${MAX_EDGES} arms to count`)
    return this.#hits.subarray(from, this.#edges)
  }

  /** For instrumented code only: `a === b`, seen. */
  readonly equals = (a: unknown, b: unknown): boolean => {
    const same = a === b
    if (!same && this.curious && this.#words.size < MAX_WORDS) this.#learn(a, b)
    return same
  }

  clear(): void {
    this.#hits.fill(0, 0, this.#edges)
    this.#words.clear()
  }

  /**
   * Calls `each` with every feature of the run since `clear`: an arm and how often it was taken, as
   * one number.
   */
  visit(each: (feature: number) => void): void {
    const eights = (this.#edges + 7) >>> 3
    for (let i = 0; i < eights; i++) {
      if (this.#eights[i] === 0n) continue
      for (let edge = i * 8; edge < i * 8 + 8; edge++) {
        const hits = this.#hits[edge] ?? 0
        if (hits !== 0) each(edge * BUCKETS + (bucketOf[hits] ?? 0))
      }
    }
  }

  /** What was compared, as octets. */
  words(): readonly string[] {
    return [...this.#words]
  }

  /** The arm of a feature. */
  edgeOf(feature: number): number {
    return Math.floor(feature / BUCKETS)
  }

  #learn(a: unknown, b: unknown): void {
    if (typeof a === 'number' && typeof b === 'number') for (const word of [...wordsOfNumber(a), ...wordsOfNumber(b)]) this.#words.add(word)
    if (typeof a !== 'string' || typeof b !== 'string') return
    for (const text of [a, b]) if (text.length > 0 && text.length <= 64) this.#words.add(Buffer.from(text).toString('latin1'))
  }
}

/** The coverage of this process, where instrumented code finds it. */
export function installCoverage(): Coverage {
  const coverage = new Coverage()
  Object.defineProperty(globalThis, GLOBAL, { value: coverage, configurable: true })
  return coverage
}
