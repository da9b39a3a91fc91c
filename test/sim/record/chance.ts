import type { Random } from '../../../src/clock.ts'

/** A number in [0, 1) that hangs on `of` alone. */
export function fraction(...of: readonly (string | number)[]): number {
  const text = of.join('|')
  let h = 0x811c9dc5
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return ((h ^ (h >>> 16)) >>> 0) / 2 ** 32
}

/**
 * Randomness whose draws hang on the moment, on what is drawn and on how often that was drawn in
 * this moment, and on no draw before: two builds that draw something more or less now and then
 * still agree on all the rest.
 */
export function momentary(seed: number, nowMs: () => number): Random {
  let atMs = Number.NaN
  const drawn = new Map<string, number>()
  const draw = (what: string): number => {
    const now = nowMs()
    if (now !== atMs) drawn.clear()
    atMs = now
    const times = drawn.get(what) ?? 0
    drawn.set(what, times + 1)
    return fraction(seed, now, what, times)
  }
  return {
    below: (limit) => Math.floor(draw(`below ${limit}`) * limit),
    bytes: (length) => Uint8Array.from({ length }, () => Math.floor(draw(`octet of ${length}`) * 256)),
  }
}
