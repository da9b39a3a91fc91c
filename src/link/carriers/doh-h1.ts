import type { Linked } from '../../containers.ts'
import { viewOf } from '../../dns/octets.ts'
import { EnigmError } from '../../errors.ts'
import type { Protection } from '../../resolve.ts'
import type { Connection } from '../dial/connect.ts'
import type { Endpoint } from '../dial/endpoint.ts'
import { type CarrierTools, lost, type Sent, SIGN_OF_LIFE_OCTETS, StreamCarrier, type Ticket } from './carrier.ts'
import { ageOf, authorityOf, dohRequest, pathOf, requestHeaders } from './doh-message.ts'
import { H1Response, type Progress } from './h1-response.ts'
import { TurnQueue } from './turn-queue.ts'

/**
 * We close an idle connection after this share of the time that the peer keeps it. Otherwise the
 * peer might close it while a request is on the way.
 */
const BEFORE_CLOSE = 0.9

/** One request, in the queue or in flight. */
class QueuedRequest<P extends Protection> implements Sent, Linked<QueuedRequest<P>> {
  readonly request: Uint8Array
  readonly ticket: Ticket<P>
  readonly #cancel: (slot: QueuedRequest<P>) => void
  waits = true
  sentMs = 0
  before: QueuedRequest<P> | undefined
  after: QueuedRequest<P> | undefined
  holder: object | undefined

  constructor(request: Uint8Array, ticket: Ticket<P>, cancel: (slot: QueuedRequest<P>) => void) {
    this.request = request
    this.ticket = ticket
    this.#cancel = cancel
  }
  cancel(): void {
    this.#cancel(this)
  }
}

/**
 * DNS over HTTPS on one HTTP/1.1 connection. One request is in flight at a time, and the others
 * wait. If it is cancelled, the connection ends, because its response could not be distinguished
 * from the next one (RFC 9112 section 9.3). If the peer ends the connection, the received octets of
 * a response are still read (section 9.6).
 */
export class H1Carrier<P extends Protection = Protection> extends StreamCarrier<P> {
  readonly #head: string
  readonly #closeNotified: () => boolean
  readonly #queue = new TurnQueue<QueuedRequest<P>>()
  readonly #takeBack = (slot: QueuedRequest<P>) => this.#cancel(slot)
  #active: QueuedRequest<P> | undefined
  #response = new H1Response()
  #idleMs = Number.POSITIVE_INFINITY
  /** The peer has sent everything. */
  #ended = false

  constructor(connection: Connection<P>, endpoint: Endpoint, tools: CarrierTools) {
    super(connection, tools)
    this.#head = `POST ${pathOf(endpoint)} HTTP/1.1\r\nhost: ${authorityOf(endpoint)}\r\nconnection: keep-alive\r\n`
    this.#closeNotified = connection.closeNotified ?? (() => false)
    this.listen((octets, end) => this.#onOctets(viewOf(octets, 0, end)))
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

  send(request: Uint8Array, ticket: Ticket<P>): Sent {
    const turnedAway = this.turnedAway(ticket)
    if (turnedAway !== undefined) return turnedAway
    const slot = new QueuedRequest(request, ticket, this.#takeBack)
    this.#queue.add(slot, ticket.givesWay === true)
    this.#next()
    return slot
  }

  /** HTTP/1.1 has no ping. */
  probe(): boolean {
    return false
  }

  #next(): void {
    if (this.#active !== undefined || this.dead) return
    const slot = this.#queue.next(1)
    if (slot === undefined) this.rest()
    else this.#start(slot)
  }

  #start(slot: QueuedRequest<P>): void {
    this.#active = slot
    slot.waits = false
    slot.sentMs = this.clock.nowMs()
    this.wrote()
    this.stream.write(this.#written(slot.request))
  }

  /** Head and body are written together and fit in one record. */
  #written(request: Uint8Array): Buffer {
    const body = dohRequest(request)
    const fields = Object.entries(requestHeaders(body.length)).map(([name, value]) => `${name}: ${value}\r\n`)
    return Buffer.concat([Buffer.from(`${this.#head}${fields.join('')}\r\n`), body])
  }

  #onOctets(octets: Uint8Array): void {
    const response = this.#response
    const { begun } = response
    const progress = this.#active === undefined ? 'broken' : response.push(octets)
    if (response.begun !== begun || octets.length >= SIGN_OF_LIFE_OCTETS) this.#heardOf()
    this.#goOn(progress, 'the resolver broke HTTP/1.1, or sent data without a request')
  }

  protected override onEnd(): void {
    if (this.dead) return
    this.#ended = true
    const progress = this.#active === undefined ? 'broken' : this.#response.end(this.#closeNotified())
    this.#goOn(progress, 'the resolver closed the connection')
  }

  #goOn(progress: Progress, why: string): void {
    const slot = this.#active
    if (progress === 'more') return
    if (slot === undefined || progress === 'broken') this.die(lost(why))
    else if (progress === 'whole') this.#finish(slot)
    else this.#giveUp(slot)
  }

  /**
   * The peer sent enough octets for a sign of life. The silence for the rest of the response starts
   * now, so a body that comes in slow small pieces does not count as alive.
   */
  #heardOf(): void {
    this.heard()
    if (this.#active !== undefined) this.wrote()
  }

  /** The response is complete. */
  #finish(slot: QueuedRequest<P>): void {
    const response = this.#response
    this.#response = new H1Response()
    this.heard()
    if (response.keepAliveS !== undefined) this.#idleMs = response.keepAliveS * 1000 * BEFORE_CLOSE
    const left = response.reusable && !this.#ended ? [] : this.#leave()
    this.#active = undefined
    const wire = response.fault ?? response.body.reply(slot.request)
    if (wire instanceof EnigmError) {
      if (wire.code === 'reply-mismatch') this.watcher.mismatch()
      slot.ticket.failed(wire, 'final')
    } else {
      const ageS = ageOf(response.headers)
      const rttMs = this.clock.nowMs() - slot.sentMs
      slot.ticket.answered({ wire, rttMs, protection: this.protection, ...(ageS === undefined ? {} : { ageS }) })
    }
    for (const { ticket } of left) ticket.failed(lost('the resolver closes after each answer'), 'unsent')
    this.#next()
  }

  /**
   * Drains the connection. Returns the waiting requests, which must be sent on another connection.
   */
  #leave(): readonly QueuedRequest<P>[] {
    const left = this.#queue.all()
    this.#queue.clear()
    this.drain()
    return left
  }

  /** Closes the connection, because the rest of an unwanted response is not read. */
  #giveUp(slot: QueuedRequest<P>): void {
    this.#active = undefined
    slot.ticket.failed(this.#response.fault ?? lost('an unwanted response'), 'final')
    this.die(lost('closed because of an unwanted response'))
  }

  #cancel(slot: QueuedRequest<P>): void {
    if (this.#active === slot) {
      this.#active = undefined
      this.die(lost('closed because its request was cancelled'))
    } else if (this.#queue.delete(slot) && this.inFlight === 0) this.#next()
  }

  protected failAll(error: EnigmError): void {
    const active = this.#active
    const queued = this.#queue.all()
    this.#active = undefined
    this.#queue.clear()
    active?.ticket.failed(error, 'lost')
    for (const { ticket } of queued) ticket.failed(error, 'unsent')
  }
}
