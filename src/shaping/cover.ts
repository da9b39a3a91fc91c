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
 * This percentage of names is left out, because two visits of a page are never quite equal (a
 * cached font, an experiment).
 */
const DROPPED_PERCENT = 6
/**
 * The interval at which the shares of slow and of large covers are updated, between two pages. With
 * a shorter interval they would follow the queries too closely.
 */
export const REMIX_MS = 600_000
/** The precision of a share. */
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
  /** Whether it was asked with DO. Then its size is compared with real replies with DO. */
  readonly dnssecOk?: boolean
  /** Returns the TTL. Called only for rare names. Undefined: the reply has no TTL. */
  readonly ttlS: () => number | undefined
}

/**
 * An endless sequence of cover questions: page after page with all names of each, as a browser asks
 * them. It also contains names that the resolver has to look up, and names with large replies, in
 * the same shares as real queries here were slow or had large replies. Without slow covers, an
 * observer recognizes 26 % of pages instead of 2 %, because covers have quick replies. Without
 * large covers, an observer recognizes eight in ten of the pages that have a large reply.
 */
export class CoverQuestions {
  readonly latencies = new LookupLatencies()
  readonly sizes = new ReplySizes()
  readonly #random: Random
  readonly #page: Uint8Array[] = []
  /** Made for the first session, because a link that is never used does not need it. */
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

  /** How real queries differ from these covers, at the last update of the shares. */
  get unlikeness(): Unlikeness | undefined {
    return this.#unlikeness
  }

  /**
   * A large cover for this slot, even if a real query waits. Undefined: none, as in most slots. If
   * large covers were sent only in free slots, their number would show how many slots were free.
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

  /** Records the reply to a real query. `octets`: undefined if it was asked with DO. */
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
 * Makes a question like that of a client. The questions are stored; there are only as many as there
 * are names in the fixed lists.
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
