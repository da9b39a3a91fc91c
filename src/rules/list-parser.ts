import { TextRules } from './list-formats.ts'
import type { ListFormat, RuleTaker } from './list-kinds.ts'
import { LineReader } from './list-lines.ts'
import { RpzReader } from './rpz.ts'

/** Reads the lines of one format. */
export interface LineRules {
  /** Takes a line; its octets are valid until it returns. */
  line(octets: Uint8Array, from: number, end: number): void
}

const NOTHING = new Uint8Array(0)

/**
 * Reads a list in parts and passes its rules on. Throws an EnigmError `source` for what is
 * certainly no list.
 */
export class ListParser {
  readonly #lines: LineReader
  #format: ListFormat
  #octets: Uint8Array = NOTHING
  #from = 0
  #end = 0
  #number = 0

  constructor(format: ListFormat, taker: RuleTaker) {
    this.#format = format
    let rules: LineRules | undefined
    this.#lines = new LineReader({
      head: (text) => {
        if (format === 'auto' && isRpz(text)) this.#format = 'rpz'
        rules = this.#format === 'rpz' ? new RpzReader(taker) : new TextRules(this.#format, taker)
      },
      line: (octets, from, end, number) => {
        this.#octets = octets
        this.#from = from
        this.#end = end
        this.#number = number
        rules?.line(octets, from, end)
      },
      tooLong: (number) => {
        this.#number = number
        this.#end = this.#from
        taker.skip('too-long')
      },
    })
  }

  /** The format in use: an RPZ is recognized by its beginning. */
  get format(): ListFormat {
    return this.#format
  }

  /** The number of the line that is being read, from 1. */
  get line(): number {
    return this.#number
  }

  /** The text of the line that is being read; empty if it is too long. */
  get text(): string {
    return Buffer.from(this.#octets.subarray(this.#from, this.#end)).toString('utf8')
  }

  feed(part: Uint8Array): void {
    this.#lines.feed(part)
  }

  end(): void {
    this.#lines.end()
  }
}

/** A zone file begins with a directive or with its SOA. */
function isRpz(head: string): boolean {
  return /^\$(TTL|ORIGIN)\s/im.test(head) || /^[^;#!|\n]*\sSOA\s/im.test(head)
}
