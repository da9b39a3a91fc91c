/** `usual`: likely in the resolver's cache. `rare`: likely not. */
export type CoverKind = 'usual' | 'rare'

/** Slower than the path by this, a reply was looked up: half as much again, and what a busy resolver adds by itself. */
const SLOW = { factor: 1.5, ms: 8 }
/** The quickest reply is forgotten by this much a reply, so that a change of path is followed. */
const FLOOR_RISE_MS = 0.002
/** Weight of a new reply: the last few hundred count. */
const GAIN = 1 / 256
/** Before anything was measured: one real query in five is not in the resolver's cache; covers of popular names hardly ever miss, rare names mostly do. */
const EXPECTED = { real: 0.2, usual: 0.04, rare: 0.6 }
const MOST_RARE = 0.9
/** Rare names are no slower than usual ones by less than this: a resolver that has them all, or none. */
const LEAST_APART = 0.02

/** How often the resolver had to look things up, told by round trips alone. */
export class Latencies {
  #floorMs = Number.POSITIVE_INFINITY
  readonly #slow: Record<CoverKind | 'real', number> = { ...EXPECTED }

  /** One reply, to a real query or to a cover. */
  add(kind: CoverKind | 'real', rttMs: number): void {
    this.#floorMs = Math.min(this.#floorMs + FLOOR_RISE_MS, rttMs)
    const slow = rttMs > this.#floorMs * SLOW.factor + SLOW.ms ? 1 : 0
    this.#slow[kind] += (slow - this.#slow[kind]) * GAIN
  }

  /** The share of slow replies among those. */
  slowShare(kind: CoverKind | 'real'): number {
    return this.#slow[kind]
  }

  /** The share of rare names with which covers are as often slow as real queries are: 0 to 0.9. */
  rareShare(): number {
    const { real, usual, rare } = this.#slow
    if (rare - usual < LEAST_APART) return real - usual >= LEAST_APART ? MOST_RARE : 0
    return Math.min(MOST_RARE, Math.max(0, (real - usual) / (rare - usual)))
  }
}
