import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectHttp2, constants, type IncomingHttpHeaders } from 'node:http2'
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
import { ageOf, authorityOf, Body, dohRequest, headFault, requestHeaders } from './doh-message.ts'
import { heldBack, TurnQueue } from './turn-queue.ts'

/**
 * Streams opened before the peer's SETTINGS said how many it takes. bind9 (9.18.49) takes 60 at once on a new connection for a flood and closes it, which cost the
 * first hundred questions of a page their answers; 50 pass.
 */
const STREAMS_UNTIL_TOLD = 32
/** The connection window, open from the start: 1,000 replies of 4 KiB without waiting for an update. A stream needs no more than the default, one message. */
const WINDOW_OCTETS = 4 * 1024 * 1024

const UNLINKED = { before: undefined, after: undefined, holder: undefined }

interface Slot extends Linked<Slot> {
  readonly request: Uint8Array
  readonly body: Buffer
  readonly ticket: Ticket
  stream: ClientHttp2Stream | undefined
  sentMs: number
}

/** DNS over HTTPS (RFC 8484) on one HTTP/2 session. */
export class H2Carrier<P extends Protection = Protection> implements Carrier<P> {
  readonly connection: Connection<P>
  readonly idleMs = IDLE_MS
  readonly #path: Record<string, string>
  readonly #clock: Clock
  readonly #watcher: Watcher
  readonly #pulse: Pulse
  readonly #session: ClientHttp2Session
  readonly #open = new Set<Slot>()
  readonly #queue = new TurnQueue<Slot>()
  #maxStreams = STREAMS_UNTIL_TOLD
  #draining = false
  #dead = false

  constructor(connection: Connection<P>, endpoint: Endpoint, { clock, watcher }: CarrierTools) {
    this.connection = connection
    this.#clock = clock
    this.#watcher = watcher
    this.#pulse = new Pulse(clock, watcher)
    const authority = authorityOf(endpoint)
    this.#path = { ':method': 'POST', ':scheme': 'https', ':authority': authority, ':path': endpoint.doh?.path ?? '/dns-query' }
    this.#session = connectHttp2(`https://${authority}`, {
      createConnection: () => connection.socket,
      settings: { enablePush: false },
      maxHeaderListPairs: 64,
    })
    this.#listen(this.#session)
  }

  get inFlight(): number {
    return this.#open.size + this.#queue.size
  }
  get silentSinceMs(): number | undefined {
    return this.#pulse.silentSinceMs
  }

  send(request: Uint8Array, ticket: Ticket): Sent {
    if (this.#dead || this.#draining) return refuse(ticket, new EnigmError('connection-lost', 'the session takes no more'), 'refused')
    if (this.inFlight >= MAX_IN_FLIGHT) return refuse(ticket, new EnigmError('overloaded', 'too many queries in flight'), 'final')
    const slot: Slot = { request, body: dohRequest(request), ticket, stream: undefined, sentMs: 0, ...UNLINKED }
    this.#queue.add(slot, ticket.givesWay === true)
    this.#pump()
    return { cancel: () => this.#cancel(slot) }
  }

  probe(): boolean {
    if (this.#dead || this.#session.destroyed) return false
    return this.#session.ping((error) => {
      if (error === null && !this.#dead) this.#pulse.heard()
    })
  }

  destroy(error: EnigmError): void {
    if (this.#dead) return
    this.#dead = true
    this.#teardown(error)
  }

  #listen(session: ClientHttp2Session): void {
    const lost = (cause?: unknown) => this.#die(new EnigmError('connection-lost', 'the HTTP/2 session ended', { cause }))
    session.on('connect', () => session.setLocalWindowSize(WINDOW_OCTETS))
    session.on('remoteSettings', (settings) => {
      this.#maxStreams = settings.maxConcurrentStreams ?? Number.POSITIVE_INFINITY
      this.#pump()
    })
    session.on('goaway', () => this.#drain())
    session.on('error', lost)
    session.on('frameError', lost)
    session.on('close', lost)
    session.on('stream', (pushed) => pushed.close(constants.NGHTTP2_REFUSED_STREAM))
    this.connection.socket.on('error', lost)
    this.connection.socket.on('close', lost)
  }

  /** Opens streams as the peer allows. */
  #pump(): void {
    while (!this.#dead && !this.#draining) {
      const slot = this.#queue.next(this.#maxStreams - this.#open.size, heldBack(this.#maxStreams))
      if (slot === undefined) return
      this.#start(slot)
    }
  }

  #start(slot: Slot): void {
    this.#open.add(slot)
    try {
      const stream = this.#session.request({ ...this.#path, ...requestHeaders(slot.body.length) }, { endStream: false })
      slot.stream = stream
      slot.sentMs = this.#clock.nowMs()
      this.#pulse.wrote()
      this.#read(slot, stream)
      stream.end(slot.body)
    } catch (cause) {
      const error = new EnigmError('connection-lost', 'the session takes no more', { cause })
      this.#drain()
      queueMicrotask(() => this.#settle(slot, error, 'refused'))
    }
  }

  #read(slot: Slot, stream: ClientHttp2Stream): void {
    const body = new Body()
    let ageS: number | undefined
    const fail = (error: EnigmError) => {
      this.#settle(slot, error, 'final')
      stream.close(constants.NGHTTP2_CANCEL)
    }
    stream.on('response', (headers: IncomingHttpHeaders & { ':status'?: number }) => {
      this.#pulse.heard()
      const fault = headFault(headers[':status'] ?? 0, headers)
      if (fault !== undefined) return fail(fault)
      ageS = ageOf(headers)
    })
    stream.on('data', (chunk: Uint8Array) => {
      if (chunk.length >= SIGN_OF_LIFE_OCTETS) this.#pulse.heard()
      const fault = body.add(chunk)
      if (fault !== undefined) fail(fault)
    })
    stream.on('error', () => {}) // what it means is read from rstCode on 'close'
    stream.on('close', () => {
      if (!this.#open.has(slot) || slot.stream !== stream) return
      if (stream.rstCode !== constants.NGHTTP2_NO_ERROR || !stream.readableEnded) return this.#onReset(slot, stream)
      const wire = body.reply(slot.request)
      if (wire instanceof EnigmError) {
        if (wire.code === 'reply-mismatch') this.#watcher.mismatch()
        return this.#settle(slot, wire, 'final')
      }
      this.#pulse.heard()
      const reply = { wire, rttMs: this.#clock.nowMs() - slot.sentMs, ...(ageS === undefined ? {} : { ageS }) }
      if (this.#forget(slot)) slot.ticket.answered(reply)
      this.#rest()
    })
  }

  /** The stream ended without a whole response. A refused one comes back here while the session lives, and waits for the number of streams that SETTINGS allow. */
  #onReset(slot: Slot, stream: ClientHttp2Stream): void {
    const loss = stream.rstCode === constants.NGHTTP2_REFUSED_STREAM ? 'refused' : 'lost'
    this.#settle(slot, new EnigmError('connection-lost', `the stream was reset (${stream.rstCode ?? 0})`), loss)
  }

  #settle(slot: Slot, error: EnigmError, loss: 'final' | 'lost' | 'refused'): void {
    if (this.#forget(slot)) slot.ticket.failed(error, loss)
    this.#rest()
  }

  #cancel(slot: Slot): void {
    if (!this.#forget(slot)) return
    slot.stream?.close(constants.NGHTTP2_CANCEL)
    this.#rest()
  }

  #forget(slot: Slot): boolean {
    return this.#open.delete(slot) || this.#queue.delete(slot)
  }

  #rest(): void {
    if (this.#dead) return
    this.#pump()
    if (this.inFlight > 0) return
    this.#pulse.rest()
    this.#watcher.idle()
  }

  /** GOAWAY (RFC 9113 section 6.8): streams above its last ID come back as refused; the others may still be answered. */
  #drain(): void {
    if (this.#draining || this.#dead) return
    this.#draining = true
    this.#watcher.draining()
    for (const slot of this.#queue.all()) this.#settle(slot, new EnigmError('connection-lost', 'the session takes no more'), 'refused')
  }

  #die(error: EnigmError): void {
    if (this.#dead) return
    this.#dead = true
    this.#watcher.down(error)
    this.#teardown(error)
  }

  #teardown(error: EnigmError): void {
    const open = [...this.#open]
    const queued = this.#queue.all()
    this.#open.clear()
    this.#queue.clear()
    this.#session.destroy()
    this.connection.socket.destroy()
    for (const { ticket, stream } of open) ticket.failed(error, stream?.rstCode === constants.NGHTTP2_REFUSED_STREAM ? 'refused' : 'lost')
    for (const { ticket } of queued) ticket.failed(error, 'refused')
  }
}
