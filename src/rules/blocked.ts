import { nameFromText } from '../dns/name.ts'
import { HEADER_OCTETS, put, putU16, putU32 } from '../dns/octets.ts'
import { TYPE } from '../dns/records.ts'
import type { ReplySource } from '../dns/reply.ts'
import type { Ede, Rcode } from '../errors.ts'
import type { Answer, Question } from '../resolve.ts'
import type { BlockedReply } from './list-kinds.ts'

/**
 * The TTL of a blocked answer, in seconds, for our cache and for clients. It is short, so that a
 * pause or a newly allowed name takes effect within a minute. It is long enough that loading one
 * page does not repeat the question.
 */
export const BLOCKED_TTL_S = 60

const RCODES = { 'null-address': 0, nodata: 0, nxdomain: 3, refused: 5 } as const satisfies Record<BlockedReply, Rcode>
/** RFC 8914: Forged Answer, Blocked. */
const FORGED = 4
const BLOCKED = 15
/** QR, RD and RA. */
const FLAGS = 0x8180

/** Records of the question's own name, to which a pointer leads (RFC 1035 section 4.1.4). */
const NAME_POINTER = Uint8Array.of(0xc0, HEADER_OCTETS)
const NULL_4 = ownRecord(TYPE.A, new Uint8Array(4))
const NULL_6 = ownRecord(TYPE.AAAA, new Uint8Array(16))
/** Serial, refresh, retry and expire as in RFC 6303 section 3. */
const SOA = ownRecord(
  TYPE.SOA,
  Uint8Array.from([...NAME_POINTER, ...nameFromText('nobody.invalid.'), ...[1, 3600, 1200, 604_800, BLOCKED_TTL_S].flatMap(octetsOf)]),
)

function ownRecord(type: number, rdata: Uint8Array): Uint8Array {
  return Uint8Array.from([...NAME_POINTER, 0, type, 0, 1, ...octetsOf(BLOCKED_TTL_S), 0, rdata.length, ...rdata])
}

function octetsOf(number: number): readonly number[] {
  const octets = new Uint8Array(4)
  putU32(octets, 0, number)
  return [...octets]
}

/**
 * What a client learns besides the answer: an address that leads nowhere is a lie, and says so. The
 * id of the list is in the text.
 */
export function blockedEde(reply: BlockedReply, list: string): Ede {
  return { code: reply === 'nxdomain' || reply === 'refused' ? BLOCKED : FORGED, text: `list ${list}` }
}

/** The one record of a blocked answer. */
function recordOf(reply: BlockedReply, type: number): Uint8Array {
  if (reply !== 'null-address') return SOA
  return type === TYPE.A ? NULL_4 : type === TYPE.AAAA ? NULL_6 : SOA
}

/** Writes an answer to `octets`, except its question. Returns its length. */
function write(octets: Uint8Array, questionOctets: number, reply: BlockedReply, type: number): number {
  const record = recordOf(reply, type)
  const isDenial = record === SOA
  putU16(octets, 2, FLAGS | RCODES[reply])
  octets[5] = 1
  octets[7] = isDenial ? 0 : 1
  octets[9] = isDenial ? 1 : 0
  put(octets, HEADER_OCTETS + questionOctets, record, 0, record.length)
  return HEADER_OCTETS + questionOctets + record.length
}

/**
 * The answer to a question about a blocked name. With `null-address`, A and AAAA get an address
 * that leads nowhere and every other type NODATA. Negative answers have an SOA of the name itself,
 * so that caches keep them (RFC 2308). `list` is the id of the list, which the client may see.
 */
export function blockedAnswer({ lower, type }: Question, reply: BlockedReply, list: string): Answer {
  const wire = new Uint8Array(HEADER_OCTETS + lower.length + recordOf(reply, type).length)
  write(wire, lower.length, reply, type)
  wire.set(lower, HEADER_OCTETS)
  return { wire, rcode: RCODES[reply], storeS: BLOCKED_TTL_S, ede: blockedEde(reply, list), from: 'policy' }
}

/**
 * The same answer for `writeReply`, which writes the question itself. One object is used for all:
 * it is valid until the next call.
 */
export function blockedSource(questionOctets: number, type: number, reply: BlockedReply, ede: Ede): ReplySource {
  shared.length = write(shared.octets, questionOctets, reply, type)
  shared.rcode = RCODES[reply]
  shared.ede = ede
  return shared
}

const LONGEST_QUESTION = 259
const shared = {
  octets: new Uint8Array(HEADER_OCTETS + LONGEST_QUESTION + SOA.length),
  at: 0,
  length: 0,
  ttlCount: 0,
  rcode: 0 as Rcode,
  ede: undefined as Ede | undefined,
}
