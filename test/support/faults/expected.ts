import { readOpt } from '../../../src/dns/edns.ts'
import { idOf } from '../../../src/dns/message.ts'
import { questionEnd } from '../../../src/dns/name.ts'
import { RecordCursor } from '../../../src/dns/records.ts'
import type { Protocol } from './fault.ts'

/** All that a request of ours may say over HTTP. */
const HEADERS: Readonly<Record<'h2' | 'h1', readonly string[]>> = {
  h2: [':authority', ':method', ':path', ':scheme', 'accept', 'accept-encoding', 'content-length', 'content-type'],
  h1: ['accept', 'accept-encoding', 'connection', 'content-length', 'content-type', 'host'],
}
const CLIENT_SUBNET = 8

/**
 * What is wrong with a query that left us, or undefined: the rules of the wire in the design.
 * `paddingBlock`: 0 where padding is off.
 */
export function strange(query: Uint8Array, protocol: Protocol, paddingBlock: number): string | undefined {
  const end = questionEnd(query)
  if (end === 0) return 'no question'
  if (((query[2] ?? 0) & 0xf8) !== 0) return 'not a query'
  if (((query[2] ?? 0) & 1) === 0) return 'RD is clear'
  if (((query[3] ?? 0) & 0x20) === 0) return 'AD is clear'
  if (protocol !== 'dot' && idOf(query) !== 0) return 'an ID over HTTP (RFC 8484 section 4.1)'
  for (let i = 13; i < end - 4; i++) if ((query[i] ?? 0) >= 0x41 && (query[i] ?? 0) <= 0x5a) return 'a capital letter in the name'
  const opt = readOpt(query)
  if (opt === undefined) return 'no OPT'
  if (paddingBlock > 0 && query.length % paddingBlock !== 0 && !fillsCells(query, protocol)) return `${query.length} octets: not padded`
  return hasOption(query, opt.at + 11, opt.end, CLIENT_SUBNET) ? 'a client subnet' : extraRecords(query)
}

/**
 * Whether it fills cells of a schedule over DoT: two octets of length, and up to three records of
 * 130 octets.
 */
function fillsCells(query: Uint8Array, protocol: Protocol): boolean {
  return protocol === 'dot' && [130, 260, 390].includes(query.length + 2)
}

/** What is wrong with the headers of a request, or undefined. */
export function strangeHeaders(headers: Readonly<Record<string, unknown>>, protocol: 'h2' | 'h1'): string | undefined {
  const unknown = Object.keys(headers).find((name) => !HEADERS[protocol].includes(name))
  if (unknown !== undefined) return `a header ${unknown}`
  if (headers['accept-encoding'] !== 'identity') return 'Accept-Encoding is not identity'
  return headers['content-type'] === 'application/dns-message' ? undefined : 'a wrong type'
}

function hasOption(message: Uint8Array, from: number, end: number, code: number): boolean {
  for (let at = from; at + 4 <= end; at += 4 + (((message[at + 2] ?? 0) << 8) | (message[at + 3] ?? 0)))
    if ((((message[at] ?? 0) << 8) | (message[at + 1] ?? 0)) === code) return true
  return false
}

function extraRecords(query: Uint8Array): string | undefined {
  const cursor = new RecordCursor(query)
  let records = 0
  while (cursor.next()) records++
  if (cursor.malformed) return 'malformed'
  return records === 1 && cursor.end === query.length ? undefined : 'more than a question and an OPT'
}
