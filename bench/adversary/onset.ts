import type { Chance } from '../observer/chance.ts'
import type { Entry } from '../observer/line-up.ts'
import { cut } from '../observer/observed.ts'
import { joined, KNOBS, later, makeSite, type Visit, visit, workload } from '../observer/pages.ts'
import { resolverModel } from '../observer/resolver-model.ts'
import { ATTRIBUTED, attributed } from './attribution.ts'
import { FEATURES, features, LATENCIES, latencies } from './features.ts'
import { tableOf } from './forest.ts'
import { auc, type Estimate } from './metrics.ts'
import type { TaskPool } from './task-pool.ts'

const WINDOW_MS = 14_000
/**
 * One query that opens a session, so that both kinds of window lie inside one: no profile's step is
 * shorter than 15 s.
 */
const PRIMED_MS = 500
const WIDTH = FEATURES + LATENCIES + ATTRIBUTED

/**
 * A5: does a window hold the beginning of a page, or nothing? A forest on the features of A1,
 * A4 and A4+.
 * `quiet`: the link was idle before; `open`: a session was running.
 */
export async function onset(entry: Entry, before: 'quiet' | 'open', windows: number, pool: TaskPool, root: Chance): Promise<Estimate> {
  const chance = root.fork(`onset ${entry.id} ${before}`)
  const values = new Float32Array(windows * WIDTH)
  const labels = Uint16Array.from({ length: windows }, (_, i) => i & 1)
  for (let i = 0; i < windows; i++) {
    const prime = workload(before === 'open' ? [0] : [], chance)
    const page = (labels[i] ?? 0) === 1 ? later(aPage(chance, i), PRIMED_MS + chance.between(2000, 10_000)) : workload([], chance)
    const resolver = resolverModel(entry.covers, chance.fork(`resolver ${i}`))
    const { seen } = entry.defence(joined(prime, page), chance.fork(i), resolver, PRIMED_MS + WINDOW_MS)
    const window = cut(seen, PRIMED_MS, PRIMED_MS + WINDOW_MS)
    features(window, values, i * WIDTH, 0)
    latencies(window, values, i * WIDTH + FEATURES)
    attributed(window, values, i * WIDTH + FEATURES + LATENCIES)
  }
  const rows = Uint32Array.from(labels.keys())
  const middle = windows >> 1
  const table = tableOf(values, WIDTH, (row) => row < middle, true)
  const halves = { training: rows.slice(0, middle), tested: rows.slice(middle) }
  const votes = await pool.forest(table, labels, halves, { trees: 100, classes: 2, seed: `onset ${entry.id} ${before}` })
  const scores = (label: number) => [...halves.tested].flatMap((row, i) => (labels[row] === label ? [votes[i * 2 + 1] ?? 0] : []))
  return auc(scores(1), scores(0))
}

/** A page of a site of its own. */
export function aPage(chance: Chance, id: number): Visit {
  return visit(makeSite(id, chance, KNOBS), chance)
}
