/** A series of equally spaced slots. */
export interface Stretch {
  readonly cells: number
  readonly everyMs: number
}

/**
 * The parameters of one constant-rate profile: public, the same for everybody, and independent of
 * the queries.
 */
export interface Pace {
  /**
   * Slots of the first seconds of a session, as a function of the session's age alone. A page asks
   * most of its names at once, so they come denser.
   */
  readonly opening: readonly Stretch[]
  /** Distance of the slots after it. */
  readonly everyMs: number
  /** The first query after a pause of a second lets up to so many slots pass, by chance. */
  readonly leadSlots?: number
  /** Whether each step begins with the opening again; else the session alone does. */
  readonly restartsEachStep?: boolean
  /** A session may end only at multiples of this after it opened. Infinity: it never ends. */
  readonly stepMs: number
  /** It also requires that no real query came for this long. */
  readonly idleMs: number
  /** Open from the start, even without queries. */
  readonly alwaysOn: boolean
  /** Opened when the links before it fail, and never by a query (see standby.ts). */
  readonly standsBy?: true
  /**
   * Covers sent over one link in 24 hours, at most: what the schedule can send in a day, so that
   * they last whatever asks. If covers ended before, real queries would go alone.
   */
  readonly coversADay: number
}

/**
 * Under `always-on`, a link in standby for the one that never stops: its sessions last for ten
 * minutes, and only after that one fails.
 */
export const STANDBY: Pace = {
  opening: [],
  everyMs: 50,
  stepMs: 600_000,
  idleMs: 600_000,
  alwaysOn: false,
  standsBy: true,
  coversADay: 1_800_000,
}

export type PacedProfile = 'lite' | 'balanced' | 'always-on'

/**
 * Points of a search (`npm run bench:observer -- --parts sweep`). `lite` has steps of 26 s: how
 * many steps a page needs is what is left to tell it by (0.05 bits; 0.12 with 22 s, for 15 % fewer
 * octets). `balanced` is dense at the beginning of each step, when most of a page is asked, and
 * sparse then. What each profile costs and buys is in bench/results/observer.md.
 */
export const PACES: Readonly<Record<PacedProfile, Pace>> = {
  lite: { opening: [], everyMs: 50, stepMs: 26_000, idleMs: 3000, leadSlots: 4, alwaysOn: false, coversADay: 1_800_000 },
  balanced: {
    opening: [
      { cells: 200, everyMs: 8 },
      { cells: 200, everyMs: 18 },
    ],
    everyMs: 31,
    stepMs: 26_000,
    restartsEachStep: true,
    idleMs: 3000,
    leadSlots: 6,
    alwaysOn: false,
    coversADay: 3_600_000,
  },
  'always-on': {
    opening: [],
    everyMs: 50,
    stepMs: Number.POSITIVE_INFINITY,
    idleMs: Number.POSITIVE_INFINITY,
    leadSlots: 4,
    alwaysOn: true,
    coversADay: 1_800_000,
  },
}

/** Whether a configured profile keeps a schedule. */
export function isPaced(profile: string): profile is PacedProfile {
  return Object.hasOwn(PACES, profile)
}

/** The reported figures of the cache. */
interface CacheFacts {
  readonly entries: number
  readonly bytes: number
  readonly maxBytes: number
  readonly hits?: number
  readonly misses?: number
  readonly stale?: number
  readonly renewed?: number
  readonly overloaded?: number
  readonly limited?: number
  readonly rebinding?: number
}

/**
 * Under a profile that keeps a schedule, the share of real traffic is not revealed: misses would
 * show it to the single query, and so would hits together with the growth of the cache. Sizes are
 * rounded up to the next power of two.
 */
export function redactedCounts(profile: string, cache: CacheFacts): CacheFacts {
  if (!isPaced(profile)) return cache
  return { entries: roundedUp(cache.entries), bytes: Math.min(cache.maxBytes, roundedUp(cache.bytes)), maxBytes: cache.maxBytes }
}

const roundedUp = (n: number) => (n <= 0 ? 0 : 2 ** Math.ceil(Math.log2(n)))
