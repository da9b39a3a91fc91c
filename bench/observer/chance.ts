import type { Random } from '../../src/clock.ts'

/**
 * Seeded chance: the same seed gives the same run, octet by octet. It is a `Random` of the product
 * too, so that the product's schedules run on it.
 */
export interface Chance extends Random {
  /** Uniform in [0, 1). */
  unit(): number
  /** Uniform in [low, high). */
  between(low: number, high: number): number
  /** Standard normal. */
  normal(): number
  exponential(mean: number): number
  hit(probability: number): boolean
  /** An independent stream, told apart by `label`: what is drawn from one never moves another. */
  fork(label: string | number): Chance
}

/** sfc32, seeded by the label's FNV-1a hash and twelve rounds of warm-up. */
export function chance(seed: string | number): Chance {
  const text = String(seed)
  let [a, b, c, count] = [fnv(text, 0x811c9dc5), fnv(text, 0x01234567), fnv(text, 0x9e3779b9), 1]
  const word = () => {
    const sum = (a + b + count++) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = ((c << 21) | (c >>> 11)) + sum
    c |= 0
    return sum >>> 0
  }
  for (let i = 0; i < 12; i++) word()
  let spare: number | undefined
  const self: Chance = {
    unit: () => ((word() >>> 5) * 67108864 + (word() >>> 6)) / 9007199254740992,
    below: (limit) => Math.floor(self.unit() * limit),
    bytes: (length) => Uint8Array.from({ length }, () => word() & 255),
    between: (low, high) => low + (high - low) * self.unit(),
    normal() {
      if (spare !== undefined) {
        const kept = spare
        spare = undefined
        return kept
      }
      const radius = Math.sqrt(-2 * Math.log(1 - self.unit()))
      const angle = 2 * Math.PI * self.unit()
      spare = radius * Math.sin(angle)
      return radius * Math.cos(angle)
    },
    exponential: (mean) => -mean * Math.log(1 - self.unit()),
    hit: (probability) => self.unit() < probability,
    fork: (label) => chance(`${text}/${label}`),
  }
  return self
}

function fnv(text: string, basis: number): number {
  let hash = basis
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return hash ^ (hash >>> 15)
}
