import { ReplySizes } from '../../src/shaping/likeness.ts'
import { PACES, type PacedProfile } from '../../src/shaping/profiles.ts'
import { tableOf } from '../adversary/forest.ts'
import { accuracy, auc, decided, type Estimate } from '../adversary/metrics.ts'
import { aPage } from '../adversary/onset.ts'
import type { TaskPool } from '../adversary/task-pool.ts'
import type { Chance } from './chance.ts'
import { cellOctets } from './observed.ts'
import { largeCoverBlocks } from './resolver-model.ts'
import { emitted } from './slots.ts'

/** What is asked in an hour: times of queries, ms, sorted. */
const SCENARIOS: Readonly<Record<string, (chance: Chance) => readonly number[]>> = {
  idle: () => [],
  beacon: (chance) => every(60_000, chance, () => 1),
  mail: (chance) => every(300_000, chance, () => 2 + chance.below(2)),
  chat: (chance) => poisson(40_000, chance, () => 1 + chance.below(3)),
  browsing: (chance) => pages(30, chance),
  call: (chance) => [...pages(2, chance), ...every(20_000, chance, () => 1 + chance.below(2), 0.4)],
}

/** One scenario under one profile. */
export interface ScenarioRow {
  readonly scenario: string
  readonly megabytesAnHour: number
  /** The share of the hour in which a session is open. */
  readonly openShare: number
}

/** What a profile costs by the hour, and what an hour's on and off tells. */
export interface ScenarioReport {
  readonly profile: PacedProfile
  readonly rows: readonly ScenarioRow[]
  /** How often the kind of load is named, of six, from when the link was on. */
  readonly told: Estimate
  /** Whether a second page came 10 to 20 s after the first, AUC from when the link was on. */
  readonly second: Estimate
}

const HOUR_MS = 3_600_000
const SECOND_MS = { from: 10_000, to: 20_000 }
/** A link that says nothing for so long is off. */
const OFF_MS = 2000
const FEATURES_OF_AN_HOUR = 24

/**
 * `hours` of each scenario, half of them learnt from; as many pairs of pages. A link that is always
 * on is looked at for a few hours: they are all alike.
 */
export async function scenarios(profile: PacedProfile, hours: number, pool: TaskPool, root: Chance): Promise<ScenarioReport> {
  const chance = root.fork(`scenarios ${profile}`)
  const each = PACES[profile].alwaysOn ? Math.min(hours, 8) : hours
  const kinds = Object.entries(SCENARIOS)
  const values = new Float32Array(kinds.length * each * FEATURES_OF_AN_HOUR)
  const labels = new Uint16Array(kinds.length * each)
  const rows = kinds.map(([scenario, load], kind) => {
    let [cells, openMs] = [0, 0]
    for (let hour = 0; hour < each; hour++) {
      const draw = chance.fork(`${scenario} ${hour}`)
      const arrivals = Float64Array.from(load(draw).filter((atMs) => atMs < HOUR_MS)).sort()
      const { atMs } = emitted(PACES[profile], arrivals, HOUR_MS, draw)
      const sessions = sessionsOf(atMs)
      const at = kind * each + hour
      labels[at] = kind
      hourFeatures(sessions, values, at * FEATURES_OF_AN_HOUR)
      cells += atMs.length
      openMs += sessions.reduce((sum, [from, to]) => sum + to - from, 0)
    }
    return { scenario, megabytesAnHour: (cells * meanCellOctets(root)) / each / 1e6, openShare: openMs / each / HOUR_MS }
  })
  return { profile, rows, told: await told(values, labels, kinds.length, pool, profile), second: secondVisit(profile, hours * 4, chance) }
}

/** Of a cell with its reply, large ones and headers counted. */
function meanCellOctets(root: Chance): number {
  const chance = root.fork('sizes')
  const draws = 1000
  const share = new ReplySizes().largeShare()
  let sum = 0
  for (let i = 0; i < draws; i++) sum += (1 - share) * cellOctets(1) + share * cellOctets(largeCoverBlocks(chance))
  return sum / draws
}

async function told(values: Float32Array, labels: Uint16Array, classes: number, pool: TaskPool, seed: string): Promise<Estimate> {
  const rows = Uint32Array.from(labels.keys())
  const halves = { training: rows.filter((row) => row % 2 === 0), tested: rows.filter((row) => row % 2 === 1) }
  const table = tableOf(values, FEATURES_OF_AN_HOUR, (row) => row % 2 === 0, true)
  const votes = await pool.forest(table, labels, halves, { trees: 60, classes, seed: `scenarios ${seed}` })
  return accuracy(
    decided(votes, classes),
    Uint16Array.from(halves.tested, (row) => labels[row] ?? 0),
  )
}

function secondVisit(profile: PacedProfile, pairs: number, chance: Chance): Estimate {
  const score = (i: number, twice: boolean) => {
    const draw = chance.fork(`second ${i} ${twice}`)
    const first = aPage(draw, 2 * i).atMs
    const laterMs = draw.between(SECOND_MS.from, SECOND_MS.to)
    const second = twice ? aPage(draw, 2 * i + 1).atMs.map((atMs) => atMs + laterMs) : []
    const { atMs } = emitted(PACES[profile], Float64Array.from([...first, ...second]).sort(), 300_000, draw)
    return sessionsOf(atMs).reduce((sum, [from, to]) => sum + to - from, 0)
  }
  const indices = Array.from({ length: pairs }, (_, i) => i)
  return auc(
    indices.map((i) => score(i, true)),
    indices.map((i) => score(i, false)),
  )
}

function sessionsOf(atMs: Float64Array): readonly (readonly [fromMs: number, toMs: number])[] {
  const sessions: [number, number][] = []
  for (const at of atMs) {
    const last = sessions.at(-1)
    if (last !== undefined && at - last[1] < OFF_MS) last[1] = at
    else sessions.push([at, at])
  }
  return sessions
}

/** How many sessions, how long, how far apart; and the open share of each twelfth of the hour. */
function hourFeatures(sessions: readonly (readonly [number, number])[], into: Float32Array, at: number): void {
  const lengths = sessions.map(([from, to]) => to - from).sort((a, b) => a - b)
  const starts = sessions.slice(1).map(([from], i) => from - (sessions[i]?.[0] ?? 0))
  const gaps = starts.sort((a, b) => a - b)
  const some = (sorted: readonly number[], q: number) => sorted[Math.floor(q * (sorted.length - 1))] ?? -1
  const twelfths = Array.from({ length: 12 }, (_, i) => {
    const [from, to] = [(i * HOUR_MS) / 12, ((i + 1) * HOUR_MS) / 12]
    return sessions.reduce((sum, [a, b]) => sum + Math.max(0, Math.min(b, to) - Math.max(a, from)), 0)
  })
  const quantiles = [0, 0.25, 0.5, 0.75, 1]
  into.set(
    [
      sessions.length,
      twelfths.reduce((a, b) => a + b, 0),
      ...quantiles.map((q) => some(lengths, q)),
      ...quantiles.map((q) => some(gaps, q)),
      ...twelfths,
    ],
    at,
  )
}

function every(ms: number, chance: Chance, burst: () => number, share = 1): number[] {
  const times: number[] = []
  const first = chance.between(0, ms + (1 - share) * HOUR_MS)
  for (let atMs = first; atMs < Math.min(HOUR_MS, first + share * HOUR_MS); atMs += ms)
    for (let n = burst(); n > 0; n--) times.push(atMs + chance.exponential(30))
  return times
}

function poisson(meanMs: number, chance: Chance, burst: () => number): number[] {
  const times: number[] = []
  for (let atMs = chance.exponential(meanMs); atMs < HOUR_MS; atMs += chance.exponential(meanMs))
    for (let n = burst(); n > 0; n--) times.push(atMs + chance.exponential(20))
  return times
}

function pages(mean: number, chance: Chance): number[] {
  const times: number[] = []
  for (let atMs = chance.exponential(HOUR_MS / mean); atMs < HOUR_MS; atMs += chance.exponential(HOUR_MS / mean))
    for (const queryMs of aPage(chance, Math.floor(atMs)).atMs) times.push(atMs + queryMs)
  return times
}
