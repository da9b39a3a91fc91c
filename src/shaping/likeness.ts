/**
 * The kind of a cover. `usual`: its name is probably in the resolver's cache. `rare`: it is
 * probably not. `large`: the reply takes more than one block.
 */
export type CoverKind = 'usual' | 'rare' | 'large'

/**
 * A reply counts as looked up if it takes longer than the round trip of the path times `factor`
 * plus `ms`, which is the delay of a busy resolver.
 */
const SLOW = { factor: 1.5, ms: 8 }
/**
 * The known minimum of round trips rises by this much per reply, so that it follows a slower path.
 */
const FLOOR_RISE_MS = 0.002
/**
 * How many replies count for the share of lookups. Large replies are rare, so more of them count.
 */
const LOOKUPS = { remembered: 256, prior: 32 }
/** The same for real queries. They are fewer, and random variation would look like a difference. */
const REAL_LOOKUPS = { remembered: 512, prior: 64 }
const SIZES = { remembered: 2048, prior: 256 }
/**
 * The shares of lookups that are assumed before anything is measured. One real query in five is not
 * in the resolver's cache. Popular names are nearly always in it, rare names mostly not, and TXT
 * records sometimes not.
 */
const EXPECTED = { real: 0.2, usual: 0.04, rare: 0.6, large: 0.3 }
/** Measured on real page loads: 0.4 to 0.8 % of replies take more than one block. */
const EXPECTED_LARGE = 0.006
const MOST_RARE = 0.9
/**
 * If the shares of slow replies of rare and of usual names differ by less than this, they count as
 * equal: the resolver has all of them in its cache, or none.
 */
const LEAST_APART = 0.02
/**
 * Covers whose share of slow replies exceeds that of real queries by more than this are visible.
 */
const MOST_SLOWER = 0.05
/** How many replies of a kind are needed before a mismatch is reported. */
const TELLING = { lookups: 512, sizes: 1024 }
/** A smaller share of large real replies, below one in five hundred, counts as none. */
const LEAST_LARGE_REAL = 0.002

/** Why real queries can be distinguished from covers although covers flow. */
export type Unlikeness = 'slower' | 'larger'

/**
 * A share of replies that follows the observations. The weight of `expected` decreases with their
 * number.
 */
export class Share {
  readonly #o: { readonly remembered: number; readonly prior: number }
  value: number
  count = 0

  constructor(expected: number, o: { readonly remembered: number; readonly prior: number }) {
    this.value = expected
    this.#o = o
  }

  add(hit: boolean): void {
    const { remembered, prior } = this.#o
    this.value += (Number(hit) - this.value) / Math.min(remembered, prior + ++this.count)
  }
}

/** Estimates from round trips how often the resolver had to look up names. */
export class LookupLatencies {
  #floorMs = Number.POSITIVE_INFINITY
  readonly #slow: Readonly<Record<CoverKind | 'real', Share>> = {
    real: new Share(EXPECTED.real, REAL_LOOKUPS),
    usual: new Share(EXPECTED.usual, LOOKUPS),
    rare: new Share(EXPECTED.rare, LOOKUPS),
    large: new Share(EXPECTED.large, LOOKUPS),
  }

  /** Records one reply, to a real query or to a cover. */
  add(kind: CoverKind | 'real', rttMs: number): void {
    this.#floorMs = Math.min(this.#floorMs + FLOOR_RISE_MS, rttMs)
    this.#slow[kind].add(rttMs > this.#floorMs * SLOW.factor + SLOW.ms)
  }

  /** The share of slow replies of this kind. */
  slowShare(kind: CoverKind | 'real'): number {
    return this.#slow[kind].value
  }

  /** The share of rare names, 0 to 0.9, with which covers are slow as often as real queries. */
  rareShare(): number {
    const [real, usual, rare] = [this.slowShare('real'), this.slowShare('usual'), this.slowShare('rare')]
    if (rare - usual < LEAST_APART) return real - usual >= LEAST_APART ? MOST_RARE : 0
    return Math.min(MOST_RARE, Math.max(0, (real - usual) / (rare - usual)))
  }

  /**
   * Whether no share makes covers and real queries alike. Either rare names are as quick as usual
   * ones, or the share is at its limit, or usual names are slower than real queries.
   */
  get unmatched(): boolean {
    const { real, usual } = this.#slow
    if (real.count < TELLING.lookups) return false
    return this.rareShare() >= MOST_RARE || usual.value - real.value > MOST_SLOWER
  }
}

/** A resolver that follows RFC 8467 pads replies to multiples of this. */
const BLOCK_OCTETS = 468

export const isLarge = (octets: number) => octets > BLOCK_OCTETS

/** How many blocks a padded reply of `octets` takes. */
export const blocksOf = (octets: number) => Math.max(1, Math.ceil(octets / BLOCK_OCTETS))

/**
 * The share of slots with a large cover: this many times the share of large real replies, between a
 * lower and an upper limit. Under `lite`, 19 in a hundred pages with a large reply were recognized
 * at 3 %, nine at 6 %, five at 10 % (bench/observer).
 */
const LARGE_RATIO = 3
const LEAST_LARGE = 0.06
const MOST_LARGE = 0.12
/** Of a hundred large covers, this many have two blocks. The others have three or four. */
const TWO_BLOCKS = 50
const THREE_BLOCKS = 30

/** How often replies take more than one block. */
export class ReplySizes {
  readonly #real = new Share(EXPECTED_LARGE, SIZES)
  readonly #covers = new Share(LEAST_LARGE, SIZES)

  /** Records one reply of `octets`, to a real query or to a cover. */
  add(kind: CoverKind | 'real', octets: number): void {
    const share = kind === 'real' ? this.#real : this.#covers
    share.add(isLarge(octets))
  }

  /** The share of covers that should have a large reply. */
  largeShare(): number {
    return Math.min(MOST_LARGE, Math.max(LEAST_LARGE, LARGE_RATIO * this.#real.value))
  }

  /**
   * Whether real queries have large replies more often than covers, so that they can be identified.
   */
  get unmatched(): boolean {
    const { value, count } = this.#real
    return count >= TELLING.sizes && value >= LEAST_LARGE_REAL && value > this.#covers.value
  }
}

/** The number of blocks of the next large cover's reply. `drawn`: a random number from 0 to 99. */
export const largeBlocks = (drawn: number) => (drawn < TWO_BLOCKS ? 2 : drawn < TWO_BLOCKS + THREE_BLOCKS ? 3 : 4)
