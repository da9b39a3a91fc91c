import type { Clock, Random } from '../../clock.ts'
import { NumberTable } from '../../containers.ts'
import { readOpt, repadded, withPaddedOpt } from '../../dns/edns.ts'
import { FrameReader, framed } from '../../dns/framing.ts'
import { idOf, isReplyTo, ROOT_PROBE, setId } from '../../dns/message.ts'
import { putU16 } from '../../dns/octets.ts'
import { EnigmError } from '../../errors.ts'
import type { Protection } from '../../resolve.ts'
import type { Connection } from '../dial/connect.ts'
import {
  type Carrier,
  type CarrierTools,
  IDLE_MS,
  MAX_IN_FLIGHT,
  Pulse,
  refuse,
  type Sent,
  SIGN_OF_LIFE_OCTETS,
  type Ticket,
  type Watcher,
} from './carrier.ts'
import { onOctets } from './direct-reads.ts'
import { DotCells } from './dot-cells.ts'

/** IDs of requests that were taken back and may still be answered: neither used again soon nor counted as a mismatch. */
const MAX_ABANDONED = 4096
const MIN_MESSAGE_OCTETS = 12

/** One request under the ID that it has on this connection. A class, so that taking it back costs no closure. */
class Slot implements Sent {
  readonly id: number
  readonly request: Uint8Array
  readonly ticket: Ticket
  readonly #cancel: (slot: Slot) => void
  sentMs = 0

  constructor(id: number, request: Uint8Array, ticket: Ticket, cancel: (slot: Slot) => void) {
    this.id = id
    this.request = request
    this.ticket = ticket
    this.#cancel = cancel
  }
  cancel(): void {
    this.#cancel(this)
  }
}

/** DNS over TLS (RFC 7858) on one connection: pipelined, replies in any order (RFC 7766 sections 6.2.1.1 and 7). */
export class DotCarrier<P extends Protection> implements Carrier<P> {
  readonly connection: Connection<P>
  readonly cells: DotCells | undefined
  readonly #clock: Clock
  readonly #random: Random
  readonly #watcher: Watcher
  readonly #pulse: Pulse
  readonly #probe: Uint8Array
  readonly #slots = new NumberTable<Slot>()
  readonly #abandoned = new Set<number>()
  readonly #frames = new FrameReader()
  readonly #cancel = (slot: Slot) => this.#takeBack(slot)
  readonly #turn = () => this.#write()
  readonly #take = (frame: Uint8Array) => this.#onReply(frame)
  /** Length of the last request that was written. */
  #lastOctets = 0
  #unwritten: Slot[] = []
  #idleMs = IDLE_MS
  #dead = false

  constructor(connection: Connection<P>, { clock, random, watcher, probe = ROOT_PROBE, paced }: CarrierTools) {
    this.connection = connection
    this.cells = paced === true ? new DotCells(connection.socket) : undefined
    this.#clock = clock
    this.#random = random
    this.#probe = probe
    this.#watcher = watcher
    this.#pulse = new Pulse(clock, watcher)
    const { socket } = connection
    onOctets(socket, (octets) => this.#onData(octets))
    socket.on('end', () => this.#die(new EnigmError('connection-lost', 'the resolver closed the connection')))
    socket.on('error', (cause) => this.#die(new EnigmError('connection-lost', 'the connection broke', { cause })))
    socket.on('close', () => this.#die(new EnigmError('connection-lost', 'the connection closed')))
  }

  get inFlight(): number {
    return this.#slots.size
  }
  get idleMs(): number {
    return this.#idleMs
  }
  get silentSinceMs(): number | undefined {
    return this.#pulse.silentSinceMs
  }

  send(request: Uint8Array, ticket: Ticket): Sent {
    if (this.#dead) return refuse(ticket, new EnigmError('connection-lost', 'the connection is closed'), 'refused')
    if (this.#slots.size >= MAX_IN_FLIGHT) return refuse(ticket, new EnigmError('overloaded', 'too many queries in flight'), 'final')
    const id = this.#freeId()
    const slot = new Slot(id, request, ticket, this.#cancel)
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
    if (this.#dead || this.cells !== undefined || this.#slots.size === 0 || this.#lastOctets === 0) return false
    const bare = withPaddedOpt(this.#probe, { dnssecOk: false, block: 0, keepalive: false })
    const message = Buffer.from(repadded(bare, this.#lastOctets) ?? bare)
    const id = this.#freeId()
    this.#abandon(id)
    setId(message, id)
    this.connection.socket.write(framed(message))
    return true
  }

  destroy(error: EnigmError): void {
    if (this.#dead) return
    this.#dead = true
    this.connection.socket.destroy()
    this.#failAll(error)
  }

  /** 16 random bits (RFC 5452 section 9.2). At most 9,096 of 65,536 are taken, so a few draws do. */
  #freeId(): number {
    for (;;) {
      const id = this.#random.below(65536)
      if (!this.#slots.has(id) && !this.#abandoned.has(id)) return id
    }
  }

  /** All queries of one turn in one write, so in one TLS record as long as they fit: fewer records to send, and fewer to count. */
  #write(): void {
    const slots = this.#unwritten
    this.#unwritten = []
    if (this.#dead) return
    const nowMs = this.#clock.nowMs()
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
    this.#pulse.wrote()
    if (this.cells === undefined) this.connection.socket.write(out)
    else this.cells.write(out)
  }

  #onData(chunk: Uint8Array): void {
    if (this.#dead) return
    if (chunk.length >= SIGN_OF_LIFE_OCTETS) this.#pulse.heard()
    if (this.#frames.push(chunk, this.#take)) return
    this.#die(new EnigmError('reply-malformed', 'the resolver sent a length that cannot be'))
  }

  #onReply(frame: Uint8Array): void {
    if (this.#dead) return
    this.#pulse.heard()
    const id = frame.length < MIN_MESSAGE_OCTETS ? -1 : idOf(frame)
    const slot = this.#slots.get(id)
    if (slot === undefined || slot.sentMs === 0 || !isReplyTo(slot.request, frame)) {
      if (slot !== undefined || !this.#abandoned.delete(id)) this.#watcher.mismatch()
      return
    }
    this.#slots.delete(id)
    // The chunk is ours and read once: the reply stays where it lies.
    setId(frame, idOf(slot.request))
    const opt = readOpt(frame)
    slot.ticket.answered({ wire: frame, rttMs: this.#clock.nowMs() - slot.sentMs, padded: opt?.padded === true })
    if (opt?.keepaliveMs !== undefined) this.#learnKeepalive(opt.keepaliveMs)
    this.#rest()
  }

  /** RFC 7828 section 3.3: after the time that the server names an idle connection is closed; 0 means as soon as nothing is owed. */
  #learnKeepalive(keepaliveMs: number): void {
    this.#idleMs = Math.min(keepaliveMs, IDLE_MS)
    if (keepaliveMs === 0) this.#watcher.draining()
  }

  #takeBack(slot: Slot): void {
    if (this.#slots.get(slot.id) !== slot) return
    this.#slots.delete(slot.id)
    if (slot.sentMs !== 0) this.#abandon(slot.id)
    this.#rest()
  }

  #abandon(id: number): void {
    this.#abandoned.add(id)
    for (const oldest of this.#abandoned) {
      if (this.#abandoned.size <= MAX_ABANDONED) break
      this.#abandoned.delete(oldest)
    }
  }

  #rest(): void {
    if (this.#slots.size > 0 || this.#dead) return
    this.#pulse.rest()
    this.#watcher.idle()
  }

  #die(error: EnigmError): void {
    if (this.#dead) return
    this.#dead = true
    this.connection.socket.destroy()
    this.#watcher.down(error)
    this.#failAll(error)
  }

  #failAll(error: EnigmError): void {
    const slots = this.#slots.list()
    this.#slots.clear()
    for (const slot of slots) slot.ticket.failed(error, slot.sentMs === 0 ? 'refused' : 'lost')
  }
}
