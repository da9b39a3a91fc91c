import type { Linked } from '../../../containers.ts'
import { idOf, isReplyTo, setId } from '../../../dns/message.ts'
import { copyOf } from '../../../dns/octets.ts'
import { EnigmError } from '../../../errors.ts'
import type { Ticket } from '../carrier.ts'
import type { ResponseHead } from './response-head.ts'

const MAX_MESSAGE_OCTETS = 65_535
const MIN_MESSAGE_OCTETS = 12

/** One request and what came back for it. */
export class Stream implements Linked<Stream> {
  /** The query under ID 0 (RFC 8484 section 4.1): the request's body. */
  readonly body: Uint8Array
  readonly ticket: Ticket
  readonly #requestId: number
  before: Stream | undefined
  after: Stream | undefined
  holder: object | undefined
  /** 0: not opened. */
  id = 0
  sentMs = 0
  bodySent = 0
  /** What the peer still takes of the body; below 0 after it shrank its windows (RFC 9113 section 6.9.2). */
  sendWindow = 0
  /** Octets that counted against the window we gave. */
  flowOctets = 0
  head: ResponseHead | undefined
  /** How often the peer refused it. */
  requeued = 0
  #reply: Uint8Array | undefined
  #octets = 0

  constructor(request: Uint8Array, ticket: Ticket) {
    this.#requestId = idOf(request)
    this.body = this.#requestId === 0 ? request : underIdZero(request)
    this.ticket = ticket
  }

  /** As before it was opened. */
  rewind(): void {
    this.id = 0
    this.bodySent = 0
    this.flowOctets = 0
    this.head = undefined
    this.#reply = undefined
    this.#octets = 0
  }

  /** Whether a header block with this status (0: none) may come now: interim responses, one final, trailers that end it (RFC 9113 section 8.1). */
  expects(status: number, endStream: boolean): boolean {
    if (this.head !== undefined) return status === 0 && endStream
    return status >= 200 || (status >= 100 && status !== 101 && !endStream)
  }

  /** Takes a piece of the reply (a copy). False: it is longer than a DNS message can be. */
  take(octets: Uint8Array, start: number, end: number): boolean {
    const length = end - start
    if (length === 0) return true
    const total = this.#octets + length
    if (total > MAX_MESSAGE_OCTETS) return false
    const room = this.#reply === undefined ? 0 : Math.min(MAX_MESSAGE_OCTETS, Math.max(total, this.#reply.length * 2))
    if (this.#reply === undefined) this.#reply = copyOf(octets, start, end)
    else {
      if (this.#reply.length < total) this.#reply = grown(this.#reply, room)
      this.#reply.set(octets.subarray(start, end), this.#octets)
    }
    this.#octets = total
    return true
  }

  /** Whether what came is as long as the head said (RFC 9113 section 8.1.1). */
  get complete(): boolean {
    const expected = this.head?.contentLength ?? -1
    return expected < 0 || expected === this.#octets
  }

  /** The reply under the ID of the request, or why it is none. */
  reply(): Uint8Array | EnigmError {
    if (this.#reply === undefined || this.#octets < MIN_MESSAGE_OCTETS)
      return new EnigmError('reply-malformed', 'shorter than a DNS header')
    const wire = this.#reply.length === this.#octets ? this.#reply : this.#reply.slice(0, this.#octets)
    if (idOf(wire) !== 0 || !isReplyTo(this.body, wire)) return new EnigmError('reply-mismatch', 'not the answer to what was asked')
    setId(wire, this.#requestId)
    return wire
  }
}

function underIdZero(request: Uint8Array): Uint8Array {
  const body = copyOf(request)
  setId(body, 0)
  return body
}

function grown(octets: Uint8Array, room: number): Uint8Array {
  const larger = new Uint8Array(room)
  larger.set(octets)
  return larger
}

/** The request is without an answer, by no fault of its own. */
export function lost(message: string, cause?: unknown): EnigmError {
  return new EnigmError('connection-lost', message, cause === undefined ? undefined : { cause })
}
