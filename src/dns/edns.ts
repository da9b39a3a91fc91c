import type { Ede } from '../errors.ts'
import type { Opt } from '../resolve.ts'
import { fresh, putU16, u16 } from './octets.ts'
import { RecordCursor, TYPE } from './records.ts'

/** EDNS option codes (IANA): extended error RFC 8914, keepalive RFC 7828, padding RFC 7830. */
export const OPTION = { keepalive: 11, padding: 12, ede: 15 } as const

/**
 * The UDP size that we advertise, and the most octets we send over UDP: no fragments (DNS flag day
 * 2020).
 */
export const UDP_SIZE = 1232

const MAX_EXTRA_TEXT_OCTETS = 256

const walker = new RecordCursor()

/**
 * The OPT of a message; undefined if there is none, or if the message is malformed before it. Never
 * throws.
 */
export function readOpt(message: Uint8Array): Opt | undefined {
  const cursor = walker.start(message)
  while (cursor.next()) if (cursor.type === TYPE.OPT && cursor.section === 3) return optAt(message, cursor)
  return undefined
}

/** Reads the OPT at `cursor`. Options after a malformed one are not read. */
export function optAt(message: Uint8Array, cursor: RecordCursor): Opt {
  const end = cursor.rdataAt + cursor.rdLength
  const ttl = cursor.ttlS
  let padded = false
  let keepaliveMs: number | undefined
  let ede: Ede | undefined
  for (let at = cursor.rdataAt; at + 4 <= end; ) {
    const code = u16(message, at)
    const length = u16(message, at + 2)
    const data = at + 4
    at = data + length
    if (at > end) break
    if (code === OPTION.padding) padded = true
    else if (code === OPTION.keepalive && length === 2) keepaliveMs = u16(message, data) * 100
    else if (code === OPTION.ede && length >= 2) ede ??= { code: u16(message, data), ...extraText(message, data + 2, at) }
  }
  return {
    at: cursor.recordAt,
    end,
    udpSize: cursor.class,
    extendedRcode: ttl >>> 24,
    version: (ttl >>> 16) & 0xff,
    dnssecOk: (ttl & 0x8000) !== 0,
    padded,
    keepaliveMs,
    ede,
  }
}

/**
 * EXTRA-TEXT is bounded and cut at the first octet that is not UTF-8 (RFC 8914 section 2). It is
 * sent to the client that asked and to nobody else.
 */
function extraText(message: Uint8Array, from: number, end: number): { text?: string } {
  if (from >= end) return {}
  const text = Buffer.from(message.subarray(from, Math.min(end, from + MAX_EXTRA_TEXT_OCTETS))).toString('utf8')
  return { text: text.replace(/\uFFFD.*$/s, '') }
}

/**
 * A new message: `message` (no OPT in it) with an OPT, padded so that the whole length is a
 * multiple of `block` (RFC 7830, RFC 8467 section 4.1; 0 sends no padding option). `keepalive` adds
 * the empty edns-tcp-keepalive option (RFC 7828 section 3.3.1; never on DoH).
 */
export function withPaddedOpt(
  message: Uint8Array,
  o: { readonly dnssecOk: boolean; readonly block: number; readonly keepalive: boolean },
): Uint8Array {
  const keepalive = o.keepalive ? 4 : 0
  const bare = message.length + 11 + keepalive
  const padding = o.block === 0 ? 0 : (o.block - ((bare + 4) % o.block)) % o.block
  const out = fresh(bare + (o.block === 0 ? 0 : 4 + padding))
  out.set(message)
  let at = message.length
  out[at + 2] = TYPE.OPT
  putU16(out, at + 3, UDP_SIZE)
  if (o.dnssecOk) out[at + 7] = 0x80
  putU16(out, at + 9, out.length - at - 11)
  at += 11
  if (o.keepalive) {
    putU16(out, at, OPTION.keepalive)
    at += 4
  }
  if (o.block !== 0) {
    putU16(out, at, OPTION.padding)
    putU16(out, at + 2, padding)
  }
  putU16(out, 10, u16(out, 10) + 1)
  return out
}

/**
 * A copy of `query`, which came from `withPaddedOpt`, padded to exactly `octets` instead. Undefined
 * if it does not fit with the padding option's four octets. If the query has no padding option, one
 * is added.
 */
export function repadded(query: Uint8Array, octets: number): Uint8Array | undefined {
  const opt = readOpt(query)
  if (opt === undefined || opt.end !== query.length) return undefined
  const bare = withoutPadding(query, opt.at)
  const padding = octets - bare - 4
  if (padding < 0) return undefined
  const out = new Uint8Array(octets)
  out.set(query.subarray(0, bare))
  putU16(out, opt.at + 9, octets - opt.at - 11)
  putU16(out, bare, OPTION.padding)
  putU16(out, bare + 2, padding)
  return out
}

/** The smallest length in octets that `repadded` can make of `query`. */
export function leastOctets(query: Uint8Array): number {
  const opt = readOpt(query)
  return opt === undefined ? query.length : withoutPadding(query, opt.at) + 4
}

/**
 * Offset of the padding option at the end of the OPT that starts at `optAt` (and ends the message).
 * Without a padding option: the end of the message.
 */
function withoutPadding(message: Uint8Array, optAt: number): number {
  for (let at = optAt + 11; at + 4 <= message.length; at += 4 + u16(message, at + 2)) if (u16(message, at) === OPTION.padding) return at
  return message.length
}
