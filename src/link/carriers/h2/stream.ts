import type { Linked } from '../../../containers.ts'
import { idOf, isReplyTo, setId } from '../../../dns/message.ts'
import { copyOf } from '../../../dns/octets.ts'
import { EnigmError } from '../../../errors.ts'
import type { Protection } from '../../../resolve.ts'
import type { Seal, SealedQuery } from '../../dial/endpoint.ts'
import type { Sent, Ticket } from '../carrier.ts'
import { H2 } from './codes.ts'
import type { ResponseHead } from './heads.ts'
import type { Outbox } from './outbox.ts'

const MAX_MESSAGE_OCTETS = 65_535
const MIN_MESSAGE_OCTETS = 12
const NOTHING = new Uint8Array(0)

/** One request and its response. A class, so that it can be cancelled without a closure. */
export class Stream<P extends Protection = Protection> implements Linked<Stream<P>>, Sent {
  /**
   * The request's body: the query with ID 0 (RFC 8484 section 4.1), encrypted if it is for ODoH.
   */
  readonly body: Uint8Array
  readonly ticket: Ticket<P>
  readonly #query: Uint8Array
  readonly #sealed: SealedQuery | undefined
  readonly #requestId: number
  readonly #cancel: (stream: Stream<P>) => void
  before: Stream<P> | undefined
  after: Stream<P> | undefined
  holder: object | undefined
  /** The stream ID. 0: not opened. */
  id = 0
  sentMs = 0
  bodySent = 0
  /**
   * How many octets of the body the peer accepts now. It is below 0 if the peer has reduced its
   * windows (RFC 9113 section 6.9.2).
   */
  sendWindow = 0
  /** Octets that counted against our window. */
  flowOctets = 0
  head: ResponseHead | undefined
  /** Why the head was refused. It does not count if the body turns out to be empty. */
  fault: EnigmError | undefined
  /** How often the peer refused it. */
  requeued = 0
  #reply: Uint8Array | undefined
  #octets = 0

  constructor(request: Uint8Array, ticket: Ticket<P>, cancel: (stream: Stream<P>) => void, seal?: Seal) {
    this.#requestId = idOf(request)
    this.#query = this.#requestId === 0 ? request : underIdZero(request)
    this.#sealed = seal?.(this.#query)
    this.body = this.#sealed?.body ?? this.#query
    this.ticket = ticket
    this.#cancel = cancel
  }

  cancel(): void {
    this.#cancel(this)
  }

  /** Resets it to the state before it was opened. */
  rewind(): void {
    this.id = 0
    this.bodySent = 0
    this.flowOctets = 0
    this.head = undefined
    this.fault = undefined
    this.#reply = undefined
    this.#octets = 0
  }

  /**
   * Whether a header block with this status (0: none) may come now: interim responses, one final
   * response, then trailers that end the stream (RFC 9113 section 8.1).
   */
  expects(status: number, endStream: boolean): boolean {
    if (this.head !== undefined) return status === 0 && endStream
    return status >= 200 || (status >= 100 && status !== 101 && !endStream)
  }

  /**
   * Whether the body must be awaited although the head is refused. A target sends an empty response
   * if it does not know the key, and without a content-length only the body shows that it is empty.
   */
  judgedByBody({ status, contentLength }: ResponseHead, endStream: boolean): boolean {
    return this.#sealed !== undefined && status === 200 && contentLength < 0 && !endStream
  }

  /**
   * Adds a copy of a piece of the reply. Returns false if the reply is longer than a DNS message
   * can be.
   */
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

  /** Whether the length of the body equals the one in the head (RFC 9113 section 8.1.1). */
  get complete(): boolean {
    const expected = this.head?.contentLength ?? -1
    return expected < 0 || expected === this.#octets
  }

  /** The reply with the ID of the request. An error if it is not a valid reply. */
  reply(): Uint8Array | EnigmError {
    const body = this.#reply ?? NOTHING
    const whole = body.length === this.#octets ? body : body.slice(0, this.#octets)
    const wire = this.#sealed === undefined ? whole : this.#sealed.open(whole)
    if (wire instanceof EnigmError) return wire
    if (wire.length < MIN_MESSAGE_OCTETS) return new EnigmError('reply-malformed', 'shorter than a DNS header')
    if (idOf(wire) !== 0 || !isReplyTo(this.#query, wire)) return new EnigmError('reply-mismatch', 'not the answer to what was asked')
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

/**
 * The window of the connection, enough for 1,000 replies of 4 KiB. It is opened at the start, and
 * again when half of it is used.
 */
export const CONNECTION_WINDOW_OCTETS = 4 * 1024 * 1024
/**
 * The window of one stream. It is larger than any DNS message, so that a longer reply is noticed
 * and refused instead of blocking. It is never widened.
 */
export const STREAM_WINDOW_OCTETS = 128 * 1024

/** Enforces the windows that we gave the peer (RFC 9113 section 6.9.1). */
export class DataWindows {
  readonly #out: Outbox
  #octets = 0

  constructor(out: Outbox) {
    this.#out = out
  }

  /** Counts DATA against the window of the connection. DATA of closed streams counts too. */
  received(flowOctets: number): number {
    this.#octets += flowOctets
    if (this.#octets > CONNECTION_WINDOW_OCTETS) return H2.flowControl
    if (this.#octets >= CONNECTION_WINDOW_OCTETS / 2) {
      this.#out.windowUpdate(0, this.#octets)
      this.#octets = 0
    }
    return H2.none
  }

  /** Whether the peer may still send this many octets on a stream. */
  fits(stream: Stream, flowOctets: number): boolean {
    stream.flowOctets += flowOctets
    return stream.flowOctets <= STREAM_WINDOW_OCTETS
  }
}

const MAX_REMEMBERED = 4096

/**
 * Remembers the streams that we reset before the peer ended them. Frames may still arrive for them,
 * because they were already on the way (RFC 9113 section 5.1, `closed`).
 */
export class ResetStreams {
  readonly #ids = new Set<number>()
  /** Streams up to this ID are forgotten. */
  #forgottenId = 0

  add(streamId: number): void {
    this.#ids.add(streamId)
    for (const oldest of this.#ids) {
      if (this.#ids.size <= MAX_REMEMBERED) break
      this.#ids.delete(oldest)
      this.#forgottenId = Math.max(this.#forgottenId, oldest)
    }
  }

  /** Whether a frame may still come for this stream. `last`: it is the last frame. */
  has(streamId: number, last: boolean): boolean {
    const known = last ? this.#ids.delete(streamId) : this.#ids.has(streamId)
    return known || streamId <= this.#forgottenId
  }

  delete(streamId: number): void {
    this.#ids.delete(streamId)
  }
}
