import { randomInt } from 'node:crypto'

/** As long as a thread may sleep before a moment. */
const LONGEST_SLEEP_MS = 4
/** What is left of it, some 5 us by which one thing to be done takes longer than another, drowns in a random part of a millisecond. */
const BLUR_STEPS = 1_000_000
/** Nobody ever wakes who waits for it. */
const NEVER = new Int32Array(new SharedArrayBuffer(4))

/**
 * Calls `prepare` shortly before `leftMs` says 0, and `fn` in the millisecond after it, at random.
 *
 * libuv sleeps for whole milliseconds, counted from whatever woke it last: how late within a millisecond a timer fires would tell those who know that time (a reply that
 * came over the link) whether anything else happened since (a client asked). So the timer is set for the whole millisecond before the last, and the thread sleeps through
 * the rest. From `setImmediate`, since only there libuv's idea of the time is fresh.
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
