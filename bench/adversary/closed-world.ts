import { networkOctets, type Seen } from '../observer/observed.ts'
import { ATTRIBUTED, attributed } from './attribution.ts'
import { FEATURES, features, LATENCIES, latencies, NGRAMS, ngrams, SYMBOLS, symbols } from './features.ts'
import { tableOf } from './forest.ts'
import { accuracy, bits, decided, type Estimate } from './metrics.ts'
import type { Rows, TaskPool } from './task-pool.ts'

/** Attackers that are forests, what each looks at, and how many numbers that is. */
const FORESTS = {
  a1: { width: FEATURES, look: (seen: Seen, into: Float32Array, at: number) => features(seen, into, at) },
  a2: { width: NGRAMS, look: ngrams },
  a4: { width: LATENCIES, look: latencies },
  a4plus: { width: ATTRIBUTED, look: attributed },
  length: { width: 2, look: sessionLength },
} as const

type ForestId = keyof typeof FORESTS
const FOREST_IDS = Object.keys(FORESTS) as ForestId[]

/** How long it lasted, and how much it was: what no session hides. */
function sessionLength(seen: Seen, into: Float32Array, at: number): void {
  into[at] = (seen.atMs.at(-1) ?? 0) - (seen.atMs[0] ?? 0)
  into[at + 1] = networkOctets(seen)
}

/** Pages as attackers look at them: features only, traces are not kept. */
export class Looks {
  readonly labels: Uint16Array
  readonly #marked: Uint8Array
  readonly #forests: Readonly<Record<ForestId, Float32Array>>
  readonly #symbols: Uint8Array

  constructor(pages: number) {
    this.labels = new Uint16Array(pages)
    this.#marked = new Uint8Array(pages)
    const table = (id: ForestId) => new Float32Array(pages * FORESTS[id].width)
    this.#forests = { a1: table('a1'), a2: table('a2'), a4: table('a4'), a4plus: table('a4plus'), length: table('length') }
    this.#symbols = new Uint8Array(new SharedArrayBuffer(pages * SYMBOLS))
  }

  /** `marked`: one of those pages that are counted by themselves too. */
  put(page: number, site: number, seen: Seen, marked = false): void {
    this.labels[page] = site
    this.#marked[page] = Number(marked)
    for (const id of FOREST_IDS) FORESTS[id].look(seen, this.#forests[id], page * FORESTS[id].width)
    symbols(seen, this.#symbols, page * SYMBOLS)
  }

  async attack(pool: TaskPool, folds: readonly Rows[], how: AttackPlan): Promise<ClosedWorld> {
    const { classes, trees } = how
    const tested = Uint32Array.from(folds.flatMap((rows) => [...rows.tested]))
    const truth = this.#truthOf(tested)
    const votes: Partial<Record<ForestId, Float32Array>> = {}
    for (const id of FOREST_IDS) votes[id] = await this.#forest(pool, folds, id, how)
    const said = (id: ForestId) => decided(votes[id] ?? new Float32Array(0), classes)
    const near = await this.#nearest(pool, folds, how)
    const nearTruth = this.#truthOf(near.rows)
    const told = [said('a1'), said('a2'), said('a4'), said('a4plus')].map((decision) => this.#amongMarked(decision, tested))
    told.push(this.#amongMarked(near.said, near.rows))
    return {
      tested: tested.length,
      folds: folds.length,
      a1: accuracy(said('a1'), truth),
      a2: accuracy(said('a2'), truth),
      a3: accuracy(near.said, nearTruth),
      a4: accuracy(said('a4'), truth),
      a4plus: accuracy(said('a4plus'), truth),
      bits: Math.max(...(['a1', 'a4plus'] as const).map((id) => bits(votes[id] ?? new Float32Array(0), truth, classes, trees))),
      length: accuracy(said('length'), truth),
      lengthBits: bits(votes.length ?? new Float32Array(0), truth, classes, trees),
      marked: this.#marked.includes(1) ? told.reduce((a, b) => (b.value > a.value ? b : a)) : undefined,
    }
  }

  #truthOf(rows: Uint32Array): Uint16Array {
    return Uint16Array.from(rows, (row) => this.labels[row] ?? 0)
  }

  #amongMarked(said: Uint16Array, rows: Uint32Array): Estimate {
    const marked = (_: unknown, i: number) => this.#marked[rows[i] ?? 0] === 1
    return accuracy(said.filter(marked), this.#truthOf(rows).filter(marked))
  }

  async #forest(pool: TaskPool, folds: readonly Rows[], id: ForestId, { classes, trees, seed }: AttackPlan): Promise<Float32Array> {
    const votes: Float32Array[] = []
    for (const rows of folds) {
      const learnt = new Set(rows.training)
      const table = tableOf(this.#forests[id], FORESTS[id].width, (row) => learnt.has(row), true)
      votes.push(await pool.forest(table, this.labels, rows, { trees, classes, seed: `${seed}/${id}` }))
    }
    return Float32Array.from(votes.flatMap((part) => [...part]))
  }

  async #nearest(
    pool: TaskPool,
    folds: readonly Rows[],
    { classes, mostNearest }: AttackPlan,
  ): Promise<{ readonly said: Uint16Array; readonly rows: Uint32Array }> {
    const said: number[] = []
    const compared: number[] = []
    for (const { training, tested } of folds) {
      const rows = tested.filter((_, i) => i % Math.ceil((tested.length * folds.length) / mostNearest) === 0)
      said.push(...(await pool.nearest(this.#symbols, this.labels, { training, tested: rows }, classes)))
      compared.push(...rows)
    }
    return { said: Uint16Array.from(said), rows: Uint32Array.from(compared) }
  }
}

/** How large the attack is: at most `mostNearest` pages are compared by A3. */
export interface AttackPlan {
  readonly classes: number
  readonly trees: number
  readonly seed: string
  readonly mostNearest: number
}

/** How well sites are told apart, by attacker, each retrained on the defended traffic. */
export interface ClosedWorld {
  readonly tested: number
  /** 1: held out once. More: cross-validated, each page tested once. */
  readonly folds: number
  readonly a1: Estimate
  readonly a2: Estimate
  readonly a3: Estimate
  readonly a4: Estimate
  readonly a4plus: Estimate
  /** Told about the site by the votes of A1 or A4+; at most log2 of the number of sites. */
  readonly bits: number
  /** What duration and volume of the whole tell by themselves. */
  readonly length: Estimate
  readonly lengthBits: number
  /** The best attacker's figure on the marked pages alone: those with a large reply. */
  readonly marked?: Estimate | undefined
}

/**
 * The attacker that gets furthest, by the lower end: one that met few pages does not win by luck.
 */
export function best({ a1, a2, a3, a4, a4plus }: ClosedWorld): Estimate & { readonly attacker: string } {
  const all = Object.entries({ A1: a1, A2: a2, A3: a3, A4: a4, 'A4+': a4plus }).map(([attacker, estimate]) => ({ attacker, ...estimate }))
  return all.reduce((one, other) => (other.low > one.low ? other : one))
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
 * Each page is tested once, by attackers who learnt from the others' folds. `places`: the number of
 * each page among its site's.
 */
export function crossValidated(places: readonly number[], folds: number): readonly Rows[] {
  return Array.from({ length: folds }, (_, fold) => {
    const tested = Uint32Array.from(places.keys()).filter((row) => (places[row] ?? 0) % folds === fold)
    const training = Uint32Array.from(places.keys()).filter((row) => (places[row] ?? 0) % folds !== fold)
    return { training, tested }
  })
}
