import { u32 } from '../../../dns/octets.ts'
import { FLAG, FRAME, H2, MAX_31_BITS } from './codes.ts'
import { H2FrameReader } from './frame-reader.ts'
import { HeaderAssembly } from './header-assembly.ts'
import type { Patience } from './patience.ts'

/** What frames mean to a connection. `octets` is valid during the call. Those that return a number return an error code, 0 to go on. */
export interface FrameSink {
  onSettings(octets: Uint8Array, start: number, end: number): number
  /** A PING to answer with its 8 octets from `start`. */
  onPing(octets: Uint8Array, start: number): void
  onPong(): void
  onGoaway(lastStreamId: number, code: number): number
  onReset(streamId: number, code: number): number
  /** `increment` is above 0 where `streamId` is 0. */
  onWindowUpdate(streamId: number, increment: number): number
  /** A whole header block. */
  onHeaders(streamId: number, octets: Uint8Array, start: number, end: number, endStream: boolean): number
  /** `flowOctets` count against the windows: padding too (RFC 9113 section 6.9.1). */
  onData(streamId: number, octets: Uint8Array, start: number, end: number, flowOctets: number, endStream: boolean): number
}

/**
 * The rules of RFC 9113 section 6 that a frame can be judged by without knowing its stream: lengths, stream 0 or not, padding, the order of SETTINGS and
 * CONTINUATION. Every frame that brings nothing costs patience. Never throws; memory is bounded by one frame and one header block.
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

  /** Returns the error code of the connection, after which nothing more may be given to it, or 0. */
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

  /** PRIORITY, which means nothing any more (section 5.3.2), and RST_STREAM. */
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
