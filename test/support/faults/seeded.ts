/**
 * Chance that can be had again: the same seed gives the same numbers on every machine (mulberry32).
 * Not for anything secret.
 */
export interface Seeded {
  /** Uniform in [0, 1). */
  next(): number
  /** A uniform integer in [0, limit). */
  below(limit: number): number
  /** One of `items`, which must not be empty. */
  pick<T>(items: readonly T[]): T
  /** A generator of its own, whose numbers do not depend on how many were drawn here since. */
  branch(): Seeded
}

/** `seed`: any integer; its lower 32 bits count. */
export function seeded(seed: number): Seeded {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let z = state
    z = Math.imul(z ^ (z >>> 15), z | 1)
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61)
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32
  }
  const below = (limit: number) => Math.floor(next() * limit)
  return {
    next,
    below,
    pick(items) {
      const item = items[below(items.length)]
      if (item === undefined) throw new Error('nothing to pick from')
      return item
    },
    branch: () => seeded(below(2 ** 32)),
  }
}
