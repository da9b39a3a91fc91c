import type { Pace } from '../../src/shaping/profiles.ts'
import { QUERY_BODY, REPLY_BODY, Recorder } from './observed.ts'
import type { Defence } from './simple-defences.ts'
import { emitted } from './slots.ts'

/**
 * What is looked at of a link that is always on, from the moment the page begins: the observer is
 * told when that is.
 */
const WINDOW_MS = 30_000
const LONGEST_MS = 900_000

/**
 * Real queries substituted into the slots of a schedule that does not depend on them. A query that
 * found no slot in time counts as having waited for all of it.
 */
export const constantRate =
  (pace: Pace, heldPercent = 0): Defence =>
  (visit, chance, resolver, untilMs = pace.alwaysOn ? WINDOW_MS : LONGEST_MS) => {
    const { atMs, which } = emitted(pace, visit.atMs, untilMs, chance, heldPercent)
    const recorder = new Recorder()
    const waitsMs = visit.atMs.map((arrivedMs) => Math.max(0, untilMs - arrivedMs))
    atMs.forEach((slotMs, at) => {
      const i = which[at] ?? -1
      if (i >= 0) waitsMs[i] = slotMs - (visit.atMs[i] ?? 0)
      recorder.add(slotMs, QUERY_BODY)
      recorder.add(slotMs + (i >= 0 ? resolver.real(visit, i, chance) : resolver.cover(chance)), -REPLY_BODY)
    })
    const inTime = visit.atMs.filter((arrivedMs) => arrivedMs < untilMs).length
    return { seen: recorder.seen(), cells: atMs.length, queries: inTime, waitsMs: waitsMs.slice(0, inTime) }
  }
