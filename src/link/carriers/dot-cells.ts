import type { TLSSocket } from 'node:tls'
import type { Cells } from './carrier.ts'

/** A framed query of 128 octets: TLS records with 147 octets of body under TLS 1.3. */
const CELL_OCTETS = 130

/** Cuts what a DoT carrier writes into records of one size. One write is one record as long as the next waits for its callback: Node joins writes that queue up. */
export class DotCells implements Cells {
  readonly #socket: TLSSocket
  #rest: Buffer | undefined

  constructor(socket: TLSSocket) {
    this.#socket = socket
  }

  get ready(): boolean {
    return this.#rest === undefined && this.#left
  }
  get unfinished(): boolean {
    return this.#rest !== undefined
  }
  get #left(): boolean {
    return this.#socket.writable && this.#socket.writableLength === 0
  }

  /** The two octets of the length stand in the first record alone. */
  octets(records: number): number {
    return records * CELL_OCTETS - 2
  }

  /** The first record of `framed` now, the others with `more`. */
  write(framed: Buffer): void {
    this.#rest = framed
    this.more()
  }

  more(): void {
    if (this.#rest === undefined || !this.#left) return
    const record = this.#rest.subarray(0, CELL_OCTETS)
    this.#rest = this.#rest.length > CELL_OCTETS ? this.#rest.subarray(CELL_OCTETS) : undefined
    this.#socket.write(record)
  }
}
