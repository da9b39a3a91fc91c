import { type Chance, chance } from '../observer/chance.ts'

/** Features cut into bins, column by column: bins[f * rows + row]. */
export interface Table {
  readonly rows: number
  readonly columns: number
  readonly bins: Uint8Array
}

/** A random forest's size. */
export interface ForestPlan {
  readonly trees: number
  readonly classes: number
  readonly seed: string
}

const BINS = 64
const LEAST_TO_SPLIT = 3
/** Rows that are sorted sooner by insertion than by counting bins. */
const FEW = 24

/**
 * Cuts features at the quantiles of the rows that `isTraining` names, into at most 64 bins: splits
 * are then found by counting. `shared`: in memory that threads share.
 */
export function tableOf(values: Float32Array, columns: number, isTraining: (row: number) => boolean, shared = false): Table {
  const rows = values.length / columns
  const bins = new Uint8Array(shared ? new SharedArrayBuffer(rows * columns) : new ArrayBuffer(rows * columns))
  const training = Array.from({ length: rows }, (_, row) => row).filter(isTraining)
  const column = new Float32Array(training.length)
  for (let f = 0; f < columns; f++) {
    training.forEach((row, i) => {
      column[i] = values[row * columns + f] ?? 0
    })
    const edges = edgesOf(column.sort())
    for (let row = 0; row < rows; row++) bins[f * rows + row] = binOf(values[row * columns + f] ?? 0, edges)
  }
  return { rows, columns, bins }
}

/** Upper edges, distinct and rising; a value is in the first bin whose edge is not below it. */
function edgesOf(sorted: Float32Array): readonly number[] {
  const edges: number[] = []
  for (let b = 1; b < BINS; b++) {
    const edge = sorted[Math.min(sorted.length - 1, Math.floor((b * sorted.length) / BINS))] ?? 0
    if (edges.length === 0 || edge > (edges.at(-1) ?? 0)) edges.push(edge)
  }
  return edges
}

function binOf(value: number, edges: readonly number[]): number {
  let [low, high] = [0, edges.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((edges[middle] ?? 0) < value) low = middle + 1
    else high = middle
  }
  return low
}

/**
 * Grows trees number `first`, `first + every`, ... of a forest on the `training` rows and adds up
 * what they say of the `tested` ones: votes[test * classes + class]. Each tree has a seed of its
 * own: how trees are spread over threads changes nothing but the order of the sums.
 */
export function grow(
  table: Table,
  labels: Uint16Array,
  training: Uint32Array,
  tested: Uint32Array,
  plan: ForestPlan,
  first = 0,
  every = 1,
): Float32Array {
  const votes = new Float32Array(tested.length * plan.classes)
  const grower = new Grower(table, labels, training, tested, plan.classes)
  for (let tree = first; tree < plan.trees; tree += every) grower.tree(chance(`${plan.seed}/tree ${tree}`), votes)
  return votes
}

/**
 * One tree after another over the same buffers. Test rows walk down while the tree grows: no tree
 * is ever kept.
 */
class Grower {
  readonly #table: Table
  readonly #labels: Uint16Array
  readonly #training: Uint32Array
  readonly #tested: Uint32Array
  readonly #classes: number
  readonly #sample: Uint32Array
  readonly #walkers: Uint32Array
  readonly #keys: Int32Array
  readonly #sorted: Int32Array
  readonly #total: Int32Array
  readonly #left: Int32Array
  readonly #spare: Uint32Array
  readonly #columns: Uint32Array
  readonly #counts = new Int32Array(BINS + 1)
  readonly #tries: number

  constructor(table: Table, labels: Uint16Array, training: Uint32Array, tested: Uint32Array, classes: number) {
    this.#table = table
    this.#labels = labels
    this.#training = training
    this.#tested = tested
    this.#classes = classes
    this.#sample = new Uint32Array(training.length)
    this.#walkers = Uint32Array.from(tested, (_, i) => i)
    this.#keys = new Int32Array(training.length)
    this.#sorted = new Int32Array(training.length)
    this.#total = new Int32Array(classes)
    this.#left = new Int32Array(classes)
    this.#spare = new Uint32Array(Math.max(training.length, tested.length))
    this.#columns = Uint32Array.from({ length: table.columns }, (_, i) => i)
    this.#tries = Math.max(1, Math.round(Math.sqrt(table.columns) * 1.2))
  }

  tree(random: Chance, votes: Float32Array): void {
    const { length } = this.#training
    for (let i = 0; i < length; i++) this.#sample[i] = this.#training[random.below(length)]!
    const stack: (readonly [number, number, number, number])[] = [[0, length, 0, this.#tested.length]]
    for (;;) {
      const node = stack.pop()
      if (node === undefined) return
      const [start, end, from, to] = node
      if (from === to) continue // no test row comes here
      const split = this.#bestSplit(start, end, random)
      if (split === undefined) {
        this.#vote(start, end, from, to, votes)
        continue
      }
      const column = this.#table.bins.subarray(split.feature * this.#table.rows, (split.feature + 1) * this.#table.rows)
      const middle = partition(this.#sample, start, end, this.#spare, (row) => column[row]! <= split.bin)
      const tested = this.#tested
      const walked = partition(this.#walkers, from, to, this.#spare, (i) => column[tested[i]!]! <= split.bin)
      stack.push([start, middle, from, walked], [middle, end, walked, to])
    }
  }

  #bestSplit(start: number, end: number, random: Chance): { feature: number; bin: number } | undefined {
    const size = end - start
    if (size < LEAST_TO_SPLIT) return undefined
    const total = this.#total.fill(0)
    let squares = 0
    for (let i = start; i < end; i++) {
      const label = this.#labels[this.#sample[i]!]!
      squares += 2 * total[label]! + 1
      total[label] = total[label]! + 1
    }
    if (squares === size * size) return undefined // of one class
    let best: { feature: number; bin: number } | undefined
    let bestScore = squares / size + 1e-9
    const columns = this.#columns
    for (let tries = 0; tries < columns.length && (tries < this.#tries || best === undefined); tries++) {
      const pick = tries + random.below(columns.length - tries)
      const feature = columns[pick]!
      columns[pick] = columns[tries]!
      columns[tries] = feature
      const found = this.#sweep(feature, start, end, squares, bestScore)
      if (found === undefined) continue
      bestScore = found.score
      best = { feature, bin: found.bin }
    }
    return best
  }

  /**
   * Gini over every cut of one feature: labels in order of bin, sums of squares kept up to date
   * label by label.
   */
  #sweep(feature: number, start: number, end: number, squares: number, toBeat: number): { bin: number; score: number } | undefined {
    const size = end - start
    const sorted = this.#sortedKeys(feature, start, size)
    if (sorted === undefined) return undefined
    const left = this.#left
    const total = this.#total
    let inLeft = 0
    let inRight = squares
    let bestBin = -1
    let best = toBeat
    const last = size - 1
    for (let i = 0; i < last; i++) {
      const key = sorted[i]!
      const label = key & 0xffff
      const there = left[label]!
      inLeft += 2 * there + 1
      inRight -= 2 * (total[label]! - there) - 1
      left[label] = there + 1
      if (key >> 16 === sorted[i + 1]! >> 16) continue
      const score = inLeft / (i + 1) + inRight / (last - i)
      if (score > best) {
        best = score
        bestBin = key >> 16
      }
    }
    for (let i = 0; i < last; i++) left[sorted[i]! & 0xffff] = 0
    return bestBin < 0 ? undefined : { bin: bestBin, score: best }
  }

  /**
   * bin << 16 | label of a node's rows, in order of bin; undefined where all are in one bin. Few
   * are sorted by insertion, many by counting.
   */
  #sortedKeys(feature: number, start: number, size: number): Int32Array | undefined {
    const base = feature * this.#table.rows
    const bins = this.#table.bins
    const labels = this.#labels
    const sample = this.#sample
    const keys = this.#keys
    let lowest = BINS
    let highest = 0
    for (let i = 0; i < size; i++) {
      const row = sample[start + i]!
      const bin = bins[base + row]!
      keys[i] = (bin << 16) | labels[row]!
      if (bin < lowest) lowest = bin
      if (bin > highest) highest = bin
    }
    if (lowest === highest) return undefined
    if (size <= FEW) {
      for (let i = 1; i < size; i++) {
        const key = keys[i]!
        let at = i
        for (; at > 0 && keys[at - 1]! > key; at--) keys[at] = keys[at - 1]!
        keys[at] = key
      }
      return keys
    }
    const counts = this.#counts.fill(0)
    for (let i = 0; i < size; i++) counts[(keys[i]! >> 16) + 1]! += 1
    for (let b = lowest + 1; b <= highest; b++) counts[b]! += counts[b - 1]!
    const sorted = this.#sorted
    for (let i = 0; i < size; i++) {
      const key = keys[i]!
      const bin = key >> 16
      sorted[counts[bin]!] = key
      counts[bin]! += 1
    }
    return sorted
  }

  #vote(start: number, end: number, from: number, to: number, votes: Float32Array): void {
    const share = 1 / (end - start)
    for (let i = start; i < end; i++) {
      const label = this.#labels[this.#sample[i]!]!
      for (let w = from; w < to; w++) {
        const at = this.#walkers[w]! * this.#classes + label
        votes[at] = votes[at]! + share
      }
    }
  }
}

/** Keeps the order on both sides; where the right one begins. */
function partition(rows: Uint32Array, start: number, end: number, spare: Uint32Array, goesLeft: (row: number) => boolean): number {
  let [left, right] = [start, 0]
  for (let i = start; i < end; i++) {
    const row = rows[i]!
    if (goesLeft(row)) rows[left++] = row
    else spare[right++] = row
  }
  for (let i = 0; i < right; i++) rows[left + i] = spare[i]!
  return left
}
