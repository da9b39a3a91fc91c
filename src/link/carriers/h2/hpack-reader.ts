import { HeaderTable } from './header-table.ts'
import { huffmanDecode } from './huffman.ts'
import type { Field } from './static-table.ts'

/** What we announce as MAX_HEADER_LIST_SIZE: names, values and 32 octets a field (RFC 9113 section 6.5.2). */
export const MAX_HEADER_LIST_OCTETS = 16_384
const FIELD_OVERHEAD_OCTETS = 32
/** Continuation octets of an integer: 4 x 7 bits on top of the prefix, far above any length that can be meant (RFC 7541 section 5.1). */
const MAX_INTEGER_CONTINUATION = 4
/** No symbol is shorter than 5 bits, so any string of the longest block (HeaderAssembly bounds it) fits. */
const scratch = Buffer.allocUnsafeSlow((32_768 * 8) / 5 + 1)

/**
 * Reads the header blocks of one connection in order (RFC 7541). 'compression': an index that is not there, a table size that is too large or behind a field, a
 * broken integer or string; the connection cannot go on. 'tooLarge': the list is over MAX_HEADER_LIST_OCTETS; it was read to its end, so others can. Never throws.
 */
export class HpackReader {
  readonly table = new HeaderTable()

  read(octets: Uint8Array, start: number, end: number): readonly Field[] | 'compression' | 'tooLarge' {
    const cursor = new Cursor(this.table, octets, start, end)
    const fields: Field[] = []
    let listOctets = 0
    while (cursor.at < end) {
      const first = octets[cursor.at]!
      if ((first & 0xe0) === 0x20) {
        if (listOctets > 0 || !this.table.resize(cursor.integer(5))) return 'compression'
        continue
      }
      const field = (first & 0x80) !== 0 ? this.table.at(cursor.integer(7)) : cursor.literal((first & 0x40) !== 0 ? 6 : 4)
      if (field === undefined) return 'compression'
      if ((first & 0xc0) === 0x40) this.table.add(field)
      listOctets += field.name.length + field.value.length + FIELD_OVERHEAD_OCTETS
      if (listOctets <= MAX_HEADER_LIST_OCTETS) fields.push(field)
    }
    return listOctets > MAX_HEADER_LIST_OCTETS ? 'tooLarge' : fields
  }
}

class Cursor {
  at: number
  readonly #table: HeaderTable
  readonly #octets: Uint8Array
  readonly #text: Buffer
  readonly #end: number

  constructor(table: HeaderTable, octets: Uint8Array, start: number, end: number) {
    this.#table = table
    this.#octets = octets
    this.#text = Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength)
    this.at = start
    this.#end = end
  }

  /** An integer with this many bits in its first octet (RFC 7541 section 5.1); -1 if it does not end here or is out of bounds. */
  integer(prefixBits: number): number {
    const mask = (1 << prefixBits) - 1
    let value = this.#octets[this.at++]! & mask
    if (value < mask) return value
    for (let i = 0; i < MAX_INTEGER_CONTINUATION; i++) {
      if (this.at >= this.#end) return -1
      const octet = this.#octets[this.at++]!
      value += (octet & 0x7f) * 2 ** (7 * i)
      if ((octet & 0x80) === 0) return value
    }
    return -1
  }

  /** Sections 6.2.1 to 6.2.3. */
  literal(prefixBits: number): Field | undefined {
    const index = this.integer(prefixBits)
    const name = index === 0 ? this.#string() : this.#table.at(index)?.name
    if (name === undefined) return undefined
    const value = this.#string()
    return value === undefined ? undefined : { name, value }
  }

  /** Section 5.2; undefined where it is broken or does not lie in the block. */
  #string(): string | undefined {
    if (this.at >= this.#end) return undefined
    const huffman = (this.#octets[this.at]! & 0x80) !== 0
    const length = this.integer(7)
    const from = this.at
    if (length < 0 || length > this.#end - from) return undefined
    this.at = from + length
    if (!huffman) return this.#text.toString('latin1', from, this.at)
    const octets = huffmanDecode(this.#octets, from, this.at, scratch)
    return octets < 0 ? undefined : scratch.toString('latin1', 0, octets)
  }
}
