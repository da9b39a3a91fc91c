import type { Random } from '../../src/clock.ts'
import type { Pace } from '../../src/shaping/profiles.ts'
import { createSchedule } from '../../src/shaping/schedule.ts'

/**
 * In a slot: a cover; one more cell of the query before it; a cover with a large reply, whatever
 * waits.
 */
export const COVER = -1
export const MORE = -2
export const LARGE = -3

/** Emitted cells: when, and which real query is in it (an index), or one of the above. */
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
  /** Only while fewer wait than this. */
  readonly heldBelow?: number
  /** Of so many that have waited longest, one at random goes first: of all, as the product does. */
  readonly among?: number
  /** The share of slots that have a cover with a large reply, whether a real query waits or not. */
  readonly largeShare?: number
  /** Cells of each real query: one of two waits for a cell of two or three records. */
  readonly cells?: Uint8Array
}

const LARGE_STEPS = 10_000
const PAUSE_MS = 1000

/**
 * The product's own schedule in virtual time, from 0 to `untilMs`, over real queries that come at
 * `arrivalsMs`, sorted. No slot is ever taken late here.
 */
export function emitted(pace: Pace, arrivalsMs: Float64Array, untilMs: number, random: Random, o: SlotOptions = {}): Emitted {
  const { heldPercent = 0, heldBelow = Number.POSITIVE_INFINITY, among = Number.POSITIVE_INFINITY, largeShare = 0, cells } = o
  const lead = pace.leadSlots ?? 0
  const waiting: number[] = []
  const schedule = createSchedule(pace, random)
  const atMs: number[] = []
  const which: number[] = []
  let [arrived, held, lastMs] = [0, 0, Number.NEGATIVE_INFINITY]
  if (pace.alwaysOn) schedule.begin(0)
  const isLong = (query: number) => (cells?.[query] ?? 1) > 1
  const pick = (records: number): number | undefined => {
    const long = records > 1 ? waiting.filter(isLong) : []
    const from = long.length > 0 ? long : waiting.filter((query) => !isLong(query))
    const picked = from[among > 1 ? random.below(Math.min(among, from.length)) : 0]
    if (picked !== undefined) waiting.splice(waiting.indexOf(picked), 1)
    return picked
  }
  const fill = (records: number, real: boolean): number => {
    if (records === 0) return MORE
    if (records === 1 && largeShare > 0 && random.below(LARGE_STEPS) < largeShare * LARGE_STEPS) return LARGE
    if (records === 1 && real && held > 0) {
      held--
      return COVER
    }
    const isHeld = heldPercent > 0 && waiting.length < heldBelow && random.below(100) < heldPercent
    return (real && !isHeld ? pick(records) : undefined) ?? COVER
  }
  for (;;) {
    const { dueMs } = schedule
    const nextMs = arrivalsMs[arrived] ?? Number.POSITIVE_INFINITY
    if (Math.min(dueMs, nextMs) >= untilMs) break
    if (nextMs <= dueMs) {
      schedule.arrived(nextMs)
      if (lead > 0 && nextMs - lastMs > PAUSE_MS) held = random.below(lead + 1)
      lastMs = nextMs
      waiting.push(arrived++)
      continue
    }
    const { records } = schedule
    const { slot } = schedule.take(dueMs, waiting.length)
    if (slot === 'close') continue
    atMs.push(dueMs)
    which.push(fill(records, slot === 'real'))
  }
  return { atMs: Float64Array.from(atMs), which: Int32Array.from(which) }
}
