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
  IDLE_MS,
  MAX_IN_FLIGHT,
  type Sent,
  SIGN_OF_LIFE_OCTETS,
  StreamCarrier,
  type Ticket,
} from './carrier.ts'

/**
 * Of the 65,536 IDs, so many that are owed an answer or may still get one: then the connection
 * takes no more, so that a few random draws always find a free one.
 */
const MAX_IDS = 32_768
const MAX_MESSAGE_OCTETS = 65_535
const MIN_MESSAGE_OCTETS = 12

/**
 * One request under the ID that it has on this connection. A class, so that taking it back costs no
 * closure.
 */
class DotRequest<P extends Protection> implements Sent {
  readonly id: number
  readonly request: Uint8Array
  readonly ticket: Ticket<P>
  readonly #cancel: (slot: DotRequest<P>) => void
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
 * DNS over TLS (RFC 7858) on one connection: pipelined, replies in any order (RFC 7766 sections
 * 6.2.1.1 and 7).
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
  /** Length of the last request that was written. */
  #lastOctets = 0
  #unwritten: DotRequest<P>[] = []
  #idleMs = IDLE_MS

  /** `cells`: what writes for a schedule, see `DotCellCarrier`. */
  constructor(connection: Connection<P>, tools: CarrierTools, cells?: DotCells) {
    super(connection, tools)
    this.cells = cells
    this.#random = tools.random
    this.#probe = tools.probe ?? ROOT_PROBE
    this.listen((octets) => this.#onOctets(octets))
  }

  get inFlight(): number {
    return this.#slots.size
  }
  get idleMs(): number {
    return this.#idleMs
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
   * DNS has no ping: the probe is asked, in a query as long as the last, under an ID that nobody
   * waits for. Whatever comes back is a sign of life, and a name whose own servers are silent is
   * none of a dead path.
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

  /** 16 random bits (RFC 5452 section 9.2). Half of them or more are free, so a few draws do. */
  #freeId(): number {
    for (;;) {
      const id = this.#random.below(65_536)
      if (!this.#slots.has(id) && !this.#reserved.has(id)) return id
    }
  }

  /**
   * Nobody waits for its answer any more, which may still come: until the connection closes no
   * other request has this ID.
   */
  #reserve(id: number): void {
    this.#reserved.add(id)
    if (this.#reserved.size + MAX_IN_FLIGHT > MAX_IDS) this.drain()
  }

  /**
   * All queries of one turn in one write, so in one TLS record as long as they fit: fewer records
   * to send, and fewer to count.
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
    this.wrote()
    if (this.cells === undefined) this.stream.write(out)
    else this.cells.write(out)
  }

  /** Any length can be: there is none that ends the connection. */
  #onOctets(octets: Uint8Array): void {
    if (octets.length >= SIGN_OF_LIFE_OCTETS) this.heard()
    this.#frames.push(octets, this.#take)
  }

  /**
   * One too short for a message is passed over. It is no sign of life: of two octets, it is as
   * cheap as single ones.
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
    // The chunk is ours and read once: the reply stays where it lies.
    setId(frame, idOf(slot.request))
    const reading = readReply(frame)
    const { opt } = reading
    const rttMs = this.clock.nowMs() - slot.sentMs
    slot.ticket.answered({ wire: frame, rttMs, protection: this.protection, reading })
    if (opt?.keepaliveMs !== undefined) this.#learnKeepalive(opt.keepaliveMs)
    this.rest()
  }

  /**
   * Under the ID of a request, and not its answer. One that names another question may be meant for
   * another ID; one without any question can be meant for no other, and nothing else will come.
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
   * RFC 7828 section 3.3: after the time that the server names an idle connection is closed; 0
   * means as soon as nothing is owed.
   */
  #learnKeepalive(keepaliveMs: number): void {
    this.#idleMs = Math.min(keepaliveMs, IDLE_MS)
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

/** IDs that must not be used again on a connection: a bit each. */
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
 * Cuts what a DoT carrier writes into records of one size. One write is one record as long as the
 * next waits for its callback: Node joins writes that queue up.
 */
class DotCells implements Cells {
  readonly #socket: Duplex
  #rest: Buffer | undefined

  constructor(socket: Duplex) {
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

/** DNS over TLS for a schedule: each request fills records of one size, and no probe is sent. */
export class DotCellCarrier<P extends Protection> extends DotCarrier<P> implements CellCarrier<P> {
  declare readonly cells: DotCells

  constructor(connection: Connection<P>, tools: CarrierTools) {
    super(connection, tools, new DotCells(connection.stream))
  }
}
