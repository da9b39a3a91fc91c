import { H2 } from './codes.ts'
import type { Outbox } from './outbox.ts'
import type { Stream } from './stream.ts'

/** The window of the connection, open from the start and again when half is used: 1,000 replies of 4 KiB without waiting for an update. */
export const CONNECTION_WINDOW_OCTETS = 4 * 1024 * 1024
/** Above one message, so that a longer one is seen and refused instead of standing still; never widened. */
export const STREAM_WINDOW_OCTETS = 128 * 1024

/** Holds the peer to the windows that it was given (RFC 9113 section 6.9.1). */
export class DataWindows {
  readonly #out: Outbox
  #octets = 0

  constructor(out: Outbox) {
    this.#out = out
  }

  /** Of the connection. DATA of streams that are gone counts as well. */
  received(flowOctets: number): number {
    this.#octets += flowOctets
    if (this.#octets > CONNECTION_WINDOW_OCTETS) return H2.flowControl
    if (this.#octets >= CONNECTION_WINDOW_OCTETS / 2) {
      this.#out.windowUpdate(0, this.#octets)
      this.#octets = 0
    }
    return H2.none
  }

  /** Whether a stream may still send that much. */
  fits(stream: Stream, flowOctets: number): boolean {
    stream.flowOctets += flowOctets
    return stream.flowOctets <= STREAM_WINDOW_OCTETS
  }
}
