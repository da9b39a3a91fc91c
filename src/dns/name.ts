import { EnigmError } from '../errors.ts'
import { HEADER_OCTETS } from './octets.ts'

/**
 * The maximum length of a name on the wire in octets, its final zero included (RFC 1035 section
 * 2.3.4).
 */
export const MAX_NAME_OCTETS = 255
const MAX_LABEL_OCTETS = 63

/**
 * A name of 255 octets has at most 127 labels; a chain of more pointers is not valid compression
 * (RFC 9267 section 2).
 */
const MAX_POINTERS = 127

/**
 * The wire form of a name in text form (RFC 1035 section 5.1): a final dot is optional, `.` is the
 * root, `\DDD` and `\X` stand for an octet. Case is kept. Throws an EnigmError `config` for
 * anything else: an empty or too long label, a too long name, a character outside ASCII.
 */
export function nameFromText(text: string): Uint8Array {
  if (text === '.') return Uint8Array.of(0)
  const octets: number[] = [0]
  let lengthAt = 0
  for (let i = 0; i < text.length; ) {
    if (text[i] === '.') {
      closeLabel(octets, lengthAt)
      lengthAt = octets.length
      octets.push(0)
      i += 1
      continue
    }
    const { octet, width } = octetAt(text, i)
    octets.push(octet)
    i += width
  }
  if (octets.length - lengthAt > 1) {
    closeLabel(octets, lengthAt)
    octets.push(0)
  } else if (lengthAt === 0) throw badName('it is empty')
  if (octets.length > MAX_NAME_OCTETS) throw badName(`it is longer than ${MAX_NAME_OCTETS} octets`)
  return Uint8Array.from(octets)
}

function closeLabel(octets: number[], lengthAt: number): void {
  const length = octets.length - lengthAt - 1
  if (length === 0) throw badName('it has an empty label')
  if (length > MAX_LABEL_OCTETS) throw badName(`it has a label longer than ${MAX_LABEL_OCTETS} octets`)
  octets[lengthAt] = length
}

function octetAt(text: string, at: number): { readonly octet: number; readonly width: number } {
  const code = text.charCodeAt(at)
  if (code !== 0x5c) {
    if (code <= 0x20 || code >= 0x7f)
      throw badName('it has a character that is not printable ASCII; write it as \\DDD, or an international name as xn--')
    return { octet: code, width: 1 }
  }
  const digits = /^[0-9]{3}/.exec(text.slice(at + 1, at + 4))?.[0]
  if (digits !== undefined) {
    if (Number(digits) > 255) throw badName('it has an escape above \\255')
    return { octet: Number(digits), width: 4 }
  }
  const escaped = text.charCodeAt(at + 1)
  // NaN at the end of the text fails both comparisons.
  if (!(escaped >= 0x20 && escaped < 0x7f) || (escaped >= 0x30 && escaped <= 0x39)) throw badName('it has a broken escape')
  return { octet: escaped, width: 2 }
}

function badName(why: string): EnigmError {
  return new EnigmError('config', `not a domain name: ${why}`)
}

/**
 * The text form of a name, with a final dot; every octet that is not a plain printable character is
 * escaped. Inverse of `nameFromText`.
 */
export function textFromName(wire: Uint8Array): string {
  let text = ''
  let used = 0
  for (let at = 0; at < wire.length; ) {
    const length = wire[at] ?? 0
    if (length === 0) break
    if (used + MAX_LABEL_TEXT > page.length) {
      text += page.toString('latin1', 0, used)
      used = 0
    }
    for (let i = at + 1; i <= at + length; i++) {
      const from = (wire[i] ?? 0) * 4
      for (let k = from; k < from + 4; k++) {
        const character = OCTET_TEXT[k] ?? 0
        if (character !== 0) page[used++] = character
      }
    }
    page[used++] = 0x2e
    at += length + 1
  }
  text += page.toString('latin1', 0, used)
  return text === '' ? '.' : text
}

/**
 * RFC 1035 section 5.1: characters with a meaning in a master file (`"().;@\$`) are escaped too, so
 * that the text can be pasted into one.
 */
const SPECIAL = new Set(Array.from('"().;@\\$', (character) => character.charCodeAt(0)))

/**
 * The text of every octet, padded with zeros to four characters each. When strings were built octet
 * by octet, 64 KiB of pointers to the longest names took half a second to show; with this table
 * they take a quarter of that.
 */
const OCTET_TEXT = Buffer.alloc(256 * 4)
for (let octet = 0; octet < 256; octet++) {
  const plain = String.fromCharCode(octet)
  const escaped = octet <= 0x20 || octet >= 0x7f ? `\\${octet.toString().padStart(3, '0')}` : `\\${plain}`
  OCTET_TEXT.write(octet <= 0x20 || octet >= 0x7f || SPECIAL.has(octet) ? escaped : plain, octet * 4, 'latin1')
}
const MAX_LABEL_TEXT = 4 * 255 + 1
const page = Buffer.alloc(4 * MAX_LABEL_TEXT)

/**
 * The labels of the uncompressed name at the start of `wireName`, as latin1 strings with one
 * character per octet, without the root. Octets after the name are ignored.
 */
export function labelsOf(wireName: Uint8Array): readonly string[] {
  const labels: string[] = []
  for (let at = 0; at < wireName.length; ) {
    const length = wireName[at] ?? 0
    if (length === 0 || length > MAX_LABEL_OCTETS) break
    labels.push(String.fromCharCode(...wireName.subarray(at + 1, at + 1 + length)))
    at += length + 1
  }
  return labels
}

/**
 * Length in octets of the (possibly compressed) name at `at`, up to its zero or through its first
 * pointer. 0 if it is malformed: cut off, a label type other than 00 and 11, longer than 255 octets
 * when followed, a pointer that does not go backward or goes into the header, or more than 127
 * pointers.
 */
export function nameLength(m: Uint8Array, at: number): number {
  let taken = 0
  let octets = 1
  let pointers = 0
  let cursor = at
  let floor = at
  for (;;) {
    const length = m[cursor]
    if (length === undefined) return 0
    if (length === 0) return taken === 0 ? cursor + 1 - at : taken
    if (length <= MAX_LABEL_OCTETS) {
      octets += length + 1
      cursor += length + 1
      if (octets > MAX_NAME_OCTETS) return 0
      continue
    }
    const low = m[cursor + 1]
    if (length < 0xc0 || low === undefined || ++pointers > MAX_POINTERS) return 0
    if (taken === 0) taken = cursor + 2 - at
    cursor = ((length & 0x3f) << 8) | low
    // A pointer must go strictly before its own part of the name, so no loop is possible. It must
    // not go into the header, which changes with every client.
    if (cursor >= floor || cursor < HEADER_OCTETS) return 0
    floor = cursor
  }
}

/**
 * The (possibly compressed) name at `at`, uncompressed, case kept; undefined if it is malformed
 * (see `nameLength`).
 */
export function expandedName(m: Uint8Array, at: number): Uint8Array | undefined {
  if (nameLength(m, at) === 0) return undefined
  let octets = 0
  let cursor = at
  for (;;) {
    const length = m[cursor] ?? 0
    if (length >= 0xc0) {
      cursor = ((length & 0x3f) << 8) | (m[cursor + 1] ?? 0)
      continue
    }
    for (let i = cursor; i <= cursor + length; i++) expanded[octets++] = m[i] ?? 0
    if (length === 0) return expanded.slice(0, octets)
    cursor += length + 1
  }
}

/** `nameLength` has checked that it fits. */
const expanded = new Uint8Array(MAX_NAME_OCTETS)

/** Offset of the end of the (uncompressed) question of a message, or 0 if it is malformed. */
export function questionEnd(message: Uint8Array): number {
  let at = HEADER_OCTETS
  while (at < message.length) {
    const length = message[at]!
    if (length === 0) return at + 5 <= message.length && at + 1 - HEADER_OCTETS <= 255 ? at + 5 : 0
    if (length > 63) return 0
    at += length + 1
  }
  return 0
}
