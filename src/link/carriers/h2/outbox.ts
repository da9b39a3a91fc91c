import type { Writable } from 'node:stream'
import { putU16, putU32 } from '../../../dns/octets.ts'
import { FLAG, FRAME, FRAME_HEADER_OCTETS, SETTING } from './codes.ts'

/** Size of a page, enough for 250 padded queries. A larger turn gets a separate buffer. */
const PAGE_OCTETS = 64 * 1024
const SPARE_PAGES = 2

/** Writes a frame header (RFC 9113 section 4.1) and returns the offset of the payload. */
export function putFrameHeader(out: Uint8Array, at: number, octets: number, type: number, flags: number, streamId: number): number {
  out[at] = octets >>> 16
  out[at + 1] = octets >>> 8
  out[at + 2] = octets
  out[at + 3] = type
  out[at + 4] = flags
  putU32(out, at + 5, streamId)
  return at + FRAME_HEADER_OCTETS
}

/**
 * Collects the frames of one turn of the event loop, so that they leave in one write. It reuses a
 * page when the socket has sent it.
 */
export class Outbox {
  readonly #socket: Writable
  readonly #spare: Buffer[] = []
  #page: Buffer = Buffer.allocUnsafeSlow(PAGE_OCTETS)
  #used = 0

  constructor(socket: Writable) {
    this.#socket = socket
  }

  /** Whether there is data to flush. */
  get full(): boolean {
    return this.#used > 0
  }

  get page(): Buffer {
    return this.#page
  }

  /**
   * Reserves `octets` and returns their offset in `page`. The caller must fill all of them. It must
   * read `page` after this call, because the call may change it.
   */
  reserve(octets: number): number {
    const at = this.#used
    this.#used += octets
    if (this.#used > this.#page.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(this.#used, this.#page.length * 2))
      this.#page.copy(larger, 0, 0, at)
      this.#page = larger
    }
    return at
  }

  octets(bytes: Uint8Array): void {
    const at = this.reserve(bytes.length)
    this.#page.set(bytes, at)
  }

  settingsAck(): void {
    const at = this.reserve(FRAME_HEADER_OCTETS)
    putFrameHeader(this.#page, at, 0, FRAME.settings, FLAG.ack, 0)
  }

  /** Adds a PING. Its payload is the 8 octets from `start`. */
  ping(flags: number, payload: Uint8Array, start: number): void {
    const at = this.reserve(FRAME_HEADER_OCTETS + 8)
    this.#page.set(payload.subarray(start, start + 8), putFrameHeader(this.#page, at, 8, FRAME.ping, flags, 0))
  }

  rstStream(streamId: number, code: number): void {
    const at = this.reserve(FRAME_HEADER_OCTETS + 4)
    putU32(this.#page, putFrameHeader(this.#page, at, 4, FRAME.rstStream, 0, streamId), code)
  }

  windowUpdate(streamId: number, octets: number): void {
    const at = this.reserve(FRAME_HEADER_OCTETS + 4)
    putU32(this.#page, putFrameHeader(this.#page, at, 4, FRAME.windowUpdate, 0, streamId), octets)
  }

  /** Adds a GOAWAY. Its last stream ID is 0, because the peer opens no streams (push is off). */
  goaway(code: number): void {
    const at = this.reserve(FRAME_HEADER_OCTETS + 8)
    const payloadAt = putFrameHeader(this.#page, at, 8, FRAME.goaway, 0, 0)
    putU32(this.#page, payloadAt, 0)
    putU32(this.#page, payloadAt + 4, code)
  }

  settings(values: readonly (readonly [number, number])[]): void {
    const at = this.reserve(FRAME_HEADER_OCTETS + 6 * values.length)
    let valueAt = putFrameHeader(this.#page, at, 6 * values.length, FRAME.settings, 0, 0)
    for (const [id, value] of values) {
      putU16(this.#page, valueAt, id)
      putU32(this.#page, valueAt + 2, value)
      valueAt += 6
    }
  }

  /** Writes all collected frames at once. Returns whether there were any. */
  flush(): boolean {
    const page = this.#page
    const used = this.#used
    if (used === 0) return false
    this.#used = 0
    this.#page = this.#spare.pop() ?? Buffer.allocUnsafeSlow(PAGE_OCTETS)
    this.#socket.write(page.subarray(0, used), () => {
      if (this.#spare.length < SPARE_PAGES && page.length === PAGE_OCTETS) this.#spare.push(page)
    })
    return true
  }
}

/** Writes the connection preface, our SETTINGS and our window (RFC 9113 sections 3.4 and 6.5). */
export function putOpening(out: Outbox, o: { streamWindow: number; connectionWindow: number; headerListOctets: number }): void {
  out.octets(Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1'))
  out.settings([
    [SETTING.headerTableSize, 0],
    [SETTING.enablePush, 0],
    [SETTING.initialWindowSize, o.streamWindow],
    [SETTING.maxHeaderListSize, o.headerListOctets],
  ])
  out.windowUpdate(0, o.connectionWindow - 65_535)
}

/**
 * The size of the largest control frame that a connection may have to send, the answer to a PING.
 * Each cell has this much extra padding, so that one such frame fits.
 */
export const CONTROL_ROOM_OCTETS = FRAME_HEADER_OCTETS + 8
/**
 * Limit of waiting control frames. Only a flooding peer could cause more, and `Patience` ends its
 * connection long before that.
 */
const MAX_OWED = 1024

/**
 * An outbox that writes control frames only inside cells, in place of padding. Acknowledgements,
 * window updates and resets wait for the next cell. So an observer sees neither when they became
 * due nor that they exist. Only the preface and SETTINGS are written directly.
 */
export class CellOutbox extends Outbox {
  readonly #owed: Buffer[] = []
  #opened = false

  /** From now on control frames wait for a cell. */
  opened(): void {
    this.#opened = true
  }

  /**
   * Moves waiting frames that fit in `room` octets into the next cell. Returns the number of
   * octets.
   */
  pay(room: number): number {
    let paid = 0
    for (let next = this.#owed[0]; next !== undefined && paid + next.length <= room; next = this.#owed[0]) {
      this.octets(next)
      paid += next.length
      this.#owed.shift()
    }
    return paid
  }

  override settingsAck(): void {
    this.#owe(FRAME.settings, FLAG.ack, 0, 0)
  }

  override ping(flags: number, payload: Uint8Array, start: number): void {
    const frame = this.#owe(FRAME.ping, flags, 0, 8)
    frame?.set(payload.subarray(start, start + 8), FRAME_HEADER_OCTETS)
  }

  override rstStream(streamId: number, code: number): void {
    const frame = this.#owe(FRAME.rstStream, 0, streamId, 4)
    if (frame !== undefined) putU32(frame, FRAME_HEADER_OCTETS, code)
  }

  override windowUpdate(streamId: number, octets: number): void {
    if (this.#opened) {
      const frame = this.#owe(FRAME.windowUpdate, 0, streamId, 4)
      if (frame !== undefined) putU32(frame, FRAME_HEADER_OCTETS, octets)
    } else super.windowUpdate(streamId, octets)
  }

  #owe(type: number, flags: number, streamId: number, octets: number): Buffer | undefined {
    if (this.#owed.length >= MAX_OWED) return undefined
    const frame = Buffer.alloc(FRAME_HEADER_OCTETS + octets)
    putFrameHeader(frame, 0, octets, type, flags, streamId)
    this.#owed.push(frame)
    return frame
  }
}
