import type { Random } from '../../src/clock.ts'
import type { Pace } from '../../src/shaping/profiles.ts'
import { createSchedule } from '../../src/shaping/schedule.ts'

/** In a slot: a cover, or one more cell of the query before it. */
export const COVER = -1
export const MORE = -2

/** Emitted cells: when, and which real query is in it (an index), or `COVER`, or `MORE`. */
export interface Emitted {
  readonly atMs: Float64Array
  readonly which: Int32Array
}

/** What may differ from a cell a query. */
export interface SlotOptions {
  /**
   * A variant that the product has not: so many slots in a hundred, by a coin, go to a cover though
   * a real query waits.
   */
  readonly heldPercent?: number
  /** Of so many that have waited longest, one at random goes first; 1: in their order. */
  readonly among?: number
  /** Cells of each real query; and of the next cover. */
  readonly cells?: Uint8Array
  readonly coverCells?: () => number
}

/**
 * The product's own schedule in virtual time, from 0 to `untilMs`, over real queries that come at
 * `arrivalsMs`, sorted. No slot is ever taken late here.
 */
export function emitted(pace: Pace, arrivalsMs: Float64Array, untilMs: number, random: Random, o: SlotOptions = {}): Emitted {
  const { heldPercent = 0, among = 1, cells, coverCells = () => 1 } = o
  const waiting: number[] = []
  const schedule = createSchedule(pace, random)
  const atMs: number[] = []
  const which: number[] = []
  let [arrived, more] = [0, 0]
  if (pace.alwaysOn) schedule.begin(0)
  const fill = (real: boolean): number => {
    if (more > 0) {
      more--
      return MORE
    }
    const held = heldPercent > 0 && random.below(100) < heldPercent
    const picked = real && !held ? waiting.splice(among > 1 ? random.below(Math.min(among, waiting.length)) : 0, 1)[0] : undefined
    more = (picked === undefined ? coverCells() : (cells?.[picked] ?? 1)) - 1
    return picked ?? COVER
  }
  for (;;) {
    const { dueMs } = schedule
    const nextMs = arrivalsMs[arrived] ?? Number.POSITIVE_INFINITY
    if (Math.min(dueMs, nextMs) >= untilMs) break
    if (nextMs <= dueMs) {
      schedule.arrived(nextMs)
      waiting.push(arrived++)
      continue
    }
    const { slot } = schedule.take(dueMs, waiting.length)
    if (slot === 'close') continue
    atMs.push(dueMs)
    which.push(fill(slot === 'real'))
  }
  return { atMs: Float64Array.from(atMs), which: Int32Array.from(which) }
}
