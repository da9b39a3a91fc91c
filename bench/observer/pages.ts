import type { Chance } from './chance.ts'

/** One load of one page, as the stub receives it. Parallel arrays, in order of time. */
export interface Visit {
  readonly site: number
  /** When each query comes, ms from the first. */
  readonly atMs: Float64Array
  /** Octets of each query and its reply without any padding, as TLS record bodies. */
  readonly queryOctets: Uint16Array
  readonly replyOctets: Uint16Array
  /** How many cells each query takes, and how many blocks of 468 octets its padded reply. */
  readonly queryCells: Uint8Array
  readonly replyBlocks: Uint8Array
  /** How likely the resolver's cache has not got it, and what a miss adds, ms. */
  readonly missChance: Float32Array
  readonly missMs: Float32Array
}

/**
 * What a name is like at the resolver. `alike`: every query misses with one probability; `by rate`:
 * each name has its own; `by name`: and its own distance, which varies from lookup to lookup.
 */
export type Names = 'alike' | 'by rate' | 'by name'

/**
 * How large replies are. `small`: each fits in one block of 468 octets. `large`: as many do not as
 * in real page loads. `signed`: the client sets DO, and what is signed does not.
 */
export type Replies = 'small' | 'large' | 'signed'

/** What a row's pages have that the plain ones have not. */
export interface Traits {
  readonly names: Names
  readonly replies: Replies
  /** Some names are so long that a query takes two cells. */
  readonly long: boolean
}

/** Pages of which nothing but times tells. */
export const PLAIN: Traits = { names: 'alike', replies: 'small', long: false }

/** What the generator can be turned by. */
export interface Knobs extends Traits {
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
}

/**
 * Calibrated: `swap` and `shift` are set so that undefended pages (sizes equal) are told apart as
 * well as real ones were, about nine in ten of a hundred sites.
 */
export const KNOBS: Knobs = { medianQueries: 32, sigma: 1.1, dropInsert: 0.06, swap: 0.1, shift: 0.2, ...PLAIN }

/**
 * The share of queries that the resolver's cache has not got, real and cover alike where covers are
 * matched.
 */
export const MISS_SHARE = 0.25
const MISS_MEDIAN_MS = 60
const MISS_SIGMA = 0.7
/** How much the lookup of one name varies: other servers of its zone, other parts in the cache. */
const DISTANCE_SIGMA = 0.4
/**
 * Of all replies 0.6 % are larger than a block, and they stand together: about one page in ten has
 * one (measured: 0.4 to 0.8 % and 10 %). Which names they are is the same at every visit.
 */
export const LARGE_SHARE = 0.006
const LARGE_SITES = 0.12
/** Of the large ones, how many have two, three and four blocks. */
const BLOCKS = [0.8, 0.14, 0.06]
/** With DO, the share of names whose signed answer or denial takes two blocks. */
export const SIGNED_SHARE = 0.04
/** Names of more than about 93 octets, and the share of sites that have them. */
export const LONG_SHARE = 0.005
const LONG_SITES = 0.06
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
  readonly queryCells: number
  readonly replyBlocks: number
}

/** What is the same at every visit of a site. */
export interface Site {
  readonly id: number
  readonly length: number
  readonly slots: readonly Slot[]
  readonly oddity: Oddity
}

/** How likely a name of one site has a large reply, and is long. */
interface Oddity {
  readonly large: number
  readonly long: number
}

/** A site's template, drawn anew for every id. */
export function makeSite(id: number, root: Chance, knobs: Knobs = KNOBS): Site {
  const chance = root.fork(`site ${id}`)
  const wanted = Math.round(knobs.medianQueries * Math.exp(knobs.sigma * chance.normal()))
  const length = Math.max(1, Math.min(MOST_QUERIES, wanted))
  // Independent of all other draws: pages are the same with and without.
  const odd = root.fork(`oddity ${id}`)
  const oddity = oddityOf(odd, knobs)
  const slots = Array.from({ length }, () => newSlot(length, chance, knobs, oddity, odd))
  const place = odd.below(length)
  const marked = slots.map((slot, at) => (at === place ? { ...slot, ...forced(slot, oddity, knobs, odd) } : slot))
  return { id, length, slots: marked, oddity }
}

function oddityOf(chance: Chance, { replies, long }: Knobs): Oddity {
  const [hasLarge, hasLong] = [chance.hit(LARGE_SITES), chance.hit(LONG_SITES)]
  const large = { small: 0, large: hasLarge ? LARGE_SHARE / LARGE_SITES : 0, signed: SIGNED_SHARE }[replies]
  return { large, long: long && hasLong ? LONG_SHARE / LONG_SITES : 0 }
}

/** A site that has large replies, or long names, has at least one. */
function forced(slot: Slot, { large, long }: Oddity, { replies }: Knobs, chance: Chance): Partial<Slot> {
  return {
    ...(replies === 'large' && large > 0 && slot.replyBlocks === 1 ? { replyBlocks: largeBlocks(chance) } : {}),
    ...(long > 0 ? { queryCells: 2 } : {}),
  }
}

/** Blocks of a reply that is larger than one. */
export function largeBlocks(chance: Chance): number {
  const drawn = chance.unit()
  return drawn < (BLOCKS[0] ?? 1) ? 2 : drawn < 1 - (BLOCKS[2] ?? 0) ? 3 : 4
}

function newSlot(length: number, chance: Chance, { names, replies }: Knobs, { large, long }: Oddity, odd: Chance): Slot {
  const isLarge = large > 0 && odd.hit(large)
  return {
    queryCells: long > 0 && odd.hit(long) ? 2 : 1,
    replyBlocks: isLarge ? (replies === 'signed' ? 2 : largeBlocks(odd)) : 1,
    bin: gapBin(length, chance),
    queryOctets: 30 + chance.below(28),
    replyOctets: 46 + Math.round(Math.min(400, Math.exp(4.2 + 0.6 * chance.normal()))),
    missChance: names === 'alike' ? MISS_SHARE : chance.unit() ** 3, // the cube of a uniform: mean 0.25, most names nearly always there
    missMs: names !== 'by name' ? 0 : MISS_MEDIAN_MS * Math.exp(MISS_SIGMA * chance.normal()),
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
  const odd = chance.fork('oddity')
  const kept: Slot[] = []
  for (const slot of site.slots) {
    if (!chance.hit(knobs.dropInsert / 2)) kept.push(slot)
    if (chance.hit(knobs.dropInsert / 2)) kept.push(newSlot(site.length, chance, knobs, site.oddity, odd))
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
    queryCells: Uint8Array.from(kept, (slot) => slot.queryCells),
    replyBlocks: Uint8Array.from(kept, (slot) => slot.replyBlocks),
    missChance: Float32Array.from(kept, (slot) => slot.missChance),
    missMs: Float32Array.from(kept, (slot) =>
      slot.missMs > 0 ? slot.missMs * Math.exp(DISTANCE_SIGMA * chance.normal()) : freshMissMs(chance),
    ),
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
    queryCells: new Uint8Array(atMs.length).fill(1),
    replyBlocks: new Uint8Array(atMs.length).fill(1),
    missChance: Float32Array.from(atMs, () => MISS_SHARE),
    missMs: Float32Array.from(atMs, () => freshMissMs(chance)),
  }
}

/** `first` and then `second`, which must begin later. */
export function joined(first: Visit, second: Visit): Visit {
  const both = <A extends Float64Array | Float32Array | Uint16Array | Uint8Array>(a: A, b: A): A => {
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
    queryCells: both(first.queryCells, second.queryCells),
    replyBlocks: both(first.replyBlocks, second.replyBlocks),
    missChance: both(first.missChance, second.missChance),
    missMs: both(first.missMs, second.missMs),
  }
}
