import { grow, tableOf } from '../adversary/forest.ts'
import { decided } from '../adversary/metrics.ts'

/** One record out, and what it held. */
export interface Cell {
  readonly atMs: number
  /** When the record before it came back. */
  readonly heardMs: number
  readonly real: boolean
}

const FEATURES = 11
const TREES = 200

/**
 * Whether the exact moment at which a record leaves tells a real cell from a cover: a random forest
 * on how late it is within its slot, how late its neighbours are, the gaps between them, and how
 * far each is from whole milliseconds after what was heard last (what an event loop that sleeps for
 * whole ones gives away); half of the cells to learn from (the first half in time), the other to be
 * judged, as many real ones as covers in each.
 */
export function classify(cells: readonly Cell[], slotMs: number) {
  const late = lateness(cells, slotMs)
  const rows = balanced(cells)
  const values = new Float32Array(rows.length * FEATURES)
  const gap = (i: number) => (cells[i]?.atMs ?? 0) - (cells[i - 1]?.atMs ?? 0)
  const heard = (i: number) => {
    const { atMs = 0, heardMs = 0 } = cells[i] ?? {}
    return [atMs - heardMs, (atMs - heardMs) % 1]
  }
  rows.forEach((i, row) => {
    const lateAround = [late[i] ?? 0, late[i - 1] ?? 0, late[i + 1] ?? 0, late[i + 2] ?? 0]
    values.set([...lateAround, gap(i), gap(i + 1), gap(i + 2), ...heard(i), ...heard(i + 1)], row * FEATURES)
  })
  const labels = Uint16Array.from(rows, (i) => (cells[i]?.real ? 1 : 0))
  const half = rows.length >> 1
  const training = Uint32Array.from({ length: half }, (_, row) => row)
  const tested = Uint32Array.from({ length: rows.length - half }, (_, row) => half + row)
  const table = tableOf(values, FEATURES, (row) => row < half)
  const votes = grow(table, labels, training, tested, { trees: TREES, classes: 2, seed: 'micro-timing' })
  const said = decided(votes, 2)
  const right = tested.filter((row, i) => said[i] === labels[row]).length
  const lateOf = (real: boolean) => rows.filter((i) => cells[i]?.real === real).map((i) => late[i] ?? 0)
  return { right, tested: tested.length, positives: lateOf(true), negatives: lateOf(false) }
}

/**
 * How far each cell is from the grid, which is taken from its 100 neighbours: sessions have phases
 * of their own, and clocks drift.
 */
function lateness(cells: readonly Cell[], slotMs: number): readonly number[] {
  return cells.map(({ atMs }, i) => {
    const around = cells.slice(Math.max(0, i - 50), i + 50).map((c) => ((c.atMs - atMs + slotMs * 1e6 + slotMs / 2) % slotMs) - slotMs / 2)
    return -(around.sort((a, b) => a - b)[around.length >> 1] ?? 0)
  })
}

/**
 * Indices of all cells of the rarer kind and of as many of the other, in time order, the same share
 * of both in each half.
 */
function balanced(cells: readonly Cell[]): readonly number[] {
  const middle = cells.length >> 1
  const pick = (from: number, to: number) => {
    const real: number[] = []
    const cover: number[] = []
    for (let i = from; i < to; i++) (cells[i]?.real ? real : cover).push(i)
    const [few, many] = real.length < cover.length ? [real, cover] : [cover, real]
    const step = many.length / Math.max(1, few.length)
    return [...few, ...few.flatMap((_, k) => many[Math.floor(k * step)] ?? [])].sort((a, b) => a - b)
  }
  return [...pick(1, middle), ...pick(middle, cells.length - 3)]
}
