import type { Clock } from '../../../clock.ts'
import { u32 } from '../../../dns/octets.ts'
import { FLAG, FRAME, FRAME_HEADER_OCTETS, H2, MAX_31_BITS, MAX_FRAME_OCTETS } from './codes.ts'

/**
 * Limit of frames in a row without progress. No observed server sends 1000, and handling 1000
 * frames costs 1 ms.
 */
const MOST = 1000
/**
 * How many frames each reply earns back. A server sends a few extra: WINDOW_UPDATE, PING, empty
 * DATA.
 */
const PER_REPLY = 50
/** After this time the full number of frames is allowed again. */
const REFILL_MS = 10_000

/**
 * Limits floods of cheap frames (CVE-2019-9512, 9514, 9515, 9518, and CVE-2023-44487 against a
 * client). Each frame that does not advance a reply costs one, and each reply earns some back. The
 * clock is read only when none is left.
 */
export class Patience {
  readonly #clock: Clock
  #left = MOST
  #filledMs: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#filledMs = clock.nowMs()
  }

  /** Returns ENHANCE_YOUR_CALM if none is left, else 0. */
  spend(): number {
    if (this.#left-- > 0) return H2.none
    const nowMs = this.#clock.nowMs()
    if (nowMs - this.#filledMs < REFILL_MS) return H2.enhanceYourCalm
    this.#filledMs = nowMs
    this.#left = MOST
    return H2.none
  }

  earn(): void {
    this.#left = Math.min(MOST, this.#left + PER_REPLY)
  }
}

/**
 * Handles one complete frame. The payload is `octets` from `start` to `end`, and is valid during
 * the call only. Returns an error code, or 0 to continue.
 */
type OnFrame = (type: number, flags: number, streamId: number, octets: Uint8Array, start: number, end: number) => number

/**
 * Splits a stream of octets into frames (RFC 9113 section 4.1). A frame that lies in one chunk is
 * not copied. Only an incomplete frame is kept, so memory is limited for any input. Never throws.
 */
export class H2FrameReader {
  readonly #onFrame: OnFrame
  #kept: Uint8Array | undefined
  #keptOctets = 0

  constructor(onFrame: OnFrame) {
    this.#onFrame = onFrame
  }

  get pendingOctets(): number {
    return this.#keptOctets
  }

  /**
   * Reads a chunk. Returns the first error code of a frame, or 0. After an error the reader must
   * not be used.
   */
  push(chunk: Uint8Array): number {
    let at = 0
    if (this.#keptOctets > 0) {
      at = this.#complete(chunk)
      if (at < 0) return -at
      if (this.#keptOctets > 0) return H2.none
    }
    while (chunk.length - at >= FRAME_HEADER_OCTETS) {
      const octets = payloadOctets(chunk, at)
      if (octets > MAX_FRAME_OCTETS) return H2.frameSize
      const end = at + FRAME_HEADER_OCTETS + octets
      if (end > chunk.length) break
      const code = this.#emit(chunk, at, end)
      if (code !== H2.none) return code
      at = end
    }
    if (at < chunk.length) this.#keep(chunk, at, chunk.length)
    return H2.none
  }

  /**
   * Completes the frame that began in earlier chunks. Returns the number of octets used from
   * `chunk`, or a negative error code.
   */
  #complete(chunk: Uint8Array): number {
    let at = Math.min(chunk.length, Math.max(0, FRAME_HEADER_OCTETS - this.#keptOctets))
    this.#keep(chunk, 0, at)
    if (this.#keptOctets < FRAME_HEADER_OCTETS || this.#kept === undefined) return at
    const octets = payloadOctets(this.#kept, 0)
    if (octets > MAX_FRAME_OCTETS) return -H2.frameSize
    const missing = FRAME_HEADER_OCTETS + octets - this.#keptOctets
    const taken = Math.min(missing, chunk.length - at)
    this.#keep(chunk, at, at + taken)
    at += taken
    if (taken < missing) return at
    const end = this.#keptOctets
    this.#keptOctets = 0
    const code = this.#emit(this.#kept, 0, end)
    return code === H2.none ? at : -code
  }

  #keep(from: Uint8Array, start: number, end: number): void {
    this.#kept ??= new Uint8Array(FRAME_HEADER_OCTETS + MAX_FRAME_OCTETS)
    this.#kept.set(from.subarray(start, end), this.#keptOctets)
    this.#keptOctets += end - start
  }

  #emit(octets: Uint8Array, at: number, end: number): number {
    return this.#onFrame(octets[at + 3]!, octets[at + 4]!, u32(octets, at + 5) & MAX_31_BITS, octets, at + FRAME_HEADER_OCTETS, end)
  }
}

function payloadOctets(octets: Uint8Array, at: number): number {
  return (octets[at]! << 16) | (octets[at + 1]! << 8) | octets[at + 2]!
}

/**
 * Limit of one header block, over all its frames. The compressed block of a real reply has a few
 * hundred octets.
 */
const MAX_BLOCK_OCTETS = 32_768
const MAX_CONTINUATIONS = 16

/**
 * Joins HEADERS and CONTINUATION frames (RFC 9113 section 6.10). The number of octets and frames is
 * limited (CVE-2024-27316: frames that never end, or are empty).
 */
class HeaderAssembly {
  /** 0: no block is open. */
  streamId = 0
  endStream = false
  #parts: Uint8Array[] = []
  #octets = 0

  begin(streamId: number, endStream: boolean, fragment: Uint8Array): void {
    this.streamId = streamId
    this.endStream = endStream
    this.#parts = [new Uint8Array(fragment)]
    this.#octets = fragment.length
  }

  /** Keeps a copy of a fragment. Returns an error code, or 0 to continue. */
  add(fragment: Uint8Array): number {
    this.#octets += fragment.length
    if (this.#octets > MAX_BLOCK_OCTETS || this.#parts.length > MAX_CONTINUATIONS) return H2.enhanceYourCalm
    this.#parts.push(new Uint8Array(fragment))
    return H2.none
  }

  /** Returns the complete block and closes it. */
  finish(): Uint8Array {
    const block = Buffer.concat(this.#parts)
    this.#parts = []
    this.streamId = 0
    return block
  }
}

/**
 * Handles the frames of a connection. `octets` is valid during the call only. Handlers that return
 * a number return an error code, or 0 to continue.
 */
export interface FrameSink {
  onSettings(octets: Uint8Array, start: number, end: number): number
  /** A PING. The answer must hold its 8 octets from `start`. */
  onPing(octets: Uint8Array, start: number): void
  onPong(): void
  onGoaway(lastStreamId: number, code: number): number
  onReset(streamId: number, code: number): number
  /** A WINDOW_UPDATE. `increment` is above 0 if `streamId` is 0. */
  onWindowUpdate(streamId: number, increment: number): number
  /** A complete header block. */
  onHeaders(streamId: number, octets: Uint8Array, start: number, end: number, endStream: boolean): number
  /** DATA. `flowOctets` count against the windows and include padding (RFC 9113 section 6.9.1). */
  onData(streamId: number, octets: Uint8Array, start: number, end: number, flowOctets: number, endStream: boolean): number
}

/**
 * Applies the rules of RFC 9113 section 6 that need no state of a stream: lengths, stream 0 or not,
 * padding, the order of SETTINGS and CONTINUATION. Every frame without progress costs patience.
 * Memory is limited to one frame and one header block. Never throws.
 */
export class Inbound {
  readonly #sink: FrameSink
  readonly #patience: Patience
  readonly #reader: H2FrameReader
  readonly #block = new HeaderAssembly()
  #greeted = false

  constructor(sink: FrameSink, patience: Patience) {
    this.#sink = sink
    this.#patience = patience
    this.#reader = new H2FrameReader((type, flags, streamId, octets, start, end) =>
      this.#onFrame(type, flags, streamId, octets, start, end),
    )
  }

  /** Reads a chunk. Returns an error code of the connection, or 0. Not callable after an error. */
  receive(chunk: Uint8Array): number {
    return this.#reader.push(chunk)
  }

  #onFrame(type: number, flags: number, streamId: number, octets: Uint8Array, start: number, end: number): number {
    if (!this.#greeted) {
      if (type !== FRAME.settings || (flags & FLAG.ack) !== 0) return H2.protocol // RFC 9113 section 3.4
      this.#greeted = true
    }
    if (type === FRAME.continuation) return this.#onContinuation(flags, streamId, octets.subarray(start, end))
    if (this.#block.streamId !== 0) return H2.protocol
    if (type === FRAME.data || type === FRAME.headers) return this.#onMessage(type, flags, streamId, octets, start, end)
    if (type === FRAME.priority || type === FRAME.rstStream) return this.#onStreamControl(type, streamId, octets, start, end)
    if (type === FRAME.windowUpdate) return this.#onWindowUpdate(streamId, octets, start, end)
    if (type === FRAME.pushPromise) return H2.protocol // section 8.4: push is off
    return type > FRAME.continuation ? this.#patience.spend() : this.#onConnectionControl(type, flags, streamId, octets, start, end)
  }

  /** DATA and HEADERS, sections 6.1 and 6.2. */
  #onMessage(type: number, flags: number, streamId: number, octets: Uint8Array, start: number, end: number): number {
    if (streamId === 0) return H2.protocol
    let from = start
    let to = end
    const priorityOctets = type === FRAME.headers && (flags & FLAG.priority) !== 0 ? 5 : 0
    const padded = (flags & FLAG.padded) !== 0
    if (end - start < priorityOctets + (padded ? 1 : 0)) return H2.frameSize
    if (padded) to -= octets[from++]!
    from += priorityOctets
    if (to < from) return H2.protocol
    const endStream = (flags & FLAG.endStream) !== 0
    if (type === FRAME.data) {
      const code = from === to && !endStream ? this.#patience.spend() : H2.none
      return code === H2.none ? this.#sink.onData(streamId, octets, from, to, end - start, endStream) : code
    }
    if ((flags & FLAG.endHeaders) !== 0) return this.#sink.onHeaders(streamId, octets, from, to, endStream)
    this.#block.begin(streamId, endStream, octets.subarray(from, to))
    return H2.none
  }

  #onContinuation(flags: number, streamId: number, fragment: Uint8Array): number {
    const block = this.#block
    if (streamId === 0 || block.streamId !== streamId) return H2.protocol
    const code = block.add(fragment)
    if (code !== H2.none || (flags & FLAG.endHeaders) === 0) return code
    const whole = block.finish()
    return this.#sink.onHeaders(streamId, whole, 0, whole.length, block.endStream)
  }

  /** PRIORITY, which is obsolete (section 5.3.2), and RST_STREAM. */
  #onStreamControl(type: number, streamId: number, octets: Uint8Array, start: number, end: number): number {
    if (streamId === 0) return H2.protocol
    if (end - start !== (type === FRAME.priority ? 5 : 4)) return H2.frameSize
    return type === FRAME.priority ? this.#patience.spend() : this.#sink.onReset(streamId, u32(octets, start))
  }

  #onWindowUpdate(streamId: number, octets: Uint8Array, start: number, end: number): number {
    if (end - start !== 4) return H2.frameSize
    const increment = u32(octets, start) & MAX_31_BITS
    if (increment === 0 && streamId === 0) return H2.protocol
    const code = this.#patience.spend()
    return code === H2.none ? this.#sink.onWindowUpdate(streamId, increment) : code
  }

  /** SETTINGS, PING and GOAWAY, sections 6.5, 6.7 and 6.8. */
  #onConnectionControl(type: number, flags: number, streamId: number, octets: Uint8Array, start: number, end: number): number {
    if (streamId !== 0) return H2.protocol
    const length = end - start
    const ack = (flags & FLAG.ack) !== 0
    if (type === FRAME.goaway ? length < 8 : type === FRAME.ping ? length !== 8 : ack ? length !== 0 : length % 6 !== 0) return H2.frameSize
    const code = this.#patience.spend()
    if (code !== H2.none) return code
    if (type === FRAME.goaway) return this.#sink.onGoaway(u32(octets, start) & MAX_31_BITS, u32(octets, start + 4))
    if (type === FRAME.settings) return ack ? H2.none : this.#sink.onSettings(octets, start, end)
    if (ack) this.#sink.onPong()
    else this.#sink.onPing(octets, start)
    return H2.none
  }
}
