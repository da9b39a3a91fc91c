import { questionEnd } from '../dns/name.ts'
import { copyLower, copyOf, HEADER_OCTETS } from '../dns/octets.ts'
import { belongsToHop, RecordCursor } from '../dns/records.ts'
import type { Asked } from '../job.ts'
import type { Answer } from '../resolve.ts'
import type { CacheEntry } from './answer-record.ts'
import { flagsOf, KEY_PREFIX, markOf, questionOctetsOf, viewOf } from './key.ts'

/** An entry in the saved form: times are relative to the moment of saving. */
export interface SavedEntry extends Pick<Answer, 'wire' | 'rcode' | 'ede'> {
  /** The question is inside `wire`. */
  readonly asked: Asked
  readonly ageMs: number
  readonly leftMs: number
}

/** Key length, RCODE, EDE + 1, wire length, age, time left. */
const FIXED_OCTETS = 2 + 2 + 4 + 4 + 8 + 8
const MIN_KEY_OCTETS = KEY_PREFIX + 5
const MAX_KEY_OCTETS = KEY_PREFIX + 255 + 4
const MAX_WIRE_OCTETS = 65_535
/**
 * No answer is kept for longer than a week (RFC 8767 section 4), nor stale for longer than a day
 * after it.
 */
const MAX_SPAN_MS = 8 * 86_400_000

/**
 * Writes an entry at `at` of `out`, which must have room. Returns the offset after it. The text of
 * an extended error is not saved: it is only for the client that asked.
 */
export function putSaved(out: Buffer, at: number, entry: CacheEntry, nowMs: number): number {
  const questionOctets = questionOctetsOf(entry.mark)
  const wireAt = at + FIXED_OCTETS + KEY_PREFIX + questionOctets
  out.writeUInt16BE(KEY_PREFIX + questionOctets, at)
  out.writeUInt16BE(entry.rcode, at + 2)
  out.writeUInt32BE(entry.ede === undefined ? 0 : entry.ede.code + 1, at + 4)
  out.writeUInt32BE(entry.length, at + 8)
  out.writeDoubleBE(Math.max(0, nowMs - entry.storedAtMs), at + 12)
  out.writeDoubleBE(entry.expiresAtMs - nowMs, at + 20)
  out.writeUInt16BE(viewOf(entry.mark), at + FIXED_OCTETS)
  out[at + FIXED_OCTETS + 2] = flagsOf(entry.mark)
  const questionAt = entry.at + HEADER_OCTETS
  out.set(entry.octets.subarray(questionAt, questionAt + questionOctets), at + FIXED_OCTETS + KEY_PREFIX)
  out.set(entry.octets.subarray(entry.at, entry.at + entry.length), wireAt)
  return wireAt + entry.length
}

/**
 * Calls `each` with every entry of a chunk; each entry owns its octets. Stops at the first invalid
 * entry and returns false: nothing in the file is trusted.
 */
export function readSaved(chunk: Buffer, each: (entry: SavedEntry) => void): boolean {
  let at = 0
  while (at < chunk.length) {
    if (chunk.length - at < FIXED_OCTETS) return false
    const keyOctets = chunk.readUInt16BE(at)
    const wireOctets = chunk.readUInt32BE(at + 8)
    const keyAt = at + FIXED_OCTETS
    const end = keyAt + keyOctets + wireOctets
    if (keyOctets < MIN_KEY_OCTETS || keyOctets > MAX_KEY_OCTETS || wireOctets > MAX_WIRE_OCTETS || end > chunk.length) return false
    const rcode = chunk.readUInt16BE(at + 2)
    const ede = chunk.readUInt32BE(at + 4)
    const ageMs = chunk.readDoubleBE(at + 12)
    const leftMs = chunk.readDoubleBE(at + 20)
    const wire = copyOf(chunk, keyAt + keyOctets, end)
    if (rcode > 4095 || ede > 65_536 || !isSpan(ageMs) || ageMs < 0 || !isSpan(leftMs)) return false
    if (!answers(wire, chunk.subarray(keyAt + KEY_PREFIX, keyAt + keyOctets))) return false
    const flags = chunk[keyAt + 2]!
    if (flags > 3) return false
    const questionOctets = keyOctets - KEY_PREFIX
    const mark = markOf(questionOctets, chunk.readUInt16BE(keyAt), (flags & 1) !== 0, (flags & 2) !== 0)
    const asked = { octets: wire, from: HEADER_OCTETS, end: HEADER_OCTETS + questionOctets, mark, hash: 0 }
    each({ asked, wire, rcode, ageMs, leftMs, ...(ede === 0 ? {} : { ede: { code: ede - 1 } }) })
    at = end
  }
  return true
}

/** Rejects NaN and infinities. */
function isSpan(ms: number): boolean {
  return Math.abs(ms) <= MAX_SPAN_MS
}

/**
 * Whether `wire` is a complete response to exactly the question of its key, in the form that the
 * cache stores.
 */
function answers(wire: Uint8Array, question: Uint8Array): boolean {
  if (wire.length < HEADER_OCTETS || (wire[2]! & 0x80) === 0 || wire[5] !== 1) return false
  if (questionEnd(wire) !== HEADER_OCTETS + question.length) return false
  const own = wire.subarray(HEADER_OCTETS, HEADER_OCTETS + question.length)
  const lower = copyOf(own)
  copyLower(own, 0, own.length - 4, lower, 0)
  if (Buffer.compare(lower, question) !== 0 || Buffer.compare(lower, own) !== 0) return false
  const cursor = new RecordCursor(wire)
  while (cursor.next()) if (belongsToHop(wire, cursor)) return false
  return !cursor.malformed && cursor.end === wire.length
}
