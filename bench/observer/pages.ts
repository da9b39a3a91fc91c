import type { Chance } from './chance.ts'

/** One load of one page, as the stub receives it. Parallel arrays, in order of time. */
export interface Visit {
  readonly site: number
  /** When each query comes, ms from the first. */
  readonly atMs: Float64Array
  /** Octets of each query and its reply without any padding, as TLS record bodies. */
  readonly queryOctets: Uint16Array
  readonly replyOctets: Uint16Array
  /** How likely the resolver's cache has not got it, and what a miss adds, ms. */
  readonly missChance: Float32Array
  readonly missMs: Float32Array
}

/**
 * What a name is like at the resolver. `alike`: every query misses with one probability; `by name`:
 * each name has its own, and its own distance.
 */
export type Names = 'alike' | 'by name'

/** What the generator can be turned by. */
export interface Knobs {
  readonly medianQueries: number
  readonly sigma: number
  /**
   * Per query and visit: the share that is dropped or followed by one that the template has not
   * (half each).
   */
  readonly dropInsert: number
  /** Per query and visit: exchanged with its neighbour. */
  readonly swap: number
  /** Per gap and visit: a bin longer or shorter. */
  readonly shift: number
  readonly names: Names
}

/**
 * Calibrated: `swap` and `shift` are set so that undefended pages (sizes equal) are told apart as
 * well as real ones were, about nine in ten of a hundred sites.
 */
export const KNOBS: Knobs = { medianQueries: 32, sigma: 1.1, dropInsert: 0.06, swap: 0.1, shift: 0.2, names: 'alike' }

/**
 * The share of queries that the resolver's cache has not got, real and cover alike where covers are
 * matched.
 */
export const MISS_SHARE = 0.25
const MISS_MEDIAN_MS = 60
const MISS_SIGMA = 0.7
const UNDER_TWO_MS = 0.21
const MOST_QUERIES = 600
/**
 * Weight of the gaps in [2^k, 2^(k+1)) ms among those of two and more, k = 1, 2, ...: measured on
 * real page loads.
 */
const GAP_BINS = [0.014, 0.473, 0.032, 0.038, 0.062, 0.143, 0.08, 0.086, 0.046, 0.018, 0.006, 0.002]

/**
 * Larger pages ask more at once: gaps of 32 ms and more are so much likelier in a page of n
 * queries, (TYPICAL / n) ^ TEMPO. Without it durations spread as counts do (p50 4.1 s, p95 28 s
 * where 4.9 and 18 were measured); the gaps' own distribution over all queries stays what it is.
 */
const LONG_BIN = 5
const TYPICAL = 95
const TEMPO = 0.6

interface Slot {
  readonly bin: number
  readonly queryOctets: number
  readonly replyOctets: number
  readonly missChance: number
  readonly missMs: number
}

/** What is the same at every visit of a site. */
export interface Site {
  readonly id: number
  readonly length: number
  readonly slots: readonly Slot[]
}

/** A site's template, drawn anew for every id. */
export function makeSite(id: number, root: Chance, knobs: Knobs = KNOBS): Site {
  const chance = root.fork(`site ${id}`)
  const wanted = Math.round(knobs.medianQueries * Math.exp(knobs.sigma * chance.normal()))
  const length = Math.max(1, Math.min(MOST_QUERIES, wanted))
  return { id, length, slots: Array.from({ length }, () => newSlot(length, chance, knobs)) }
}

function newSlot(length: number, chance: Chance, { names }: Knobs): Slot {
  return {
    bin: gapBin(length, chance),
    queryOctets: 30 + chance.below(28),
    replyOctets: 46 + Math.round(Math.min(400, Math.exp(4.2 + 0.6 * chance.normal()))),
    missChance: names === 'alike' ? MISS_SHARE : chance.unit() ** 3, // the cube of a uniform: mean 0.25, most names nearly always there
    missMs: names === 'alike' ? 0 : MISS_MEDIAN_MS * Math.exp(MISS_SIGMA * chance.normal()),
  }
}

/** Bin 0 is under 2 ms. */
function gapBin(length: number, chance: Chance): number {
  if (chance.hit(UNDER_TWO_MS)) return 0
  const tempo = (TYPICAL / length) ** TEMPO
  const weights = weightsAt(tempo)
  let left = chance.unit() * weights.reduce((sum, weight) => sum + weight, 0)
  for (const [at, weight] of weights.entries()) {
    left -= weight
    if (left < 0) return at + 1
  }
  return GAP_BINS.length
}

let lastTempo = Number.NaN
let lastWeights: readonly number[] = []

/** Kept from call to call: a site asks for the same again and again. */
function weightsAt(tempo: number): readonly number[] {
  if (tempo !== lastTempo) lastWeights = GAP_BINS.map((weight, at) => (at + 1 < LONG_BIN ? weight : weight * tempo))
  lastTempo = tempo
  return lastWeights
}

/**
 * One visit: the template with queries dropped and inserted, neighbours swapped, gaps shifted;
 * within its bin every gap is drawn anew.
 */
export function visit(site: Site, chance: Chance, knobs: Knobs = KNOBS): Visit {
  const kept: Slot[] = []
  for (const slot of site.slots) {
    if (!chance.hit(knobs.dropInsert / 2)) kept.push(slot)
    if (chance.hit(knobs.dropInsert / 2)) kept.push(newSlot(site.length, chance, knobs))
  }
  if (kept.length === 0 && site.slots[0] !== undefined) kept.push(site.slots[0])
  for (let i = 0; i + 1 < kept.length; i++) {
    const [one, other] = [kept[i], kept[i + 1]]
    if (one === undefined || other === undefined || !chance.hit(knobs.swap)) continue
    kept[i] = other
    kept[i + 1] = one
    i++
  }
  const atMs = new Float64Array(kept.length)
  for (let i = 1; i < kept.length; i++) atMs[i] = (atMs[i - 1] ?? 0) + gapMs(kept[i]?.bin ?? 0, chance, knobs)
  return {
    site: site.id,
    atMs,
    queryOctets: Uint16Array.from(kept, (slot) => slot.queryOctets),
    replyOctets: Uint16Array.from(kept, (slot) => slot.replyOctets),
    missChance: Float32Array.from(kept, (slot) => slot.missChance),
    missMs: Float32Array.from(kept, (slot) => (slot.missMs > 0 ? slot.missMs : freshMissMs(chance))),
  }
}

function gapMs(bin: number, chance: Chance, { shift }: Knobs): number {
  const moved = chance.hit(shift) ? bin + (chance.hit(0.5) ? 1 : -1) : bin
  const within = Math.max(0, Math.min(GAP_BINS.length, moved))
  return within === 0 ? chance.between(0, 2) : 2 ** (within + chance.unit())
}

/** What a miss adds where names are alike, and for every cover. */
export function freshMissMs(chance: Chance): number {
  return MISS_MEDIAN_MS * Math.exp(MISS_SIGMA * chance.normal())
}

/**
 * `each` visits of `sites` sites, site by site. A visit's chance depends on its own number only:
 * sets of different size share their pages.
 */
export function* visits(sites: number, each: number, root: Chance, knobs: Knobs = KNOBS): Generator<Visit> {
  for (let id = 0; id < sites; id++) {
    const site = makeSite(id, root, knobs)
    for (let i = 0; i < each; i++) yield visit(site, root.fork(`visit ${id} ${i}`), knobs)
  }
}

/** The same queries, `byMs` later. */
export function later(page: Visit, byMs: number): Visit {
  return { ...page, atMs: page.atMs.map((atMs) => atMs + byMs) }
}

/** A workload that is not a page: queries at these times, sorted. */
export function workload(atMs: readonly number[], chance: Chance): Visit {
  return {
    site: 0,
    atMs: Float64Array.from(atMs),
    queryOctets: Uint16Array.from(atMs, () => 40),
    replyOctets: Uint16Array.from(atMs, () => 100),
    missChance: Float32Array.from(atMs, () => MISS_SHARE),
    missMs: Float32Array.from(atMs, () => freshMissMs(chance)),
  }
}

/** `first` and then `second`, which must begin later. */
export function joined(first: Visit, second: Visit): Visit {
  const both = <A extends Float64Array | Float32Array | Uint16Array>(a: A, b: A): A => {
    const all = new (a.constructor as new (length: number) => A)(a.length + b.length)
    all.set(a)
    all.set(b, a.length)
    return all
  }
  return {
    site: second.site,
    atMs: both(first.atMs, second.atMs),
    queryOctets: both(first.queryOctets, second.queryOctets),
    replyOctets: both(first.replyOctets, second.replyOctets),
    missChance: both(first.missChance, second.missChance),
    missMs: both(first.missMs, second.missMs),
  }
}
