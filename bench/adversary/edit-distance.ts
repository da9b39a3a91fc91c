import { SYMBOLS } from './features.ts'

const BAND = 12
const RIVALS = 32
const NEIGHBOURS = 5
const CODES = 16 * 15 + 1
const COARSE = 32

/**
 * A3: for each tested row the class of most of its five nearest training rows, nearer ones weighing
 * more. Nearest by an edit distance with costs for gap and size (Bushart and Rossow, FOCI 2020),
 * inside a band of 12, among the 32 rows whose symbol counts differ least.
 */
export function nearest(
  symbols: Uint8Array,
  labels: Uint16Array,
  training: Uint32Array,
  tested: Uint32Array,
  classes: number,
): Uint16Array {
  const counts = coarseCounts(symbols)
  const lengths = Uint16Array.from({ length: symbols.length / SYMBOLS }, (_, row) => lengthOf(symbols, row * SYMBOLS))
  const rivals = new Float64Array(training.length)
  const votes = new Float64Array(classes)
  return Uint16Array.from(tested, (row) => {
    for (let i = 0; i < training.length; i++) rivals[i] = apart(counts, row, training[i]!) * 2 ** 20 + i
    const near = smallest(rivals, RIVALS).map((i) => {
      const other = training[i]!
      return { label: labels[other]!, distance: distance(symbols, row, lengths[row]!, other, lengths[other]!) }
    })
    near.sort((a, b) => a.distance - b.distance)
    votes.fill(0)
    for (const { label, distance: d } of near.slice(0, NEIGHBOURS)) votes[label]! += 1 / (0.1 + d)
    return votes.indexOf(Math.max(...votes))
  })
}

function lengthOf(symbols: Uint8Array, at: number): number {
  let length = 0
  while (length < SYMBOLS && symbols[at + length] !== 0) length++
  return length
}

/** Symbols of a row by direction and gap, capped at 255. */
function coarseCounts(symbols: Uint8Array): Uint8Array {
  const rows = symbols.length / SYMBOLS
  const counts = new Uint8Array(rows * COARSE)
  for (let row = 0; row < rows; row++)
    for (let i = 0; i < SYMBOLS; i++) {
      const symbol = symbols[row * SYMBOLS + i]! - 1
      if (symbol < 0) break
      const at = row * COARSE + (symbol >= 8 * 15 ? 16 : 0) + (symbol % 15)
      if (counts[at]! < 255) counts[at]! += 1
    }
  return counts
}

function apart(counts: Uint8Array, a: number, b: number): number {
  let sum = 0
  const [x, y] = [a * COARSE, b * COARSE]
  for (let i = 0; i < COARSE; i++) sum += Math.abs(counts[x + i]! - counts[y + i]!)
  return sum
}

/** Indices of the `many` smallest; each value carries its own index in its low 20 bits. */
function smallest(values: Float64Array, many: number): readonly number[] {
  const heap: number[] = []
  let worst = Number.POSITIVE_INFINITY
  for (const value of values) {
    if (heap.length >= many && value >= worst) continue
    let at = heap.length
    while (at > 0 && heap[at - 1]! > value) at--
    heap.splice(at, 0, value)
    if (heap.length > many) heap.pop()
    if (heap.length === many) worst = heap[many - 1]!
  }
  return heap.map((value) => value % 2 ** 20)
}

const COST = costs()

/**
 * Of turning one symbol into another: half for another size or direction, a quarter for each bin of
 * gap up to half.
 */
function costs(): Float32Array {
  const table = new Float32Array(CODES * CODES)
  for (let a = 1; a < CODES; a++)
    for (let b = 1; b < CODES; b++) {
      const [x, y] = [a - 1, b - 1]
      const size = Math.floor(x / 15) === Math.floor(y / 15) ? 0 : 0.5
      table[a * CODES + b] = size + Math.min(0.5, Math.abs((x % 15) - (y % 15)) / 4)
    }
  return table
}

const FAR = 1e9
let before = new Float32Array(SYMBOLS + 2)
let now = new Float32Array(SYMBOLS + 2)

/** Edit distance over the length of both; a symbol more or less costs 1. */
function distance(symbols: Uint8Array, a: number, lengthA: number, b: number, lengthB: number): number {
  if (Math.abs(lengthA - lengthB) > BAND) return 1 + Math.abs(lengthA - lengthB) / (lengthA + lengthB)
  for (let j = 0; j <= Math.min(lengthB, BAND); j++) before[j] = j
  before[Math.min(lengthB, BAND) + 1] = FAR
  for (let i = 1; i <= lengthA; i++) {
    const low = Math.max(0, i - BAND)
    const high = Math.min(lengthB, i + BAND)
    if (low > 0) now[low - 1] = FAR
    now[high + 1] = FAR
    const row = symbols[a * SYMBOLS + i - 1]! * CODES
    for (let j = low; j <= high; j++) {
      let least = before[j]! + 1
      if (j > 0) {
        const turned = before[j - 1]! + COST[row + symbols[b * SYMBOLS + j - 1]!]!
        if (turned < least) least = turned
        if (now[j - 1]! + 1 < least) least = now[j - 1]! + 1
      }
      now[j] = least
    }
    ;[before, now] = [now, before]
  }
  return before[lengthB]! / Math.max(1, lengthA + lengthB)
}
