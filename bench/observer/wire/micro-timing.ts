import { tableOf } from '../../adversary/forest.ts'
import { accuracy, decided, type Estimate } from '../../adversary/metrics.ts'
import type { TaskPool } from '../../adversary/task-pool.ts'
import type { Chance } from '../chance.ts'
import { QUERY_BODY } from '../observed.ts'
import type { Visit } from '../pages.ts'
import { openLane } from './lane.ts'
import { startWireResolver } from './resolver.ts'
import type { Watched } from './servers.ts'

/**
 * How well real cells are told from covers by when they leave, to the microsecond; 0.5 is blind.
 */
export interface TimingRow {
  readonly id: string
  readonly title: string
  /** Cells that were classified, half of them real. */
  readonly cells: number
  readonly accuracy: Estimate
}

/** A cell as a tap saw it leave, and what the resolver found in it. */
export interface Cell {
  readonly atMs: number
  readonly real: boolean
}

const AROUND = 3
const COLUMNS = 4 * AROUND + 1
/** A pause longer than any slot: a session ended. */
const PAUSE_MS = 600
/**
 * A real cell is set beside a cover at nearly the same place of another session: where it stands
 * tells as much as when it leaves, and is not the question.
 */
const PLACES_APART = 4
const LANES = 5

/**
 * Loads pages through `one`, knows which cells were real from the resolver's side, and lets a
 * forest guess from the gaps around each.
 */
export async function microTiming(one: Watched, pages: readonly Visit[], pool: TaskPool, root: Chance): Promise<TimingRow> {
  const left = [...pages]
  const logs = await Promise.all(Array.from({ length: LANES }, (_, lane) => watchLane(one, left, root.fork(`timing ${one.id} ${lane}`))))
  const { values, labels, training, tested } = matched(logs.flatMap(sessionsOf), root.fork(`match ${one.id}`))
  const table = tableOf(values, COLUMNS, (row) => row < training.length, true)
  const votes = await pool.forest(table, labels, { training, tested }, { trees: 200, classes: 2, seed: `timing ${one.id}` })
  const truth = Uint16Array.from(tested, (row) => labels[row] ?? 0)
  return { id: one.id, title: one.title, cells: tested.length, accuracy: accuracy(decided(votes, 2), truth) }
}

async function watchLane(one: Watched, left: Visit[], chance: Chance): Promise<readonly Cell[]> {
  const kinds: boolean[] = []
  const resolver = await startWireResolver(chance, (real) => kinds.push(real))
  const lane = await openLane(one.peer, resolver)
  try {
    for (let page = left.pop(); page !== undefined; page = left.pop()) await lane.load(page, one.windowMs)
    const sent = lane.seen().filter(({ direction, octets }) => direction === 'out' && octets === QUERY_BODY + 5)
    // The resolver may not have read the last one yet.
    return sent.slice(0, kinds.length).map(({ atMs }, i) => ({ atMs, real: kinds[i] ?? false }))
  } finally {
    await lane.close()
    await resolver.close()
  }
}

/** Cut where the link was silent. */
export function sessionsOf(cells: readonly Cell[]): readonly (readonly Cell[])[] {
  const sessions: Cell[][] = []
  cells.forEach((cell, i) => {
    const before = cells[i - 1]
    if (before === undefined || cell.atMs - before.atMs > PAUSE_MS) sessions.push([])
    sessions.at(-1)?.push(cell)
  })
  return sessions
}

/**
 * Pairs of a real cell and a cover of the same place in a session of the same half; features are
 * the gaps around each. The first half of the rows is to learn from.
 */
export function matched(sessions: readonly (readonly Cell[])[], chance: Chance) {
  const rows: { readonly values: readonly number[]; readonly label: number; readonly half: number }[] = []
  for (const half of [0, 1]) {
    const mine = sessions.filter((_, i) => i % 2 === half)
    const covers = new Map<number, { readonly session: readonly Cell[]; readonly at: number }[]>()
    for (const session of mine)
      for (const [at, { real }] of session.entries()) {
        const place = Math.floor(at / PLACES_APART)
        if (!real && isInside(session, at)) covers.set(place, [...(covers.get(place) ?? []), { session, at }])
      }
    for (const session of mine)
      for (const [at, { real }] of session.entries()) {
        const there = covers.get(Math.floor(at / PLACES_APART))
        if (!real || there === undefined || there.length === 0 || !isInside(session, at)) continue
        const [cover] = there.splice(chance.below(there.length), 1)
        if (cover === undefined) continue
        rows.push({ values: gapsAround(session, at), label: 1, half }, { values: gapsAround(cover.session, cover.at), label: 0, half })
      }
  }
  const learnt = rows.filter(({ half }) => half === 0).length
  return {
    values: Float32Array.from(rows.flatMap(({ values }) => values)),
    labels: Uint16Array.from(rows, ({ label }) => label),
    training: Uint32Array.from({ length: learnt }, (_, i) => i),
    tested: Uint32Array.from({ length: rows.length - learnt }, (_, i) => learnt + i),
  }
}

const isInside = (session: readonly Cell[], at: number) => at >= AROUND && at + AROUND < session.length

/** Three gaps before and three after, each as it is and as it is beside the median of them. */
function gapsAround(session: readonly Cell[], at: number): readonly number[] {
  const gaps = Array.from(
    { length: 2 * AROUND },
    (_, k) => (session[at - AROUND + k + 1]?.atMs ?? 0) - (session[at - AROUND + k]?.atMs ?? 0),
  )
  const median = [...gaps].sort((a, b) => a - b)[AROUND] ?? 0
  return [...gaps, ...gaps.map((gap) => gap - median), (gaps[AROUND - 1] ?? 0) - (gaps[AROUND] ?? 0)]
}
