import { EnigmError } from '../errors.ts'
import type { Question } from '../resolve.ts'
import { expandedName } from './name.ts'
import { HEADER_OCTETS, putU16, putU32, u16 } from './octets.ts'
import { expandedRdata } from './rdata-names.ts'
import { RecordCursor, type Section } from './records.ts'

/** A record without compression. */
export interface PlainRecord {
  readonly section: Section
  readonly name: Uint8Array
  readonly type: number
  readonly class: number
  readonly ttlS: number
  readonly rdata: Uint8Array
}

const MAX_MESSAGE_OCTETS = 65_535
/** A pointer has 14 bits (RFC 1035 section 4.1.4). */
const MAX_POINTER = 0x3fff

/**
 * The records of a response that `acceptReply` or `synthesise` made, without compression, in their
 * order. Throws `reply-malformed`.
 */
export function plainRecords(wire: Uint8Array): readonly PlainRecord[] {
  const records: PlainRecord[] = []
  const cursor = new RecordCursor(wire)
  while (cursor.next()) {
    const { section, type, ttlS, rdataAt, rdLength } = cursor
    const name = expandedName(wire, cursor.recordAt)
    const rdata = expandedRdata(wire, type, rdataAt, rdataAt + rdLength)
    if (name === undefined || rdata === undefined) throw malformed()
    records.push({ section, name, type, class: cursor.class, ttlS, rdata })
  }
  if (cursor.malformed) throw malformed()
  return records
}

/**
 * A response to `question` with these records, which are in the order of their sections, and with
 * the flags and RCODE of `flagsOf`, a response. AD is cleared: no resolver has proven the whole.
 * Owner names that were written before are pointers. Throws `reply-malformed` if it is longer than
 * a message may be.
 */
export function responseOf(question: Question, flagsOf: Uint8Array, records: readonly PlainRecord[]): Uint8Array {
  const parts: Uint8Array[] = [new Uint8Array(HEADER_OCTETS), question.lower]
  const head = parts[0] ?? new Uint8Array(HEADER_OCTETS)
  putU16(head, 2, u16(flagsOf, 2) & ~0x0020)
  head[5] = 1
  const written = new Map([[keyOf(question.lower.subarray(0, -4)), HEADER_OCTETS]])
  let at = HEADER_OCTETS + question.lower.length
  for (const { section, name, type, class: recordClass, ttlS, rdata } of records) {
    const before = written.get(keyOf(name))
    const owner = before === undefined ? name : Uint8Array.of(0xc0 | (before >> 8), before & 0xff)
    if (before === undefined && at <= MAX_POINTER) written.set(keyOf(name), at)
    const fixed = new Uint8Array(10)
    putU16(fixed, 0, type)
    putU16(fixed, 2, recordClass)
    putU32(fixed, 4, ttlS)
    putU16(fixed, 8, rdata.length)
    parts.push(owner, fixed, rdata)
    at += owner.length + 10 + rdata.length
    putU16(head, 4 + 2 * section, u16(head, 4 + 2 * section) + 1)
  }
  if (at > MAX_MESSAGE_OCTETS) throw malformed()
  return Buffer.concat(parts)
}

const keyOf = (name: Uint8Array) => Buffer.from(name).toString('latin1').toLowerCase()

const malformed = () => new EnigmError('reply-malformed', 'The reply cannot be rewritten: it is malformed or too long.')
