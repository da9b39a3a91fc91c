import type { Random } from '../clock.ts'
import { upstreamQuery } from '../dns/message.ts'
import { nameFromText } from '../dns/name.ts'
import { putU16 } from '../dns/octets.ts'
import { COVER_PAGES, RARE_COVER_NAMES } from './cover-names.ts'

/** `usual`: likely in the resolver's cache. `rare`: likely not. */
export type CoverKind = 'usual' | 'rare'

/**
 * Slower than the path by this, a reply was looked up: half as much again, and what a busy resolver
 * adds by itself.
 */
const SLOW = { factor: 1.5, ms: 8 }
/** The quickest reply is forgotten by this much a reply, so that a change of path is followed. */
const FLOOR_RISE_MS = 0.002
/** Weight of a new reply: the last few hundred count. */
const GAIN = 1 / 256
/**
 * Before anything was measured: one real query in five is not in the resolver's cache; covers of
 * popular names hardly ever miss, rare names mostly do.
 */
const EXPECTED = { real: 0.2, usual: 0.04, rare: 0.6 }
const MOST_RARE = 0.9
/**
 * Rare names are no slower than usual ones by less than this: a resolver that has them all, or
 * none.
 */
const LEAST_APART = 0.02

/** How often the resolver had to look things up, told by round trips alone. */
export class LookupLatencies {
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

/** What a browser asks for each host: A, AAAA, HTTPS. */
const TYPES = { a: 1, aaaa: 28, https: 65 }
/**
 * A visit is never quite the same twice: so many names in a hundred are left out (a cached font, an
 * experiment).
 */
const DROPPED_PERCENT = 6
/**
 * The share of slow covers is set anew this often, between two pages; more often it would follow
 * what is asked.
 */
const REMIX_MS = 600_000
/** Steps of a share. */
const SHARE_STEPS = 10_000

/** A question to fill a slot with. `message` is as for an Upstream: no OPT, ID 0. */
export interface CoverQuestion {
  readonly message: Uint8Array
  readonly kind: CoverKind
}

/**
 * An endless sequence of cover questions: page after page, all the names of each, as a browser asks
 * for them; and, at the share at which real queries here were slow, names that the resolver has to
 * look up. Without that share an observer tells covers by their quick replies (2 % of pages
 * recognised become 26 %).
 */
export class CoverQuestions {
  readonly latencies = new LookupLatencies()
  readonly #random: Random
  readonly #page: Uint8Array[] = []
  #pages: Deck
  #tail: Deck
  #rareSteps: number
  #mixedMs = Number.NEGATIVE_INFINITY

  constructor(random: Random) {
    this.#random = random
    this.#pages = new Deck(COVER_PAGES.length, random)
    this.#tail = new Deck(RARE_COVER_NAMES.length, random)
    this.#rareSteps = this.#share()
  }

  next(nowMs: number): CoverQuestion {
    if (this.#random.below(SHARE_STEPS) < this.#rareSteps) {
      const type = this.#random.below(2) === 0 ? TYPES.a : TYPES.aaaa
      return { message: question(RARE_COVER_NAMES[this.#tail.draw()] ?? '', type), kind: 'rare' }
    }
    if (this.#page.length === 0) this.#load(nowMs)
    return { message: this.#page.pop() ?? question('', TYPES.a), kind: 'usual' }
  }

  /** Other content from here on: what was asked last was refused. */
  change(): void {
    this.#page.length = 0
    this.#pages = new Deck(COVER_PAGES.length, this.#random)
    this.#tail = new Deck(RARE_COVER_NAMES.length, this.#random)
  }

  /** One more page, in reverse, for `pop`. */
  #load(nowMs: number): void {
    if (nowMs - this.#mixedMs >= REMIX_MS) {
      this.#mixedMs = nowMs
      this.#rareSteps = this.#share()
    }
    const names = COVER_PAGES[this.#pages.draw()] ?? []
    const withHttps = this.#random.below(2) === 0
    for (const [i, name] of names.entries()) {
      if (i > 0 && this.#random.below(100) < DROPPED_PERCENT) continue
      this.#page.push(question(name, TYPES.a), question(name, TYPES.aaaa))
      if (withHttps) this.#page.push(question(name, TYPES.https))
    }
    this.#page.reverse()
  }

  #share(): number {
    return Math.round(this.latencies.rareShare() * SHARE_STEPS)
  }
}

/** Draws numbers below `size`, each once before any comes again. */
class Deck {
  readonly #size: number
  readonly #random: Random
  #left: number[] = []

  constructor(size: number, random: Random) {
    this.#size = size
    this.#random = random
  }

  draw(): number {
    if (this.#left.length === 0) this.#left = Array.from({ length: this.#size }, (_, i) => i)
    const at = this.#random.below(this.#left.length)
    const drawn = this.#left[at] ?? 0
    const last = this.#left.pop() ?? 0
    if (at < this.#left.length) this.#left[at] = last
    return drawn
  }
}

const wires = new Map<string, Uint8Array>()

/**
 * As a client's question would be made into a query. The names are a closed list, so what is kept
 * is bounded.
 */
function question(name: string, type: number): Uint8Array {
  let wire = wires.get(name)
  if (wire === undefined) {
    wire = nameFromText(name)
    wires.set(name, wire)
  }
  const lower = new Uint8Array(wire.length + 4)
  lower.set(wire)
  putU16(lower, wire.length, type)
  putU16(lower, wire.length + 2, 1)
  return upstreamQuery({ lower, type, class: 1 }, false)
}
