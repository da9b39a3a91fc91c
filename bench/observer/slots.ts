import type { Random } from '../../src/clock.ts'
import type { Pace } from '../../src/shaping/profiles.ts'
import { createSchedule } from '../../src/shaping/schedule.ts'

/** Emitted cells: when, and which real query is in it (an index), or -1 for a cover. */
export interface Emitted {
  readonly atMs: Float64Array
  readonly which: Int32Array
}

/**
 * The product's own schedule in virtual time, from 0 to `untilMs`, over real queries that come at
 * `arrivalsMs`, sorted. No slot is ever taken late here. `heldPercent`: a variant that the product
 * has not: so many slots in a hundred, by a coin, go to a cover though a real query waits.
 */
export function emitted(pace: Pace, arrivalsMs: Float64Array, untilMs: number, random: Random, heldPercent = 0): Emitted {
  const schedule = createSchedule(pace, random)
  const atMs: number[] = []
  const which: number[] = []
  let [arrived, sent] = [0, 0]
  if (pace.alwaysOn) schedule.begin(0)
  for (;;) {
    const { dueMs } = schedule
    const nextMs = arrivalsMs[arrived] ?? Number.POSITIVE_INFINITY
    if (Math.min(dueMs, nextMs) >= untilMs) break
    if (nextMs <= dueMs) {
      schedule.arrived(nextMs)
      arrived++
      continue
    }
    const { slot } = schedule.take(dueMs, arrived - sent)
    if (slot === 'close') continue
    const held = heldPercent > 0 && random.below(100) < heldPercent
    atMs.push(dueMs)
    which.push(slot === 'real' && !held ? sent++ : -1)
  }
  return { atMs: Float64Array.from(atMs), which: Int32Array.from(which) }
}
