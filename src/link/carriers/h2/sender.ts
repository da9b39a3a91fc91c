import { LinkedSet } from '../../../containers.ts'
import { u16, u32 } from '../../../dns/octets.ts'
import { DEFAULT_WINDOW_OCTETS, FLAG, FRAME, FRAME_HEADER_OCTETS, H2, MAX_31_BITS, MAX_FRAME_OCTETS, SETTING } from './codes.ts'
import type { RequestHead } from './heads.ts'
import { type CellOutbox, CONTROL_ROOM_OCTETS, type Outbox, putFrameHeader } from './outbox.ts'
import type { Stream } from './stream.ts'

/**
 * The longest body that fits in the first record. A query for any name fits, with its OPT. The
 * padding of DATA (at most 255 octets) fills the record if the body is shorter.
 */
const BODY_OCTETS = 290

/**
 * Writes requests as records of one size. A record holds waiting control frames, the head, and DATA
 * that is padded to the size (RFC 9113 section 6.1 allows any amount of padding). One record holds
 * a query for any name. A longer request continues in records that hold only DATA, and only the
 * last of them is padded. BIND 9.18.49 stalls on a request that arrives in pieces of more than 256
 * octets: over its DoH, names of more than 93 octets get no answer.
 */
export class CellSender {
  readonly #out: CellOutbox
  readonly #head: RequestHead
  /** The size of every record. */
  readonly #octets: number
  /** Body octets of each record after the first. These records have no head. */
  readonly #laterOctets: number

  /** `sealOctets`: how many octets encryption to a target adds to a query; 0 without it. */
  constructor(out: CellOutbox, head: RequestHead, sealOctets: number) {
    this.#out = out
    this.#head = head
    const bodyOctets = BODY_OCTETS + sealOctets
    this.#laterOctets = bodyOctets + head.octets(bodyOctets)
    this.#octets = CONTROL_ROOM_OCTETS + FRAME_HEADER_OCTETS + 1 + this.#laterOctets
  }

  /** How many octets of the largest record count against the windows. */
  get windowOctets(): number {
    return 1 + this.#laterOctets + CONTROL_ROOM_OCTETS
  }

  /** The length of a query that fills `records` records. */
  octets(records: number): number {
    return BODY_OCTETS + (records - 1) * this.#laterOctets
  }

  /** Writes the next record of `stream`. Returns how many octets count against the windows. */
  send(stream: Stream): number {
    const out = this.#out
    const { body, bodySent } = stream
    let room = this.#octets - out.pay(CONTROL_ROOM_OCTETS) - FRAME_HEADER_OCTETS
    if (bodySent === 0) {
      const octets = this.#head.octets(body.length)
      const at = out.reserve(octets)
      this.#head.put(out.page, at, stream.id, body.length)
      room -= octets
    }
    const rest = body.length - bodySent
    const padding = Math.max(0, room - 1 - rest)
    const end = rest < room ? body.length : bodySent + room
    const at = out.reserve(FRAME_HEADER_OCTETS + room)
    const { page } = out
    const flags = (rest < room ? FLAG.padded : 0) | (end === body.length ? FLAG.endStream : 0)
    let to = putFrameHeader(page, at, room, FRAME.data, flags, stream.id)
    if (rest < room) page[to++] = padding
    page.set(body.subarray(bodySent, end), to)
    page.fill(0, to + end - bodySent, to + end - bodySent + padding)
    stream.bodySent = end
    return room
  }
}

/**
 * Limit of open streams before the peer's SETTINGS state another one. RFC 9113 section 6.5.2
 * recommends that servers allow at least 100.
 */
const STREAMS_UNTIL_TOLD = 32

/** Writes requests as the peer's settings and windows allow (RFC 9113 sections 5.2 and 6.9). */
export class Sender {
  readonly #out: Outbox
  readonly #head: RequestHead
  /** Open streams whose body is not fully sent, in order. None of them is in another queue. */
  readonly #blocked = new LinkedSet<Stream>()
  /** Writes requests as cells. Undefined: each request is written when it comes. */
  readonly cells: CellSender | undefined
  #unfinished: Stream | undefined
  #window = DEFAULT_WINDOW_OCTETS
  #initialWindow = DEFAULT_WINDOW_OCTETS
  #told = false
  maxStreams = STREAMS_UNTIL_TOLD

  constructor(out: Outbox, head: RequestHead, cells?: CellSender) {
    this.#out = out
    this.#head = head
    this.cells = cells
  }

  /** The request in cells that has records left to send. */
  get unfinished(): Stream | undefined {
    return this.#unfinished
  }

  /** Whether the peer's windows have room for a cell. */
  get takesCell(): boolean {
    const octets = this.cells?.windowOctets ?? 0
    return this.#window >= octets && this.#initialWindow >= octets && this.#unfinished === undefined
  }

  /**
   * Whether the window of the connection has no room for a cell. Peers exist that never give back
   * the window for padding (the h2 crate before 0.4.13, and so older servers with hyper). Some
   * minutes of cells fill it.
   */
  get spent(): boolean {
    return this.#window < (this.cells?.windowOctets ?? 0)
  }

  /**
   * Whether the peer's windows have room for the next record of the unfinished request. SETTINGS
   * may have reduced the windows since its first record.
   */
  get takesMore(): boolean {
    const octets = this.cells?.windowOctets ?? 0
    return this.#unfinished !== undefined && this.#window >= octets && this.#unfinished.sendWindow >= octets
  }

  /** Whether a newly opened stream could send part of its body now. */
  get open(): boolean {
    return this.#window > 0
  }

  start(stream: Stream, id: number): void {
    stream.id = id
    stream.sendWindow = this.#initialWindow
    if (this.cells !== undefined) return void this.sendCell(stream)
    const at = this.#out.reserve(this.#head.octets(stream.body.length))
    this.#head.put(this.#out.page, at, id, stream.body.length)
    this.#sendBody(stream)
  }

  /**
   * Writes the next record of a request in cells. Only while `takesCell` or `takesMore` is true.
   */
  sendCell(stream: Stream): void {
    const octets = this.cells?.send(stream) ?? 0
    stream.sendWindow -= octets
    this.#window -= octets
    this.#unfinished = stream.bodySent < stream.body.length ? stream : undefined
  }

  /** The stream is over. Returns whether part of its request was not sent. */
  forget(stream: Stream): boolean {
    if (this.#unfinished === stream) {
      this.#unfinished = undefined
      return true
    }
    return this.#blocked.delete(stream)
  }

  #sendBody(stream: Stream): void {
    const { body } = stream
    while (stream.bodySent < body.length) {
      const octets = Math.min(MAX_FRAME_OCTETS, this.#window, stream.sendWindow, body.length - stream.bodySent)
      if (octets <= 0) return void this.#blocked.add(stream)
      const end = stream.bodySent + octets
      const at = this.#out.reserve(FRAME_HEADER_OCTETS + octets)
      const flags = end === body.length ? FLAG.endStream : 0
      const part = octets === body.length ? body : body.subarray(stream.bodySent, end)
      this.#out.page.set(part, putFrameHeader(this.#out.page, at, octets, FRAME.data, flags, stream.id))
      stream.bodySent = end
      stream.sendWindow -= octets
      this.#window -= octets
    }
    this.#blocked.delete(stream)
  }

  #resume(): void {
    for (const stream of this.#blocked.list()) {
      if (this.#window <= 0) return
      this.#sendBody(stream)
    }
  }

  /**
   * Widens the window of the connection. Returns an error code of the connection: an overflow is an
   * error (RFC 9113 section 6.9.1).
   */
  widen(increment: number): number {
    this.#window += increment
    if (this.#window > MAX_31_BITS) return H2.flowControl
    this.#resume()
    return H2.none
  }

  /** Widens the window of one stream. Returns an error code of this stream, or 0. */
  widenStream(stream: Stream, increment: number): number {
    if (increment === 0) return H2.protocol
    stream.sendWindow += increment
    if (stream.sendWindow > MAX_31_BITS) return H2.flowControl
    if (this.#blocked.has(stream)) this.#sendBody(stream)
    return H2.none
  }

  /**
   * Applies SETTINGS (RFC 9113 section 6.5.2) in order to `streams`, all open streams, and
   * acknowledges them. Returns an error code of the connection, or 0 to continue.
   */
  settings(octets: Uint8Array, start: number, end: number, streams: readonly Stream[]): number {
    if (!this.#told) this.maxStreams = Number.POSITIVE_INFINITY
    this.#told = true
    for (let at = start; at < end; at += 6) {
      const code = this.#setting(u16(octets, at), u32(octets, at + 2), streams)
      if (code !== H2.none) return code
    }
    this.#out.settingsAck()
    this.#resume()
    return H2.none
  }

  #setting(id: number, value: number, streams: readonly Stream[]): number {
    switch (id) {
      case SETTING.enablePush: // a server may not turn it on
        return value === 0 ? H2.none : H2.protocol
      case SETTING.maxConcurrentStreams:
        this.maxStreams = value
        return H2.none
      case SETTING.initialWindowSize:
        return value > MAX_31_BITS ? H2.flowControl : this.#setInitialWindow(value, streams)
      case SETTING.maxFrameSize:
        return value < MAX_FRAME_OCTETS || value > 0xff_ffff ? H2.protocol : H2.none
      default:
        return H2.none
    }
  }

  /**
   * Sets the initial window, and changes those of open streams, below 0 if necessary (section
   * 6.9.2).
   */
  #setInitialWindow(value: number, streams: readonly Stream[]): number {
    const change = value - this.#initialWindow
    this.#initialWindow = value
    for (const stream of streams) {
      stream.sendWindow += change
      if (stream.sendWindow > MAX_31_BITS) return H2.flowControl
    }
    return H2.none
  }
}
