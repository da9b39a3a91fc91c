/** A median, and between which values it lies with a confidence of 95 %. */
export interface Estimate {
  readonly median: number
  readonly low: number
  readonly high: number
  readonly of: number
}

/**
 * From at least ten values, without assuming anything of how they are spread: the interval is
 * between order statistics (a sign test turned round).
 */
export function estimate(values: readonly number[]): Estimate {
  const sorted = [...values].sort((a, b) => a - b)
  const n = sorted.length
  if (n < 10) throw new Error(`${n} values say nothing`)
  const half = (1.96 * Math.sqrt(n)) / 2
  const at = (rank: number) => sorted[Math.max(0, Math.min(n - 1, rank))] ?? Number.NaN
  return {
    median: (at(Math.floor((n - 1) / 2)) + at(Math.ceil((n - 1) / 2))) / 2,
    low: at(Math.floor(n / 2 - half)),
    high: at(Math.ceil(n / 2 + half)),
    of: n,
  }
}
