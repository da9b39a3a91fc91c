import { EnigmError } from '../../../errors.ts'
import type { Endpoint } from '../../dial/endpoint.ts'
import { ageOf, authorityOf, type Headers, headFault, mediaTypeOf, pathOf, requestHeaders } from '../doh-message.ts'
import { FLAG, FRAME, FRAME_HEADER_OCTETS, MAX_FRAME_OCTETS } from './codes.ts'
import { type Field, HpackReader, STATIC_TABLE, staticIndex } from './hpack.ts'
import { putFrameHeader } from './outbox.ts'

/** Digits of content-length in the template. A digit is one octet: Huffman coding is not used. */
const TEMPLATE_DIGITS = 3
/**
 * The HPACK octet that sets the dynamic table to size 0. Every block begins with it, although once
 * would be enough. So the first request of a connection is as long as the others, and SETTINGS of
 * the peer can never require a longer one (RFC 7541 section 4.2).
 */
const NO_TABLE = 0x20

/**
 * Writes the HEADERS frame of every request to one endpoint. The frame is made once, except for the
 * digits of content-length. It holds indexed fields of the static table, and literals that are
 * never indexed (RFC 7541 sections 6.1 and 6.2.3). So its size does not depend on earlier requests:
 * it depends only on the number of digits of the body's length. In practice all padded queries have
 * 100 to 999 octets, which is three digits.
 */
export class RequestHead {
  readonly #template: Buffer
  /** The length of the HEADERS frame with its header, for a body of 100 to 999 octets. */
  readonly #octets: number

  /** Throws EnigmError('config') for a path or name that does not fit in a frame. */
  constructor(endpoint: Endpoint) {
    const block = headerBlock(endpoint)
    this.#octets = FRAME_HEADER_OCTETS + block.length
    if (block.length + 2 > MAX_FRAME_OCTETS) throw new EnigmError('config', 'the path of the resolver is too long')
    this.#template = Buffer.concat([Buffer.alloc(FRAME_HEADER_OCTETS), block])
    putFrameHeader(this.#template, 0, block.length, FRAME.headers, FLAG.endHeaders, 0)
  }

  /** The length of the frame for a body of this length. */
  octets(bodyOctets: number): number {
    return this.#octets + digitsOf(bodyOctets) - TEMPLATE_DIGITS
  }

  /** Writes the frame and returns the offset of its end. */
  put(out: Buffer, at: number, streamId: number, bodyOctets: number): number {
    this.#template.copy(out, at)
    out.writeUInt32BE(streamId, at + 5)
    const digits = digitsOf(bodyOctets)
    const digitsAt = at + this.#octets - TEMPLATE_DIGITS
    if (digits !== TEMPLATE_DIGITS) {
      putFrameHeader(out, at, this.octets(bodyOctets) - FRAME_HEADER_OCTETS, FRAME.headers, FLAG.endHeaders, streamId)
      out[digitsAt - 1] = digits
    }
    let rest = bodyOctets
    for (let i = digits - 1; i >= 0; i--) {
      out[digitsAt + i] = 0x30 + (rest % 10)
      rest = Math.floor(rest / 10)
    }
    return digitsAt + digits
  }
}

function digitsOf(octets: number): number {
  return octets < 10 ? 1 : octets < 100 ? 2 : octets < 1000 ? 3 : octets < 10_000 ? 4 : 5
}

function headerBlock(endpoint: Endpoint): Buffer {
  const { 'content-length': length = '', ...constant } = requestHeaders(100, mediaTypeOf(endpoint))
  const parts = [
    [NO_TABLE, indexed(':method', 'POST'), indexed(':scheme', 'https')],
    literal(':authority', authorityOf(endpoint)),
    literal(':path', pathOf(endpoint)),
    ...Object.entries(constant).map(([name, value]) => literal(name, value)),
    literal('content-length', length),
  ]
  return Buffer.concat(parts.map((part) => Buffer.from(part)))
}

function indexed(name: string, value: string): number {
  return 0x80 | (STATIC_TABLE.findIndex((field) => field.name === name && field.value === value) + 1)
}

/** A literal that is never indexed. Its name is in the static table. */
function literal(name: string, value: string): number[] {
  const octets = Buffer.from(value, 'utf8')
  return [...integer(0x10, 4, staticIndex(name)), ...integer(0, 7, octets.length), ...octets]
}

/** Encodes an integer (RFC 7541 section 5.1). `first` holds the bits before it. */
export function integer(first: number, prefixBits: number, value: number): number[] {
  const mask = (1 << prefixBits) - 1
  if (value < mask) return [first | value]
  const octets = [first | mask]
  let rest = value - mask
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) octets.push(0x80 | (rest & 0x7f))
  return [...octets, rest]
}

/** The content of one header block of a response. */
export interface ResponseHead {
  /** 0: trailers, which have no :status. */
  readonly status: number
  readonly headers: Headers
  readonly ageS: number | undefined
  /** -1: absent. */
  readonly contentLength: number
  /** Whether it can be the head of an answer. If not, `headFault` returns the reason. */
  readonly usable: boolean
}

/** Fields of HTTP/1.1. A message that has one is malformed (RFC 9113 section 8.2.2). */
const CONNECTION_FIELDS = new Set(['connection', 'proxy-connection', 'keep-alive', 'transfer-encoding', 'upgrade'])
/** A valid field name: token characters in lower case (RFC 9110 section 5.6.2). */
const NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/
/**
 * A valid field value: no NUL, CR or LF, and no white space at either end (RFC 9113 section 8.2.1).
 */
const VALUE = /^(?![ \t])[^\0\r\n]*(?<![ \t])$/
const MEMO_SLOTS = 8
const MEMO_OCTETS = 2048

type HeadsOutcome = ResponseHead | 'malformed' | 'compression' | 'tooLarge'

interface ParsedHeads {
  readonly block: Buffer
  readonly version: number
  readonly outcome: HeadsOutcome
}

/**
 * Reads the header blocks of responses in order. It remembers the last few blocks and compares new
 * ones with them, which costs a tenth of parsing. While the dynamic table does not change, equal
 * blocks have equal content. Many blocks of one resolver are equal, because little besides `date`
 * changes.
 */
export class HeadReader {
  readonly #hpack = new HpackReader()
  readonly #memo: (ParsedHeads | undefined)[] = new Array(MEMO_SLOTS).fill(undefined)
  readonly #mediaType: string | undefined

  /** `mediaType`: the media type of an answer. Default: that of a DNS message. */
  constructor(mediaType?: string) {
    this.#mediaType = mediaType
  }

  read(octets: Uint8Array, start: number, end: number): HeadsOutcome {
    const slot = (end - start) % MEMO_SLOTS
    const seen = this.#memo[slot]
    const { version } = this.#hpack.table
    if (seen?.version === version && seen.block.length === end - start && seen.block.compare(octets, start, end) === 0) return seen.outcome
    const fields = this.#hpack.read(octets, start, end)
    const outcome = typeof fields === 'string' ? fields : headOf(fields, this.#mediaType)
    if (end - start <= MEMO_OCTETS && this.#hpack.table.version === version) {
      this.#memo[slot] = { block: Buffer.from(octets.subarray(start, end)), version, outcome }
    }
    return outcome
  }
}

/** Checks and reads the fields of a response (RFC 9113 sections 8.1.1, 8.2 and 8.3.2). */
function headOf(fields: readonly Field[], mediaType: string | undefined): ResponseHead | 'malformed' {
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
  return { status, headers, ageS: ageOf(headers), contentLength, usable: headFault(status, headers, mediaType) === undefined }
}
