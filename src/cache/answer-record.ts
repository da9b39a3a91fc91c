import { HEADER_OCTETS, lowerOctet, putU16 } from '../dns/octets.ts'
import { putTtlOffsets } from '../dns/records.ts'
import type { ReplySource } from '../dns/reply.ts'
import type { Ede } from '../errors.ts'
import type { Asked } from '../job.ts'
import type { Segments } from './segments.ts'

/** One stored answer, read in place: valid until the table is next read or written. */
export interface CacheEntry extends ReplySource {
  readonly mark: number
  /** Boot time, ms. */
  readonly storedAtMs: number
  /** Boot time, ms. */
  readonly expiresAtMs: number
  /** Hits on this network since it was stored, counted at most once in two seconds. */
  hits: number
  /** Hits before this time are not counted (boot time, ms). */
  recountMs: number
  /**
   * An expired answer is served at once until this second of boot time, because a query for a newer
   * one has just failed.
   */
  staleUntilS: number
  /**
   * A newer answer to the same question came under other flags and contradicts this one. This one
   * is used while it is fresh, and is not served stale.
   */
  outdated: boolean
  /** The version of the rules under which it was judged; see `RulesVersion`. */
  rulesVersion: number
  /** It was made here and did not come from a server. */
  readonly isOwn: boolean
  /** It came from a server of this network: forgotten when the network changes, and not saved. */
  readonly ofNetwork: boolean
}

/**
 * A record is 16 words, the answer's octets, the offsets of its TTLs (two octets each), and the
 * text of its extended error. They lie in one piece: a hit reads one cache line and those after it.
 */
export const HASH = 0
export const MARK = 1
/** The next record of the same bucket, in the form of `#heads`. */
export const NEXT = 2
/** Units of the record, and four flag bits. */
export const SIZE = 3
const LENGTH = 4
const TTLS = 5
/** The RCODE (12 bits), whether it was made here (1 bit), the version of the rules (19 bits). */
const RCODE = 6
const RCODE_BITS = 0xfff
const OWN = 1 << 12
const VERSION_SHIFT = 13
/**
 * 0: no extended error. Otherwise its code plus 1, with the length of its text in the upper bits.
 */
const EDE = 7
const HITS = 14
const STALE_UNTIL = 15
/** Index in doubles from the beginning of the record. */
const STORED = 4
const EXPIRES = 5
const RECOUNT = 6
export const RECORD_OCTETS = 64

export const UNIT_OCTETS = 16
export const WORDS_A_UNIT = 4
const DOUBLES_A_UNIT = 2
export const DEAD = 1 << 30
/** A hit was counted since the record was written or moved: it is kept once more at eviction. */
const USED = 1 << 29
/** See `Entry.outdated`. */
const OUTDATED = 1 << 28
/** See `CacheEntry.ofNetwork`. */
const OF_NETWORK = 1 << 27
export const UNITS = OF_NETWORK - 1
const EDE_CODE = (1 << 17) - 1
export const MOST_EDE_TEXT = (1 << 14) - 1

/** The version of the rules under which an answer was judged, and whether it was made here. */
export interface JudgedUnder {
  readonly version: number
  readonly isOwn: boolean
}

/** A cursor that reads and writes one record of the table. */
export class EntryCursor implements CacheEntry {
  readonly #segments: Segments
  #words: Int32Array = new Int32Array(0)
  #doubles: Float64Array = new Float64Array(0)
  #word = 0
  #double = 0
  octets: Uint8Array = new Uint8Array(0)
  place = 0
  at = 0
  length = 0
  ttlCount = 0
  rcode = 0
  ede: Ede | undefined

  constructor(segments: Segments) {
    this.#segments = segments
  }

  /** `newUnits`: the size of a record in memory that was never written. */
  moveTo(place: number, newUnits = 0): EntryCursor {
    const segments = this.#segments
    const unit = segments.unitOf(place)
    this.place = place
    this.octets = segments.octetsOf(place)
    this.at = unit * UNIT_OCTETS + RECORD_OCTETS
    const words = segments.wordsOf(place)
    const word = unit * WORDS_A_UNIT
    this.#words = words
    this.#word = word
    this.#doubles = segments.doublesOf(place)
    this.#double = unit * DOUBLES_A_UNIT
    if (newUnits > 0) words[word + SIZE] = newUnits
    else {
      this.length = words[word + LENGTH]!
      this.ttlCount = words[word + TTLS]!
      this.rcode = words[word + RCODE]! & RCODE_BITS
      this.ede = words[word + EDE] === 0 ? undefined : this.#readEde(words[word + EDE]!)
    }
    return this
  }

  get mark(): number {
    return this.#words[this.#word + MARK]!
  }
  get hash(): number {
    return this.#words[this.#word + HASH]!
  }
  get units(): number {
    return this.#words[this.#word + SIZE]! & UNITS
  }
  get dead(): boolean {
    return (this.#words[this.#word + SIZE]! & DEAD) !== 0
  }
  get used(): boolean {
    return (this.#words[this.#word + SIZE]! & USED) !== 0
  }
  /** The record has been kept once more, and loses the flag. */
  forgetUse(): void {
    this.#words[this.#word + SIZE] = this.#words[this.#word + SIZE]! & ~USED
  }
  get storedAtMs(): number {
    return this.#doubles[this.#double + STORED]!
  }
  get expiresAtMs(): number {
    return this.#doubles[this.#double + EXPIRES]!
  }
  get recountMs(): number {
    return this.#doubles[this.#double + RECOUNT]!
  }
  set recountMs(ms: number) {
    this.#doubles[this.#double + RECOUNT] = ms
    this.#words[this.#word + SIZE] = this.#words[this.#word + SIZE]! | USED
  }
  get hits(): number {
    return this.#words[this.#word + HITS]!
  }
  set hits(hits: number) {
    this.#words[this.#word + HITS] = hits
  }
  get staleUntilS(): number {
    return this.#words[this.#word + STALE_UNTIL]!
  }
  set staleUntilS(second: number) {
    this.#words[this.#word + STALE_UNTIL] = second
  }

  get rulesVersion(): number {
    return this.#words[this.#word + RCODE]! >>> VERSION_SHIFT
  }
  set rulesVersion(version: number) {
    const rest = this.#words[this.#word + RCODE]! & (OWN | RCODE_BITS)
    this.#words[this.#word + RCODE] = (version << VERSION_SHIFT) | rest
  }
  get isOwn(): boolean {
    return (this.#words[this.#word + RCODE]! & OWN) !== 0
  }

  get outdated(): boolean {
    return (this.#words[this.#word + SIZE]! & OUTDATED) !== 0
  }
  set outdated(outdated: boolean) {
    const size = this.#words[this.#word + SIZE]! & ~OUTDATED
    this.#words[this.#word + SIZE] = outdated ? size | OUTDATED : size
  }

  get ofNetwork(): boolean {
    return (this.#words[this.#word + SIZE]! & OF_NETWORK) !== 0
  }
  /** Marks a record that was just written. */
  belongToNetwork(): void {
    this.#words[this.#word + SIZE] = this.#words[this.#word + SIZE]! | OF_NETWORK
  }

  write(
    { octets: question, from, end, mark }: Asked,
    wire: Uint8Array,
    ttlAts: readonly number[] | undefined,
    storedAtMs: number,
    expiresAtMs: number,
  ): void {
    const { octets, at } = this
    octets.set(wire, at)
    for (let i = from; i < end - 4; i++) octets[at + HEADER_OCTETS + i - from] = lowerOctet(question[i]!)
    this.length = wire.length
    this.ttlCount = ttlAts === undefined ? putTtlOffsets(wire, octets, at + wire.length) : putOffsets(ttlAts, octets, at + wire.length)
    const words = this.#words
    words[this.#word + MARK] = mark
    words[this.#word + LENGTH] = wire.length
    words[this.#word + TTLS] = this.ttlCount
    words[this.#word + HITS] = 0
    words[this.#word + STALE_UNTIL] = 0
    this.#doubles[this.#double + STORED] = storedAtMs
    this.#doubles[this.#double + EXPIRES] = expiresAtMs
    this.#doubles[this.#double + RECOUNT] = 0
  }

  writeVerdict(rcode: number, ede: Ede | undefined, text: Uint8Array | undefined, rules: JudgedUnder): void {
    this.rcode = rcode
    this.ede = ede
    this.#words[this.#word + RCODE] = (rules.version << VERSION_SHIFT) | (rules.isOwn ? OWN : 0) | rcode
    this.#words[this.#word + EDE] = ede === undefined ? 0 : (ede.code + 1) | ((text?.length ?? 0) << 17)
    if (text !== undefined) this.octets.set(text, this.#textAt())
  }

  #textAt(): number {
    return this.at + this.length + 2 * this.ttlCount
  }

  #readEde(word: number): Ede {
    const code = (word & EDE_CODE) - 1
    const length = word >>> 17
    if (length === 0) return { code }
    return { code, text: Buffer.from(this.octets.buffer, this.octets.byteOffset + this.#textAt(), length).toString() }
  }
}

function putOffsets(ttlAts: readonly number[], out: Uint8Array, at: number): number {
  for (let i = 0; i < ttlAts.length; i++) putU16(out, at + 2 * i, ttlAts[i]!)
  return ttlAts.length
}
