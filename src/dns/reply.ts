import type { Ede, Rcode } from '../errors.ts'
import { OPTION, UDP_SIZE } from './edns.ts'
import { HEADER_OCTETS, put, putU16, putU32, u16, u32 } from './octets.ts'
import { type QueryScan, SOURCE_OPTION } from './query-scan.ts'

const OPT_OCTETS = 11
const SERVFAIL = 2
/** No message is larger, over any transport. */
const MOST_OCTETS = 65_535

/**
 * An answer in memory: `length` octets at `at` of `octets` (no OPT), then `ttlCount` two-octet
 * offsets of its TTLs.
 */
export interface ReplySource {
  readonly octets: Uint8Array
  readonly at: number
  readonly length: number
  readonly ttlCount: number
  readonly rcode: Rcode
  readonly ede: Ede | undefined
}

/**
 * The most octets that may be sent over UDP: 512 without an OPT, else the size that the client
 * accepts, between 512 and 1232 (RFC 6891 section 6.2.5).
 */
export function udpLimit(scan: QueryScan): number {
  return scan.hasOpt ? Math.max(512, Math.min(scan.udpSize, UDP_SIZE)) : 512
}

/**
 * Writes the reply to the query that `scan` describes: the stored answer with the client's ID,
 * question (case kept) and CD, and with an OPT if and only if the query has one. TTLs are reduced
 * by `elapsedS`. A reply larger than `limit` becomes header, question and OPT with TC set; the EDE
 * is dropped first. An answer that fits no message together with an OPT is sent without one: TC
 * over TCP would leave the client no way to get it. Returns the number of octets written. Allocates
 * nothing if there is no EDE and no source.
 */
export function writeReply(
  out: Uint8Array,
  at: number,
  limit: number,
  kept: ReplySource,
  packet: Uint8Array,
  scan: QueryScan,
  elapsedS: number,
  source: string | undefined,
): number {
  const hasOpt = scan.hasOpt && (limit < MOST_OCTETS || kept.length + OPT_OCTETS <= MOST_OCTETS)
  const questionOctets = scan.questionEnd - scan.questionAt
  const whole = kept.length + (hasOpt ? OPT_OCTETS : 0) <= limit
  const length = whole ? kept.length : HEADER_OCTETS + questionOctets
  put(out, at, kept.octets, kept.at, length)
  for (let i = 0; i < questionOctets; i++) out[at + HEADER_OCTETS + i] = packet[scan.questionAt + i]!
  writeFlags(out, at, kept.rcode, scan, whole, hasOpt)
  if (whole) {
    if (elapsedS > 0) ageTtls(out, at, kept, elapsedS)
  } else {
    putU32(out, at + 6, 0)
    putU16(out, at + 10, 0)
  }
  return hasOpt ? length + writeOpt(out, at + length, limit - length, at, kept, scan, source) : length
}

function writeFlags(out: Uint8Array, at: number, rcode: Rcode, scan: QueryScan, whole: boolean, hasOpt: boolean): void {
  putU16(out, at, scan.id)
  if (!whole) out[at + 2] = out[at + 2]! | 0x02
  let low = out[at + 3]!
  if ((scan.flags & 0x20) === 0 && !scan.dnssecOk) low &= 0xdf // AD only for who set AD or DO (RFC 6840 section 5.8)
  low = (low & 0xef) | (scan.flags & 0x10)
  out[at + 3] = rcode > 15 && !hasOpt ? (low & 0xf0) | SERVFAIL : low
}

function ageTtls(out: Uint8Array, at: number, kept: ReplySource, elapsedS: number): void {
  const offsets = kept.at + kept.length
  for (let i = 0; i < kept.ttlCount; i++) {
    const ttlAt = at + u16(kept.octets, offsets + 2 * i)
    const ttlS = u32(out, ttlAt)
    putU32(out, ttlAt, ttlS > elapsedS ? ttlS - elapsedS : 0)
  }
}

function writeOpt(
  out: Uint8Array,
  at: number,
  room: number,
  messageAt: number,
  kept: ReplySource,
  scan: QueryScan,
  source: string | undefined,
): number {
  out[at] = 0
  putU16(out, at + 1, 41)
  putU16(out, at + 3, UDP_SIZE)
  out[at + 5] = kept.rcode >>> 4
  out[at + 6] = 0
  putU16(out, at + 7, scan.dnssecOk ? 0x8000 : 0)
  let length = OPT_OCTETS
  if (source !== undefined) length += writeOption(out, at + length, room - length, SOURCE_OPTION, Buffer.from(source, 'latin1'))
  if (kept.ede !== undefined) length += writeEde(out, at + length, room - length, kept.ede)
  putU16(out, at + 9, length - OPT_OCTETS)
  putU16(out, messageAt + 10, u16(out, messageAt + 10) + 1)
  return length
}

/** The text is left out first, then the option. */
function writeEde(out: Uint8Array, at: number, room: number, { code, text = '' }: Ede): number {
  if (room < EDE_OCTETS) return 0
  const octets = writeText(out, at + EDE_OCTETS, room - EDE_OCTETS, text)
  putU16(out, at, OPTION.ede)
  putU16(out, at + 2, 2 + octets)
  putU16(out, at + 4, code)
  return EDE_OCTETS + octets
}
/** Of the option without its text. */
const EDE_OCTETS = 6

/** Writes a text in UTF-8. Returns its octets, or 0 if it does not fit. */
function writeText(out: Uint8Array, at: number, room: number, text: string): number {
  if (text.length > room) return 0
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    // Texts are short, and nearly all are ASCII: a Buffer for each would cost more than the rest.
    if (unit > 0x7f) return writeOctets(out, at, room, Buffer.from(text))
    out[at + i] = unit
  }
  return text.length
}

function writeOctets(out: Uint8Array, at: number, room: number, octets: Uint8Array): number {
  if (octets.length > room) return 0
  out.set(octets, at)
  return octets.length
}

function writeOption(out: Uint8Array, at: number, room: number, option: number, data: Uint8Array): number {
  if (data.length + 4 > room) return 0
  putU16(out, at, option)
  putU16(out, at + 2, data.length)
  out.set(data, at + 4)
  return data.length + 4
}

/**
 * A reply with only a header, the question if one could be read, and an OPT if the query had a
 * readable one: FORMERR, NOTIMP, REFUSED, BADVERS.
 */
export function errorReply(packet: Uint8Array, scan: QueryScan, rcode: Rcode, ede?: Ede): Buffer {
  const question = scan.questionEnd === 0 ? new Uint8Array(0) : packet.subarray(scan.questionAt, scan.questionEnd)
  const octets = Buffer.alloc(HEADER_OCTETS + question.length)
  putU16(octets, 2, 0x8080 | (scan.flags & 0x7900) | (rcode & 0x0f))
  if (question.length > 0) octets[5] = 1
  octets.set(question, HEADER_OCTETS)
  const bare = scan.questionEnd === 0 ? { ...scan, questionEnd: scan.questionAt } : scan
  const out = Buffer.alloc(512)
  const length = writeReply(out, 0, 512, { octets, at: 0, length: octets.length, ttlCount: 0, rcode, ede }, packet, bare, 0, undefined)
  return out.subarray(0, length)
}
