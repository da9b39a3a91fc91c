import type { Writable } from 'node:stream'
import { putU32 } from '../../../dns/octets.ts'
import { FLAG, FRAME, FRAME_HEADER_OCTETS } from './codes.ts'
import { Outbox, putFrameHeader } from './outbox.ts'

/** The largest frame that a connection may owe: a PING answered. Each cell has so much padding to spare for one. */
export const CONTROL_ROOM_OCTETS = FRAME_HEADER_OCTETS + 8
/** A peer that makes us owe more than this many frames is flooding; `Patience` ends its connection long before. */
const MAX_OWED = 1024

/**
 * An outbox that writes nothing by itself once the opening has left: acknowledgements, window updates and resets are owed, and ride in cells, paid from
 * their padding. So an observer sees neither when they fell due nor that there were any.
 */
export class CellOutbox extends Outbox {
  readonly #owed: Buffer[] = []
  #opened = false

  /** From now on control frames wait for a cell. */
  opened(): void {
    this.#opened = true
  }

  /** Moves the owed frames that fit into `room` octets to where the next cell is written. Returns the octets they took. */
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

/** An outbox for a connection that keeps a schedule, or for one that does not. */
export function outboxFor(socket: Writable, paced: boolean): Outbox {
  return paced ? new CellOutbox(socket) : new Outbox(socket)
}
