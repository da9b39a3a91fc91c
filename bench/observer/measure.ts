import { type ClosedWorld, crossValidated, heldOut } from '../adversary/closed-world.ts'
import { correlate } from '../adversary/correlation.ts'
import type { Estimate } from '../adversary/metrics.ts'
import { onset } from '../adversary/onset.ts'
import { type OpenWorld, openWorld } from '../adversary/open-world.ts'
import { type Cost, lookedAt, pageSet } from '../adversary/page-set.ts'
import type { TaskPool } from '../adversary/task-pool.ts'
import type { Chance } from './chance.ts'
import type { Entry } from './line-up.ts'
import type { Scale } from './scale.ts'
import type { Traces } from './traces.ts'

/** A row of the report. */
export interface Row {
  readonly id: string
  readonly title: string
  readonly profile: string | undefined
  /** The profile that a gate holds to its bound on this row, and the row's name. */
  readonly gated?: Entry['gated'] | undefined
  readonly sites: number
  readonly learnt: number
  readonly world: ClosedWorld
  readonly cost: Cost
  /** A5: on an idle link, and inside a session. */
  readonly onset?: { readonly quiet: Estimate; readonly open?: Estimate }
  /** A6. */
  readonly correlation?: Readonly<Record<'lanWithin' | 'lanWhole' | 'talkWithin' | 'talkWhole', Estimate>>
  readonly openWorld?: OpenWorld
}

/** Everything about one defence at N = 100. */
export async function measure(entry: Entry, scale: Scale, pool: TaskPool, root: Chance): Promise<Row> {
  const row = await closedWorld(entry, scale, pool, root)
  const { onsetWindows, pairs } = scale
  return {
    ...row,
    onset: { quiet: await onset(entry, 'quiet', onsetWindows, pool, root), open: await onset(entry, 'open', onsetWindows, pool, root) },
    correlation: {
      lanWithin: correlate(entry, 'lan-wan', 'within', pairs, root),
      lanWhole: correlate(entry, 'lan-wan', 'whole', pairs, root),
      talkWithin: correlate(entry, 'conversation', 'within', pairs, root),
      talkWhole: correlate(entry, 'conversation', 'whole', pairs, root),
    },
    openWorld: await openWorld(entry, scale.world, pool, root),
  }
}

type Set = Pick<Scale, 'sites' | 'visitsToLearn' | 'visitsToTest' | 'trees'>

/** A1 to A4+ for a hard case that a gate is about; A5 too for what has no beginning. */
export async function gatedRow(entry: Entry, scale: Scale, pool: TaskPool, root: Chance): Promise<Row> {
  const row = await closedWorld(entry, scale, pool, root)
  if (entry.gated?.profile !== 'always-on') return row
  return { ...row, onset: { quiet: await onset(entry, 'quiet', scale.onsetWindows, pool, root) } }
}

/** A1 to A4+ for the rows that no gate is about: half of the visits. */
export function compared(entry: Entry, scale: Scale, pool: TaskPool, root: Chance): Promise<Row> {
  const [visitsToLearn, visitsToTest] = [scale.visitsToLearn >> 1, scale.visitsToTest >> 1]
  return closedWorld(entry, { ...scale, visitsToLearn, visitsToTest }, pool, root)
}

/** A1 to A4+ and the cost. */
export async function closedWorld(entry: Entry, set: Set & { readonly mostNearest?: number }, pool: TaskPool, root: Chance): Promise<Row> {
  const { sites, visitsToLearn, visitsToTest, trees } = set
  const each = visitsToLearn + visitsToTest
  const { looks, cost } = pageSet(entry, sites, each, root)
  const how = { classes: sites, trees, seed: `${entry.id} ${sites}`, mostNearest: set.mostNearest ?? 1000 }
  const world = await looks.attack(pool, heldOut(sites, each, visitsToTest), how)
  return { id: entry.id, title: entry.title, profile: entry.profile, gated: entry.gated, sites, learnt: visitsToLearn, world, cost }
}

/**
 * The same on recorded pages. `folds`: each page is tested once by who learnt from the others; 1:
 * the last third of each site's visits is held out.
 */
export async function onTraces(
  entry: Entry,
  traces: Traces,
  { trees, folds }: { readonly trees: number; readonly folds: number },
  pool: TaskPool,
  root: Chance,
): Promise<Row> {
  const { sites, each, visits } = traces
  const { looks, cost } = lookedAt(entry, visits, visits.length, root)
  const third = Math.max(1, Math.floor(each / 3))
  const rows =
    folds === 1
      ? heldOut(sites, each, third)
      : crossValidated(
          visits.map((_, page) => page % each),
          Math.min(folds, each),
        )
  const world = await looks.attack(pool, rows, { classes: sites, trees, seed: entry.id, mostNearest: 10_000 })
  const tested = folds === 1 ? third : Math.ceil(each / Math.min(folds, each))
  return { id: entry.id, title: entry.title, profile: entry.profile, gated: entry.gated, sites, learnt: each - tested, world, cost }
}
