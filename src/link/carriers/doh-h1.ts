import type { Clock } from '../../clock.ts'
import type { Linked } from '../../containers.ts'
import { EnigmError } from '../../errors.ts'
import type { Protection } from '../../resolve.ts'
import type { Connection } from '../dial/connect.ts'
import type { Endpoint } from '../dial/endpoint.ts'
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
import { ageOf, authorityOf, dohRequest, requestHeaders } from './doh-message.ts'
import { H1Response, type Progress } from './h1-response.ts'
import { TurnQueue } from './turn-queue.ts'

/** Of the time that a peer says it keeps an idle connection: a request must not meet the close. */
const BEFORE_CLOSE = 0.9

/** One request: in the queue, or the one under way. */
class Slot implements Sent, Linked<Slot> {
  readonly request: Uint8Array
  readonly ticket: Ticket
  readonly #cancel: (slot: Slot) => void
  waits = true
  sentMs = 0
  before: Slot | undefined
  after: Slot | undefined
  holder: object | undefined

  constructor(request: Uint8Array, ticket: Ticket, cancel: (slot: Slot) => void) {
    this.request = request
    this.ticket = ticket
    this.#cancel = cancel
  }
  cancel(): void {
    this.#cancel(this)
  }
}

/**
 * DNS over HTTPS on one HTTP/1.1 connection: one request at a time, the others wait their turn. Taking back the one under way costs the connection,
 * since its response could not be told from the next one's (RFC 9112 section 9.3). A response is read to its end whatever ends the connection (section 9.6).
 */
export class H1Carrier<P extends Protection = Protection> implements Carrier<P> {
  readonly connection: Connection<P>
  readonly #head: string
  readonly #clock: Clock
  readonly #watcher: Watcher
  readonly #pulse: Pulse
  readonly #queue = new TurnQueue<Slot>()
  #active: Slot | undefined
  #response = new H1Response()
  #idleMs = IDLE_MS
  #draining = false
  #dead = false

  constructor(connection: Connection<P>, endpoint: Endpoint, { clock, watcher }: CarrierTools) {
    this.connection = connection
    this.#clock = clock
    this.#watcher = watcher
    this.#pulse = new Pulse(clock, watcher)
    this.#head = `POST ${endpoint.doh?.path ?? '/dns-query'} HTTP/1.1\r\nhost: ${authorityOf(endpoint)}\r\nconnection: keep-alive\r\n`
    const { socket } = connection
    onOctets(socket, (octets) => this.#onOctets(octets))
    socket.on('end', () => this.#onEnd())
    socket.on('error', (cause) => this.#die(lost('the connection broke', cause)))
    socket.on('close', () => this.#die(lost('the connection closed')))
  }

  get inFlight(): number {
    return this.#queue.size + (this.#active === undefined ? 0 : 1)
  }
  get waiting(): number {
    return this.#queue.size
  }
  get idleMs(): number {
    return this.#idleMs
  }
  get silentSinceMs(): number | undefined {
    return this.#pulse.silentSinceMs
  }

  send(request: Uint8Array, ticket: Ticket): Sent {
    if (this.#dead || this.#draining) return refuse(ticket, lost('the connection takes no more'), 'refused')
    if (this.inFlight >= MAX_IN_FLIGHT) return refuse(ticket, new EnigmError('overloaded', 'too many queries in flight'), 'final')
    const slot = new Slot(request, ticket, (slot) => this.#cancel(slot))
    this.#queue.add(slot, ticket.givesWay === true)
    this.#next()
    return slot
  }

  /** HTTP/1.1 has no ping. */
  probe(): boolean {
    return false
  }

  destroy(error: EnigmError): void {
    if (this.#dead) return
    this.#dead = true
    this.#teardown(error)
  }

  #next(): void {
    if (this.#active !== undefined || this.#dead) return
    const slot = this.#queue.next(1)
    if (slot === undefined) {
      this.#pulse.rest()
      this.#watcher.idle()
      return
    }
    this.#active = slot
    slot.waits = false
    slot.sentMs = this.#clock.nowMs()
    this.#pulse.wrote()
    this.connection.socket.write(this.#written(slot.request))
  }

  /** Head and body in one write: one record. */
  #written(request: Uint8Array): Buffer {
    const body = dohRequest(request)
    const fields = Object.entries(requestHeaders(body.length)).map(([name, value]) => `${name}: ${value}\r\n`)
    return Buffer.concat([Buffer.from(`${this.#head}${fields.join('')}\r\n`), body])
  }

  #onOctets(octets: Uint8Array): void {
    if (this.#dead) return
    const response = this.#response
    const { begun } = response
    const progress = this.#active === undefined ? 'broken' : response.push(octets)
    if (response.begun !== begun || octets.length >= SIGN_OF_LIFE_OCTETS) this.#heardOf()
    this.#goOn(progress, 'the resolver broke HTTP/1.1, or spoke unasked')
  }

  #onEnd(): void {
    if (this.#dead) return
    this.#draining = true
    const notified = this.connection.closeNotified?.() === true
    this.#goOn(this.#active === undefined ? 'broken' : this.#response.end(notified), 'the resolver closed the connection')
  }

  #goOn(progress: Progress, why: string): void {
    const slot = this.#active
    if (progress === 'more') return
    if (slot === undefined || progress === 'broken') this.#die(lost(why))
    else if (progress === 'whole') this.#finish(slot)
    else this.#giveUp(slot)
  }

  /** A sign of life; the rest of the response is owed from now on: a body that trickles must not pass for one that flows. */
  #heardOf(): void {
    this.#pulse.heard()
    if (this.#active !== undefined) this.#pulse.wrote()
  }

  /** The response is read to its end. */
  #finish(slot: Slot): void {
    const response = this.#response
    this.#response = new H1Response()
    this.#pulse.heard()
    if (response.keepAliveS !== undefined) this.#idleMs = Math.min(IDLE_MS, response.keepAliveS * 1000 * BEFORE_CLOSE)
    const left = response.reusable && !this.#draining ? [] : this.#leave()
    this.#active = undefined
    const wire = response.fault ?? response.body.reply(slot.request)
    if (wire instanceof EnigmError) {
      if (wire.code === 'reply-mismatch') this.#watcher.mismatch()
      slot.ticket.failed(wire, 'final')
    } else {
      const ageS = ageOf(response.headers)
      slot.ticket.answered({ wire, rttMs: this.#clock.nowMs() - slot.sentMs, ...(ageS === undefined ? {} : { ageS }) })
    }
    for (const { ticket } of left) ticket.failed(lost('the resolver closes after each answer'), 'unsent')
    this.#next()
  }

  /** The connection takes no more. Returns those that wait and go elsewhere. */
  #leave(): readonly Slot[] {
    this.#draining = true
    const left = this.#queue.all()
    this.#queue.clear()
    this.#watcher.draining()
    return left
  }

  /** The rest of an unwanted response is not read: the connection goes with it. */
  #giveUp(slot: Slot): void {
    this.#active = undefined
    slot.ticket.failed(this.#response.fault ?? lost('an unwanted response'), 'final')
    this.#die(lost('closed over an unwanted response'))
  }

  #cancel(slot: Slot): void {
    if (this.#active === slot) {
      this.#active = undefined
      this.#die(lost('closed over an unanswered request'))
    } else if (this.#queue.delete(slot) && this.inFlight === 0) this.#next()
  }

  #die(error: EnigmError): void {
    if (this.#dead) return
    this.#dead = true
    this.#watcher.down(error)
    this.#teardown(error)
  }

  #teardown(error: EnigmError): void {
    const active = this.#active
    const queued = this.#queue.all()
    this.#active = undefined
    this.#queue.clear()
    this.connection.socket.destroy()
    active?.ticket.failed(error, 'lost')
    for (const { ticket } of queued) ticket.failed(error, 'unsent')
  }
}

function lost(message: string, cause?: unknown): EnigmError {
  return new EnigmError('connection-lost', message, { cause })
}
