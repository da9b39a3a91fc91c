/** A series of equally spaced slots. */
export interface Stretch {
  readonly cells: number
  readonly everyMs: number
}

/**
 * The parameters of one constant-rate profile. They are public, the same for all users, and do not
 * depend on the queries.
 */
export interface Pace {
  /**
   * The slots of the first seconds of a session. They depend only on the session's age. They are
   * denser than later ones, because a page asks most of its names at once.
   */
  readonly opening: readonly Stretch[]
  /** The distance of the slots after the opening, in ms. */
  readonly everyMs: number
  /** The first query after a pause of 1 s lets a random number of slots pass, at most this many. */
  readonly leadSlots?: number
  /** Whether each step begins with the opening. Otherwise only the session begins with it. */
  readonly restartsEachStep?: boolean
  /** A session may end only at multiples of this time after it opened. Infinity: it never ends. */
  readonly stepMs: number
  /** A session ends only if no real query came for this time. */
  readonly idleMs: number
  /** Whether a session is open from the start, even without queries. */
  readonly alwaysOn: boolean
  /**
   * Whether a session opens when the links before it fail, and never by a query (see standby.ts).
   */
  readonly isSpare?: true
  /**
   * Limit of covers over one link in 24 hours. The schedule cannot send more in a day, so they
   * never run out. Without covers, real queries would be visible.
   */
  readonly coversADay: number
}

/**
 * The pace of a spare link under `always-on`. Its sessions last for ten minutes, and begin
 * only when the link that never stops fails.
 */
export const STANDBY: Pace = {
  opening: [],
  everyMs: 50,
  stepMs: 600_000,
  idleMs: 600_000,
  alwaysOn: false,
  isSpare: true,
  coversADay: 1_800_000,
}

export type PacedProfile = 'lite' | 'balanced' | 'always-on'

/**
 * The pace of each profile, from a search (`npm run bench:observer -- --parts sweep`). `lite` has
 * steps of 26 s. Only the number of steps still reveals something about a page: 0.05 bits, or 0.12
 * bits with 22 s and 15 % fewer octets. `balanced` is dense at the beginning of each step, when
 * most of a page is asked, and sparse after that. bench/results/observer.md has the cost and the
 * benefit of each profile.
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

/** The numbers about the cache that are reported. */
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
 * Removes numbers that would reveal the share of real traffic under a profile with a schedule.
 * Misses would show every real query, and so would hits together with the growth of the cache.
 * Sizes are rounded up to the next power of two.
 */
export function redactedCounts(profile: string, cache: CacheFacts): CacheFacts {
  if (!isPaced(profile)) return cache
  return { entries: roundedUp(cache.entries), bytes: Math.min(cache.maxBytes, roundedUp(cache.bytes)), maxBytes: cache.maxBytes }
}

const roundedUp = (n: number) => (n <= 0 ? 0 : 2 ** Math.ceil(Math.log2(n)))
