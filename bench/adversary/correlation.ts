import type { Chance } from '../observer/chance.ts'
import type { Entry } from '../observer/line-up.ts'
import { cut, type Seen } from '../observer/observed.ts'
import { joined, later, type Visit, workload } from '../observer/pages.ts'
import { resolverModel } from '../observer/resolver-model.ts'
import { auc, type Estimate } from './metrics.ts'
import { aPage } from './onset.ts'

/**
 * What two sides are matched: the queries that a host makes and its link; or the links of two
 * devices whose users write to each other.
 */
export type Pairing = 'lan-wan' | 'conversation'
/** `within`: both sides' sessions run throughout. `whole`: with the beginning and the end of it. */
export type Span = 'within' | 'whole'

interface Sides {
  readonly one: Seen
  readonly other: Seen
}

const PRIMED_MS = 500
const SPAN_MS = { within: 14_000, whole: 120_000 }
const START_WITHIN_MS = { within: 5000, whole: 40_000 }

/**
 * A6: which two sides belong together? Scored by correlation of their records in bins of 50, 200
 * and 1,000 ms at every lag up to 1 s, by count, by first and by last record. The score that does
 * best on the first half of the pairs is the one that is measured, on the second.
 */
export function correlate(entry: Entry, pairing: Pairing, span: Span, pairs: number, root: Chance): Estimate {
  const chance = root.fork(`correlation ${entry.id} ${pairing} ${span}`)
  const make = pairing === 'lan-wan' ? hostAndLink : twoDevices
  const sides = Array.from({ length: pairs }, (_, i) => make(entry, span, chance.fork(i)))
  const half = pairs >> 1
  const scoresOf = (score: Score, from: number, to: number, shift: number) =>
    Array.from({ length: to - from }, (_, k) => {
      const a = sides[from + k]
      const b = sides[from + ((k + shift) % (to - from))]
      return a === undefined || b === undefined ? 0 : score(a.one, b.other, SPAN_MS[span])
    })
  const measure = (score: Score, from: number, to: number) => auc(scoresOf(score, from, to, 0), scoresOf(score, from, to, 1))
  const chosen = SCORES.map((score) => ({ score, value: measure(score, 0, half).value })).reduce((a, b) => (b.value > a.value ? b : a))
  return measure(chosen.score, half, pairs)
}

function hostAndLink(entry: Entry, span: Span, chance: Chance): Sides {
  const page = later(aPage(chance, 0), PRIMED_MS + chance.between(0, START_WITHIN_MS[span]))
  const link = onLink(entry, span, page, chance)
  return {
    one: cut({ atMs: page.atMs, octets: new Int16Array(page.atMs.length).fill(1) }, PRIMED_MS, PRIMED_MS + SPAN_MS[span]),
    other: link,
  }
}

function twoDevices(entry: Entry, span: Span, chance: Chance): Sides {
  const beginsMs = PRIMED_MS + chance.between(0, START_WITHIN_MS[span])
  const endsMs = span === 'within' ? PRIMED_MS + SPAN_MS.within : beginsMs + chance.between(20_000, 60_000)
  const here: number[] = []
  const there: number[] = []
  for (let atMs = beginsMs; atMs < endsMs; atMs += chance.exponential(span === 'within' ? 2500 : 4000)) {
    const travelMs = chance.between(60, 300)
    for (const [side, startMs] of [
      [here, atMs],
      [there, atMs + travelMs],
    ] as const)
      for (let n = 1 + chance.below(3); n > 0; n--) side.push(startMs + chance.exponential(20))
  }
  const link = (at: number[], name: string) =>
    onLink(
      entry,
      span,
      workload(
        at.sort((a, b) => a - b),
        chance,
      ),
      chance.fork(name),
    )
  return { one: link(here, 'here'), other: link(there, 'there') }
}

function onLink(entry: Entry, span: Span, page: Visit, chance: Chance): Seen {
  const all = span === 'within' ? joined(workload([0], chance), page) : page
  const { seen } = entry.defence(all, chance.fork('link'), resolverModel(entry.covers, chance.fork('resolver')), PRIMED_MS + SPAN_MS[span])
  return cut(seen, PRIMED_MS, PRIMED_MS + SPAN_MS[span])
}

type Score = (one: Seen, other: Seen, spanMs: number) => number

const SCORES: readonly Score[] = [
  ...[50, 200, 1000].flatMap((binMs) =>
    [1, -1].map(
      (way): Score =>
        (one, other, spanMs) =>
          bestLag(binned(one, 1, binMs, spanMs), binned(other, way, binMs, spanMs), Math.ceil(1000 / binMs)),
    ),
  ),
  (one, other) => -Math.abs(one.atMs.length - other.atMs.length),
  (one, other) => -Math.abs((one.atMs[0] ?? 0) - (other.atMs[0] ?? 0)),
  (one, other) => -Math.abs((one.atMs.at(-1) ?? 0) - (other.atMs.at(-1) ?? 0)),
]

function binned({ atMs, octets }: Seen, way: number, binMs: number, spanMs: number): Float64Array {
  const bins = new Float64Array(Math.ceil(spanMs / binMs))
  for (let i = 0; i < atMs.length; i++) if ((octets[i] ?? 0) * way > 0) bins[Math.floor((atMs[i] ?? 0) / binMs)]! += 1
  return centred(bins)
}

function centred(bins: Float64Array): Float64Array {
  const mean = bins.reduce((sum, n) => sum + n, 0) / bins.length
  const out = bins.map((n) => n - mean)
  const norm = Math.sqrt(out.reduce((sum, n) => sum + n * n, 0))
  return norm > 0 ? out.map((n) => n / norm) : out
}

/**
 * The highest correlation with `other` from 0 to `lags` bins later, and from as many earlier:
 * devices take turns.
 */
function bestLag(one: Float64Array, other: Float64Array, lags: number): number {
  let best = -1
  for (let lag = -lags; lag <= lags; lag++) {
    let sum = 0
    for (let i = Math.max(0, -lag); i < one.length && i + lag < other.length; i++) sum += one[i]! * other[i + lag]!
    if (sum > best) best = sum
  }
  return best
}
