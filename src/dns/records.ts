import { nameLength, questionEnd } from './name.ts'
import { HEADER_OCTETS, putU16, u16, u32 } from './octets.ts'

export const TYPE = { A: 1, NS: 2, CNAME: 5, SOA: 6, PTR: 12, MX: 15, SIG: 24, AAAA: 28, DNAME: 39, OPT: 41, TKEY: 249, TSIG: 250 } as const

const NOTHING = new Uint8Array(0)

/** 1 answer, 2 authority, 3 additional. */
export type Section = 1 | 2 | 3

/**
 * Walks the records of one message without copying or decoding. `next()` moves on and returns
 * whether there is a record; `malformed` reports why it stopped. Bounded: a record is at least 11
 * octets, owner names are followed at most 127 pointers back, so 64 KiB of anything takes
 * milliseconds (RFC 9267).
 */
export class RecordCursor {
  #message: Uint8Array = NOTHING
  #at = 0
  #section: Section = 1
  #left = 0
  malformed = false
  recordAt = 0
  type = 0
  class = 0
  ttlAt = 0
  rdataAt = 0
  rdLength = 0

  /**
   * Set to the start of `message`. One cursor may walk many messages, one after the other: that
   * saves five objects per cache miss.
   */
  constructor(message: Uint8Array = NOTHING) {
    this.start(message)
  }

  /** Starts again with `message`. */
  start(message: Uint8Array): this {
    this.#message = message
    this.#section = 1
    this.#at = message.length < HEADER_OCTETS ? 0 : u16(message, 4) === 0 ? HEADER_OCTETS : questionEnd(message)
    this.malformed = this.#at === 0 || u16(message, 4) > 1
    this.#left = this.malformed ? 0 : u16(message, 6)
    return this
  }

  get section(): Section {
    return this.#section
  }
  get ttlS(): number {
    return u32(this.#message, this.ttlAt)
  }
  /** Current offset; after the last record, the end of the records that the header counts. */
  get end(): number {
    return this.#at
  }

  next(): boolean {
    while (this.#left === 0) {
      if (this.malformed || this.#section === 3) return false
      this.#section = this.#section === 1 ? 2 : 3
      this.#left = u16(this.#message, this.#section === 2 ? 8 : 10)
    }
    this.#left--
    const message = this.#message
    const length = nameLength(message, this.#at)
    const fixed = this.#at + length
    if (length === 0 || fixed + 10 > message.length) return this.#broken()
    this.recordAt = this.#at
    this.type = u16(message, fixed)
    this.class = u16(message, fixed + 2)
    this.ttlAt = fixed + 4
    this.rdLength = u16(message, fixed + 8)
    this.rdataAt = fixed + 10
    this.#at = this.rdataAt + this.rdLength
    return this.#at <= message.length || this.#broken()
  }

  #broken(): false {
    this.malformed = true
    this.#left = 0
    this.#section = 3
    return false
  }
}

/**
 * Whether the record at `cursor` belongs to one hop and not to the answer: OPT (RFC 6891), TSIG
 * (RFC 8945), TKEY (RFC 2930), and a SIG that covers no type, SIG(0) (RFC 2931).
 */
export function belongsToHop(message: Uint8Array, cursor: RecordCursor): boolean {
  const { type } = cursor
  if (type === TYPE.SIG) return cursor.rdLength >= 2 && u16(message, cursor.rdataAt) === 0
  return type === TYPE.OPT || type === TYPE.TSIG || type === TYPE.TKEY
}

const ttlWalker = new RecordCursor()

/**
 * The number of records according to the header of `wire`: the most offsets that `putTtlOffsets`
 * writes.
 */
export function recordCount(wire: Uint8Array): number {
  return u16(wire, 6) + u16(wire, 8) + u16(wire, 10)
}

/**
 * Writes the offset of the TTL of every record of `wire` (no OPT in it) to `out` from `at` on, two
 * octets each, and returns their number. Done once at insert, so that a hit can change TTLs without
 * parsing.
 */
export function putTtlOffsets(wire: Uint8Array, out: Uint8Array, at: number): number {
  const cursor = ttlWalker.start(wire)
  let count = 0
  while (cursor.next()) putU16(out, at + 2 * count++, cursor.ttlAt)
  return count
}

const SVCB = 64
const HTTPS = 65
/** RFC 9460 section 14.3.2. */
const IPV4HINT = 4
const IPV6HINT = 6

const addressWalker = new RecordCursor()

/**
 * Whether `test` returns true for one of the addresses to which a client of `message` might
 * connect: A and AAAA records, and the hints in SVCB and HTTPS records (RFC 9460 section 7.3), in
 * the answer and the additional section. `test` gets the message and the offset of four or sixteen
 * octets of address. Never throws.
 */
export function someAddress(message: Uint8Array, test: (octets: Uint8Array, at: number, length: 4 | 16) => boolean): boolean {
  const cursor = addressWalker.start(message)
  while (cursor.next()) {
    const { type, rdataAt, rdLength } = cursor
    if (cursor.section === 2) continue
    if (type === TYPE.A && rdLength === 4 && test(message, rdataAt, 4)) return true
    if (type === TYPE.AAAA && rdLength === 16 && test(message, rdataAt, 16)) return true
    if ((type === SVCB || type === HTTPS) && someHint(message, rdataAt, rdataAt + rdLength, test)) return true
  }
  return false
}

function someHint(
  message: Uint8Array,
  from: number,
  end: number,
  test: (octets: Uint8Array, at: number, length: 4 | 16) => boolean,
): boolean {
  if (from + 3 > end) return false
  const target = nameLength(message, from + 2)
  if (target === 0) return false
  for (let at = from + 2 + target; at + 4 <= end; ) {
    const key = u16(message, at)
    const valueAt = at + 4
    at = valueAt + u16(message, at + 2)
    if (at > end) return false
    const size = key === IPV4HINT ? 4 : key === IPV6HINT ? 16 : 0
    if (size === 0) continue
    for (let one = valueAt; one + size <= at; one += size) if (test(message, one, size)) return true
  }
  return false
}

const RRSIG = 46
const NSEC = 47
const NSEC3 = 50
/**
 * Types that are not compared: signatures, and aliases, whose names are compressed differently if
 * there are signatures between them.
 */
const BESIDE: ReadonlySet<number> = new Set([TYPE.CNAME, TYPE.DNAME, RRSIG, NSEC, NSEC3])

/**
 * Whether two responses with the same question, of type `type`, and the same RCODE hold the same
 * data, in any order, without regard to TTLs and signatures. Equal data in another wire form (names
 * compressed differently) counts as different.
 */
export function sameData(one: Uint8Array, other: Uint8Array, type: number): boolean {
  const data = dataOf(one, type)
  const others = dataOf(other, type)
  return data.length === others.length && data.every((record, i) => record === others[i])
}

function dataOf(message: Uint8Array, type: number): readonly string[] {
  const data: string[] = []
  const cursor = new RecordCursor(message)
  while (cursor.next() && cursor.section === 1) {
    if (cursor.type !== type && BESIDE.has(cursor.type)) continue
    data.push(`${cursor.type} ${Buffer.from(message.subarray(cursor.rdataAt, cursor.rdataAt + cursor.rdLength)).toString('latin1')}`)
  }
  return data.sort()
}
