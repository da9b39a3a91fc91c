import { type CellOutbox, CONTROL_ROOM_OCTETS } from './cell-outbox.ts'
import { FLAG, FRAME, FRAME_HEADER_OCTETS } from './codes.ts'
import { putFrameHeader } from './outbox.ts'
import type { RequestHead } from './request-head.ts'
import type { Stream } from './stream.ts'

/** The body of a request of one record. */
const BODY_OCTETS = 128

/**
 * Writes requests as records of one size (RFC 9113 section 6.1: DATA may be padded, and padding is free to shrink): what the connection owes, the head, and DATA
 * padded to fill. A longer request goes on in records of nothing but DATA, only the last of them padded.
 * (BIND 9.18.49 stalls on a request that arrives in pieces of more than 256 octets: over its DoH, names of more than 93 octets find no answer.)
 */
export class CellSender {
  readonly #out: CellOutbox
  readonly #head: RequestHead
  /** Of every record. */
  readonly #octets: number
  /** Body octets of each record after the first: what the head took there. */
  readonly #laterOctets: number

  constructor(out: CellOutbox, head: RequestHead) {
    this.#out = out
    this.#head = head
    this.#laterOctets = BODY_OCTETS + head.octets(BODY_OCTETS)
    this.#octets = CONTROL_ROOM_OCTETS + FRAME_HEADER_OCTETS + 1 + this.#laterOctets
  }

  /** What the largest record counts against the windows. */
  get windowOctets(): number {
    return 1 + this.#laterOctets + CONTROL_ROOM_OCTETS
  }

  /** Octets of a body that fills `records` records. */
  octets(records: number): number {
    return BODY_OCTETS + (records - 1) * this.#laterOctets
  }

  /** The next record of `stream`. Returns what it counts against the windows. */
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
