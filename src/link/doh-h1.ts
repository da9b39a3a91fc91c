import { Client } from 'undici'
import type { Clock } from '../clock.ts'
import { EnigmError } from '../errors.ts'
import type { Protection } from '../resolve.ts'
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
import type { Connection } from './connect.ts'
import { ageOf, authorityOf, Body, dohRequest, headFault, requestHeaders } from './doh-message.ts'
import type { Endpoint } from './endpoint.ts'
import { TurnQueue } from './turn-queue.ts'

/** An error page up to here is read and dropped; over a longer one the connection is closed. */
const MAX_PAGE_OCTETS = 65536

/** One request: in the queue, or the one under way. */
class Slot implements Sent {
  readonly request: Uint8Array
  readonly ticket: Ticket
  readonly #cancel: (slot: Slot) => void
  waits = true

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
 * since its response could not be told from the next one's (RFC 9112 section 9.3).
 */
export class H1Carrier<P extends Protection = Protection> implements Carrier<P> {
  readonly connection: Connection<P>
  readonly idleMs = IDLE_MS
  readonly #path: string
  readonly #clock: Clock
  readonly #watcher: Watcher
  readonly #pulse: Pulse
  readonly #client: Client
  readonly #queue = new TurnQueue<Slot>()
  #active: Slot | undefined
  #dead = false

  constructor(connection: Connection<P>, endpoint: Endpoint, { clock, watcher }: CarrierTools) {
    this.connection = connection
    this.#clock = clock
    this.#watcher = watcher
    this.#pulse = new Pulse(clock, watcher)
    this.#path = endpoint.doh?.path ?? '/dns-query'
    let handedOut = false
    this.#client = new Client(`https://${authorityOf(endpoint)}`, {
      // One connection, ours: a second one would be dialled past the checks of connect.ts.
      connect: (_options, callback) => {
        if (handedOut) return callback(new EnigmError('connection-lost', 'the connection closed'), null)
        handedOut = true
        queueMicrotask(() => callback(null, connection.socket)) // called at once, undici 7.30 does not see it and waits for ever
      },
      pipelining: 1,
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: 2 * IDLE_MS,
      maxHeaderSize: 16 * 1024,
    })
    const lost = (cause?: unknown) => this.#die(new EnigmError('connection-lost', 'the HTTP/1.1 connection ended', { cause }))
    connection.socket.on('error', lost)
    connection.socket.on('end', () => lost())
    connection.socket.on('close', () => lost())
  }

  get inFlight(): number {
    return this.#queue.size + (this.#active === undefined ? 0 : 1)
  }
  get waiting(): number {
    return this.#queue.size
  }
  get silentSinceMs(): number | undefined {
    return this.#pulse.silentSinceMs
  }

  send(request: Uint8Array, ticket: Ticket): Sent {
    if (this.#dead) return refuse(ticket, new EnigmError('connection-lost', 'the connection is closed'), 'refused')
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
    this.#run(slot).catch((cause: unknown) => this.#die(new EnigmError('connection-lost', 'the exchange broke', { cause })))
  }

  async #run(slot: Slot): Promise<void> {
    const sentMs = this.#clock.nowMs()
    const body = dohRequest(slot.request)
    this.#pulse.wrote()
    const response = await this.#client.request({ method: 'POST', path: this.#path, headers: requestHeaders(body.length), body })
    response.body.on('error', () => {}) // the loop below sees it too
    this.#heardOf(slot)
    const fault = headFault(response.statusCode, response.headers)
    if (fault !== undefined) {
      if (fault.code === 'http-size') return this.#giveUp(slot, fault)
      await response.body.dump({ limit: MAX_PAGE_OCTETS })
      return this.#settle(slot, fault)
    }
    const gathered = new Body()
    for await (const chunk of response.body) {
      if (chunk.length >= SIGN_OF_LIFE_OCTETS) this.#heardOf(slot)
      const long = gathered.add(chunk)
      if (long !== undefined) return this.#giveUp(slot, long)
    }
    if (this.#active !== slot) return
    this.#pulse.heard()
    const wire = gathered.reply(slot.request)
    if (wire instanceof EnigmError) {
      if (wire.code === 'reply-mismatch') this.#watcher.mismatch()
      return this.#settle(slot, wire)
    }
    this.#active = undefined
    const ageS = ageOf(response.headers)
    slot.ticket.answered({ wire, rttMs: this.#clock.nowMs() - sentMs, ...(ageS === undefined ? {} : { ageS }) })
    this.#next()
  }

  /** A sign of life; the rest of the response is owed from now on: a body that trickles must not pass for one that flows. */
  #heardOf(slot: Slot): void {
    this.#pulse.heard()
    if (this.#active === slot) this.#pulse.wrote()
  }

  /** The response is read to its end and is no answer. */
  #settle(slot: Slot, fault: EnigmError): void {
    if (this.#active !== slot) return
    this.#pulse.heard()
    this.#active = undefined
    slot.ticket.failed(fault, 'final')
    this.#next()
  }

  /** The rest of an unwanted response is not read: the connection goes with it. */
  #giveUp(slot: Slot, fault: EnigmError): void {
    if (this.#active === slot) {
      this.#active = undefined
      slot.ticket.failed(fault, 'final')
    }
    this.#die(new EnigmError('connection-lost', 'closed over an unwanted response'))
  }

  #cancel(slot: Slot): void {
    if (this.#active === slot) {
      this.#active = undefined
      this.#die(new EnigmError('connection-lost', 'closed over an unanswered request'))
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
    this.#client.destroy().catch(() => {})
    active?.ticket.failed(error, 'lost')
    for (const { ticket } of queued) ticket.failed(error, 'refused')
  }
}
