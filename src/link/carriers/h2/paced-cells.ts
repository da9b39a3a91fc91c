import type { TLSSocket } from 'node:tls'
import type { Cells } from '../carrier.ts'
import { CellOutbox } from './cell-outbox.ts'
import type { CellSender } from './cell-sender.ts'
import type { Outbox } from './outbox.ts'
import type { Sender } from './sender.ts'
import type { Streams } from './streams.ts'

/** What the cells of one HTTP/2 connection are made with. */
export interface CellParts {
  readonly socket: TLSSocket
  readonly out: CellOutbox
  readonly sender: Sender
  readonly cell: CellSender
  readonly streams: Streams
}

/** The cells of an HTTP/2 connection. */
export class PacedCells implements Cells {
  readonly #p: CellParts

  constructor(parts: CellParts) {
    this.#p = parts
  }

  get ready(): boolean {
    const { sender, streams } = this.#p
    return this.#left && !streams.draining && streams.waiting === 0 && streams.inFlight < sender.maxStreams && sender.takesCell
  }
  get unfinished(): boolean {
    return this.#p.sender.unfinished !== undefined
  }
  get #left(): boolean {
    const { socket, out } = this.#p
    return socket.writable && socket.writableLength === 0 && !out.full
  }

  /** The opening is written; control frames are owed from now on. */
  opened(): void {
    this.#p.out.opened()
  }

  octets(records: number): number {
    return this.#p.cell.octets(records)
  }

  more(): void {
    const { sender, out } = this.#p
    if (sender.unfinished === undefined || !sender.takesMore || !this.#left) return
    sender.sendCell(sender.unfinished)
    out.flush()
  }
}

/** Cells where the outbox is one that owes; undefined for a connection that keeps no schedule. */
export function cellsOf(o: Omit<CellParts, 'out' | 'cell'> & { readonly out: Outbox }): PacedCells | undefined {
  const { out } = o
  const cell = o.sender.cells
  return out instanceof CellOutbox && cell !== undefined ? new PacedCells({ ...o, out, cell }) : undefined
}
