import type { Rcode } from '../errors.ts'
import type { Opt, Question } from '../resolve.ts'
import { readOpt } from './edns.ts'
import { questionEnd } from './name.ts'
import { copyLower, fresh, HEADER_OCTETS, lowerOctet, putU16, u16 } from './octets.ts'
import type { QueryScan } from './query-scan.ts'

export function idOf(message: Uint8Array): number {
  return u16(message, 0)
}

export function setId(message: Uint8Array, id: number): void {
  putU16(message, 0, id)
}

/**
 * The complete RCODE of a message, 12 bits: the upper eight are in its OPT (RFC 6891 section
 * 6.1.3). BADVERS is 16, so the header of such a reply says NOERROR. Never throws.
 */
export function rcodeOf(message: Uint8Array): Rcode {
  return rcodeWith(message, readOpt(message))
}

/** The same for a message whose OPT has been read. */
export function rcodeWith(message: Uint8Array, opt: Opt | undefined): Rcode {
  return ((opt?.extendedRcode ?? 0) << 4) | (message[3]! & 0x0f)
}

/**
 * The question that `scan` found in `packet`. If `packet` is a question in lower case and nothing
 * else, it is not copied: it must not change after that.
 */
export function questionOf(packet: Uint8Array, scan: QueryScan): Question {
  const { questionAt, questionEnd, type, class: qclass } = scan
  if (questionAt === 0 && questionEnd === packet.length && isLower(packet, questionEnd - 4)) return { lower: packet, type, class: qclass }
  const lower = fresh(questionEnd - questionAt)
  const name = lower.length - 4
  copyLower(packet, questionAt, name, lower, 0)
  // Octets of QTYPE and QCLASS must not be lowered: one may be 0x41.
  for (let i = name; i < lower.length; i++) lower[i] = packet[questionAt + i]!
  return { lower, type, class: qclass }
}

/** Whether none of the first `length` octets is one of A-Z. */
function isLower(octets: Uint8Array, length: number): boolean {
  for (let i = 0; i < length; i++) if (octets[i] !== lowerOctet(octets[i]!)) return false
  return true
}

/**
 * The query that is sent: ID 0, RD and AD set (RFC 6840 section 5.7), the name lower-cased, no OPT
 * yet, and of the client's flags only CD.
 */
export function upstreamQuery(question: Question, checkingDisabled: boolean): Uint8Array {
  const message = fresh(HEADER_OCTETS + question.lower.length)
  putU16(message, 2, checkingDisabled ? 0x0130 : 0x0120)
  message[5] = 1
  message.set(question.lower, HEADER_OCTETS)
  return message
}

/**
 * Whether `reply` answers `request`: a response with the same opcode and the same question (names
 * are compared case-insensitively), or an error without a question. IDs are checked by the link and
 * are not compared here. Never throws for any octets.
 */
export function isReplyTo(request: Uint8Array, reply: Uint8Array): boolean {
  if (reply.length < HEADER_OCTETS || (reply[2]! & 0x80) === 0 || ((reply[2]! ^ request[2]!) & 0x78) !== 0) return false
  const questions = u16(reply, 4)
  // Some servers count the question in an error reply, but send only the header.
  if (questions === 0 || reply.length === HEADER_OCTETS) return rcodeOf(reply) !== 0
  if (questions !== 1) return false
  const end = questionEnd(request)
  if (end === 0 || reply.length < end) return false
  for (let at = HEADER_OCTETS; at < end - 4; at++)
    if (reply[at] !== request[at] && lowerOctet(reply[at]!) !== lowerOctet(request[at]!)) return false
  for (let at = end - 4; at < end; at++) if (reply[at] !== request[at]) return false
  return true
}

/**
 * Whether a response has no readable question: none, or one that is cut off or malformed.
 * Only its ID then says to which query it belongs. Never throws.
 */
export function lacksQuestion(reply: Uint8Array): boolean {
  return reply.length >= HEADER_OCTETS && (reply[2]! & 0x80) !== 0 && (u16(reply, 4) === 0 || questionEnd(reply) === 0)
}

/** A query for `. NS IN`: every resolver has it in its cache, and it contains no name of a user. */
export const ROOT_PROBE: Uint8Array = upstreamQuery({ lower: Uint8Array.of(0, 0, 2, 0, 1), type: 2, class: 1 }, false)
