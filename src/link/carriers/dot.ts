import type { Duplex } from 'node:stream'
import type { Random } from '../../clock.ts'
import { NumberTable } from '../../containers.ts'
import { repadded, withPaddedOpt } from '../../dns/edns.ts'
import { FrameReader, framed } from '../../dns/framing.ts'
import { idOf, isReplyTo, lacksQuestion, ROOT_PROBE, setId } from '../../dns/message.ts'
import { putU16 } from '../../dns/octets.ts'
import { readReply } from '../../dns/response.ts'
import { EnigmError } from '../../errors.ts'
import type { Protection } from '../../resolve.ts'
import type { Connection } from '../dial/connect.ts'
import {
  type CarrierTools,
  type CellCarrier,
  type Cells,
  MAX_IN_FLIGHT,
  type Sent,
  SIGN_OF_LIFE_OCTETS,
  StreamCarrier,
  type Ticket,
} from './carrier.ts'

/**
 * Limit of IDs (of 65,536) that wait for a reply or may still get a late one. At this limit the
 * connection accepts no more requests, so a random ID is free with a probability of at least one
 * half.
 */
const MAX_IDS = 32_768
const MAX_MESSAGE_OCTETS = 65_535
const MIN_MESSAGE_OCTETS = 12

/**
 * One request with its ID on this connection. A class, because a closure for each request would
 * cost memory.
 */
class DotRequest<P extends Protection> implements Sent {
  readonly id: number
  readonly request: Uint8Array
  readonly ticket: Ticket<P>
  readonly #cancel: (slot: DotRequest<P>) => void
  /** When it was written; 0: not yet. */
  sentMs = 0

  constructor(id: number, request: Uint8Array, ticket: Ticket<P>, cancel: (slot: DotRequest<P>) => void) {
    this.id = id
    this.request = request
    this.ticket = ticket
    this.#cancel = cancel
  }
  cancel(): void {
    this.#cancel(this)
  }
}

/**
 * DNS over TLS (RFC 7858) on one connection: queries are pipelined, and replies come in any order
 * (RFC 7766 sections 6.2.1.1 and 7).
 */
export class DotCarrier<P extends Protection> extends StreamCarrier<P> {
  readonly cells: DotCells | undefined
  readonly #random: Random
  readonly #probe: Uint8Array
  readonly #slots = new NumberTable<DotRequest<P>>()
  readonly #reserved = new ReservedIds()
  readonly #frames = new FrameReader(MAX_MESSAGE_OCTETS, 0)
  readonly #cancel = (slot: DotRequest<P>) => this.#takeBack(slot)
  readonly #turn = () => this.#write()
  readonly #take = (frame: Uint8Array) => this.#onFrame(frame)
  /** The length of the last written request. */
  #lastOctets = 0
  #unwritten: DotRequest<P>[] = []
  /** When the octets came that are being read. */
  #cameMs = 0
  #idleMs = Number.POSITIVE_INFINITY

  /** `cells`: writes records of one size, for a schedule; see `DotCellCarrier`. */
  constructor(connection: Connection<P>, tools: CarrierTools, cells?: DotCells) {
    super(connection, tools)
    this.cells = cells
    this.#random = tools.random
    this.#probe = tools.probe ?? ROOT_PROBE
    this.listen((octets, end) => this.#onOctets(octets, end))
  }

  get inFlight(): number {
    return this.#slots.size
  }
  get idleMs(): number {
    return this.#idleMs
  }
  get replyUnfinished(): boolean {
    return this.#frames.pendingOctets > 0
  }

  send(request: Uint8Array, ticket: Ticket<P>): Sent {
    const turnedAway = this.turnedAway(ticket)
    if (turnedAway !== undefined) return turnedAway
    const id = this.#freeId()
    const slot = new DotRequest(id, request, ticket, this.#cancel)
    this.#slots.set(id, slot)
    if (this.#unwritten.push(slot) === 1) {
      if (this.cells === undefined) setImmediate(this.#turn)
      else this.#write()
    }
    return slot
  }

  /**
   * Sends the probe query, because DNS has no ping. The probe is as long as the last request, and
   * its ID is not in use. Any reply is a sign of life. A probe is needed because a pending query
   * proves nothing: the servers of the queried name may be silent.
   */
  probe(): boolean {
    if (this.dead || this.cells !== undefined || this.#slots.size === 0 || this.#lastOctets === 0) return false
    const bare = withPaddedOpt(this.#probe, { dnssecOk: false, block: 0, keepalive: false })
    const message = Buffer.from(repadded(bare, this.#lastOctets) ?? bare)
    const id = this.#freeId()
    this.#reserve(id)
    setId(message, id)
    this.stream.write(framed(message))
    return true
  }

  /**
   * A free random ID of 16 bits (RFC 5452 section 9.2). At least half of all IDs are free, so a few
   * draws are enough.
   */
  #freeId(): number {
    for (;;) {
      const id = this.#random.below(65_536)
      if (!this.#slots.has(id) && !this.#reserved.has(id)) return id
    }
  }

  /**
   * Reserves an ID to which a reply may still come: of a cancelled or failed request, or of a
   * probe. No other request gets this ID until the connection closes.
   */
  #reserve(id: number): void {
    this.#reserved.add(id)
    if (this.#reserved.size + MAX_IN_FLIGHT > MAX_IDS) this.drain()
  }

  /**
   * Without `cells`: writes all queries of one turn together, in one TLS record if they fit. So
   * there are fewer records to send, and fewer for an observer to count.
   */
  #write(): void {
    const slots = this.#unwritten
    this.#unwritten = []
    if (this.dead) return
    const nowMs = this.clock.nowMs()
    let octets = 0
    for (const slot of slots) {
      if (this.#slots.get(slot.id) !== slot) continue
      slot.sentMs = nowMs
      octets += slot.request.length + 2
      this.#lastOctets = slot.request.length
    }
    if (octets === 0) return
    const out = Buffer.allocUnsafe(octets)
    let at = 0
    for (const { sentMs, request, id } of slots) {
      if (sentMs === 0) continue
      putU16(out, at, request.length)
      out.set(request, at + 2)
      putU16(out, at + 2, id)
      at += request.length + 2
    }
    this.wrote(nowMs)
    if (this.cells === undefined) this.stream.write(out)
    else this.cells.write(out)
  }

  /** Reads frames. No length of a frame is an error, so no frame ends the connection. */
  #onOctets(octets: Uint8Array, end: number): void {
    this.#cameMs = this.clock.nowMs()
    if (end >= SIGN_OF_LIFE_OCTETS) this.heard()
    this.#frames.push(octets, this.#take, end)
  }

  /**
   * Handles one frame. A frame that is too short for a message is only reported as a mismatch, and
   * is no sign of life.
   */
  #onFrame(frame: Uint8Array): void {
    if (this.dead) return
    if (frame.length < MIN_MESSAGE_OCTETS) this.watcher.mismatch()
    else this.#onMessage(frame)
  }

  #onMessage(frame: Uint8Array): void {
    this.heard()
    const id = idOf(frame)
    const slot = this.#slots.get(id)
    if (slot === undefined || slot.sentMs === 0) {
      if (slot !== undefined || !this.#reserved.has(id)) this.watcher.mismatch()
    } else if (isReplyTo(slot.request, frame)) this.#answer(slot, frame)
    else this.#onStranger(slot, frame)
  }

  #answer(slot: DotRequest<P>, frame: Uint8Array): void {
    this.#slots.delete(slot.id)
    // Nobody else reads the octets of `frame`, so the reply is changed in place.
    setId(frame, idOf(slot.request))
    const reading = readReply(frame)
    const { opt } = reading
    const cameMs = this.#cameMs
    slot.ticket.answered({ wire: frame, rttMs: cameMs - slot.sentMs, cameMs, protection: this.protection, reading })
    if (opt?.keepaliveMs !== undefined) this.#learnKeepalive(opt.keepaliveMs)
    this.rest()
  }

  /**
   * Handles a reply that has the ID of a request but is not its answer. A reply with another
   * question is ignored, because the right answer may still come. A reply without a question fails
   * the request: it can belong to no other one.
   */
  #onStranger(slot: DotRequest<P>, frame: Uint8Array): void {
    this.watcher.mismatch()
    if (!lacksQuestion(frame) || this.dead) return
    this.#slots.delete(slot.id)
    this.#reserve(slot.id)
    slot.ticket.failed(new EnigmError('reply-mismatch', 'an answer without a question'), 'final')
    this.rest()
  }

  /**
   * Learns the idle time that the server states (RFC 7828 section 3.3). 0: the connection closes as
   * soon as no reply is pending.
   */
  #learnKeepalive(keepaliveMs: number): void {
    this.#idleMs = keepaliveMs
    if (keepaliveMs === 0) this.drain()
  }

  #takeBack(slot: DotRequest<P>): void {
    if (this.#slots.get(slot.id) !== slot) return
    this.#slots.delete(slot.id)
    if (slot.sentMs !== 0) this.#reserve(slot.id)
    this.rest()
  }

  protected failAll(error: EnigmError): void {
    const slots = this.#slots.list()
    this.#slots.clear()
    for (const slot of slots) slot.ticket.failed(error, slot.sentMs === 0 ? 'unsent' : 'lost')
  }
}

/** The IDs that must not be used again on a connection, one bit each. */
class ReservedIds {
  #bits: Uint8Array | undefined
  size = 0

  has(id: number): boolean {
    return this.#bits !== undefined && ((this.#bits[id >> 3] as number) & (1 << (id & 7))) !== 0
  }

  add(id: number): void {
    if (this.has(id)) return
    this.#bits ??= new Uint8Array(65_536 / 8)
    this.#bits[id >> 3] = (this.#bits[id >> 3] as number) | (1 << (id & 7))
    this.size++
  }
}

/** A framed query of 128 octets: TLS records with 147 octets of body under TLS 1.3. */
const CELL_OCTETS = 130

/**
 * Cuts the output of a DoT carrier into records of one size. Writes nothing while the last
 * record is still queued, because Node joins queued writes into one record.
 */
class DotCells implements Cells {
  readonly #socket: Duplex
  #rest: Buffer | undefined

  constructor(socket: Duplex) {
    this.#socket = socket
  }

  get ready(): boolean {
    return this.#rest === undefined && this.#isFlushed
  }
  readonly spent = false
  get unfinished(): boolean {
    return this.#rest !== undefined
  }
  get #isFlushed(): boolean {
    return this.#socket.writable && this.#socket.writableLength === 0
  }

  /**
   * How long a request must be to fill `records` records. The first one also holds the two octets
   * of the length.
   */
  octets(records: number): number {
    return records * CELL_OCTETS - 2
  }

  /** Only if `ready`: writes the first record of `framed`. Each `more` writes the next one. */
  write(framed: Buffer): void {
    this.#rest = framed
    this.more()
  }

  more(): void {
    if (this.#rest === undefined || !this.#isFlushed) return
    const record = this.#rest.subarray(0, CELL_OCTETS)
    this.#rest = this.#rest.length > CELL_OCTETS ? this.#rest.subarray(CELL_OCTETS) : undefined
    this.#socket.write(record)
  }
}

/**
 * DNS over TLS for a schedule. Each request fills records of one size, and the carrier sends no
 * probe by itself.
 */
export class DotCellCarrier<P extends Protection> extends DotCarrier<P> implements CellCarrier<P> {
  declare readonly cells: DotCells

  constructor(connection: Connection<P>, tools: CarrierTools) {
    super(connection, tools, new DotCells(connection.stream))
  }
}
