/** A figure and the interval that holds it 95 times in 100. */
export interface Estimate {
  readonly value: number
  readonly low: number
  readonly high: number
}

const Z = 1.959964

/** Wilson's score interval for `right` of `all`. */
export function wilson(right: number, all: number): Estimate {
  if (all === 0) return { value: 0, low: 0, high: 1 }
  const share = right / all
  const middle = (share + (Z * Z) / (2 * all)) / (1 + (Z * Z) / all)
  const half = (Z / (1 + (Z * Z) / all)) * Math.sqrt((share * (1 - share)) / all + (Z * Z) / (4 * all * all))
  return { value: share, low: Math.max(0, middle - half), high: Math.min(1, middle + half) }
}

/**
 * Area under the ROC curve: how often a positive scores above a negative, ties counting half.
 * Interval after Hanley and McNeil (1982).
 */
export function auc(positives: readonly number[], negatives: readonly number[]): Estimate {
  const all = [...positives.map((score) => ({ score, positive: true })), ...negatives.map((score) => ({ score, positive: false }))]
  all.sort((a, b) => a.score - b.score)
  let ranks = 0
  for (let i = 0; i < all.length; ) {
    let end = i
    while (end < all.length && all[end]?.score === all[i]?.score) end++
    const rank = (i + end + 1) / 2
    for (; i < end; i++) if (all[i]?.positive) ranks += rank
  }
  const [p, n] = [positives.length, negatives.length]
  const value = p === 0 || n === 0 ? 0.5 : (ranks - (p * (p + 1)) / 2) / (p * n)
  const [q1, q2] = [value / (2 - value), (2 * value * value) / (1 + value)]
  const variance = (value * (1 - value) + (p - 1) * (q1 - value * value) + (n - 1) * (q2 - value * value)) / Math.max(1, p * n)
  const half = Z * Math.sqrt(Math.max(0, variance))
  return { value, low: Math.max(0, value - half), high: Math.min(1, value + half) }
}

/** The class with the most votes in each row. */
export function decided(votes: Float32Array, classes: number): Uint16Array {
  const rows = votes.length / classes
  return Uint16Array.from({ length: rows }, (_, row) => {
    let best = 0
    for (let c = 1; c < classes; c++) if ((votes[row * classes + c] ?? 0) > (votes[row * classes + best] ?? 0)) best = c
    return best
  })
}

/** The share of rows decided rightly. */
export function accuracy(said: Uint16Array, truth: Uint16Array): Estimate {
  let right = 0
  for (let i = 0; i < said.length; i++) if (said[i] === truth[i]) right++
  return wilson(right, said.length)
}

/**
 * Bits that the votes tell about the class, of log2(classes): the log-score of the votes mixed with
 * the uniform guess, which bounds mutual information from below. (Counting a confusion matrix would
 * find 1.8 bits in pure noise at a hundred classes and 4,000 rows.) The mixture is fitted on every
 * other row and measured on the rest.
 */
export function bits(votes: Float32Array, truth: Uint16Array, classes: number, trees: number): number {
  const gain = (share: number, parity: number) => {
    let [sum, rows] = [0, 0]
    for (let row = parity; row < truth.length; row += 2) {
      const voted = (votes[row * classes + (truth[row] ?? 0)] ?? 0) / trees
      sum += Math.log2(1 - share + share * voted * classes)
      rows++
    }
    return sum / Math.max(1, rows)
  }
  const shares = [0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99]
  const best = (parity: number) => shares.reduce((a, b) => (gain(b, parity) > gain(a, parity) ? b : a))
  return Math.max(0, (gain(best(0), 1) + gain(best(1), 0)) / 2)
}

/** Linear-interpolation quantile of sorted values. */
export function quantile(sorted: ArrayLike<number>, q: number): number {
  const at = q * (sorted.length - 1)
  const low = sorted[Math.floor(at)] ?? Number.NaN
  return low + (at - Math.floor(at)) * ((sorted[Math.ceil(at)] ?? low) - low)
}
