import type { Random } from '../clock.ts'
import { upstreamQuery } from '../dns/message.ts'
import { nameFromText } from '../dns/name.ts'
import { putU16 } from '../dns/octets.ts'
import { Deck, ExpiryDeck, SizeDeck } from './cover-decks.ts'
import { COVER_PAGES, LARGE_COVER_NAMES, RARE_COVER_NAMES } from './cover-names.ts'
import { blocksOf, type CoverKind, LookupLatencies, largeBlocks, ReplySizes, type Unlikeness } from './likeness.ts'

/** The types that a browser asks for each host: A, AAAA, HTTPS. TXT is used for large replies. */
const TYPES = { a: 1, aaaa: 28, https: 65, txt: 16 }
const RARE_TYPES = [TYPES.a, TYPES.aaaa, TYPES.https]
/**
 * Two visits are never quite equal: this percentage of names is left out (a cached font, an
 * experiment).
 */
const DROPPED_PERCENT = 6
/**
 * The shares of slow and of large covers are updated at this interval, between two pages; at a
 * shorter one they would follow the queries.
 */
export const REMIX_MS = 600_000
/** Steps of a share. */
const SHARE_STEPS = 10_000

/** A question for a cover. `message` has the form for an Upstream: no OPT, ID 0. */
export interface CoverQuestion {
  readonly message: Uint8Array
  readonly kind: CoverKind
  /** Its number in the deck of its kind. */
  readonly number: number
}

/** The result of a cover: its time, round trip, length, and lifetime in caches. */
export interface CoverReply {
  readonly nowMs: number
  readonly rttMs: number
  readonly octets: number
  /** It was asked with DO: its size is compared with real replies with DO. */
  readonly dnssecOk?: boolean
  /** Read only for rare names; undefined: the reply has no TTL. */
  readonly ttlS: () => number | undefined
}

/**
 * An endless sequence of cover questions: page after page with all names of each, as a browser asks
 * them. In addition, in the shares in which real queries here were slow or had large replies, names
 * that the resolver has to look up, and names with large replies. Without the slow ones an observer
 * identifies covers by their quick replies (2 % of pages recognized become 26 %); without the large
 * ones, six in ten of the pages that have a large reply.
 */
export class CoverQuestions {
  readonly latencies = new LookupLatencies()
  readonly sizes = new ReplySizes()
  readonly #random: Random
  readonly #page: Uint8Array[] = []
  /** Made for the first session: a link that is never used has none. */
  #tail: ExpiryDeck | undefined
  readonly #large: SizeDeck
  #pages: Deck
  #rareSteps = 0
  #largeSteps = 0
  #mixedMs = Number.NEGATIVE_INFINITY
  #unlikeness: Unlikeness | undefined

  constructor(random: Random) {
    this.#random = random
    this.#pages = new Deck(COVER_PAGES.length, random)
    this.#large = new SizeDeck(LARGE_COVER_NAMES.length, random)
    this.#remix()
  }

  /** How real queries differ from these, as of the last update of the shares. */
  get unlikeness(): Unlikeness | undefined {
    return this.#unlikeness
  }

  /**
   * A cover for a slot whether a real query waits or not, or undefined, as in most slots: a large
   * one. Were they sent in slots that are free alone, their number would tell how many were free.
   */
  unconditional(): CoverQuestion | undefined {
    if (this.#random.below(SHARE_STEPS) >= this.#largeSteps) return undefined
    const number = this.#large.draw(largeBlocks(this.#random.below(100)))
    return number === undefined ? undefined : { message: question(LARGE_COVER_NAMES[number] ?? '', TYPES.txt), kind: 'large', number }
  }

  next(nowMs: number): CoverQuestion {
    if (this.#random.below(SHARE_STEPS) < this.#rareSteps) return this.#rare(nowMs)
    if (this.#page.length === 0) this.#load(nowMs)
    return { message: this.#page.pop() ?? question('', TYPES.a), kind: 'usual', number: 0 }
  }

  /** Records the reply to a question of `next`. */
  answered({ kind, number }: CoverQuestion, { nowMs, rttMs, octets, dnssecOk = false, ttlS }: CoverReply): void {
    this.latencies.add(kind, rttMs)
    if (!dnssecOk) this.sizes.add(kind, octets)
    if (kind === 'rare') this.#tail?.answered(number, nowMs, ttlS())
    if (kind === 'large') this.#large.answered(number, blocksOf(octets))
  }

  /** Records the reply to a real query; `octets` is undefined if it was asked with DO. */
  real(rttMs: number, octets: number | undefined): void {
    this.latencies.add('real', rttMs)
    if (octets !== undefined) this.sizes.add('real', octets)
  }

  /** Changes the content from now on, because the last questions were refused. */
  change(): void {
    this.#page.length = 0
    this.#pages = new Deck(COVER_PAGES.length, this.#random)
  }

  #rare(nowMs: number): CoverQuestion {
    this.#tail ??= new ExpiryDeck(RARE_COVER_NAMES.length * RARE_TYPES.length, this.#random)
    const number = this.#tail.draw(nowMs)
    const name = RARE_COVER_NAMES[Math.floor(number / RARE_TYPES.length)] ?? ''
    return { message: question(name, RARE_TYPES[number % RARE_TYPES.length] ?? TYPES.a), kind: 'rare', number }
  }

  /** Loads one more page, in reverse order for `pop`. */
  #load(nowMs: number): void {
    if (nowMs - this.#mixedMs >= REMIX_MS) {
      this.#mixedMs = nowMs
      this.#remix()
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

  #remix(): void {
    const large = this.sizes.largeShare()
    this.#largeSteps = Math.round(large * SHARE_STEPS)
    this.#rareSteps = Math.round(this.latencies.rareShare() * SHARE_STEPS)
    this.#unlikeness = this.latencies.unmatched ? 'slower' : this.sizes.unmatched ? 'larger' : undefined
  }
}

const wires = new Map<string, Uint8Array>()

/**
 * Made like the query for a client's question. The names are a closed list, so the stored questions
 * are bounded.
 */
export function question(name: string, type: number): Uint8Array {
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
