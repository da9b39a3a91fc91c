/** A header field; the name is lower-case. */
export interface Field {
  readonly name: string
  readonly value: string
}

/** RFC 7541 appendix A, from index 1: `name` or `name=value`. `~` is a space inside a value. */
const ENTRIES =
  ':authority :method=GET :method=POST :path=/ :path=/index.html :scheme=http :scheme=https :status=200 :status=204 :status=206 :status=304 ' +
  ':status=400 :status=404 :status=500 accept-charset accept-encoding=gzip,~deflate accept-language accept-ranges accept ' +
  'access-control-allow-origin age allow authorization cache-control content-disposition content-encoding content-language content-length ' +
  'content-location content-range content-type cookie date etag expect expires from host if-match if-modified-since if-none-match if-range ' +
  'if-unmodified-since last-modified link location max-forwards proxy-authenticate proxy-authorization range referer refresh retry-after ' +
  'server set-cookie strict-transport-security transfer-encoding user-agent vary via www-authenticate'

/** The static table. Entry i has HPACK index i + 1. */
export const STATIC_TABLE: readonly Field[] = ENTRIES.split(' ').map((entry) => {
  const [name = '', value = ''] = entry.split('=')
  return { name, value: value.replace('~', ' ') }
})

/** The index of the first entry with this name. */
export function staticIndex(name: string): number {
  return STATIC_TABLE.findIndex((field) => field.name === name) + 1
}

/**
 * The octets that a field counts in addition to its name and value, in a table (RFC 7541 section
 * 4.1) and in a list (RFC 9113 section 6.5.2).
 */
const FIELD_OVERHEAD_OCTETS = 32
/** The initial size of a table (RFC 9113 section 6.5.2). */
const DEFAULT_OCTETS = 4096

/**
 * The static and the dynamic table (RFC 7541 sections 2.3 and 4). We announce HEADER_TABLE_SIZE 0.
 * A peer that honours it sets the size to 0 in its first header block, which empties the dynamic
 * table for good. The h2o in dnsdist 1.7 ignores it and uses the default size (measured; RFC 9113
 * section 6.5.2 warns of this). So until a peer sets another size, the table exists with the
 * default size as its limit.
 */
export class HeaderTable {
  /** Newest last. */
  #entries: Field[] = []
  #octets = 0
  #capacity = DEFAULT_OCTETS
  /**
   * Changes when the dynamic table changes. Two equal blocks that are read with equal versions have
   * the same meaning.
   */
  version = 0

  /** The field with this HPACK index, from 1. Undefined: there is none. */
  at(index: number): Field | undefined {
    return index <= STATIC_TABLE.length ? STATIC_TABLE[index - 1] : this.#entries[this.#entries.length + STATIC_TABLE.length - index]
  }

  /** Sets the size. Returns false if a peer must not choose this size. */
  resize(octets: number): boolean {
    if (octets < 0 || octets > DEFAULT_OCTETS) return false
    if (octets !== this.#capacity) this.version++
    this.#capacity = octets
    this.#evict()
    return true
  }

  /**
   * Adds a field. Older fields are dropped to make room. A field that is larger than the table
   * empties it (section 4.4).
   */
  add(field: Field): void {
    if (this.#capacity === 0) return
    this.version++
    this.#entries.push(field)
    this.#octets += octetsOf(field)
    this.#evict()
  }

  #evict(): void {
    let gone = 0
    while (this.#octets > this.#capacity) this.#octets -= octetsOf(this.#entries[gone++]!)
    if (gone > 0) this.#entries = this.#entries.slice(gone)
  }
}

function octetsOf(field: Field): number {
  return field.name.length + field.value.length + FIELD_OVERHEAD_OCTETS
}

/**
 * The lengths of the Huffman codes of octets 0 to 255 and EOS, one base-36 digit each (RFC 7541
 * appendix B). Codes of one length follow the order of their symbols (section 5.2), so the lengths
 * are enough.
 */
const LENGTHS =
  'dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6cad67777777777777777777777878djde6f56565666577666567655677777fbeds' +
  'kmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmnqqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrqu'

const EOS = 256
/** Stands for a state that does not exist: no code begins with these bits. */
const FAILED = 0xffff

interface Nibbles {
  /**
   * At index state * 16 + nibble: the next state (bits 0 to 15), whether a symbol is complete (bit
   * 16), and the symbol (bits 24 to 31).
   */
  readonly steps: Uint32Array
  /**
   * Whether a text may end in a state. It may end at the root, or after a prefix of EOS that has
   * fewer than 8 bits, all ones (RFC 7541 section 5.2).
   */
  readonly mayEnd: Uint8Array
}

/**
 * The decoding table. It is made when the first Huffman-coded string is read, because that takes 5
 * ms and would delay the start.
 */
let table: Nibbles | undefined

/** The code of every symbol (256 is EOS), in canonical order. */
export function huffmanCodes(): readonly { readonly symbol: number; readonly code: number; readonly bits: number }[] {
  const lengths = Array.from(LENGTHS, (digit) => Number.parseInt(digit, 36))
  const order = lengths.map((bits, symbol) => ({ bits, symbol })).sort((a, b) => a.bits - b.bits || a.symbol - b.symbol)
  let code = 0
  let before = 0
  return order.map(({ bits, symbol }) => {
    code <<= bits - before
    before = bits
    return { symbol, bits, code: code++ }
  })
}

/** The code tree as pairs of children. A leaf is -(symbol + 1). */
function tree(): number[] {
  const children = [0, 0]
  for (const { symbol, code, bits } of huffmanCodes()) {
    let node = 0
    for (let bit = bits - 1; bit > 0; bit--) {
      const branch = node * 2 + ((code >>> bit) & 1)
      if (children[branch] === 0) {
        children[branch] = children.length / 2
        children.push(0, 0)
      }
      node = children[branch]!
    }
    children[node * 2 + (code & 1)] = -symbol - 1
  }
  return children
}

/** Makes the table, with 4 bits per step. The shortest code has 5 bits: a step ends at most one. */
function build(): Nibbles {
  const children = tree()
  const states = children.length / 2
  const steps = new Uint32Array(states * 16)
  for (let state = 0; state < states; state++) {
    for (let nibble = 0; nibble < 16; nibble++) steps[state * 16 + nibble] = step(children, state, nibble)
  }
  const mayEnd = new Uint8Array(states)
  for (let node = 0, depth = 0; depth < 8 && node >= 0; node = children[node * 2 + 1]!, depth++) mayEnd[node] = 1
  return { steps, mayEnd }
}

function step(children: readonly number[], state: number, nibble: number): number {
  let node = state
  let out = 0
  for (let bit = 3; bit >= 0; bit--) {
    node = children[node * 2 + ((nibble >>> bit) & 1)]!
    if (node >= 0) continue
    const symbol = -node - 1
    if (symbol === EOS) return FAILED
    out = (symbol << 24) | 0x10000
    node = 0
  }
  return (out | node) >>> 0
}

/**
 * Decodes a Huffman string into `out` at 0 and returns its length in octets. Returns -1 if it is
 * invalid (EOS inside, padding that is not ones or longer than 7 bits) or longer than `out`.
 */
export function huffmanDecode(from: Uint8Array, start: number, end: number, out: Uint8Array): number {
  table ??= build()
  const { steps, mayEnd } = table
  let state = 0
  let octets = 0
  for (let at = start; at < end; at++) {
    const octet = from[at]!
    for (let shift = 4; shift >= 0; shift -= 4) {
      const next = steps[state * 16 + ((octet >>> shift) & 15)]!
      state = next & 0xffff
      if (state === FAILED) return -1
      if ((next & 0x10000) === 0) continue
      if (octets >= out.length) return -1
      out[octets++] = next >>> 24
    }
  }
  return mayEnd[state] === 1 ? octets : -1
}

/** Our MAX_HEADER_LIST_SIZE: names, values and 32 octets per field (RFC 9113 section 6.5.2). */
export const MAX_HEADER_LIST_OCTETS = 16_384
/**
 * Limit of the octets of an integer after its prefix (RFC 7541 section 5.1). They hold 4 x 7 bits,
 * far more than any real length needs.
 */
const MAX_INTEGER_CONTINUATION = 4
/**
 * Room for the longest decoded string: a block has at most 32,768 octets (see HeaderAssembly), and
 * a symbol has at least 5 bits.
 */
const scratch = Buffer.allocUnsafeSlow((32_768 * 8) / 5 + 1)

/**
 * Reads the header blocks of one connection in order (RFC 7541). Never throws. 'compression': an
 * index does not exist, a table size is too large or comes after a field, or an integer or string
 * is invalid. Then the connection cannot continue. 'tooLarge': the list exceeds
 * MAX_HEADER_LIST_OCTETS. It was read to its end, so later blocks can be read.
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

  /**
   * Reads an integer with this many bits in its first octet (RFC 7541 section 5.1). Returns -1 if
   * it is too large or does not end in the block.
   */
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

  /** Reads a literal field (sections 6.2.1 to 6.2.3). Undefined: it is invalid. */
  literal(prefixBits: number): Field | undefined {
    const index = this.integer(prefixBits)
    const name = index === 0 ? this.#string() : this.#table.at(index)?.name
    if (name === undefined) return undefined
    const value = this.#string()
    return value === undefined ? undefined : { name, value }
  }

  /** Reads a string (section 5.2). Undefined: it is invalid or does not end in the block. */
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
