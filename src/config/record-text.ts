import { isIP } from 'node:net'
import { nameFromText } from '../dns/name.ts'
import { lowerOctet } from '../dns/octets.ts'
import { EnigmError } from '../errors.ts'

/** Reads the parts of record data in master-file form (RFC 1035 section 5.1). */

/** Limit of a character string in octets (RFC 1035 section 3.3). */
export const MAX_STRING_OCTETS = 255

/** Makes an EnigmError `config`. Its message is a clause with the fix. */
export function wrong(clause: string): EnigmError {
  return new EnigmError('config', clause)
}

/**
 * Reads the target of CNAME, PTR or HTTPS as a lower-case name in wire form. Throws an EnigmError
 * `config` with a clause.
 */
export function hostName(text: string): Uint8Array {
  if (isIP(text) !== 0) throw wrong('must be a domain name and not an address; an address needs the type A or AAAA')
  try {
    return nameFromText(text).map(lowerOctet)
  } catch (error) {
    throw wrong(`must be a domain name, as in "host.example"${error instanceof EnigmError ? ` (${error.message})` : ''}`)
  }
}

/**
 * Reads the quoted string at `at`. Returns its octets and the offset after its closing quote.
 * Throws an EnigmError `config` with a clause.
 */
export function quotedString(text: string, at: number): { readonly octets: Buffer; readonly end: number } {
  if (text[at] !== '"') throw wrong('must be quoted strings, as in "one" "two", or one text without quotes')
  const parts: Buffer[] = []
  for (let i = at + 1; i < text.length; ) {
    if (text[i] === '"') return { octets: Buffer.concat(parts), end: i + 1 }
    const { octets, width } = characterAt(text, i)
    parts.push(octets)
    i += width
  }
  throw wrong('has a quote that is not closed; add the closing quote')
}

/** Reads the text from `at` to the next space. Returns its octets and the offset of its end. */
export function plainString(text: string, at: number): { readonly octets: Buffer; readonly end: number } {
  const parts: Buffer[] = []
  let i = at
  while (i < text.length && text[i] !== ' ') {
    const { octets, width } = characterAt(text, i)
    parts.push(octets)
    i += width
  }
  return { octets: Buffer.concat(parts), end: i }
}

/** Reads one character, or an escape: `\DDD` for an octet, `\X` for the character X. */
function characterAt(text: string, at: number): { readonly octets: Buffer; readonly width: number } {
  if (text[at] !== '\\') {
    const character = String.fromCodePoint(text.codePointAt(at) ?? 0)
    return { octets: Buffer.from(character, 'utf8'), width: character.length }
  }
  const digits = /^[0-9]{3}/.exec(text.slice(at + 1, at + 4))?.[0]
  if (digits !== undefined && Number(digits) <= 255) return { octets: Buffer.of(Number(digits)), width: 4 }
  const next = text[at + 1]
  if (next === undefined || (next >= '0' && next <= '9'))
    throw wrong('has a broken escape; write \\DDD with a number up to 255, or \\\\ for a backslash')
  return { octets: Buffer.from(next, 'utf8'), width: 2 }
}
