import type { Chance } from '../observer/chance.ts'
import type { Entry } from '../observer/line-up.ts'
import { KNOBS, makeSite, visit } from '../observer/pages.ts'
import { resolverModel } from '../observer/resolver-model.ts'
import { FEATURES, features } from './features.ts'
import { tableOf } from './forest.ts'
import { auc, type Estimate } from './metrics.ts'
import type { TaskPool } from './task-pool.ts'

/** How large an open world is. Every site that is not monitored is visited once. */
export interface World {
  readonly monitored: number
  readonly visitsToLearn: number
  readonly visitsToTest: number
  readonly othersToLearn: number
  readonly othersToTest: number
}

/** What A7 finds. */
export interface OpenWorld {
  readonly auc: Estimate
  /**
   * Of the pages called monitored, those that are, if one page in a hundred is and half of them are
   * to be found.
   */
  readonly precisionAtHalf: number
}

/** The share of pages that are monitored. */
const BASE_RATE = 0.01

/**
 * A7: is a page one of the monitored sites? The world's other sites were never seen in training.
 */
export async function openWorld(entry: Entry, world: World, pool: TaskPool, root: Chance): Promise<OpenWorld> {
  const chance = root.fork(`open world ${entry.id}`)
  const knobs = { ...KNOBS, ...entry.traits }
  const plan: { readonly site: number; readonly test: boolean }[] = []
  for (let site = 0; site < world.monitored; site++)
    for (let i = 0; i < world.visitsToLearn + world.visitsToTest; i++) plan.push({ site, test: i >= world.visitsToLearn })
  for (let i = 0; i < world.othersToLearn + world.othersToTest; i++) plan.push({ site: 1_000_000 + i, test: i >= world.othersToLearn })
  const values = new Float32Array(plan.length * FEATURES)
  plan.forEach(({ site }, row) => {
    const page = visit(makeSite(site, root, knobs), chance.fork(`page ${row}`), knobs)
    const resolver = resolverModel(entry.covers, chance.fork(`resolver ${row}`))
    features(entry.defence(page, chance.fork(`defence ${row}`), resolver).seen, values, row * FEATURES)
  })
  const labels = Uint16Array.from(plan, ({ site }) => (site < world.monitored ? 1 : 0))
  const rowsOf = (test: boolean) => Uint32Array.from(plan.keys()).filter((row) => plan[row]?.test === test)
  const rows = { training: rowsOf(false), tested: rowsOf(true) }
  const table = tableOf(values, FEATURES, (row) => plan[row]?.test === false, true)
  const votes = await pool.forest(table, labels, rows, { trees: 100, classes: 2, seed: `open world ${entry.id}` })
  const scores = (label: number) => [...rows.tested].flatMap((row, i) => (labels[row] === label ? [votes[i * 2 + 1] ?? 0] : []))
  const [monitored, others] = [scores(1).sort((a, b) => b - a), scores(0)]
  const threshold = monitored[monitored.length >> 1] ?? 0
  const found = monitored.filter((score) => score >= threshold).length / monitored.length
  // One false alarm is added: none among so many does not prove that there are none.
  const falseAlarms = (others.filter((score) => score >= threshold).length + 1) / (others.length + 1)
  return {
    auc: auc(monitored, others),
    precisionAtHalf: (found * BASE_RATE) / (found * BASE_RATE + falseAlarms * (1 - BASE_RATE)),
  }
}
