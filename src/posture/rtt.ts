/** How many round trips are remembered per resolver: enough for a p99 that means something, 2 KiB, and no count of queries beyond it. */
export const RTT_WINDOW = 256

/** How many medians are remembered per resolver. */
export const MEDIANS = 20

/** Percentiles over the window, in milliseconds with one decimal. `samples` is at most `RTT_WINDOW`. */
export interface RttSummary {
  readonly p50: number
  readonly p90: number
  readonly p99: number
  readonly samples: number
}

/**
 * A fixed ring of the latest round trips. The one mutable thing inside `State`: successive states share it, because copying 2 KiB
 * for every answer would cost more than everything else the reducer does. Nothing that decides a verdict reads it.
 */
export interface RttRing {
  readonly values: Float64Array
  next: number
  filled: number
  /** What `noteMedian` found, oldest first, at most `MEDIANS`: whole milliseconds, no two the same in a row. */
  medians: readonly number[]
}

/** An empty ring. */
export function rttRing(): RttRing {
  return { values: new Float64Array(RTT_WINDOW), next: 0, filled: 0, medians: [] }
}

/** Adds one round trip; what is no finite, non-negative number is left out. */
export function addRtt(ring: RttRing, rttMs: number): void {
  if (!(rttMs >= 0 && rttMs < Number.POSITIVE_INFINITY)) return
  ring.values[ring.next] = rttMs
  ring.next = (ring.next + 1) % RTT_WINDOW
  if (ring.filled < RTT_WINDOW) ring.filled++
}

/**
 * Notes the median of now; to be called at heartbeats. One that has not changed is not noted again: a row of equal ones, told apart by heartbeat, would tell for minutes
 * back when nobody asked, which one document does not tell otherwise.
 */
export function noteMedian(ring: RttRing): void {
  const median = summariseRtt(ring)?.p50
  if (median === undefined || Math.round(median) === ring.medians.at(-1)) return
  ring.medians = [...ring.medians, Math.round(median)].slice(-MEDIANS)
}

/** The percentiles (nearest rank), or undefined when nothing was measured. */
export function summariseRtt(ring: RttRing): RttSummary | undefined {
  const n = ring.filled
  if (n === 0) return undefined
  const sorted = ring.values.slice(0, n).sort()
  const at = (p: number) => Math.round((sorted[Math.ceil(p * n) - 1] ?? 0) * 10) / 10
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99), samples: n }
}
