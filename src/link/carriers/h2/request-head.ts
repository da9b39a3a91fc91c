import { EnigmError } from '../../../errors.ts'
import type { Endpoint } from '../../dial/endpoint.ts'
import { authorityOf, requestHeaders } from '../doh-message.ts'
import { FLAG, FRAME, FRAME_HEADER_OCTETS, MAX_FRAME_OCTETS } from './codes.ts'
import { putFrameHeader } from './outbox.ts'
import { STATIC_TABLE, staticIndex } from './static-table.ts'

/** Huffman coding is not used, so a digit is an octet, and three are in the template. */
const TEMPLATE_DIGITS = 3
/** Set the dynamic table to size 0. In every block, though once would do: so the first request of a connection is as long as the others, and no SETTINGS of the peer can ask for more (RFC 7541 section 4.2). */
const NO_TABLE = 0x20

/**
 * The HEADERS frame of every request to one endpoint. All but the digits of content-length is made once: indexed fields of the static table and literals that are
 * never indexed (RFC 7541 sections 6.1 and 6.2.3). Its size depends on nothing but the number of digits of the body's length, and bodies of 100 to 999 octets, so
 * all padded queries in practice, have three: one size for all requests of one body size, whatever was asked before.
 */
export class RequestHead {
  readonly #template: Buffer
  /** HEADERS frame with its header, for a body of 100 to 999 octets. */
  readonly #octets: number

  /** Throws EnigmError('config') for a path or name that no frame can hold. */
  constructor(endpoint: Endpoint) {
    const block = headerBlock(endpoint)
    this.#octets = FRAME_HEADER_OCTETS + block.length
    if (block.length + 2 > MAX_FRAME_OCTETS) throw new EnigmError('config', 'the path of the resolver is too long')
    this.#template = Buffer.concat([Buffer.alloc(FRAME_HEADER_OCTETS), block])
    putFrameHeader(this.#template, 0, block.length, FRAME.headers, FLAG.endHeaders, 0)
  }

  /** Octets of the frame for a body of this length. */
  octets(bodyOctets: number): number {
    return this.#octets + digitsOf(bodyOctets) - TEMPLATE_DIGITS
  }

  /** Writes the frame and returns where it ends. */
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
  const { 'content-length': length = '', ...constant } = requestHeaders(100)
  const parts = [
    [NO_TABLE, indexed(':method', 'POST'), indexed(':scheme', 'https')],
    literal(':authority', authorityOf(endpoint)),
    literal(':path', endpoint.doh?.path ?? '/dns-query'),
    ...Object.entries(constant).map(([name, value]) => literal(name, value)),
    literal('content-length', length),
  ]
  return Buffer.concat(parts.map((part) => Buffer.from(part)))
}

function indexed(name: string, value: string): number {
  return 0x80 | (STATIC_TABLE.findIndex((field) => field.name === name && field.value === value) + 1)
}

/** Never indexed, the name from the static table. */
function literal(name: string, value: string): number[] {
  const octets = Buffer.from(value, 'utf8')
  return [...integer(0x10, 4, staticIndex(name)), ...integer(0, 7, octets.length), ...octets]
}

/** RFC 7541 section 5.1, behind the bits that are set in `first`. */
export function integer(first: number, prefixBits: number, value: number): number[] {
  const mask = (1 << prefixBits) - 1
  if (value < mask) return [first | value]
  const octets = [first | mask]
  let rest = value - mask
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) octets.push(0x80 | (rest & 0x7f))
  return [...octets, rest]
}
