import type { EnigmError } from '../../errors.ts'
import { Body, type Headers, headFault } from './doh-message.ts'

/** Limit of one head, and of the trailers: names, values and separators. */
const MAX_HEAD_OCTETS = 16_384
/**
 * Limit of all chunk-size lines of one body. No honest server sends 65,535 chunks of one octet.
 */
const MAX_CHUNK_LINES_OCTETS = 65_536
const MAX_INTERIM = 16
/** An error page up to this size is read and dropped; a longer one ends the connection. */
const MAX_PAGE_OCTETS = 65_536

const LF = 0x0a
const STATUS_LINE = /^HTTP\/1\.(\d) ([1-9]\d\d)(?: .*)?$/
const FIELD_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):(.*)$/
const CHUNK_LINE = /^([0-9A-Fa-f]{1,8})[ \t]*(?:;.*)?$/
const KEEP_ALIVE_TIMEOUT = /(?:^|[,\s])timeout\s*=\s*"?(\d{1,6})/i

type ReadingState = 'head' | 'length' | 'chunk-size' | 'chunk' | 'chunk-end' | 'trailers' | 'until-close'

/**
 * The state of a response. `more`: more octets must come. `whole`: it is complete. `broken`: its
 * framing is invalid (RFC 9112). `excess`: it is too long and is not read to the end, see `fault`.
 */
export type Progress = 'more' | 'whole' | 'broken' | 'excess'

/**
 * Reads one HTTP/1.1 response from octets as they arrive (RFC 9112). Interim responses (1xx) are
 * skipped. Its memory is limited. Never throws.
 */
export class H1Response {
  headers: Headers = {}
  /** The reason why the response is not an answer, according to its head or its length. */
  fault: EnigmError | undefined
  /** Whether the head has been read. */
  begun = false
  /** Whether another request may go over the same connection (section 9.3). */
  reusable = false
  /** How many seconds the peer keeps the connection without a request, if it says so. */
  keepAliveS: number | undefined
  readonly body = new Body()
  #reading: ReadingState = 'head'
  #line = ''
  #lines: string[] = []
  #lineOctets = 0
  #chunkLineOctets = 0
  #interim = 0
  #left = 0
  #pageOctets = 0
  #progress: Progress = 'more'

  /**
   * Reads received octets. Octets after the end of the response make the connection not `reusable`:
   * they belong to no request.
   */
  push(octets: Uint8Array): Progress {
    let at = 0
    while (at < octets.length) {
      if (this.#progress === 'whole') this.reusable = false
      if (this.#progress !== 'more') break
      at = this.#takesBody ? this.#onBody(octets, at) : this.#onLine(octets, at)
    }
    return this.#progress
  }

  /**
   * Handles the end of the connection. `notified`: the peer sent close_notify. Without it, a body
   * that ends with the connection may have been cut (section 9.8).
   */
  end(notified: boolean): Progress {
    if (this.#progress === 'more') this.#progress = this.#reading === 'until-close' && notified ? 'whole' : 'broken'
    return this.#progress
  }

  get #takesBody(): boolean {
    return this.#reading === 'length' || this.#reading === 'chunk' || this.#reading === 'until-close'
  }

  #onBody(octets: Uint8Array, at: number): number {
    const end = this.#reading === 'until-close' ? octets.length : Math.min(octets.length, at + this.#left)
    this.#left -= end - at
    this.#take(octets.subarray(at, end))
    if (this.#progress === 'more' && this.#left <= 0 && this.#reading !== 'until-close') {
      if (this.#reading === 'length') this.#progress = 'whole'
      else this.#reading = 'chunk-end'
    }
    return end
  }

  /** Keeps a copy, because the received octets are valid during the call only. */
  #take(octets: Uint8Array): void {
    if (this.fault === undefined) this.fault = this.body.add(octets.slice())
    else this.#pageOctets += octets.length
    if (this.fault?.code === 'http-size' || this.#pageOctets > MAX_PAGE_OCTETS) this.#progress = 'excess'
  }

  /** Reads to the next line feed. The carriage return before it may be missing (section 2.2). */
  #onLine(octets: Uint8Array, at: number): number {
    const feed = octets.indexOf(LF, at)
    const end = feed < 0 ? octets.length : feed
    this.#lineOctets += end - at + 1
    if (this.#lineOctets > MAX_HEAD_OCTETS) this.#progress = 'broken'
    else this.#line += Buffer.from(octets.buffer, octets.byteOffset + at, end - at).toString('latin1')
    if (feed < 0 || this.#progress !== 'more') return end
    const line = this.#line.endsWith('\r') ? this.#line.slice(0, -1) : this.#line
    this.#line = ''
    if (/[\r\0]/.test(line) || !this.#onWholeLine(line)) this.#progress = 'broken'
    return end + 1
  }

  /** Handles one line. Returns false if the line is invalid at this place. */
  #onWholeLine(line: string): boolean {
    if (this.#reading === 'chunk-end') {
      this.#reading = 'chunk-size'
      return line === ''
    }
    if (this.#reading === 'chunk-size') return this.#onChunkSize(line)
    if (line !== '') return this.#lines.push(line) > 0
    const lines = this.#lines.splice(0)
    this.#lineOctets = 0
    if (this.#reading === 'head') return this.#onHead(lines)
    this.#progress = 'whole'
    return true
  }

  #onChunkSize(line: string): boolean {
    const digits = CHUNK_LINE.exec(line)?.[1]
    this.#chunkLineOctets += this.#lineOctets
    this.#lineOctets = 0
    if (digits === undefined || this.#chunkLineOctets > MAX_CHUNK_LINES_OCTETS) return false
    this.#left = Number.parseInt(digits, 16)
    this.#reading = this.#left === 0 ? 'trailers' : 'chunk'
    return true
  }

  #onHead(lines: readonly string[]): boolean {
    const [, minor, status] = STATUS_LINE.exec(lines[0] ?? '') ?? []
    const headers = fieldsOf(lines.slice(1))
    if (status === undefined || headers === undefined) return false
    // The server sent 408 while the request was on the way. It may be retried (RFC 9110 15.5.9).
    if (status === '408') return false
    // A 101 switches to another protocol, and none was requested.
    if (status.startsWith('1')) return status !== '101' && ++this.#interim <= MAX_INTERIM
    this.begun = true
    this.headers = headers
    this.fault = headFault(Number(status), headers)
    const options = listOf(headers.connection)
    this.reusable = minor === '0' ? options.includes('keep-alive') && !options.includes('close') : !options.includes('close')
    const timeout = KEEP_ALIVE_TIMEOUT.exec(headers['keep-alive'] ?? '')?.[1]
    if (timeout !== undefined) this.keepAliveS = Number(timeout)
    return this.#frame(status, minor === '0', headers)
  }

  /**
   * Finds the length of the body (section 6.3). A head that two readers might interpret differently
   * is refused.
   */
  #frame(status: string, isOld: boolean, headers: HeaderFields): boolean {
    const coding = headers['transfer-encoding']
    const lengths = headers['content-length']?.split(',').map((length) => length.trim())
    const length = lengths?.[0]
    if (coding !== undefined && (isOld || length !== undefined || coding.toLowerCase() !== 'chunked')) return false
    if (length !== undefined && (!/^\d+$/.test(length) || lengths?.some((other) => other !== length) === true)) return false
    if (status === '204' || status === '304') this.#progress = 'whole'
    else if (coding !== undefined) this.#reading = 'chunk-size'
    else if (length === undefined) {
      this.#reading = 'until-close'
      this.reusable = false
    } else {
      this.#left = Number(length)
      this.#reading = 'length'
      if (this.#left === 0) this.#progress = 'whole'
    }
    if (this.#progress === 'more' && this.fault?.code === 'http-size') this.#progress = 'excess'
    return true
  }
}

type HeaderFields = Readonly<Record<string, string | undefined>>

/**
 * Header fields with lower-case names. The values of one name are joined (RFC 9110 section 5.3). A
 * folded line continues the line before it (RFC 9112 section 5.2). Undefined: a line is invalid.
 */
function fieldsOf(lines: readonly string[]): HeaderFields | undefined {
  const fields: Record<string, string> = Object.create(null)
  let last: string | undefined
  for (const line of lines) {
    if (/^[ \t]/.test(line)) {
      if (last === undefined) return undefined
      // Only the new piece is trimmed: many folded lines of one field must not be scanned again
      // each time.
      fields[last] = [fields[last], line.trim()].filter((piece) => piece !== undefined && piece !== '').join(' ')
      continue
    }
    const [, name, value] = FIELD_LINE.exec(line) ?? []
    if (name === undefined || value === undefined) return undefined
    last = name.toLowerCase()
    const before = fields[last]
    fields[last] = before === undefined ? value.trim() : `${before}, ${value.trim()}`
  }
  return fields
}

function listOf(value: string | undefined): readonly string[] {
  return (value ?? '').split(',').map((token) => token.trim().toLowerCase())
}
