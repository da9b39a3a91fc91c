import { isIPv4, isIPv6 } from 'node:net'
import { addressOctets } from './cidr.ts'
import { hostName, MAX_STRING_OCTETS, quotedString, wrong } from './record-text.ts'
import { serviceBinding } from './service-binding.ts'

/** The record types that `answers` may have, by name. */
export const WRITABLE_TYPES = { A: 1, AAAA: 28, CNAME: 5, TXT: 16, PTR: 12, HTTPS: 65 } as const
export type WritableType = keyof typeof WRITABLE_TYPES

/** Limit of the data of one record. A message has at most 65,535 octets. */
const MAX_RDATA_OCTETS = 4096

/**
 * Converts the data of a record from master-file form to RDATA (RFC 1035 section 5.1, RFC 9460
 * section 2.1). Names may lack their final dot. They are converted to lower case. Throws an
 * EnigmError `config` whose message is a clause with the fix.
 */
export function rdataFromText(type: WritableType, text: string): Uint8Array {
  const rdata = PARSERS[type](text)
  if (rdata.length > MAX_RDATA_OCTETS) throw wrong(`is longer than ${MAX_RDATA_OCTETS} octets; shorten it`)
  return rdata
}

const PARSERS: Readonly<Record<WritableType, (text: string) => Uint8Array>> = {
  A(text) {
    if (isIPv4(text)) return addressOctets(text)
    throw wrong(`must be an IPv4 address, as in "192.0.2.1"${isIPv6(text) ? '; an IPv6 address needs the type AAAA' : ''}`)
  },
  AAAA(text) {
    if (isIPv6(text) && !text.includes('%')) return addressOctets(text)
    if (isIPv6(text)) throw wrong('must be an IPv6 address without an interface; remove the % and the text after it')
    throw wrong(`must be an IPv6 address, as in "2001:db8::1"${isIPv4(text) ? '; an IPv4 address needs the type A' : ''}`)
  },
  CNAME: hostName,
  PTR: hostName,
  TXT: characterStrings,
  HTTPS: serviceBinding,
}

/**
 * The character strings of TXT data, each of up to 255 octets. Text that begins with a quote is a
 * list of quoted strings, as in a master file. Any other text is cut into strings of 255 octets.
 */
function characterStrings(text: string): Uint8Array {
  if (!text.startsWith('"')) return joined(cut(Buffer.from(text, 'utf8')))
  const strings: Uint8Array[] = []
  for (let at = 0; at < text.length; ) {
    const { octets, end } = quotedString(text, at)
    if (octets.length > MAX_STRING_OCTETS)
      throw wrong(`has a quoted string longer than ${MAX_STRING_OCTETS} octets; write it as several quoted strings`)
    strings.push(octets)
    at = end
    while (text[at] === ' ') at++
  }
  return joined(strings)
}

function cut(octets: Buffer): readonly Uint8Array[] {
  const count = Math.max(1, Math.ceil(octets.length / MAX_STRING_OCTETS))
  return Array.from({ length: count }, (_, i) => octets.subarray(i * MAX_STRING_OCTETS, (i + 1) * MAX_STRING_OCTETS))
}

function joined(strings: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(strings.flatMap((one) => [Buffer.of(one.length), one]))
}
