import { PACES, type Pace } from '../../src/shaping/profiles.ts'
import { best } from '../adversary/closed-world.ts'
import type { TaskPool } from '../adversary/task-pool.ts'
import type { Chance } from './chance.ts'
import { constantRate } from './constant-rate.ts'
import { type Entry, evenPace, MATCHED } from './line-up.ts'
import { closedWorld, type Row } from './measure.ts'
import { type Names, PLAIN } from './pages.ts'

/**
 * Schedules beside the shipped ones: rate, step, idle, a denser opening at the same volume, and
 * slots held for covers where names can be told by their latency.
 */
export const SWEEP: readonly { readonly title: string; readonly pace: Pace; readonly heldPercent?: number; readonly names?: Names }[] = [
  ...[
    [20, 15, 3],
    [20, 15, 8],
    [17, 20, 3],
    [20, 20, 3],
    [15, 25, 3],
    [20, 30, 5],
    [40, 15, 3],
    [40, 30, 5],
  ].map(([rate = 0, step = 0, idle = 0]) => ({ title: `${rate}/s, steps ${step} s, idle ${idle} s`, pace: evenPace(rate, step, idle) })),
  ...[
    [300, 15, 120, 15],
    [340, 20, 100, 15],
    [340, 20, 150, 12],
    [400, 20, 150, 12],
    [375, 25, 150, 12],
    [600, 30, 200, 10],
  ].map(([cells = 0, step = 0, first = 0, everyMs = 0]) => ({
    title: `${cells} cells in steps of ${step} s, idle 3 s, the first ${first} at ${everyMs} ms`,
    pace: evenPace((cells - first) / (step - (first * everyMs) / 1000), step, 3, [{ cells: first, everyMs }]),
  })),
  ...(['lite', 'balanced'] as const).flatMap((profile) =>
    [0, 50, 75].map((heldPercent) => ({
      title: `${profile}, each name has its own latency, ${heldPercent} % of slots held for covers`,
      pace: PACES[profile],
      heldPercent,
      names: 'by name' as const,
    })),
  ),
]

/**
 * One row per schedule, on a smaller set: for finding candidates, not for gates. Cheapest first at
 * equal leakage is left to the reader.
 */
export async function sweep(pool: TaskPool, root: Chance, say: (text: string) => void, found: (row: Row) => void): Promise<void> {
  for (const { title, pace, heldPercent, names = 'alike' } of SWEEP) {
    const entry: Entry = {
      id: title,
      title,
      defence: constantRate(pace, { heldPercent: heldPercent ?? 0 }),
      covers: MATCHED,
      traits: { ...PLAIN, names },
    }
    const row = await closedWorld(entry, { sites: 100, visitsToLearn: 40, visitsToTest: 40, trees: 50, mostNearest: 400 }, pool, root)
    found(row)
    say(
      `${title}: ${(best(row.world).value * 100).toFixed(1)} %, ${row.cost.cellsPerPage.toFixed(0)} cells a page, wait p50 ${row.cost.waitP50Ms.toFixed(0)} ms`,
    )
  }
}
