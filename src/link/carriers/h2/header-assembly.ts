import { H2 } from './codes.ts'

/** A header block over several frames: compressed it is a few hundred octets in any reply there is. */
const MAX_BLOCK_OCTETS = 32_768
const MAX_CONTINUATIONS = 16

/** Joins HEADERS and CONTINUATION frames (RFC 9113 section 6.10), bounded in octets and in frames (CVE-2024-27316: frames that never end, or are empty). */
export class HeaderAssembly {
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

  /** A copy is kept. Returns an error code, 0 to go on. */
  add(fragment: Uint8Array): number {
    this.#octets += fragment.length
    if (this.#octets > MAX_BLOCK_OCTETS || this.#parts.length > MAX_CONTINUATIONS) return H2.enhanceYourCalm
    this.#parts.push(new Uint8Array(fragment))
    return H2.none
  }

  /** The whole block; after it none is open. */
  finish(): Uint8Array {
    const block = Buffer.concat(this.#parts)
    this.#parts = []
    this.streamId = 0
    return block
  }
}
