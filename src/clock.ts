import { randomBytes, randomInt } from 'node:crypto'
import { uptime } from 'node:os'
import { performance } from 'node:perf_hooks'

/** A timer that was set. `cancel` may be called repeatedly, also after the timer fired. */
export interface Timer {
  cancel(): void
}

/**
 * The source of time, injected. `nowMs` is boot time: it never goes back, and it continues during a
 * suspend (as TTLs must). `wallMs` is for people and certificates.
 */
export interface Clock {
  nowMs(): number
  wallMs(): number
  /**
   * How much boot time passed in suspends, as far as they were noticed; absent if the clock cannot
   * tell.
   */
  sleptMs?(): number
  /**
   * Calls `fn` once after `delayMs` (0 or more) of running time. A timer never keeps the process
   * alive.
   */
  setTimer(delayMs: number, fn: () => void): Timer
  /**
   * Calls `prepare` shortly before `dueMs` and `fn` at a random time in the millisecond after it,
   * once each, independent of other events: no other code runs in this thread for the last one to
   * three milliseconds. For actions whose time an observer may measure.
   */
  setExactTimer(dueMs: number, prepare: () => void, fn: () => void): Timer
}

/** One instant on both clocks: boot time for ages, wall time for people. */
export interface Instant {
  readonly ms: number
  readonly wallMs: number
}

/**
 * The source of randomness, injected; the real one is the crypto source, never Math.random
 * (CVE-2025-40780).
 */
export interface Random {
  /** A uniform integer in [0, limit), limit from 1 to 2^48-1. */
  below(limit: number): number
  bytes(length: number): Uint8Array
}

/** A smaller jump between the wall clock and the monotonic clock is drift, not a suspend. */
const JUMP_MS = 250
/**
 * How long the monotonic clock is used before it is compared with the wall clock again: a cache
 * miss reads the time three times.
 */
const CHECK_EVERY_MS = 1

/**
 * The real clock. The monotonic clock stops during a suspend, and to read boot time costs 4.7 us
 * (it opens /proc/uptime). So boot time is read again only when the wall clock has moved against
 * the monotonic one: 0.1 us per call otherwise, 0.26 us once per millisecond.
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

/** The longest time that a thread sleeps before an exact timer. */
const LONGEST_SLEEP_MS = 4
/**
 * The remaining inaccuracy, about 5 us by which one task takes longer than another, is hidden by a
 * random part of a millisecond.
 */
const BLUR_STEPS = 1_000_000
/** Never notified, so a wait on it only times out. */
const NEVER = new Int32Array(new SharedArrayBuffer(4))

/**
 * Calls `prepare` shortly before `leftMs` returns 0, and `fn` at a random time in the millisecond
 * after it.
 *
 * libuv sleeps for whole milliseconds from the last event. How late within a millisecond a timer
 * fires would reveal, to an observer who knows the time of that event (a reply on the link),
 * whether another event came after it (a query of a client). So the timer is set for the whole
 * millisecond before the last, and the thread sleeps for the rest. Called from `setImmediate`,
 * because only there libuv's cached time is fresh.
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

/** libuv's clock: its timers use only whole milliseconds of it. */
function hrtimeMs(): number {
  const [seconds, ns] = process.hrtime()
  return seconds * 1000 + ns / 1e6
}

const A_DAY_MS = 86_400_000

/**
 * Keeps this process alive until the returned function is called. Timers of a `Clock` and the
 * sockets of links do not.
 */
export function keepAlive(): () => void {
  const handle = setInterval(() => {}, A_DAY_MS)
  return () => clearInterval(handle)
}
