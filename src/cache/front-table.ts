import { HEADER_OCTETS, lowerOctet } from '../dns/octets.ts'
import type { QueryScan } from '../dns/query-scan.ts'
import type { Kept } from '../dns/reply.ts'
import type { View } from '../resolve.ts'
import type { Place } from './slabs.ts'

/** An answer found without the index. One object is used for all: valid until the next call. */
export interface Quick extends Kept {
  readonly elapsedS: number
}

/** What may be noted of an answer: all that a reply is made from lies in its place. */
export interface Notable extends Kept, Place {
  /** A whole tick. */
  readonly storedAtMs: number
}

/** A record is 8 words, half a cache line: what a hit costs is memory that is not near (measured over 10,000 names: 0.9 us with keys and objects, 0.3 so). */
const WORDS = 8
const HASH = 0
const MARK = 1
const PAGE = 2
const AT = 3
const OCTETS = 4
const TTLS = 5
const UNTIL = 6
const STORED = 7
/** Records of one hash. */
const WAYS = 2
const LEAST_RECORDS = 256
const MOST_RECORDS = 2 ** 17
const TICK_MS = 8
/** Ticks are 32-bit numbers: before they run out (199 days), everything is noted anew. */
const LAST_TICK = 2 ** 31 - 2 ** 27
const FNV_BASIS = 0x811c9dc5
const FNV_PRIME = 0x01000193

/** The last whole tick. Answers are stored at one, so that their age here is their age in the index: no TTL may rise from one reply to the next. */
export function wholeTick(ms: number): number {
  return Math.floor(ms / TICK_MS) * TICK_MS
}

/**
 * Finds fresh answers by the octets of a question as they came, without making a key of them. What is not here is looked up in the index and noted; so is what
 * was noted more than a moment ago, which is where uses and popularity are counted. Whoever floods it with equal hashes is served as slowly as without it.
 */
export class FrontTable {
  readonly #pages: readonly (Uint8Array | undefined)[]
  #records = new Int32Array(LEAST_RECORDS * WORDS)
  #mask = LEAST_RECORDS - WAYS
  #baseMs = Number.NaN
  readonly #found = { page: new Uint8Array(0) as Uint8Array, at: 0, length: 0, ttlCount: 0, rcode: 0, ede: undefined, elapsedS: 0 }

  /** `pages`: the memory of each page by its index, as it is at any time. */
  constructor(pages: readonly (Uint8Array | undefined)[]) {
    this.#pages = pages
  }

  /** The answer to the question of `scan`, if it was noted a moment ago. */
  find(packet: Uint8Array, scan: QueryScan, view: View, nowMs: number): Quick | undefined {
    const { questionAt, questionEnd } = scan
    const records = this.#records
    const at = this.#recordOf(hashOf(packet, questionAt, questionEnd), markOf(scan, view))
    if (at < 0) return undefined
    const tick = (nowMs - this.#baseMs) / TICK_MS
    if (tick >= records[at + UNTIL]!) return undefined
    const page = this.#pages[records[at + PAGE]!]
    const place = records[at + AT]!
    if (page === undefined || !isSame(page, place, packet, questionAt, questionEnd)) return undefined
    const found = this.#found
    found.page = page
    found.at = place
    found.length = records[at + OCTETS]!
    found.ttlCount = records[at + TTLS]!
    found.elapsedS = Math.floor((tick - records[at + STORED]!) / (1000 / TICK_MS))
    return found
  }

  /** Makes `entry` known as the answer to the question of `scan` until `untilMs`. One with an extended error or RCODE is not: these lie elsewhere. */
  note(packet: Uint8Array, scan: QueryScan, view: View, entry: Notable, nowMs: number, untilMs: number): void {
    const { questionAt, questionEnd } = scan
    if (entry.rcode > 15 || entry.ede !== undefined || !isSame(entry.page, entry.at, packet, questionAt, questionEnd)) return
    if (!(nowMs - this.#baseMs < LAST_TICK * TICK_MS)) this.clear(nowMs)
    const hash = hashOf(packet, questionAt, questionEnd)
    const mark = markOf(scan, view)
    const records = this.#records
    let at = this.#recordOf(hash, mark)
    if (at < 0) {
      // What is new comes first, and the second makes room.
      at = this.#firstOf(hash)
      records.copyWithin(at + WORDS, at, at + WORDS)
    }
    records[at + HASH] = hash
    records[at + MARK] = mark
    records[at + PAGE] = entry.home.index
    records[at + AT] = entry.at
    records[at + OCTETS] = entry.length
    records[at + TTLS] = entry.ttlCount
    records[at + UNTIL] = Math.floor((untilMs - this.#baseMs) / TICK_MS)
    records[at + STORED] = (entry.storedAtMs - this.#baseMs) / TICK_MS
  }

  /** Where the records of a hash begin. */
  #firstOf(hash: number): number {
    return (hash & this.#mask) * WORDS
  }

  /** The record of this question, or -1. */
  #recordOf(hash: number, mark: number): number {
    const records = this.#records
    const first = this.#firstOf(hash)
    if (records[first + HASH] === hash && records[first + MARK] === mark) return first
    const second = first + WORDS
    return records[second + HASH] === hash && records[second + MARK] === mark ? second : -1
  }

  /** `place`, which holds the answer to a question of so many octets, is about to hold something else, or nothing. */
  forget({ page, at, home }: Place, questionOctets: number): void {
    const records = this.#records
    const hash = hashOf(page, at + HEADER_OCTETS, at + HEADER_OCTETS + questionOctets)
    const first = this.#firstOf(hash)
    for (let record = first; record < first + WAYS * WORDS; record += WORDS)
      if (records[record + AT] === at && records[record + PAGE] === home.index) records[record + MARK] = 0
  }

  /** Room for `entries`, twice. What was noted comes back by itself. */
  growTo(entries: number): void {
    let records = this.#records.length / WORDS
    if (records >= entries * 2 || records >= MOST_RECORDS) return
    while (records < entries * 2 && records < MOST_RECORDS) records *= 2
    this.#records = new Int32Array(records * WORDS)
    this.#mask = records - WAYS
  }

  /** Lets go of everything. */
  clear(nowMs = Number.NaN): void {
    this.#records.fill(0)
    this.#baseMs = wholeTick(nowMs)
  }
}

/** All of a cache key that is not the question: its length, the view, DO and CD. Never 0. */
function markOf({ questionAt, questionEnd, dnssecOk, flags }: QueryScan, view: View): number {
  return ((questionEnd - questionAt) << 18) | (view << 2) | ((flags & 0x10) === 0 ? 0 : 2) | (dnssecOk ? 1 : 0)
}

/** FNV-1a over the question, A-Z lowered (RFC 4343); in its type and class, too, which only makes a few more hashes equal. */
function hashOf(octets: Uint8Array, from: number, end: number): number {
  let hash = FNV_BASIS
  for (let i = from; i < end; i++) hash = Math.imul(hash ^ lowerOctet(octets[i]!), FNV_PRIME)
  return hash ^ (hash >>> 15)
}

/** Whether the answer at `at` of `page` is to this question, its name in small letters: one that a resolver wrote in capitals is left to the index. */
function isSame(page: Uint8Array, at: number, packet: Uint8Array, from: number, end: number): boolean {
  const shift = at + HEADER_OCTETS - from
  const typeAt = end - 4
  for (let i = from; i < typeAt; i++) if (page[i + shift] !== lowerOctet(packet[i]!)) return false
  for (let i = typeAt; i < end; i++) if (page[i + shift] !== packet[i]) return false
  return true
}
