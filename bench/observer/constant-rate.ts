import type { Pace } from '../../src/shaping/profiles.ts'
import { QUERY_BODY, Recorder, replyBody } from './observed.ts'
import { largeCoverBlocks } from './resolver-model.ts'
import type { Defence } from './simple-defences.ts'
import { COVER, emitted, LARGE, MORE, type SlotOptions } from './slots.ts'

/**
 * What is looked at of a link that is always on, from the moment the page begins: the observer is
 * told when that is.
 */
const WINDOW_MS = 30_000
const LONGEST_MS = 900_000

/**
 * Real queries substituted into the slots of a schedule that does not depend on them. A query that
 * found no slot in time counts as having waited for all of it. A query of two cells is answered
 * once, after its second.
 */
export const constantRate =
  (pace: Pace, o: Pick<SlotOptions, 'heldPercent' | 'heldBelow' | 'among'> = {}): Defence =>
  (visit, chance, resolver, untilMs = pace.alwaysOn ? WINDOW_MS : LONGEST_MS) => {
    const { atMs, which } = emitted(pace, visit.atMs, untilMs, chance, {
      ...o,
      cells: visit.queryCells,
      largeShare: resolver.largeShare,
    })
    const recorder = new Recorder()
    const waitsMs = visit.atMs.map((arrivedMs) => Math.max(0, untilMs - arrivedMs))
    let asked = COVER
    atMs.forEach((slotMs, at) => {
      const i = which[at] ?? COVER
      recorder.add(slotMs, QUERY_BODY)
      if (i !== MORE) asked = i
      if (i >= 0) waitsMs[i] = slotMs - (visit.atMs[i] ?? 0)
      if (which[at + 1] === MORE) return
      if (asked >= 0) recorder.add(slotMs + resolver.real(visit, asked, chance), -replyBody(visit.replyBlocks[asked] ?? 1))
      else
        recorder.add(slotMs + resolver.cover(chance), -replyBody(asked === LARGE ? largeCoverBlocks(chance) : resolver.coverBlocks(chance)))
    })
    const inTime = visit.atMs.filter((arrivedMs) => arrivedMs < untilMs).length
    return { seen: recorder.seen(), cells: atMs.length, queries: inTime, waitsMs: waitsMs.slice(0, inTime) }
  }
