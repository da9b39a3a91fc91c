import { u32 } from '../../../dns/octets.ts'
import { FRAME_HEADER_OCTETS, H2, MAX_31_BITS, MAX_FRAME_OCTETS } from './codes.ts'

/** Takes one whole frame: its payload is `octets` from `start` to `end`, valid during the call only. Returns an error code, 0 to go on. */
export type OnFrame = (type: number, flags: number, streamId: number, octets: Uint8Array, start: number, end: number) => number

/**
 * Cuts a stream of octets into frames (RFC 9113 section 4.1). Frames that lie whole in a chunk are not copied; the rest of a chunk is kept, at most one frame of
 * it, so memory is bounded whatever the peer sends. Never throws.
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

  /** Returns the first error code that a frame gave, after which the reader is of no more use, or 0. */
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

  /** Completes the frame begun in earlier chunks. Returns how much of `chunk` that took, or minus an error code. */
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
