import type { Chance } from './chance.ts'
import { freshMissMs, MISS_SHARE, type Visit } from './pages.ts'

/** How long the resolver takes to answer the i-th query of a visit, or a cover, ms. */
export interface ResolverModel {
  real(visit: Visit, i: number, chance: Chance): number
  cover(chance: Chance): number
}

const RTT_MS = 14
const RTT_SPREAD_MS = 2

const hitMs = (chance: Chance) => RTT_MS + chance.exponential(RTT_SPREAD_MS)

/** What a resolver takes that has not got the answer with this probability, ms. */
export function answerMs(missShare: number, chance: Chance): number {
  return hitMs(chance) + (chance.hit(missShare) ? freshMissMs(chance) : 0)
}

/**
 * `matched`: covers miss as often as real queries do on average, and as slowly. `hits`: covers are
 * always in the resolver's cache.
 */
export function resolverModel(covers: 'matched' | 'hits'): ResolverModel {
  return {
    real: (visit, i, chance) => hitMs(chance) + (chance.hit(visit.missChance[i] ?? 0) ? (visit.missMs[i] ?? 0) : 0),
    cover: (chance) => answerMs(covers === 'matched' ? MISS_SHARE : 0, chance),
  }
}
