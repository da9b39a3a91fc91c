import { randomBytes, randomInt } from 'node:crypto'
import { uptime } from 'node:os'
import { performance } from 'node:perf_hooks'

/** A timer that was set. `cancel` may be called any number of times, also after it fired. */
export interface Timer {
  cancel(): void
}

/**
 * Time, injected. `nowMs` is boot time: it never goes back, and it runs on through a suspend (TTLs
 * must). `wallMs` is for people and certificates.
 */
export interface Clock {
  nowMs(): number
  wallMs(): number
  /**
   * How much of boot time passed in suspends, as far as they were noticed; none where the clock
   * cannot tell.
   */
  sleptMs?(): number
  /**
   * Calls `fn` once after `delayMs` (0 and up) of running time. A timer never keeps the process
   * alive by itself.
   */
  setTimer(delayMs: number, fn: () => void): Timer
  /**
   * Calls `prepare` shortly before `dueMs` and `fn` in the millisecond after it, at random, once
   * each and whatever else happens until then: nothing else runs in this thread for the last one to
   * three milliseconds. For what somebody may take the time of.
   */
  setExactTimer(dueMs: number, prepare: () => void, fn: () => void): Timer
}

/** One moment on both clocks: boot time for ages, wall time for people. */
export interface Instant {
  readonly ms: number
  readonly wallMs: number
}

/** Randomness, injected; the real one is the crypto source, never Math.random (CVE-2025-40780). */
export interface Random {
  /** A uniform integer in [0, limit), limit from 1 to 2^48-1. */
  below(limit: number): number
  bytes(length: number): Uint8Array
}

/**
 * A jump between the wall clock and the monotonic one smaller than this is drift, not a suspend.
 */
const JUMP_MS = 250
/**
 * How long the monotonic clock may run before it is held against the wall clock again: a miss asks
 * for the time ten times.
 */
const CHECK_EVERY_MS = 1

/**
 * The real clock. The monotonic clock stands still during a suspend and reading boot time costs 4.7
 * us (it opens /proc/uptime), so boot time is read again only when the wall clock has moved against
 * the monotonic one: 0.1 us a call otherwise, 0.26 us once a millisecond.
 */
export function systemClock(): Clock {
  let offsetMs = uptime() * 1000 - performance.now()
  const awakeMs = offsetMs
  let drift = Date.now() - performance.now()
  let checkedAt = 0
  const nowMs = () => {
    const monotonic = performance.now()
    if (monotonic - checkedAt < CHECK_EVERY_MS) return monotonic + offsetMs
    checkedAt = monotonic
    const driftNow = Date.now() - monotonic
    if (Math.abs(driftNow - drift) > JUMP_MS) {
      drift = driftNow
      offsetMs = Math.max(offsetMs, uptime() * 1000 - monotonic)
    }
    return monotonic + offsetMs
  }
  return {
    nowMs,
    wallMs: () => Date.now(),
    sleptMs: () => offsetMs - awakeMs,
    setTimer(delayMs, fn) {
      const handle = setTimeout(fn, delayMs).unref()
      return { cancel: () => clearTimeout(handle) }
    },
    setExactTimer: (dueMs, prepare, fn) => exactTimer(() => dueMs - nowMs(), prepare, fn),
  }
}

/** The real source of randomness. */
export const systemRandom: Random = {
  below: (limit) => (limit <= 1 ? 0 : randomInt(limit)),
  bytes: (length) => randomBytes(length),
}

/** As long as a thread may sleep before a moment. */
const LONGEST_SLEEP_MS = 4
/**
 * What is left of it, some 5 us by which one thing to be done takes longer than another, drowns in
 * a random part of a millisecond.
 */
const BLUR_STEPS = 1_000_000
/** Nobody ever wakes who waits for it. */
const NEVER = new Int32Array(new SharedArrayBuffer(4))

/**
 * Calls `prepare` shortly before `leftMs` says 0, and `fn` in the millisecond after it, at random.
 *
 * libuv sleeps for whole milliseconds, counted from whatever woke it last: how late within a
 * millisecond a timer fires would tell those who know that time (a reply that came over the link)
 * whether anything else happened since (a client asked). So the timer is set for the whole
 * millisecond before the last, and the thread sleeps through the rest. From `setImmediate`, since
 * only there libuv's idea of the time is fresh.
 */
export function exactTimer(leftMs: () => number, prepare: () => void, fn: () => void): { cancel(): void } {
  let over = false
  let handle: NodeJS.Timeout | undefined
  const arm = () => {
    if (over) return
    const [nowMs, left] = [hrtimeMs(), leftMs()]
    const delayMs = Math.floor(nowMs + left) - 1 - Math.floor(nowMs)
    if (delayMs < 1) fire()
    else handle = setTimeout(fire, delayMs).unref()
  }
  const fire = () => {
    if (over) return
    if (leftMs() > LONGEST_SLEEP_MS) return arm()
    over = true
    prepare()
    const laterMs = randomInt(BLUR_STEPS) / BLUR_STEPS
    for (let left = leftMs() + laterMs; left > 0; left = leftMs() + laterMs) Atomics.wait(NEVER, 0, 0, left)
    fn()
  }
  const first = setImmediate(arm)
  return {
    cancel() {
      over = true
      clearImmediate(first)
      clearTimeout(handle)
    },
  }
}

/** libuv's clock: its timers know no more of it than the whole milliseconds. */
function hrtimeMs(): number {
  const [seconds, ns] = process.hrtime()
  return seconds * 1000 + ns / 1e6
}
