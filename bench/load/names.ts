import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** A small repeatable source of randomness (mulberry32): the same seed makes the same run. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

/**
 * Files of queries for dnsperf, in `place`. Every file has names of its own, except that `known`
 * repeats what it once made.
 */
export class Names {
  readonly #place: string
  readonly #seed: number
  #made = 0

  constructor(place: string, seed: number) {
    this.#place = place
    this.#seed = seed
  }

  /**
   * n`from`.bench.example to n`to - 1`.bench.example, in random order: neighbours in a cache are
   * not neighbours in a load.
   */
  known(from: number, to: number): string {
    const random = seeded(this.#seed + from + to)
    const order = Uint32Array.from({ length: to - from }, (_, i) => from + i)
    for (let i = order.length - 1; i > 0; i--) {
      const j = Math.floor(random() * (i + 1))
      const kept = order[i] ?? 0
      order[i] = order[j] ?? 0
      order[j] = kept
    }
    return this.#write(`known-${from}-${to}`, order, (n) => `n${n}.bench.example A`)
  }

  /** `count` names that nobody asked before. */
  fresh(count: number): string {
    const run = `${this.#seed.toString(36)}-${this.#made++}`
    return this.#write(
      `fresh-${run}`,
      Uint32Array.from({ length: count }, (_, i) => i),
      (n) => `u${n}-${run}.bench.example A`,
    )
  }

  /**
   * Removes a file that will not be used again: at the rates of these servers a round's is some ten
   * MB.
   */
  forget(path: string): void {
    rmSync(path, { force: true })
  }

  #write(name: string, numbers: Uint32Array, line: (n: number) => string): string {
    const path = join(this.#place, name)
    const lines: string[] = []
    for (const n of numbers) lines.push(line(n))
    writeFileSync(path, `${lines.join('\n')}\n`)
    return path
  }
}
