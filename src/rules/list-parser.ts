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
 * Reads a list in parts and passes its rules on. Throws an EnigmError `source` for content that
 * cannot be a list (see `LineReader`).
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

  /**
   * The format in use. With `auto` it becomes `rpz` if the beginning of the list is a zone file.
   */
  get format(): ListFormat {
    return this.#format
  }

  /** The number of the current line; lines count from 1. */
  get line(): number {
    return this.#number
  }

  /** The text of the current line; empty if the line is too long. */
  get text(): string {
    return Buffer.from(this.#octets.subarray(this.#from, this.#end)).toString('utf8')
  }

  /** Takes the next part of the list. */
  feed(part: Uint8Array): void {
    this.#lines.feed(part)
  }

  /** Call after the last part. */
  end(): void {
    this.#lines.end()
  }
}

/** Whether the text is the beginning of a zone file: it has a directive or an SOA. */
function isRpz(head: string): boolean {
  return /^\$(TTL|ORIGIN)\s/im.test(head) || /^[^;#!|\n]*\sSOA\s/im.test(head)
}
