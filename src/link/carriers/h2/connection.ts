import type { TLSSocket } from 'node:tls'
import type { Clock } from '../../../clock.ts'
import { EnigmError } from '../../../errors.ts'
import type { Protection } from '../../../resolve.ts'
import type { Connection } from '../../dial/connect.ts'
import type { Endpoint } from '../../dial/endpoint.ts'
import {
  type Carrier,
  type CarrierTools,
  type Cells,
  IDLE_MS,
  MAX_IN_FLIGHT,
  Pulse,
  refuse,
  type Sent,
  SIGN_OF_LIFE_OCTETS,
  type Ticket,
  type Watcher,
} from '../carrier.ts'
import { onOctets } from '../direct-reads.ts'
import { H2, MAX_31_BITS } from './codes.ts'
import { Inbound, Patience } from './frames.ts'
import { RequestHead } from './heads.ts'
import { MAX_HEADER_LIST_OCTETS } from './hpack.ts'
import { CellOutbox, type Outbox, outboxFor, putOpening } from './outbox.ts'
import { type CellSender, Sender } from './sender.ts'
import { CONNECTION_WINDOW_OCTETS, lost, STREAM_WINDOW_OCTETS, Stream } from './stream.ts'
import { Streams } from './streams.ts'

/** How long the last words to a peer in error may take to leave. */
const LINGER_MS = 500
const PING_PAYLOAD = new Uint8Array(8)

export interface LeanH2Options {
  /** The last stream ID to use (RFC 9113 section 5.1.1); lower in tests only. */
  readonly lastStreamId?: number
}

/**
 * DoH (RFC 8484) on one HTTP/2 connection, by a client that can do nothing else. `connection` has negotiated `h2`, and nothing was read from it or written to it.
 * Same contract and same errors as the carrier on node:http2.
 */
export function leanH2Carrier<P extends Protection>(
  connection: Connection<P>,
  endpoint: Endpoint,
  tools: CarrierTools,
  options: LeanH2Options = {},
): Carrier<P> {
  return new LeanH2Carrier(connection, endpoint, tools, options)
}

class LeanH2Carrier<P extends Protection> implements Carrier<P> {
  readonly connection: Connection<P>
  readonly cells: PacedCells | undefined
  readonly idleMs = IDLE_MS
  readonly #clock: Clock
  readonly #watcher: Watcher
  readonly #pulse: Pulse
  readonly #out: Outbox
  readonly #streams: Streams
  readonly #inbound: Inbound
  readonly #turn = () => this.#write()
  #scheduled = false
  #dead = false

  constructor(connection: Connection<P>, endpoint: Endpoint, { clock, watcher, paced }: CarrierTools, options: LeanH2Options) {
    const { socket } = connection
    const patience = new Patience(clock)
    const out = outboxFor(socket, paced === true)
    const sender = new Sender(out, new RequestHead(endpoint))
    this.connection = connection
    this.#clock = clock
    this.#watcher = watcher
    this.#pulse = new Pulse(clock, watcher)
    this.#out = out
    this.#streams = new Streams({
      ...{ clock, watcher, patience, out, lastStreamId: options.lastStreamId ?? MAX_31_BITS },
      sender,
      heard: () => this.#pulse.heard(),
      ended: () => this.#die(lost('the resolver gave the connection up')),
      rest: () => this.#rest(),
    })
    this.cells = cellsOf({ socket, out, sender, streams: this.#streams })
    this.#inbound = new Inbound(this.#streams, patience)
    putOpening(out, {
      streamWindow: STREAM_WINDOW_OCTETS,
      connectionWindow: CONNECTION_WINDOW_OCTETS,
      headerListOctets: MAX_HEADER_LIST_OCTETS,
    })
    this.cells?.opened()
    this.#schedule()
    onOctets(socket, (octets) => this.#onChunk(octets))
    socket.on('end', () => this.#die(lost('the resolver closed the connection')))
    socket.on('error', (cause) => this.#die(lost('the connection broke', cause)))
    socket.on('close', () => this.#die(lost('the connection closed')))
  }

  get inFlight(): number {
    return this.#streams.inFlight
  }
  get silentSinceMs(): number | undefined {
    return this.#pulse.silentSinceMs
  }

  send(request: Uint8Array, ticket: Ticket): Sent {
    if (this.#dead || this.#streams.draining) return refuse(ticket, lost('the connection takes no more'), 'refused')
    if (this.inFlight >= MAX_IN_FLIGHT) return refuse(ticket, new EnigmError('overloaded', 'too many queries in flight'), 'final')
    const stream = new Stream(request, ticket)
    // A refused cell goes again when its schedule says so, and not by itself.
    if (this.cells !== undefined) stream.requeued = Number.POSITIVE_INFINITY
    this.#streams.add(stream)
    this.#schedule()
    return {
      cancel: () => {
        if (this.#streams.cancel(stream)) this.#schedule()
      },
    }
  }

  probe(): boolean {
    if (this.#dead) return false
    this.#out.ping(0, PING_PAYLOAD, 0)
    this.#schedule()
    return true
  }

  destroy(error: EnigmError): void {
    if (this.#dead) return
    this.#dead = true
    this.connection.socket.destroy()
    this.#streams.failAll(error)
  }

  /** All that one turn of the event loop brought leaves in one write. */
  #schedule(): void {
    if (this.#scheduled || this.#dead) return
    this.#scheduled = true
    setImmediate(this.#turn)
  }

  #write(): void {
    this.#scheduled = false
    if (this.#dead) return
    if (this.#streams.pump()) this.#pulse.wrote()
    this.#out.flush()
  }

  #onChunk(chunk: Uint8Array): void {
    if (this.#dead) return
    if (chunk.length >= SIGN_OF_LIFE_OCTETS) this.#pulse.heard()
    this.#streams.onChunk()
    const code = this.#inbound.receive(chunk)
    if (code !== H2.none) this.#fault(code)
    else if (this.#out.full || this.#streams.waiting > 0) this.#schedule()
  }

  #rest(): void {
    if (this.#dead || this.inFlight > 0) return
    this.#pulse.rest()
    this.#watcher.idle()
  }

  /** The peer broke the protocol: it is told how (RFC 9113 section 5.4.1). */
  #fault(code: number): void {
    if (this.#dead) return
    this.#dead = true
    const { socket } = this.connection
    this.#out.goaway(code)
    this.#out.flush()
    socket.end(() => socket.destroy())
    this.#clock.setTimer(LINGER_MS, () => socket.destroy())
    this.#mourn(lost(`the resolver broke HTTP/2 (${code})`))
  }

  #die(error: EnigmError): void {
    if (this.#dead) return
    this.#dead = true
    this.connection.socket.destroy()
    this.#mourn(error)
  }

  #mourn(error: EnigmError): void {
    this.#watcher.down(error)
    this.#streams.failAll(error)
  }
}

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
