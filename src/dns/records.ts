import { nameLength, questionEnd } from './name.ts'
import { HEADER_OCTETS, u16, u32 } from './octets.ts'

export const TYPE = { A: 1, NS: 2, CNAME: 5, SOA: 6, PTR: 12, MX: 15, SIG: 24, AAAA: 28, DNAME: 39, OPT: 41, TKEY: 249, TSIG: 250 } as const

const NOTHING = new Uint8Array(0)

/** 1 answer, 2 authority, 3 additional. */
export type Section = 1 | 2 | 3

/**
 * Walks the records of one message without copying or decoding. `next()` moves on and says whether there is a record; `malformed` tells why it stopped.
 * Bounded: a record is at least 11 octets, owner names are followed at most 127 pointers back, so 64 KiB of anything takes milliseconds (RFC 9267).
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

  /** On the first record of `message`. One cursor may walk many messages, one after the other: that saves a miss five objects. */
  constructor(message: Uint8Array = NOTHING) {
    this.start(message)
  }

  /** Begins anew with `message`. */
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
  /** Where the walk stands: after the last record, the end of what the counts cover. */
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
 * Whether the record that `cursor` stands on belongs to one hop and not to the answer: OPT
 * (RFC 6891), TSIG (RFC 8945), TKEY (RFC 2930), and a SIG that covers no type, SIG(0) (RFC 2931).
 */
export function belongsToHop(message: Uint8Array, cursor: RecordCursor): boolean {
  const { type } = cursor
  if (type === TYPE.SIG) return cursor.rdLength >= 2 && u16(message, cursor.rdataAt) === 0
  return type === TYPE.OPT || type === TYPE.TSIG || type === TYPE.TKEY
}
