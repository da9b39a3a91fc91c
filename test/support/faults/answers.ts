import { randomBytes } from 'node:crypto'
import { readOpt, withPaddedOpt } from '../../../src/dns/edns.ts'
import { idOf, setId } from '../../../src/dns/message.ts'
import { questionEnd } from '../../../src/dns/name.ts'
import { RecordCursor } from '../../../src/dns/records.ts'
import { record } from '../../../src/dns/response.ts'
import { bytes, rr, soa, u16s } from '../messages.ts'

/** The zone that the fault server knows everything of. */
export const FAULT_ZONE = 'faults.example'
const TYPE_A = 1
const REPLY_BLOCK = 468
const DEFAULT_TTL_S = 300

/**
 * The address that `name` (any case, with or without the last dot) has here: 17 bits of its hash in
 * 198.18.0.0/15 (RFC 2544), so that an answer to another question shows.
 */
export function addressOf(name: string): string {
  let hash = 0x811c9dc5
  for (const octet of Buffer.from(name.toLowerCase().replace(/\.$/, ''), 'latin1')) hash = Math.imul(hash ^ octet, 0x01000193) >>> 0
  return `198.${18 + (hash & 1)}.${(hash >>> 8) & 255}.${(hash >>> 16) & 255}`
}

/** The first label of a message's question, in latin1, and the whole name with dots. */
export function nameIn(message: Uint8Array): string {
  const labels: string[] = []
  for (let at = 12; (message[at] ?? 0) !== 0; at += (message[at] ?? 0) + 1)
    labels.push(Buffer.from(message.subarray(at + 1, at + 1 + (message[at] ?? 0))).toString('latin1'))
  return labels.join('.')
}

/**
 * The right answer to `query`, whole and padded as the query is: A of any name with TTL 300 (`t5-`
 * before the name: 5), NXDOMAIN for names with `nx-` before, an NS of the root, NODATA for any
 * other type.
 */
export function rightAnswer(query: Uint8Array): Uint8Array {
  const end = questionEnd(query)
  const name = nameIn(query)
  const type = ((query[end - 4] ?? 0) << 8) | (query[end - 3] ?? 0)
  const ttlS = Number(/^t(\d+)-/.exec(name)?.[1] ?? DEFAULT_TTL_S)
  const missing = name.startsWith('nx-')
  const address = Uint8Array.from(addressOf(name).split('.').map(Number))
  const answers =
    name === '' && type === 2
      ? [rr({ type: 2, ttlS: 3600, rdata: bytes(1, 0x61, 0) })]
      : type === TYPE_A && !missing
        ? [rr({ ttlS, rdata: address })]
        : []
  const authority = answers.length > 0 ? [] : [soa({ zone: FAULT_ZONE })]
  const header = u16s(idOf(query), 0x8180 | (missing ? 3 : 0), 1, answers.length, authority.length, 0)
  return padded(query, Buffer.concat([header, query.subarray(12, end), ...answers, ...authority]))
}

/**
 * With an OPT if and only if the query had one, padded if and only if the query was (RFC 7830
 * section 4).
 */
export function padded(query: Uint8Array, bare: Uint8Array): Uint8Array {
  const opt = readOpt(query)
  if (opt === undefined) return bare
  return withPaddedOpt(bare, { dnssecOk: opt.dnssecOk, block: opt.padded ? REPLY_BLOCK : 0, keepalive: false })
}

/** The same under another ID. */
export function underAnotherId(reply: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(reply)
  setId(copy, idOf(copy) ^ 0x5aa5)
  return copy
}

/** An answer to a question that was not asked: the first label is another. */
export function toAnotherQuestion(reply: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(reply)
  for (let i = 13; i < 13 + (copy[12] ?? 0); i++) copy[i] = 0x7a
  return copy
}

/** The same, every letter of the question's name turned by chance (draft-vixie-dnsext-dns0x20). */
export function inOtherLetters(reply: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(reply)
  const chance = randomBytes(256)
  for (let at = 12; (copy[at] ?? 0) !== 0; at += (copy[at] ?? 0) + 1)
    for (let i = at + 1; i <= at + (copy[at] ?? 0); i++) {
      const octet = copy[i] ?? 0
      if (octet >= 0x61 && octet <= 0x7a && (chance[i] ?? 0) > 127) copy[i] = octet - 32
    }
  return copy
}

/** The name that `withExtraRecords` tells lies about. */
export const POISONED = `poisoned.${FAULT_ZONE}`

/**
 * The right answer, and A of another name beside it in the answer, authority and additional
 * sections (CVE-2025-40778).
 */
export function withExtraRecords(query: Uint8Array): Uint8Array {
  const end = questionEnd(query)
  const lie = record(
    bytes(8, Buffer.from('poisoned'), 6, Buffer.from('faults'), 7, Buffer.from('example'), 0),
    TYPE_A,
    3600,
    bytes(192, 0, 2, 66),
  )
  const own = rr({ ttlS: DEFAULT_TTL_S, rdata: Uint8Array.from(addressOf(nameIn(query)).split('.').map(Number)) })
  return padded(query, bytes(u16s(idOf(query), 0x8180, 1, 2, 1, 1), query.subarray(12, end), own, lie, lie, lie))
}

/** Header and question with `flags`; no records. */
export function bareReply(query: Uint8Array, flags: number): Uint8Array {
  return padded(query, bytes(u16s(idOf(query), flags, 1, 0, 0, 0), query.subarray(12, questionEnd(query))))
}

/** The right answer and TXT records behind it, as many as 65,535 octets hold. */
export function filledUp(query: Uint8Array): Uint8Array {
  const whole = rightAnswer(query)
  const opt = readOpt(whole)
  const bare = opt === undefined ? whole : whole.subarray(0, opt.at)
  const filler = rr({ type: 16, rdata: bytes(...Array.from({ length: 16 }, () => bytes(255, new Uint8Array(255).fill(0x66)))) })
  const count = Math.floor((65_535 - bare.length) / filler.length)
  const reply = bytes(bare, ...Array.from({ length: count }, () => filler))
  reply.set(u16s(1, ((bare[6] ?? 0) << 8) | (bare[7] ?? 0), count, 0), 4)
  return reply
}

/**
 * What a client made of it: the RCODE, the first address, and whether both are what `name` has
 * here.
 */
export interface Heard {
  readonly rcode: number
  readonly address: string | undefined
  readonly ttlS: number | undefined
  readonly right: boolean
  /** NOERROR or NXDOMAIN that the zone does not say: the one thing that must never happen. */
  readonly wrong: boolean
}

/** Judges a reply to an A question for `name`. */
export function judge(name: string, reply: Uint8Array): Heard {
  const rcode = (reply[3] ?? 0) & 15
  const truncated = ((reply[2] ?? 0) & 2) !== 0
  let address: string | undefined
  let ttlS: number | undefined
  const cursor = new RecordCursor(reply)
  while (cursor.next())
    if (cursor.section === 1 && cursor.type === TYPE_A && address === undefined) {
      address = reply.subarray(cursor.rdataAt, cursor.rdataAt + 4).join('.')
      ttlS = cursor.ttlS
    }
  const missing = name.startsWith('nx-')
  const right = missing ? rcode === 3 : rcode === 0 && address === addressOf(name)
  return { rcode, address, ttlS, right, wrong: !right && !truncated && (rcode === 0 || rcode === 3) }
}
