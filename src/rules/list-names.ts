import { domainToASCII } from 'node:url'
import { MAX_NAME_OCTETS } from '../dns/name.ts'

/** For each octet of a name in text form: its lower case; 0: the octet cannot be in a name. */
const LOWER = new Uint8Array(256)
for (const character of 'abcdefghijklmnopqrstuvwxyz0123456789-_') LOWER[character.charCodeAt(0)] = character.charCodeAt(0)
for (let upper = 0x41; upper <= 0x5a; upper++) LOWER[upper] = upper | 0x20
const DOT = 0x2e
const MAX_LABEL_OCTETS = 63

/**
 * Converts the name in text form at [from, end) of `text` to wire form in lower case, at the
 * beginning of `out`. The name may have letters, digits, `-`, `_` and a final dot; other alphabets
 * are converted by IDNA. Returns the length in octets, or 0 if it is no host name.
 */
export function nameOctets(text: Uint8Array, from: number, end: number, out: Uint8Array): number {
  let lengthAt = 0
  let used = 1
  const last = end > from + 1 && text[end - 1] === DOT ? end - 1 : end
  for (let i = from; i < last; i++) {
    const octet = text[i]!
    const lower = LOWER[octet]!
    if (lower !== 0) {
      if (used >= MAX_NAME_OCTETS - 1) return 0
      out[used++] = lower
      continue
    }
    if (octet > 0x7f) return international(text, from, end, out)
    if (octet !== DOT || !close(out, lengthAt, used)) return 0
    lengthAt = used++
  }
  if (used > MAX_NAME_OCTETS - 1 || !close(out, lengthAt, used)) return 0
  out[used++] = 0
  return used
}

function close(out: Uint8Array, lengthAt: number, used: number): boolean {
  const length = used - lengthAt - 1
  out[lengthAt] = length
  return length > 0 && length <= MAX_LABEL_OCTETS
}

function international(text: Uint8Array, from: number, end: number, out: Uint8Array): number {
  const decoded = UTF8.decode(text.subarray(from, end))
  const ascii = decoded.includes('\ufffd') ? '' : domainToASCII(decoded)
  return ascii === '' ? 0 : nameOctets(Buffer.from(ascii, 'latin1'), 0, ascii.length, out)
}

const UTF8 = new TextDecoder()

/** Number of labels of the name in wire form at the beginning of `name`, without the root. */
export function labelCount(name: Uint8Array): number {
  let labels = 0
  for (let at = 0; name[at] !== 0; at += name[at]! + 1) labels++
  return labels
}

/** Generic top-level domains that a list must never block as a whole. */
const GENERIC = new Set(['com', 'net', 'org', 'edu', 'gov', 'mil', 'int', 'arpa', 'info'])

/**
 * Whether a rule for a one-label name and everything below it would block too much. True for the
 * domains in `GENERIC`, and for country domains unless the rule is `$important` (`insists`).
 */
export function isTooLarge(name: Uint8Array, insists: boolean): boolean {
  const length = name[0]!
  if (name[1 + length] !== 0) return false
  return (length === 2 && !insists) || GENERIC.has(String.fromCharCode(...name.subarray(1, 1 + length)))
}
