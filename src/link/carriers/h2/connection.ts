import type { Duplex } from 'node:stream'
import { viewOf } from '../../../dns/octets.ts'
import type { EnigmError } from '../../../errors.ts'
import type { Protection } from '../../../resolve.ts'
import type { Connection } from '../../dial/connect.ts'
import type { Endpoint, Seal } from '../../dial/endpoint.ts'
import {
  type Carrier,
  type CarrierTools,
  type CellCarrier,
  type Cells,
  lost,
  type Sent,
  SIGN_OF_LIFE_OCTETS,
  StreamCarrier,
  type Ticket,
} from '../carrier.ts'
import { mediaTypeOf } from '../doh-message.ts'
import { H2, MAX_31_BITS } from './codes.ts'
import { Inbound, Patience } from './frames.ts'
import { RequestHead } from './heads.ts'
import { MAX_HEADER_LIST_OCTETS } from './hpack.ts'
import { CellOutbox, Outbox, putOpening } from './outbox.ts'
import { CellSender, Sender } from './sender.ts'
import { CONNECTION_WINDOW_OCTETS, STREAM_WINDOW_OCTETS, Stream } from './stream.ts'
import { Streams } from './streams.ts'

/** Limit for sending the last frames to a peer that broke the protocol. */
const LINGER_MS = 500
const PING_PAYLOAD = new Uint8Array(8)

export interface LeanH2Options {
  /** The last stream ID to use (RFC 9113 section 5.1.1); lower in tests only. */
  readonly lastStreamId?: number
}

/**
 * Makes a carrier for DoH (RFC 8484) on one HTTP/2 connection. This HTTP/2 client supports nothing
 * but DoH. `connection` must have negotiated `h2`, and nothing may have been read from it or
 * written to it.
 */
export function leanH2Carrier<P extends Protection>(
  connection: Connection<P>,
  endpoint: Endpoint,
  tools: CarrierTools,
  options: LeanH2Options = {},
): Carrier<P> {
  const out = new Outbox(connection.stream)
  return new LeanH2Carrier(
    connection,
    tools,
    { out, sender: new Sender(out, new RequestHead(endpoint)), endpoint, cellsOn: () => undefined },
    options,
  )
}

/**
 * Makes the same carrier for a schedule. Each request fills records of one size, and control frames
 * are sent inside these records.
 */
export function leanH2CellCarrier<P extends Protection>(
  connection: Connection<P>,
  endpoint: Endpoint,
  tools: CarrierTools,
  options: LeanH2Options = {},
): CellCarrier<P> {
  const { stream } = connection
  const out = new CellOutbox(stream)
  const head = new RequestHead(endpoint)
  const cell = new CellSender(out, head, endpoint.odoh?.sealOctets ?? 0)
  const sender = new Sender(out, head, cell)
  return new LeanH2Carrier(
    connection,
    tools,
    { out, sender, endpoint, cellsOn: (streams) => new H2Cells({ stream, out, sender, cell, streams }) },
    options,
  )
}

/** How requests are written: the outbox, the sender, the endpoint, and the cells for a schedule. */
interface Writing<P extends Protection, C extends H2Cells | undefined> {
  readonly out: Outbox
  readonly sender: Sender
  readonly endpoint: Endpoint
  readonly cellsOn: (streams: Streams<P>) => C
}

class LeanH2Carrier<P extends Protection, C extends H2Cells | undefined> extends StreamCarrier<P> {
  readonly cells: C
  readonly idleMs = Number.POSITIVE_INFINITY
  readonly #out: Outbox
  readonly #seal: Seal | undefined
  readonly #streams: Streams<P>
  readonly #inbound: Inbound
  readonly #turn = () => this.#write()
  readonly #takeBack = (stream: Stream<P>) => {
    if (this.#streams.cancel(stream)) this.#schedule()
  }
  #scheduled = false
  /**
   * Whether the connection stays open until GOAWAY is sent, because the peer broke the protocol.
   */
  #lingers = false

  constructor(connection: Connection<P>, tools: CarrierTools, { out, sender, endpoint, cellsOn }: Writing<P, C>, options: LeanH2Options) {
    super(connection, tools)
    const { protection } = connection
    const { clock } = tools
    const patience = new Patience(clock)
    this.#out = out
    const { odoh } = endpoint
    this.#seal = odoh && ((query) => odoh.keys.seal(query))
    this.#streams = new Streams({
      ...{ protection, clock, patience, out, sender, lastStreamId: options.lastStreamId ?? MAX_31_BITS, mediaType: mediaTypeOf(endpoint) },
      heard: () => this.heard(),
      mismatch: () => this.watcher.mismatch(),
      drain: () => this.drain(),
      ended: () => this.die(lost('the resolver ended the connection because of an error')),
      rest: () => this.rest(),
    })
    this.cells = cellsOn(this.#streams)
    this.#inbound = new Inbound(this.#streams, patience)
    putOpening(out, {
      streamWindow: STREAM_WINDOW_OCTETS,
      connectionWindow: CONNECTION_WINDOW_OCTETS,
      headerListOctets: MAX_HEADER_LIST_OCTETS,
    })
    this.cells?.opened()
    this.#schedule()
    this.listen((octets, end) => this.#onOctets(viewOf(octets, 0, end)))
  }

  get inFlight(): number {
    return this.#streams.inFlight
  }

  send(request: Uint8Array, ticket: Ticket<P>): Sent {
    const turnedAway = this.turnedAway(ticket)
    if (turnedAway !== undefined) return turnedAway
    const stream = new Stream(request, ticket, this.#takeBack, this.#seal)
    // Only the schedule decides when a refused cell is sent again.
    if (this.cells !== undefined) stream.requeued = Number.POSITIVE_INFINITY
    this.#streams.add(stream)
    this.#schedule()
    return stream
  }

  probe(): boolean {
    if (this.dead) return false
    this.#out.ping(0, PING_PAYLOAD, 0)
    this.#schedule()
    return true
  }

  /** Schedules one write for all frames of this turn of the event loop. */
  #schedule(): void {
    if (this.#scheduled || this.dead) return
    this.#scheduled = true
    setImmediate(this.#turn)
  }

  #write(): void {
    this.#scheduled = false
    if (this.dead) return
    if (this.#streams.pump()) this.wrote()
    this.#out.flush()
  }

  #onOctets(octets: Uint8Array): void {
    if (octets.length >= SIGN_OF_LIFE_OCTETS) this.heard()
    this.#streams.onChunk()
    const code = this.#inbound.receive(octets)
    if (code !== H2.none) this.#fault(code)
    else if (this.#out.full || this.#streams.waiting > 0) this.#schedule()
  }

  /**
   * Ends the connection because the peer broke the protocol. GOAWAY names the error (RFC 9113
   * section 5.4.1).
   */
  #fault(code: number): void {
    if (this.dead) return
    this.#out.goaway(code)
    this.#out.flush()
    this.#lingers = true
    this.die(lost(`the resolver broke HTTP/2 (${code})`))
  }

  protected override shut(): void {
    const { stream } = this
    if (this.#lingers) {
      stream.end(() => stream.destroy())
      this.clock.setTimer(LINGER_MS, () => void stream.destroy())
    } else super.shut()
  }

  protected failAll(error: EnigmError): void {
    this.#streams.failAll(error)
  }
}

/** What the cells of one HTTP/2 connection depend on. */
interface CellParts {
  readonly stream: Duplex
  readonly out: CellOutbox
  readonly sender: Sender
  readonly cell: CellSender
  readonly streams: Streams
}

/** Writes the cells of an HTTP/2 connection. */
class H2Cells implements Cells {
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
  get spent(): boolean {
    const { sender, streams } = this.#p
    return streams.inFlight === 0 && sender.spent
  }
  get #left(): boolean {
    const { stream, out } = this.#p
    return stream.writable && stream.writableLength === 0 && !out.full
  }

  /** The preface and SETTINGS are written. From now on control frames wait for a cell. */
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
