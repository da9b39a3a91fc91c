import { ageOf, type Headers, headFault } from '../doh-message.ts'
import { HpackReader } from './hpack-reader.ts'
import type { Field } from './static-table.ts'

/** What one header block of a response says. */
export interface ResponseHead {
  /** 0: trailers, which have no :status. */
  readonly status: number
  readonly headers: Headers
  readonly ageS: number | undefined
  /** -1: none. */
  readonly contentLength: number
  /** Whether it can be the head of an answer; if not, `headFault` has the reason. */
  readonly usable: boolean
}

/** RFC 9113 section 8.2.2: of HTTP/1.1; a message that has one is malformed. */
const CONNECTION_FIELDS = new Set(['connection', 'proxy-connection', 'keep-alive', 'transfer-encoding', 'upgrade'])
/** A name in lower case, of token characters (RFC 9110 section 5.6.2). */
const NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/
/** Anything but NUL, CR, LF, and no white space at either end (RFC 9113 section 8.2.1). */
const VALUE = /^(?![ \t])[^\0\r\n]*(?<![ \t])$/
const MEMO_SLOTS = 8
const MEMO_OCTETS = 2048

type Outcome = ResponseHead | 'malformed' | 'compression' | 'tooLarge'

interface Seen {
  readonly block: Buffer
  readonly version: number
  readonly outcome: Outcome
}

/**
 * Reads header blocks of responses, in the order in which they came. As long as the dynamic table stays as it is a block says the same whenever it comes, and a
 * resolver's replies differ in hardly more than the second in `date`: the last few are kept and compared, which costs a tenth of reading one anew.
 */
export class HeadReader {
  readonly #hpack = new HpackReader()
  readonly #memo: (Seen | undefined)[] = new Array(MEMO_SLOTS).fill(undefined)

  read(octets: Uint8Array, start: number, end: number): Outcome {
    const slot = (end - start) % MEMO_SLOTS
    const seen = this.#memo[slot]
    const { version } = this.#hpack.table
    if (seen?.version === version && seen.block.length === end - start && seen.block.compare(octets, start, end) === 0) return seen.outcome
    const fields = this.#hpack.read(octets, start, end)
    const outcome = typeof fields === 'string' ? fields : headOf(fields)
    if (end - start <= MEMO_OCTETS && this.#hpack.table.version === version) {
      this.#memo[slot] = { block: Buffer.from(octets.subarray(start, end)), version, outcome }
    }
    return outcome
  }
}

/** RFC 9113 sections 8.1.1, 8.2 and 8.3.2. */
function headOf(fields: readonly Field[]): ResponseHead | 'malformed' {
  const headers: Record<string, string> = Object.create(null)
  let status = 0
  let regular = false
  for (const { name, value } of fields) {
    if (name.startsWith(':')) {
      if (regular || status !== 0 || name !== ':status' || !/^[1-9]\d\d$/.test(value)) return 'malformed'
      status = Number(value)
      continue
    }
    regular = true
    if (!NAME.test(name) || !VALUE.test(value) || CONNECTION_FIELDS.has(name)) return 'malformed'
    const before = headers[name]
    if (name === 'content-length' && before !== undefined && before !== value) return 'malformed'
    headers[name] = before === undefined || name === 'content-length' ? value : `${before}, ${value}`
  }
  const length = headers['content-length']
  if (length !== undefined && !/^\d{1,15}$/.test(length)) return 'malformed'
  const contentLength = length === undefined ? -1 : Number(length)
  return { status, headers, ageS: ageOf(headers), contentLength, usable: headFault(status, headers) === undefined }
}
