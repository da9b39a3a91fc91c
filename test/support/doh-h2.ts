import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectHttp2, constants, type IncomingHttpHeaders } from 'node:http2'
import { type Linked, LinkedSet } from '../../src/containers.ts'
import { EnigmError } from '../../src/errors.ts'
import {
  type Carrier,
  type CarrierTools,
  type Loss,
  lost,
  type Sent,
  SIGN_OF_LIFE_OCTETS,
  StreamCarrier,
  type Ticket,
} from '../../src/link/carriers/carrier.ts'
import { ageOf, authorityOf, Body, dohRequest, headFault, requestHeaders } from '../../src/link/carriers/doh-message.ts'
import { heldBack, TurnQueue } from '../../src/link/carriers/turn-queue.ts'
import type { Connection } from '../../src/link/dial/connect.ts'
import type { Endpoint } from '../../src/link/dial/endpoint.ts'
import type { Protection } from '../../src/resolve.ts'

/**
 * Streams opened before the peer's SETTINGS said how many it takes. bind9 (9.18.49) takes 60 at
 * once on a new connection for a flood and closes it, which cost the first hundred questions of a
 * page their answers; 50 pass.
 */
const STREAMS_UNTIL_TOLD = 32
/**
 * The connection window, open from the start: 1,000 replies of 4 KiB without waiting for an update.
 * A stream needs no more than the default, one message.
 */
const WINDOW_OCTETS = 4 * 1024 * 1024

const UNLINKED = { before: undefined, after: undefined, holder: undefined }

/** One request: in the queue, or among the open ones. */
interface Slot<P extends Protection> extends Linked<Slot<P>> {
  readonly request: Uint8Array
  readonly body: Buffer
  readonly ticket: Ticket<P>
  stream: ClientHttp2Stream | undefined
  sentMs: number
}

/**
 * DNS over HTTPS (RFC 8484) on one session of node:http2: what the client in src/link/carriers/h2
 * is compared with. Same contract, same errors. It cannot write cells.
 */
class NodeH2Carrier<P extends Protection = Protection> extends StreamCarrier<P> {
  readonly idleMs = Number.POSITIVE_INFINITY
  readonly #path: Record<string, string>
  readonly #session: ClientHttp2Session
  readonly #open = new LinkedSet<Slot<P>>()
  readonly #queue = new TurnQueue<Slot<P>>()
  #maxStreams = STREAMS_UNTIL_TOLD

  constructor(connection: Connection<P>, endpoint: Endpoint, tools: CarrierTools) {
    super(connection, tools)
    const authority = authorityOf(endpoint)
    this.#path = { ':method': 'POST', ':scheme': 'https', ':authority': authority, ':path': endpoint.doh?.path ?? '/dns-query' }
    this.#session = connectHttp2(`https://${authority}`, {
      createConnection: () => connection.stream,
      settings: { enablePush: false },
      maxHeaderListPairs: 64,
    })
    this.#attend(this.#session)
  }

  get inFlight(): number {
    return this.#open.size + this.#queue.size
  }

  send(request: Uint8Array, ticket: Ticket<P>): Sent {
    const turnedAway = this.turnedAway(ticket)
    if (turnedAway !== undefined) return turnedAway
    const slot: Slot<P> = { request, body: dohRequest(request), ticket, stream: undefined, sentMs: 0, ...UNLINKED }
    this.#queue.add(slot, ticket.givesWay === true)
    this.#pump()
    return { cancel: () => this.#cancel(slot) }
  }

  probe(): boolean {
    if (this.dead || this.#session.destroyed) return false
    return this.#session.ping((error) => {
      if (error === null && !this.dead) this.heard()
    })
  }

  #attend(session: ClientHttp2Session): void {
    const ended = (cause?: unknown) => this.die(lost('the HTTP/2 session ended', cause))
    session.on('connect', () => {
      if (!session.destroyed) session.setLocalWindowSize(WINDOW_OCTETS)
    })
    session.on('remoteSettings', (settings) => {
      this.#maxStreams = settings.maxConcurrentStreams ?? Number.POSITIVE_INFINITY
      this.#pump()
    })
    session.on('goaway', () => this.#leave())
    session.on('error', ended)
    session.on('frameError', ended)
    session.on('close', ended)
    session.on('stream', (pushed) => pushed.close(constants.NGHTTP2_REFUSED_STREAM))
    this.listenForTheEnd()
  }

  /** Opens streams as the peer allows. */
  #pump(): void {
    while (!this.dead && !this.draining) {
      const slot = this.#queue.next(this.#maxStreams - this.#open.size, heldBack(this.#maxStreams))
      if (slot === undefined) return
      this.#start(slot)
    }
  }

  #start(slot: Slot<P>): void {
    this.#open.add(slot)
    try {
      const stream = this.#session.request({ ...this.#path, ...requestHeaders(slot.body.length) }, { endStream: false })
      slot.stream = stream
      slot.sentMs = this.clock.nowMs()
      this.wrote()
      this.#read(slot, stream)
      stream.end(slot.body)
    } catch (cause) {
      const error = lost('the session takes no more', cause)
      this.#leave()
      queueMicrotask(() => this.#settle(slot, error, 'refused'))
    }
  }

  #read(slot: Slot<P>, stream: ClientHttp2Stream): void {
    const body = new Body()
    let ageS: number | undefined
    const fail = (error: EnigmError) => {
      this.#settle(slot, error, 'final')
      stream.close(constants.NGHTTP2_CANCEL)
    }
    stream.on('response', (headers: IncomingHttpHeaders & { ':status'?: number }) => {
      this.heard()
      const fault = headFault(headers[':status'] ?? 0, headers)
      if (fault !== undefined) return fail(fault)
      ageS = ageOf(headers)
    })
    stream.on('data', (chunk: Uint8Array) => {
      if (chunk.length >= SIGN_OF_LIFE_OCTETS) this.heard()
      const fault = body.add(chunk)
      if (fault !== undefined) fail(fault)
    })
    stream.on('error', () => {}) // what it means is read from rstCode on 'close'
    stream.on('close', () => {
      if (!this.#open.has(slot) || slot.stream !== stream) return
      if (stream.rstCode !== constants.NGHTTP2_NO_ERROR || !stream.readableEnded) return this.#onReset(slot, stream)
      const wire = body.reply(slot.request)
      if (wire instanceof EnigmError) {
        if (wire.code === 'reply-mismatch') this.watcher.mismatch()
        return this.#settle(slot, wire, 'final')
      }
      this.heard()
      const rttMs = this.clock.nowMs() - slot.sentMs
      const carried = { wire, rttMs, protection: this.protection, ...(ageS === undefined ? {} : { ageS }) }
      if (this.#forget(slot)) slot.ticket.answered(carried)
      this.#goOn()
    })
  }

  /**
   * The stream ended without a whole response. A refused one comes back here while the session
   * lives, and waits for the number of streams that SETTINGS allow.
   */
  #onReset(slot: Slot<P>, stream: ClientHttp2Stream): void {
    const loss = stream.rstCode === constants.NGHTTP2_REFUSED_STREAM ? 'refused' : 'lost'
    this.#settle(slot, lost(`the stream was reset (${stream.rstCode ?? 0})`), loss)
  }

  #settle(slot: Slot<P>, error: EnigmError, loss: Loss): void {
    if (this.#forget(slot)) slot.ticket.failed(error, loss)
    this.#goOn()
  }

  #cancel(slot: Slot<P>): void {
    if (!this.#forget(slot)) return
    slot.stream?.close(constants.NGHTTP2_CANCEL)
    this.#goOn()
  }

  #forget(slot: Slot<P>): boolean {
    return this.#open.delete(slot) || this.#queue.delete(slot)
  }

  #goOn(): void {
    this.#pump()
    this.rest()
  }

  /**
   * GOAWAY (RFC 9113 section 6.8): streams above its last ID come back as refused; the others may
   * still be answered.
   */
  #leave(): void {
    if (this.draining || this.dead) return
    this.drain()
    for (const slot of this.#queue.all()) this.#settle(slot, lost('the session takes no more'), 'unsent')
  }

  protected override shut(): void {
    this.#session.destroy()
    super.shut()
  }

  protected failAll(error: EnigmError): void {
    const open = this.#open.list()
    const queued = this.#queue.all()
    this.#open.clear()
    this.#queue.clear()
    for (const { ticket, stream } of open) ticket.failed(error, stream?.rstCode === constants.NGHTTP2_REFUSED_STREAM ? 'refused' : 'lost')
    for (const { ticket } of queued) ticket.failed(error, 'unsent')
  }
}

/**
 * The same by the name and signature of the client that the program has: takes its place in tests,
 * and in the program that the bench makes (bench/peers/node-http2.mjs).
 */
export { nodeH2Carrier as leanH2Carrier }
export function leanH2CellCarrier(): never {
  throw new Error('node:http2 has no records of one size')
}
export function nodeH2Carrier<P extends Protection>(connection: Connection<P>, endpoint: Endpoint, tools: CarrierTools): Carrier<P> {
  return new NodeH2Carrier(connection, endpoint, tools)
}
