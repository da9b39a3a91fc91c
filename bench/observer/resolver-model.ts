import { largeBlocks } from '../../src/shaping/likeness.ts'
import type { Chance } from './chance.ts'
import { freshMissMs, MISS_SHARE, type Visit } from './pages.ts'

/** How long the resolver takes to answer the i-th query of a visit, or a cover, ms; and sizes. */
export interface ResolverModel {
  real(visit: Visit, i: number, chance: Chance): number
  cover(chance: Chance): number
  /** The share of slots that have a cover with a large reply. */
  readonly largeShare: number
  /** Blocks of the reply to another cover. */
  coverBlocks(chance: Chance): number
}

/**
 * What covers are like. `misses`: `matched`: they miss as often as real queries do on average, and
 * as slowly; `hits`: they are always in the resolver's cache; or whether each of them missed, one
 * after the other, in some hour of a simulated day.
 */
export interface Covers {
  readonly misses: 'matched' | 'hits' | (() => Uint8Array)
  /** The share of slots that have one whose reply takes more than one block. */
  readonly largeShare: number
  /** Of the others, the share with DO whose signed reply takes two blocks. Default: none has. */
  readonly signedShare?: number
}

/** Blocks of 468 octets of a large cover's reply. */
export const largeCoverBlocks = (chance: Chance) => largeBlocks(chance.below(100))

/** What the round trip is without any lookup, at least and in the mean on top of it. */
export const RTT_MS = 14
const RTT_SPREAD_MS = 2

const hitMs = (chance: Chance) => RTT_MS + chance.exponential(RTT_SPREAD_MS)

/** What a resolver takes that has not got the answer with this probability, ms. */
export function answerMs(missShare: number, chance: Chance): number {
  return hitMs(chance) + (chance.hit(missShare) ? freshMissMs(chance) : 0)
}

/** One visit's resolver: `start` draws where in the simulated hour it comes. */
export function resolverModel({ misses, largeShare, signedShare = 0 }: Covers, start: Chance): ResolverModel {
  const real = (visit: Visit, i: number, chance: Chance) =>
    hitMs(chance) + (chance.hit(visit.missChance[i] ?? 0) ? (visit.missMs[i] ?? 0) : 0)
  return {
    real,
    cover: typeof misses === 'function' ? fromTape(misses(), start) : (chance) => answerMs(misses === 'matched' ? MISS_SHARE : 0, chance),
    largeShare,
    coverBlocks: (chance) => (signedShare > 0 && chance.hit(signedShare) ? 2 : 1),
  }
}

function fromTape(tape: Uint8Array, start: Chance): (chance: Chance) => number {
  let at = start.below(tape.length)
  return (chance) => answerMs(tape[at++ % tape.length] ?? 0, chance)
}
