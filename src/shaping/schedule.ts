import type { Random } from '../clock.ts'
import type { Pace } from './profiles.ts'

/**
 * What a slot is used for. `more`: the next record of the cell that began in an earlier slot.
 * `close`: nothing is sent, and the session is over.
 */
export type SlotUse = 'real' | 'cover' | 'more' | 'close'

/** The result of `take`. */
export interface TakenSlot {
  readonly slot: SlotUse
  /** The scheduled time of the slot. */
  readonly dueMs: number
}

/**
 * Decides when cells are sent over one link. It is pure state without a clock, so it works with a
 * real timer and with virtual time.
 *
 * Use: call `arrived(now)` for every real query; wait until `dueMs`; then call `take(now, waiting)`
 * once and act on its result. Repeat while `dueMs` is finite.
 *
 * The times depend only on the opening of the session, its random phase, and the pace. They do not
 * depend on how many queries wait, or on how late a slot was taken. Real queries decide only when a
 * session opens, and at which multiple of its step it ends. It calls `random` once per session.
 */
export interface Schedule {
  /** The time of the next slot, in the caller's time. Infinity: no session is open. */
  readonly dueMs: number
  /**
   * The number of records of the cell that begins in the next slot. The first record is sent in
   * that slot, the others in the slots after it. 0: the slot belongs to a cell that began before.
   */
  readonly records: number
  /** Whether a session is open. */
  readonly open: boolean
  /** Number of sessions opened so far. */
  readonly sessions: number
  /** A real query came: opens a session if none is open. */
  arrived(nowMs: number): void
  /** Opens a session without a query. For `alwaysOn`, once at the start. */
  begin(nowMs: number): void
  /**
   * Takes the slot that is due. `waiting`: how many real cells wait. If the caller is late by more
   * than a slot, the slots in between are lost. They are not sent later in a burst.
   */
  take(nowMs: number, waiting: number): TakenSlot
  /**
   * Ends the session at its next step even if it is not idle, because covers are used up or the
   * resolver refuses them. Until then the rate does not change.
   */
  endAtStep(): void
}

/**
 * Long cells. A query that fills two or three records gets only one reply, so an observer who
 * counts replies could find long queries. Therefore each twentieth slot begins a cell of two or
 * three records, alternately. This does not depend on the waiting queries, and long queries wait
 * for these slots. Long cells take 7.5 % of the slots.
 */
const LONG_CELLS = { everySlots: 20, firstAt: 10 }

/**
 * The number of records of the cell that begins in a slot, by the slot's index in the session. 0:
 * no cell begins there.
 */
export function recordsAt(index: number): number {
  const { everySlots, firstAt } = LONG_CELLS
  const since = (index + everySlots - firstAt) % everySlots
  const records = ((index - since - firstAt) / everySlots) % 2 === 0 ? 2 : 3
  if (since === 0) return records
  return since < records ? 0 : 1
}

/** The precision of a phase. It is finer than any observer's clock on a network. */
const PHASE_STEPS = 1_000_000

/** The number of slots of one step, if each step begins with the opening. Otherwise Infinity. */
function slotsAStep(pace: Pace): number {
  return pace.restartsEachStep === true ? slotWithin(pace, pace.stepMs - Number.EPSILON * pace.stepMs) : Number.POSITIVE_INFINITY
}

/** The time of the slot `index` relative to the first one, in ms. */
export function slotOffsetMs(pace: Pace, index: number): number {
  const perStep = slotsAStep(pace)
  if (index < perStep) return offsetWithin(pace, index)
  return Math.floor(index / perStep) * pace.stepMs + offsetWithin(pace, index % perStep)
}

function offsetWithin(pace: Pace, index: number): number {
  let left = index
  let atMs = 0
  for (const { cells, everyMs } of pace.opening) {
    if (left <= cells) return atMs + left * everyMs
    left -= cells
    atMs += cells * everyMs
  }
  return atMs + left * pace.everyMs
}

/** The first slot later than `offsetMs` after the first one. */
function slotAfter(pace: Pace, offsetMs: number): number {
  if (pace.restartsEachStep !== true) return slotWithin(pace, offsetMs)
  const steps = Math.floor(offsetMs / pace.stepMs)
  return steps * slotsAStep(pace) + Math.min(slotsAStep(pace), slotWithin(pace, offsetMs - steps * pace.stepMs))
}

/** The same within one step. */
function slotWithin(pace: Pace, offsetMs: number): number {
  let index = 0
  let leftMs = offsetMs
  for (const { cells, everyMs } of pace.opening) {
    if (leftMs < cells * everyMs) return index + Math.floor(leftMs / everyMs) + 1
    index += cells
    leftMs -= cells * everyMs
  }
  return index + Math.floor(leftMs / pace.everyMs) + 1
}

/** Makes a schedule without an open session. */
export function createSchedule(pace: Pace, random: Random): Schedule {
  const firstGapMs = pace.opening[0]?.everyMs ?? pace.everyMs
  let open = false
  let sessions = 0
  let firstMs = 0
  let openedMs = 0
  let stepEndMs = 0
  let index = 0
  let lastRealMs = 0
  let ending = false
  let dueMs = Number.POSITIVE_INFINITY

  const begin = (nowMs: number) => {
    if (open) return
    open = true
    ending = false
    sessions++
    openedMs = nowMs
    lastRealMs = nowMs
    stepEndMs = openedMs + pace.stepMs
    // Each session has a new random phase, so that two links or devices are not synchronized.
    firstMs = openedMs + ((random.below(PHASE_STEPS) + 1) / PHASE_STEPS) * firstGapMs
    index = 0
    dueMs = firstMs
  }

  const close = () => {
    open = false
    dueMs = Number.POSITIVE_INFINITY
  }

  return {
    get dueMs() {
      return dueMs
    },
    get records() {
      return recordsAt(index)
    },
    get open() {
      return open
    },
    get sessions() {
      return sessions
    },
    begin,
    arrived(nowMs) {
      if (open) lastRealMs = nowMs
      else begin(nowMs)
    },
    take(nowMs, waiting) {
      const taken = dueMs
      if (taken >= stepEndMs) {
        const idle = waiting === 0 && taken - lastRealMs >= pace.idleMs
        if (ending || idle) {
          close()
          return { slot: 'close', dueMs: taken }
        }
        stepEndMs += pace.stepMs * (Math.floor((taken - stepEndMs) / pace.stepMs) + 1)
      }
      const slot = recordsAt(index) === 0 ? 'more' : waiting > 0 ? 'real' : 'cover'
      index++
      dueMs = firstMs + slotOffsetMs(pace, index)
      if (dueMs <= nowMs) {
        index = slotAfter(pace, nowMs - firstMs)
        dueMs = firstMs + slotOffsetMs(pace, index)
      }
      return { slot, dueMs: taken }
    },
    endAtStep() {
      ending = true
    },
  }
}
