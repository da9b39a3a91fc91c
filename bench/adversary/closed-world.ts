import type { Seen } from '../observer/observed.ts'
import { FEATURES, features, LATENCIES, latencies, NGRAMS, ngrams, SYMBOLS, symbols } from './features.ts'
import { tableOf } from './forest.ts'
import { accuracy, bits, decided, type Estimate } from './metrics.ts'
import type { Rows, TaskPool } from './task-pool.ts'

/** Pages as attackers look at them: features only, traces are not kept. */
export class Looks {
  readonly labels: Uint16Array
  readonly #a1: Float32Array
  readonly #a2: Float32Array
  readonly #a3: Uint8Array
  readonly #a4: Float32Array

  constructor(pages: number) {
    this.labels = new Uint16Array(pages)
    this.#a1 = new Float32Array(pages * FEATURES)
    this.#a2 = new Float32Array(pages * NGRAMS)
    this.#a3 = new Uint8Array(new SharedArrayBuffer(pages * SYMBOLS))
    this.#a4 = new Float32Array(pages * LATENCIES)
  }

  put(page: number, site: number, seen: Seen): void {
    this.labels[page] = site
    features(seen, this.#a1, page * FEATURES)
    ngrams(seen, this.#a2, page * NGRAMS)
    symbols(seen, this.#a3, page * SYMBOLS)
    latencies(seen, this.#a4, page * LATENCIES)
  }

  async attack(
    pool: TaskPool,
    folds: readonly Rows[],
    how: { classes: number; trees: number; seed: string; mostNearest: number },
  ): Promise<ClosedWorld> {
    const { classes, trees, seed } = how
    const forest = async (values: Float32Array, columns: number, name: string) => {
      const votes: Float32Array[] = []
      for (const rows of folds) {
        const learnt = new Set(rows.training)
        const table = tableOf(values, columns, (row) => learnt.has(row), true)
        votes.push(await pool.forest(table, this.labels, rows, { trees, classes, seed: `${seed}/${name}` }))
      }
      return Float32Array.from(votes.flatMap((part) => [...part]))
    }
    const tested = Uint32Array.from(folds.flatMap((rows) => [...rows.tested]))
    const truth = Uint16Array.from(tested, (row) => this.labels[row] ?? 0)
    const a1 = await forest(this.#a1, FEATURES, 'a1')
    const a2 = await forest(this.#a2, NGRAMS, 'a2')
    const a4 = await forest(this.#a4, LATENCIES, 'a4')
    const near: number[] = []
    const nearTruth: number[] = []
    for (const { training, tested } of folds) {
      const some = tested.filter((_, i) => i % Math.ceil((tested.length * folds.length) / how.mostNearest) === 0)
      near.push(...(await pool.nearest(this.#a3, this.labels, { training, tested: some }, classes)))
      for (const row of some) nearTruth.push(this.labels[row] ?? 0)
    }
    return {
      tested: tested.length,
      a1: accuracy(decided(a1, classes), truth),
      a2: accuracy(decided(a2, classes), truth),
      a3: accuracy(Uint16Array.from(near), Uint16Array.from(nearTruth)),
      a4: accuracy(decided(a4, classes), truth),
      bits: bits(a1, truth, classes, trees),
    }
  }
}

/** How well sites are told apart, by attacker, each retrained on the defended traffic. */
export interface ClosedWorld {
  readonly tested: number
  readonly a1: Estimate
  readonly a2: Estimate
  readonly a3: Estimate
  readonly a4: Estimate
  /** Told by A1's votes about the site; at most log2 of the number of sites. */
  readonly bits: number
}

/** The attacker that gets furthest. */
export function best({ a1, a2, a3, a4 }: ClosedWorld): Estimate & { readonly attacker: string } {
  const all = Object.entries({ A1: a1, A2: a2, A3: a3, A4: a4 }).map(([attacker, estimate]) => ({ attacker, ...estimate }))
  return all.reduce((one, other) => (other.value > one.value ? other : one))
}

/**
 * Every visit of a site but the last `tested` ones is learnt from. Pages stand site by site, `each`
 * of them.
 */
export function heldOut(sites: number, each: number, tested: number): readonly Rows[] {
  const rows = Array.from({ length: sites * each }, (_, row) => row)
  const isTested = (row: number) => row % each >= each - tested
  return [{ training: Uint32Array.from(rows.filter((row) => !isTested(row))), tested: Uint32Array.from(rows.filter(isTested)) }]
}

/**
 * Each page is tested once, by attackers who learnt from the others' folds; for small sets.
 * `places`: the number of each page among its site's.
 */
export function crossValidated(places: readonly number[], folds: number): readonly Rows[] {
  return Array.from({ length: folds }, (_, fold) => {
    const tested = Uint32Array.from(places.keys()).filter((row) => (places[row] ?? 0) % folds === fold)
    const training = Uint32Array.from(places.keys()).filter((row) => (places[row] ?? 0) % folds !== fold)
    return { training, tested }
  })
}
