import { EnigmError } from '../errors.ts'

/** The longest line in octets. Longer lines cannot be rules: a name has at most 253 characters. */
export const LONGEST_LINE = 4096
const BUFFER_OCTETS = 256 * 1024
const LF = 10
/** The first octets of gzip, zip, bzip2, xz, 7z and zstd files. */
const COMPRESSED = ['\x1f\x8b', 'PK\x03\x04', 'BZh', '\xfd7zXZ', '7z\xbc\xaf', '(\xb5/\xfd']
const CR = 13
/** Octets of a source that are inspected before its first line is read. */
const HEAD_OCTETS = 65_536

/**
 * Receives the lines of a source. `head` is called first, with the beginning of the source. `line`
 * gets a line without its line end; its octets are valid until the call returns. `tooLong` is
 * called for a line longer than `LONGEST_LINE`, whose text is dropped. `number` counts lines from
 * 1.
 */
export interface LineTaker {
  head(text: string): void
  line(octets: Uint8Array, from: number, end: number, number: number): void
  tooLong(number: number): void
}

/**
 * Splits a source into lines; it may arrive in parts of any size. Throws an EnigmError `source` for
 * content that cannot be a list: a web page, compressed data, UTF-16, NUL octets.
 */
export class LineReader {
  readonly #taker: LineTaker
  readonly #buffer = new Uint8Array(BUFFER_OCTETS)
  #held = 0
  #number = 0
  #begun = false
  /** Whether the rest of a too long line is being dropped. */
  #dropping = false

  constructor(taker: LineTaker) {
    this.#taker = taker
  }

  /** Takes the next part. */
  feed(part: Uint8Array): void {
    for (let at = 0; at < part.length; ) {
      const length = Math.min(part.length - at, BUFFER_OCTETS - this.#held)
      this.#buffer.set(part.subarray(at, at + length), this.#held)
      this.#held += length
      at += length
      if (this.#held === BUFFER_OCTETS) this.#drain()
    }
  }

  /** The source is complete. */
  end(): void {
    this.#drain()
    if (this.#held > 0 && !this.#dropping) this.#give(0, this.#held)
    this.#held = 0
  }

  #drain(): void {
    const buffer = this.#buffer
    let from = this.#begun ? 0 : this.#begin()
    const held = this.#held
    for (let at = from; at < held; at++) {
      const octet = buffer[at]!
      if (octet > CR) continue
      if (octet === 0) throw damaged('it contains NUL octets, so it is damaged or no list')
      if (octet !== LF) continue
      if (this.#dropping) this.#dropping = false
      else this.#give(from, at)
      from = at + 1
    }
    const rest = held - from
    if (this.#dropping) this.#held = 0
    else if (rest > LONGEST_LINE) {
      this.#taker.tooLong(++this.#number)
      this.#dropping = true
      this.#held = 0
    } else {
      buffer.copyWithin(0, from, held)
      this.#held = rest
    }
  }

  #give(from: number, end: number): void {
    const number = ++this.#number
    if (end - from > LONGEST_LINE) this.#taker.tooLong(number)
    else this.#taker.line(this.#buffer, from, this.#buffer[end - 1] === CR && end > from ? end - 1 : end, number)
  }

  /**
   * Checks the beginning of the source. Returns the offset of the first line, after a byte order
   * mark.
   */
  #begin(): number {
    this.#begun = true
    const [a, b, c] = this.#buffer
    if ((a === 0xff && b === 0xfe) || (a === 0xfe && b === 0xff)) throw damaged('it is UTF-16 text; save it as UTF-8')
    const from = a === 0xef && b === 0xbb && c === 0xbf ? 3 : 0
    const head = Buffer.from(this.#buffer.buffer, from, Math.max(0, Math.min(this.#held - from, HEAD_OCTETS))).toString('latin1')
    if (/^\s*<(!doctype|html|head|body|\?xml)\b/i.test(head)) throw damaged('it is a web page, not a list')
    if (COMPRESSED.some((magic) => head.startsWith(magic))) throw damaged('it is compressed; unpack it')
    this.#taker.head(head)
    return from
  }
}

function damaged(message: string): EnigmError {
  return new EnigmError('source', message)
}
