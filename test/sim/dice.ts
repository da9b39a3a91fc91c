import { seededRandom } from '../support/fake-clock.ts'

/** Draws of one seed. */
export interface Dice {
  /** A whole number in [0, limit). */
  below(limit: number): number
  oneIn(n: number): boolean
  pick<T>(from: readonly T[]): T
  /** Exponential, of this mean. */
  after(meanMs: number): number
}

/**
 * `salt` keeps draws of one purpose apart from those of another: one more query must not move every
 * fault.
 */
export function dice(seed: number, salt: number): Dice {
  const random = seededRandom(Math.imul(seed, 0x9e3779b1) ^ salt)
  const below = (limit: number) => random.below(limit)
  return {
    below,
    oneIn: (n) => below(n) === 0,
    pick(from) {
      const one = from[below(from.length)]
      if (one === undefined) throw new Error('nothing to pick from')
      return one
    },
    after: (meanMs) => -meanMs * Math.log(1 - below(1_000_000) / 1_000_001),
  }
}
