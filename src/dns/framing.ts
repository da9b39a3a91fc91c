import { fresh, HEADER_OCTETS, putU16, viewOf } from './octets.ts'

const EMPTY = new Uint8Array(0)

/**
 * A message with its two-octet length before it (RFC 1035 section 4.2.2; RFC 7858 section 3.3). At
 * most 65,535 octets.
 */
export function framed(message: Uint8Array): Uint8Array {
  const frame = fresh(message.length + 2)
  putU16(frame, 0, message.length)
  frame.set(message, 2)
  return frame
}

/**
 * Splits a byte stream into messages. A frame that lies in one chunk is passed on as a view,
 * without a copy. Only a frame that spans chunks is assembled. Holds at most `maxOctets` + 2
 * octets. A frame is valid during the callback only: copy what you keep.
 */
export class FrameReader {
  readonly #maxOctets: number
  readonly #leastOctets: number
  #rest: Uint8Array = EMPTY
  #filled = 0

  /** A length below `leastOctets` or above `maxOctets` is an error. */
  constructor(maxOctets = 65535, leastOctets = HEADER_OCTETS) {
    this.#maxOctets = maxOctets
    this.#leastOctets = leastOctets
  }

  /** Octets of an unfinished frame in the buffer. */
  get pendingOctets(): number {
    return this.#filled
  }

  /**
   * Reads the octets of `chunk` before `end`. Returns false if a length is below or above the
   * limits: the stream cannot be trusted any more and must be closed.
   */
  push(chunk: Uint8Array, onFrame: (frame: Uint8Array) => void, end = chunk.length): boolean {
    let at = 0
    if (this.#filled > 0) {
      at = this.#fill(chunk, end)
      if (at < 0) return false
      if (this.#filled < this.#wanted()) return true
      const frame = this.#rest.subarray(2, this.#filled)
      this.#rest = EMPTY
      this.#filled = 0
      onFrame(frame)
    }
    while (end - at >= 2) {
      const length = (chunk[at]! << 8) | chunk[at + 1]!
      if (length < this.#leastOctets || length > this.#maxOctets) return false
      if (end - at - 2 < length) break
      onFrame(viewOf(chunk, at + 2, at + 2 + length))
      at += 2 + length
    }
    if (at < end) this.#keep(chunk, at, end)
    return true
  }

  /** Octets of the unfinished frame when it is complete; 2 while its length is incomplete. */
  #wanted(): number {
    return this.#filled < 2 ? 2 : 2 + ((this.#rest[0]! << 8) | this.#rest[1]!)
  }

  /**
   * Takes the missing octets of the unfinished frame from `chunk`. Returns the offset after them,
   * or -1 for an invalid length.
   */
  #fill(chunk: Uint8Array, end: number): number {
    let at = 0
    while (this.#filled < 2 && at < end) this.#rest[this.#filled++] = chunk[at++]!
    if (this.#filled < 2) return at
    const wanted = this.#wanted()
    if (wanted - 2 < this.#leastOctets || wanted - 2 > this.#maxOctets) return -1
    if (this.#rest.length < wanted) {
      const whole = fresh(wanted)
      whole.set(this.#rest.subarray(0, this.#filled))
      this.#rest = whole
    }
    const take = Math.min(wanted - this.#filled, end - at)
    this.#rest.set(chunk.subarray(at, at + take), this.#filled)
    this.#filled += take
    return at + take
  }

  #keep(chunk: Uint8Array, at: number, end: number): void {
    const left = end - at
    const wanted = left < 2 ? 2 : 2 + ((chunk[at]! << 8) | chunk[at + 1]!)
    this.#rest = fresh(wanted)
    this.#rest.set(chunk.subarray(at, end))
    this.#filled = left
  }
}
