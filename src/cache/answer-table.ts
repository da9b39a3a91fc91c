import { HEADER_OCTETS, lowerOctet } from '../dns/octets.ts'
import { recordCount } from '../dns/records.ts'
import type { Asked } from '../job.ts'
import type { Answer } from '../resolve.ts'
import {
  type CacheEntry,
  DEAD,
  EntryCursor,
  HASH,
  type JudgedUnder,
  MARK,
  MOST_EDE_TEXT,
  NEXT,
  RECORD_OCTETS,
  SIZE,
  UNIT_OCTETS,
  UNITS,
  WORDS_A_UNIT,
} from './answer-record.ts'
import { type Segment, Segments } from './segments.ts'

/**
 * One bucket per this many octets of `maxBytes`; the number of buckets is rounded down to a power
 * of two. With short answers there is about one record per bucket. A large cache is hardly ever
 * full: it has half as many, since at 1 GiB the buckets alone would take 28 MB from the start.
 */
const OCTETS_A_BUCKET = 256
const OCTETS_A_BUCKET_OF_MANY = 512
const LARGE_OCTETS = 2 ** 28
/**
 * Limit of records in a bucket. So a lookup compares at most this many, even if somebody finds
 * names of equal hash despite the secret seed.
 */
const MOST_IN_A_BUCKET = 64
/** How many segments may keep all their used records before used records are evicted too. */
const SECOND_CHANCES = 4
const FNV_PRIME = 0x01000193

/**
 * Answers by question, in segments that are written one after the other. When memory is used up,
 * the segment with the most dead records is cleaned first, if at least half of it is dead.
 * Otherwise the oldest is cleaned, and only records that were used since they were written or last
 * kept are kept once more. Cleaning also drops expired records; `sweep` drops them earlier. Memory
 * never exceeds `maxBytes`. Making room usually costs the copying of one segment, and never more
 * than of five. Used from one thread.
 */
export class AnswerTable {
  readonly #segments: Segments
  /** Place of the first record of each bucket, plus 1; 0: no record. */
  readonly #heads: Int32Array
  /** How many records each bucket has. */
  readonly #counts: Uint8Array
  /**
   * The tags of the records in each bucket (`tagOf`). A question whose tag is not among them is not
   * in the table. So nine of ten lookups of a new name read neither a head nor a record, which are
   * rarely in the caches of the CPU (6 % of the time of a miss, with a cache of 64 MiB).
   */
  readonly #tags: Uint16Array
  readonly #seed: number
  readonly #cursor: EntryCursor
  readonly #sweepCursor: EntryCursor
  #entries = 0
  #sweep = { segment: 0, unit: 0, generation: 0 }

  /**
   * `maxBytes`, at least 64 KiB, includes all bookkeeping. `seed`: 32 random bits that must stay
   * secret.
   */
  constructor(maxBytes: number, seed: number) {
    const buckets = 2 ** Math.floor(Math.log2(maxBytes / (maxBytes < LARGE_OCTETS ? OCTETS_A_BUCKET : OCTETS_A_BUCKET_OF_MANY)))
    this.#heads = new Int32Array(buckets)
    this.#counts = new Uint8Array(buckets)
    this.#tags = new Uint16Array(buckets)
    this.#seed = seed | 0
    this.#segments = new Segments(maxBytes - this.#heads.byteLength - this.#counts.byteLength - this.#tags.byteLength)
    this.#cursor = new EntryCursor(this.#segments)
    this.#sweepCursor = new EntryCursor(this.#segments)
  }

  get entries(): number {
    return this.#entries
  }
  /** Octets of all stored records. */
  get bytes(): number {
    return this.#segments.liveUnits * UNIT_OCTETS
  }
  /** Memory of all segments, used or not, without the buckets. */
  get segmentBytes(): number {
    return this.#segments.octets
  }
  /** Whether more than three quarters of the memory for segments are allocated. */
  get crowded(): boolean {
    return this.#segments.crowded
  }

  /**
   * The answer to a question. `otherMark`: looks it up as if the question had this mark
   * (`Asked.mark`).
   */
  find(asked: Asked, otherMark = asked.mark): CacheEntry | undefined {
    const place = this.#placeOf(asked, otherMark)
    return place < 0 ? undefined : this.#cursor.moveTo(place)
  }

  /**
   * Writes an answer, and replaces the one for the same question if there is one. Returns false if
   * it is larger than the table, or answers another question. The stored question is that of
   * `asked`, in lower case.
   */
  write(
    asked: Asked,
    answer: Pick<Answer, 'wire' | 'rcode' | 'ede' | 'ttlAts' | 'ofNetwork'>,
    storedAtMs: number,
    expiresAtMs: number,
    nowMs: number,
    rules: JudgedUnder,
  ): boolean {
    const { wire, ede } = answer
    if (!answers(wire, asked)) return false
    const text = ede?.text === undefined ? undefined : Buffer.from(ede.text).subarray(0, MOST_EDE_TEXT)
    const octets = RECORD_OCTETS + wire.length + 2 * recordCount(wire) + (text?.length ?? 0)
    const units = Math.ceil(octets / UNIT_OCTETS)
    if (!this.#segments.mayHold(units)) return false
    this.#removeAt(this.#placeOf(asked, asked.mark))
    const place = this.#makeRoom(units, nowMs)
    this.#link(place, this.hashOf(asked))
    this.#entries++
    const cursor = this.#cursor.moveTo(place, units)
    cursor.write(asked, wire, answer.ttlAts, storedAtMs, expiresAtMs)
    cursor.writeVerdict(answer.rcode, ede, text, rules)
    if (answer.ofNetwork === true) cursor.belongToNetwork()
    return true
  }

  remove(asked: Asked, otherMark = asked.mark): void {
    this.#removeAt(this.#placeOf(asked, otherMark))
  }

  /** Checks the next few records, in a cycle, and drops those that have expired. */
  sweep(records: number, nowMs: number): void {
    const at = this.#sweep
    for (let i = 0; i < records; i++) {
      const segment = this.#segments.at(at.segment)
      if (segment === undefined || at.unit >= segment.endUnit || at.generation !== segment.generation) {
        at.segment = this.#segments.after(at.segment)
        at.unit = 0
        at.generation = this.#segments.at(at.segment)?.generation ?? 0
        continue
      }
      const entry = this.#sweepCursor.moveTo(this.#segments.place(at.segment, at.unit))
      at.unit += entry.units
      if (!entry.dead && nowMs >= entry.expiresAtMs) this.#removeAt(entry.place)
    }
  }

  /**
   * Every entry, about in the order in which they were written; a cleaned segment counts as new. If
   * they exceed `limit` octets, whole old segments are left out. The table may change between two
   * steps: changed entries may or may not appear.
   */
  *walk(limit = Number.POSITIVE_INFINITY): Generator<CacheEntry, void, void> {
    const cursor = new EntryCursor(this.#segments)
    for (const index of this.#segments.newest(limit / UNIT_OCTETS)) {
      const segment = this.#segments.at(index)
      const generation = segment?.generation
      for (let unit = 0; segment !== undefined && segment.generation === generation && unit < segment.endUnit; ) {
        const { units, dead } = cursor.moveTo(this.#segments.place(index, unit))
        if (!dead) yield cursor
        unit += units
      }
    }
  }

  /** Drops the entries for which `unwanted` returns true. It may change an entry that stays. */
  drop(unwanted: (entry: CacheEntry) => boolean): void {
    for (const entry of this.walk()) if (unwanted(entry)) this.#removeAt((entry as EntryCursor).place)
  }

  /** Forgets everything and wipes the memory. */
  clear(): void {
    this.#segments.wipe()
    this.#heads.fill(0)
    this.#counts.fill(0)
    this.#tags.fill(0)
    this.#entries = 0
    this.#sweep = { segment: 0, unit: 0, generation: 0 }
  }

  /**
   * The hash of a question, which is also stored in the question. FNV-1a over its octets, with A-Z
   * lowered (RFC 4343). They are lowered in type and class too, which only makes a few more hashes
   * equal. The bits are mixed at the end because the low bits select the bucket. Never 0.
   */
  hashOf(asked: Asked): number {
    if (asked.hash !== 0) return asked.hash
    const { octets, end } = asked
    let hash = this.#seed
    for (let i = asked.from; i < end; i++) hash = Math.imul(hash ^ lowerOctet(octets[i]!), FNV_PRIME)
    hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
    hash ^= hash >>> 13
    asked.hash = hash === 0 ? 1 : hash
    return asked.hash
  }

  #bucketOf(hash: number): number {
    return hash & (this.#heads.length - 1)
  }

  /** A word of the record at `place`. */
  #wordOf(place: number, field: typeof HASH | typeof NEXT): number {
    return this.#segments.wordsOf(place)[this.#segments.unitOf(place) * WORDS_A_UNIT + field]!
  }

  #placeOf(asked: Asked, mark: number): number {
    const hash = this.hashOf(asked)
    const bucket = this.#bucketOf(hash)
    return (this.#tags[bucket]! & tagOf(hash)) === 0 ? -1 : this.#search(bucket, hash, asked, mark)
  }

  #search(bucket: number, hash: number, { octets, from, end }: Asked, mark: number): number {
    const segments = this.#segments
    let link = this.#heads[bucket]!
    while (link !== 0) {
      const place = link - 1
      const words = segments.wordsOf(place)
      const word = segments.unitOf(place) * WORDS_A_UNIT
      if (words[word + HASH] === hash && words[word + MARK] === mark) {
        const at = segments.unitOf(place) * UNIT_OCTETS + RECORD_OCTETS + HEADER_OCTETS
        if (isSame(segments.octetsOf(place), at, octets, from, end)) return place
      }
      link = words[word + NEXT]!
    }
    return -1
  }

  /**
   * A new record becomes the first of its bucket; if the bucket is full, its last one is dropped.
   */
  #link(place: number, hash: number): void {
    const bucket = this.#bucketOf(hash)
    const segments = this.#segments
    if (this.#counts[bucket]! >= MOST_IN_A_BUCKET) this.#removeAt(this.#lastOf(bucket))
    const word = segments.unitOf(place) * WORDS_A_UNIT
    segments.wordsOf(place)[word + HASH] = hash
    segments.wordsOf(place)[word + NEXT] = this.#heads[bucket]!
    this.#heads[bucket] = place + 1
    this.#counts[bucket]!++
    this.#tags[bucket] = this.#tags[bucket]! | tagOf(hash)
  }

  #lastOf(bucket: number): number {
    let place = this.#heads[bucket]! - 1
    for (let next = this.#wordOf(place, NEXT); next !== 0; next = this.#wordOf(place, NEXT)) place = next - 1
    return place
  }

  /**
   * Takes the record at `place` out of its bucket. The tags are computed again from the remaining
   * records: with a tag that stays, each later lookup would be slower.
   */
  #unlink(place: number): void {
    const bucket = this.#bucketOf(this.#wordOf(place, HASH))
    this.#relink(bucket, place, this.#wordOf(place, NEXT))
    this.#counts[bucket]!--
    let tags = 0
    for (let link = this.#heads[bucket]!; link !== 0; link = this.#wordOf(link - 1, NEXT)) tags |= tagOf(this.#wordOf(link - 1, HASH))
    this.#tags[bucket] = tags
  }

  /** Replaces the link to the record at `place` by the link `to` (a place plus 1). */
  #relink(bucket: number, place: number, to: number): void {
    const segments = this.#segments
    let link = this.#heads[bucket]!
    if (link === place + 1) {
      this.#heads[bucket] = to
      return
    }
    while (link !== 0) {
      const before = segments.wordsOf(link - 1)
      const at = segments.unitOf(link - 1) * WORDS_A_UNIT + NEXT
      if (before[at] === place + 1) {
        before[at] = to
        return
      }
      link = before[at]!
    }
  }

  #removeAt(place: number): void {
    if (place < 0) return
    const segments = this.#segments
    this.#unlink(place)
    const words = segments.wordsOf(place)
    const at = segments.unitOf(place) * WORDS_A_UNIT + SIZE
    segments.died(place, words[at]! & UNITS)
    words[at] = words[at]! | DEAD
    this.#entries--
  }

  #makeRoom(units: number, nowMs: number): number {
    const segments = this.#segments
    let place = segments.append(units)
    for (let chances = SECOND_CHANCES; place < 0 && chances >= 0; chances--) {
      const victim = segments.victim()
      if (victim === undefined) break
      this.#clean(victim, nowMs, chances === 0)
      place = segments.append(units)
    }
    // The record may be larger than the freed room: then whole segments are emptied.
    for (; place < 0; place = segments.append(units)) this.#empty(segments.oldest())
    return place
  }

  #empty(segment: Segment): void {
    for (let unit = 0; unit < segment.endUnit; unit += this.#sweepCursor.units) {
      const entry = this.#sweepCursor.moveTo(this.#segments.place(segment.index, unit))
      if (!entry.dead) this.#removeAt(entry.place)
    }
    this.#segments.release(segment)
  }

  /**
   * Moves the records that may stay to the front of their segment. These are the unexpired ones; if
   * more than half of the segment is alive, only those of them that were used since they were
   * written or last kept. If room is needed now, such a segment keeps at most half of its size.
   */
  #clean(segment: Segment, nowMs: number, mustGive: boolean): void {
    const segments = this.#segments
    const mostlyAlive = segment.liveUnits * 2 > segment.capacity
    const limit = mostlyAlive && mustGive ? segment.capacity / 2 : segment.capacity
    const cursor = this.#sweepCursor
    let to = 0
    for (let from = 0; from < segment.endUnit; ) {
      const entry = cursor.moveTo(segments.place(segment.index, from))
      const { units, place } = entry
      from += units
      if (entry.dead) continue
      if (nowMs >= entry.expiresAtMs || (mostlyAlive && !entry.used) || to + units > limit) {
        this.#unlink(place)
        this.#entries--
        continue
      }
      const target = segments.place(segment.index, to)
      if (target !== place) {
        this.#relink(this.#bucketOf(entry.hash), place, target + 1)
        segments.move(segment, from - units, to, units)
      }
      cursor.moveTo(target).forgetUse()
      to += units
    }
    segments.cleaned(segment, to)
  }
}

/** One of 16 bits, selected by bits of the hash that do not select the bucket. */
function tagOf(hash: number): number {
  return 1 << (hash >>> 28)
}

/**
 * Whether the question at `at` of `octets` (its name is lower-case) equals the question of `packet`
 * from `from` to `end`.
 */
function isSame(octets: Uint8Array, at: number, packet: Uint8Array, from: number, end: number): boolean {
  const shift = at - from
  const typeAt = end - 4
  for (let i = from; i < typeAt; i++) if (octets[i + shift] !== lowerOctet(packet[i]!)) return false
  for (let i = typeAt; i < end; i++) if (octets[i + shift] !== packet[i]) return false
  return true
}

/**
 * Whether the question of a response ends at the same offset as this one, with the same type and
 * class. The name was checked when the response came in.
 */
function answers(wire: Uint8Array, { octets, from, end }: Asked): boolean {
  const typeAt = HEADER_OCTETS + end - from - 4
  if (wire.length < typeAt + 4 || wire[typeAt - 1] !== 0) return false
  for (let i = 0; i < 4; i++) if (wire[typeAt + i] !== octets[end - 4 + i]) return false
  return true
}
