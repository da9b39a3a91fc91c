import type { Clock, Random } from '../clock.ts'
import { readOpt } from '../dns/edns.ts'
import { FrameReader } from '../dns/framing.ts'
import { idOf, isReplyTo, setId } from '../dns/message.ts'
import { EnigmError } from '../errors.ts'
import type { Protection } from '../resolve.ts'
import {
  type Carrier,
  type CarrierTools,
  IDLE_MS,
  MAX_IN_FLIGHT,
  Pulse,
  refuse,
  SIGN_OF_LIFE_OCTETS,
  type Ticket,
  type Watcher,
} from './carrier.ts'
import type { Connection } from './connect.ts'

/** IDs of requests that were taken back and may still be answered: neither used again soon nor counted as a mismatch. */
const MAX_ABANDONED = 4096
const MIN_MESSAGE_OCTETS = 12

interface Slot {
  /** The request behind its length, under the ID of this connection. */
  readonly framed: Buffer
  readonly request: Uint8Array
  readonly requestId: number
  readonly ticket: Ticket
  sentMs: number
}

/** DNS over TLS (RFC 7858) on one connection: pipelined, replies in any order (RFC 7766 sections 6.2.1.1 and 7). */
export class DotCarrier<P extends Protection> implements Carrier<P> {
  readonly connection: Connection<P>
  readonly #clock: Clock
  readonly #random: Random
  readonly #watcher: Watcher
  readonly #pulse: Pulse
  readonly #slots = new Map<number, Slot>()
  readonly #abandoned = new Set<number>()
  readonly #frames = new FrameReader()
  #unwritten: number[] = []
  #idleMs = IDLE_MS
  #dead = false

  constructor(connection: Connection<P>, { clock, random, watcher }: CarrierTools) {
    this.connection = connection
    this.#clock = clock
    this.#random = random
    this.#watcher = watcher
    this.#pulse = new Pulse(clock, watcher)
    const { socket } = connection
    socket.on('data', (chunk: Uint8Array) => this.#onData(chunk))
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

  send(request: Uint8Array, ticket: Ticket): () => void {
    if (this.#dead) return refuse(ticket, new EnigmError('connection-lost', 'the connection is closed'), 'refused')
    if (this.#slots.size >= MAX_IN_FLIGHT) return refuse(ticket, new EnigmError('overloaded', 'too many queries in flight'), 'final')
    const id = this.#freeId()
    const framed = Buffer.allocUnsafe(request.length + 2)
    framed.writeUInt16BE(request.length)
    framed.set(request, 2)
    const own = framed.subarray(2)
    setId(own, id)
    const slot: Slot = { framed, request: own, requestId: idOf(request), ticket, sentMs: 0 }
    this.#slots.set(id, slot)
    if (this.#unwritten.push(id) === 1) setImmediate(() => this.#write())
    return () => this.#cancel(id, slot)
  }

  /** DNS has no ping; a query of our own making would be one more thing to see. */
  probe(): void {}

  destroy(error: EnigmError): void {
    if (this.#dead) return
    this.#dead = true
    this.connection.socket.destroy()
    this.#failAll(error)
  }

  /** 16 random bits (RFC 5452 section 9.2). At most 5,096 of 65,536 are taken, so a few draws do. */
  #freeId(): number {
    for (;;) {
      const id = this.#random.below(65536)
      if (!this.#slots.has(id) && !this.#abandoned.has(id)) return id
    }
  }

  /** All queries of one turn in one write, so in one TLS record as long as they fit: fewer records to send, and fewer to count. */
  #write(): void {
    const ids = this.#unwritten
    this.#unwritten = []
    if (this.#dead) return
    const nowMs = this.#clock.nowMs()
    const parts: Buffer[] = []
    for (const id of ids) {
      const slot = this.#slots.get(id)
      if (slot === undefined) continue
      slot.sentMs = nowMs
      parts.push(slot.framed)
    }
    if (parts.length === 0) return
    this.#pulse.wrote()
    this.connection.socket.write(parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts))
  }

  #onData(chunk: Uint8Array): void {
    if (this.#dead) return
    if (chunk.length >= SIGN_OF_LIFE_OCTETS) this.#pulse.heard()
    if (this.#frames.push(chunk, (frame) => this.#onReply(frame))) return
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
    const wire = new Uint8Array(frame)
    setId(wire, slot.requestId)
    slot.ticket.answered({ wire, rttMs: this.#clock.nowMs() - slot.sentMs })
    this.#learnKeepalive(wire)
    this.#rest()
  }

  /** RFC 7828 section 3.3: after the time that the server names an idle connection is closed; 0 means as soon as nothing is owed. */
  #learnKeepalive(reply: Uint8Array): void {
    const keepaliveMs = readOpt(reply)?.keepaliveMs
    if (keepaliveMs === undefined) return
    this.#idleMs = Math.min(keepaliveMs, IDLE_MS)
    if (keepaliveMs === 0) this.#watcher.draining()
  }

  #cancel(id: number, slot: Slot): void {
    if (this.#slots.get(id) !== slot) return
    this.#slots.delete(id)
    if (slot.sentMs !== 0) this.#abandon(id)
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
    const slots = [...this.#slots.values()]
    this.#slots.clear()
    for (const slot of slots) slot.ticket.failed(error, slot.sentMs === 0 ? 'refused' : 'lost')
  }
}
