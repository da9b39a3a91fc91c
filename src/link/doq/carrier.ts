import type { Timer } from '../../clock.ts'
import { type Linked, LinkedSet } from '../../containers.ts'
import { withPaddedOpt } from '../../dns/edns.ts'
import { framed } from '../../dns/framing.ts'
import { idOf, isReplyTo, ROOT_PROBE, setId } from '../../dns/message.ts'
import { u16 } from '../../dns/octets.ts'
import { readReply } from '../../dns/response.ts'
import { EnigmError } from '../../errors.ts'
import type { QuicConnection, QuicStream } from '../../quic.ts'
import type { Protection } from '../../resolve.ts'
import { type CarrierTools, type Established, LivingCarrier, lost, type Sent, type Ticket } from '../carriers/carrier.ts'
import type { UdpPath } from '../dial/udp-path.ts'

/** Error codes of DNS over QUIC (RFC 9250 section 4.3). */
export const DOQ = { noError: 0, internalError: 1, protocolError: 2, requestCancelled: 3, excessiveLoad: 4 } as const
/** We close an idle connection after this time, because OpenSSL closes it after 30 s. */
const IDLE_MS = 25_000
const MAX_MESSAGE_OCTETS = 65_535
const MIN_MESSAGE_OCTETS = 12
const FRAME_OCTETS = 2
/**
 * OpenSSL 3.5 keeps every stream that was answered until the connection ends, 0.5 KB each, and
 * walks over all of them when the peer allows more streams: after 200,000 queries on one connection
 * a query cost seven times as much. So a connection takes no more than this many. CPU of a miss
 * with limits of 500, 1000, 2000 and 8000: 136, 113, 85 and 85 us.
 */
const MAX_QUERIES = 2000
/**
 * A peer that allows another stream says so when one ends, or a round trip later. Knot DNS 3.2
 * allows a hundred in the life of a connection.
 */
const GRANT_MS = 100
/** The same while streams are in use: their end may bring it. */
const BUSY_GRANT_MS = 1000

/** One query on its own stream. */
class DoqRequest<P extends Protection> implements Sent, Linked<DoqRequest<P>> {
  readonly request: Uint8Array
  readonly ticket: Ticket<P> | undefined
  readonly #cancel: (slot: DoqRequest<P>) => void
  stream: QuicStream | undefined
  sentMs = 0
  octets: Buffer = EMPTY
  before: DoqRequest<P> | undefined
  after: DoqRequest<P> | undefined
  holder: object | undefined

  constructor(request: Uint8Array, ticket: Ticket<P> | undefined, cancel: (slot: DoqRequest<P>) => void) {
    this.request = request
    this.ticket = ticket
    this.#cancel = cancel
  }
  get waits(): boolean {
    return this.stream === undefined
  }
  cancel(): void {
    this.#cancel(this)
  }
}

const EMPTY = Buffer.alloc(0)

/**
 * DNS over QUIC (RFC 9250) on one connection. Each query has its own stream, so none waits behind
 * another. Queries of one turn leave together. There is no 0-RTT, no resumption and no migration:
 * after a change of network a new connection is made (section 7.3).
 */
export class DoqCarrier<P extends Protection> extends LivingCarrier<P> {
  readonly idleMs = IDLE_MS
  readonly #quic: QuicConnection
  readonly #path: Pick<UdpPath, 'listen' | 'close'>
  readonly #probe: Uint8Array
  readonly #open = new LinkedSet<DoqRequest<P>>()
  readonly #unwritten = new LinkedSet<DoqRequest<P>>()
  readonly #byStream = new WeakMap<QuicStream, DoqRequest<P>>()
  readonly #cancel = (slot: DoqRequest<P>) => this.#takeBack(slot)
  readonly #turn = () => this.#work()
  #probes = 0
  /** How many queries were written. */
  #written = 0
  #scheduled = false
  /** Whether a datagram came since the last `#work`. */
  #came = false
  #timer: Timer | undefined
  /** Since when the peer allows no stream, and none has ended. */
  #blockedSinceMs: number | undefined
  #grantTimer: Timer | undefined

  constructor(established: Established<P>, quic: QuicConnection, path: Pick<UdpPath, 'listen' | 'close'>, tools: CarrierTools) {
    super(established, tools)
    this.#quic = quic
    this.#path = path
    this.#probe = tools.probe ?? ROOT_PROBE
    path.listen({
      datagram: (octets) => {
        if (this.dead) return
        quic.receive(octets)
        this.#came = true
        this.#soon()
      },
      broken: (error) => this.die(lost('the resolver accepts no datagrams', error)),
    })
    this.#soon()
  }

  get inFlight(): number {
    return this.#open.size + this.#unwritten.size - this.#probes
  }
  get waiting(): number {
    return 0
  }
  get replyUnfinished(): boolean {
    return false
  }

  send(request: Uint8Array, ticket: Ticket<P>): Sent {
    const turnedAway = this.turnedAway(ticket)
    if (turnedAway !== undefined) return turnedAway
    const slot = new DoqRequest(request, ticket, this.#cancel)
    this.#unwritten.add(slot)
    this.#soon()
    return slot
  }

  /**
   * Sends a query like any other. Its answer is dropped. A PING of QUIC would prove only that the
   * path works.
   */
  probe(): boolean {
    if (this.dead || this.inFlight === 0 || this.#probes > 0) return false
    const slot = new DoqRequest<P>(withPaddedOpt(this.#probe, { dnssecOk: false, block: 128, keepalive: false }), undefined, this.#cancel)
    this.#probes++
    this.#unwritten.add(slot)
    this.#soon()
    return true
  }

  /** Schedules one `#work` at the end of this turn, for all queries and datagrams of the turn. */
  #soon(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(this.#turn)
  }

  #work(timedOut = false): void {
    this.#scheduled = false
    if (this.dead) return
    this.#timer?.cancel()
    this.#write()
    if (this.dead) return
    this.#quic.drive()
    // Only a datagram brings replies, and only a datagram or a timer ends the connection.
    const came = this.#came
    this.#came = false
    for (const stream of came ? this.#quic.readable() : []) {
      if (this.dead) return
      const slot = this.#byStream.get(stream)
      if (slot?.holder === this.#open) this.#read(slot)
    }
    if (this.dead) return
    const ended = came || timedOut ? this.#quic.ended() : undefined
    if (ended !== undefined) {
      this.die(lost(ended.code === DOQ.excessiveLoad ? 'the resolver is overloaded' : 'the resolver closed the connection'))
      return
    }
    const timeoutMs = this.#quic.timeoutMs()
    if (timeoutMs !== undefined) this.#timer = this.clock.setTimer(timeoutMs, () => this.#work(true))
  }

  /** Opens a stream for each waiting query while the peer allows more streams. The rest waits. */
  #write(): void {
    const nowMs = this.clock.nowMs()
    for (const slot of this.#unwritten.list()) {
      if (this.#written >= MAX_QUERIES && slot.ticket !== undefined) continue
      const message = Uint8Array.from(slot.request)
      setId(message, 0)
      const stream = this.#quic.request(framed(message))
      if (stream === undefined) {
        this.#blocked(nowMs)
        return
      }
      this.#written++
      this.#blockedSinceMs = undefined
      this.#unwritten.delete(slot)
      this.#open.add(slot)
      slot.stream = stream
      this.#byStream.set(stream, slot)
      slot.sentMs = nowMs
      if (slot.ticket !== undefined) this.wrote()
    }
    if (this.#written >= MAX_QUERIES) this.#acceptNoMore()
  }

  /** The peer allows no stream now. If it stays so, the rest goes to another connection. */
  #blocked(nowMs: number): void {
    this.#blockedSinceMs ??= nowMs
    const leftMs = this.#blockedSinceMs + (this.#open.size === 0 ? GRANT_MS : BUSY_GRANT_MS) - nowMs
    this.#grantTimer?.cancel()
    if (leftMs > 0) {
      this.#grantTimer = this.clock.setTimer(leftMs, () => this.#soon())
      return
    }
    this.#acceptNoMore()
  }

  /** What is not written yet goes to another connection. */
  #acceptNoMore(): void {
    this.drain()
    for (const slot of this.#unwritten.list()) {
      if (slot.holder !== this.#unwritten) continue
      this.#settle(slot)
      slot.ticket?.failed(lost('the connection accepts no more queries'), 'unsent')
    }
    this.#rested()
  }

  #read(slot: DoqRequest<P>): void {
    const { stream } = slot
    while (stream !== undefined && slot.holder === this.#open) {
      const got = stream.read()
      if (got === 'more') return
      if (got === 'end') {
        this.#whole(slot)
        return
      }
      if (typeof got === 'number') {
        const overloaded = got === DOQ.excessiveLoad
        this.#fail(slot, new EnigmError('connection-lost', overloaded ? 'the resolver is overloaded' : 'the resolver cancelled the query'))
        return
      }
      if (slot.octets.length + got.length > MAX_MESSAGE_OCTETS + FRAME_OCTETS) {
        this.#broken()
        return
      }
      this.heard()
      slot.octets = slot.octets.length === 0 ? Buffer.from(got) : Buffer.concat([slot.octets, got])
    }
  }

  /** Reads a stream that ended. It must hold a length and one message (RFC 9250 section 4.2). */
  #whole(slot: DoqRequest<P>): void {
    const { octets } = slot
    if (octets.length < FRAME_OCTETS + MIN_MESSAGE_OCTETS || u16(octets, 0) !== octets.length - FRAME_OCTETS) {
      if (octets.length === 0) this.#fail(slot, new EnigmError('connection-lost', 'the resolver ended a stream without a reply'))
      else this.#broken()
      return
    }
    this.heard()
    const wire = octets.subarray(FRAME_OCTETS)
    if (idOf(wire) !== 0 || !isReplyTo(slot.request, wire)) {
      this.watcher.mismatch()
      this.#settle(slot)
      slot.ticket?.failed(new EnigmError('reply-mismatch', 'the answer to another question'), 'final')
    } else {
      setId(wire, idOf(slot.request))
      const rttMs = this.clock.nowMs() - slot.sentMs
      this.#settle(slot)
      slot.ticket?.answered({ wire, rttMs, protection: this.protection, reading: readReply(wire) })
    }
    this.#rested()
  }

  /** Ends the connection with DOQ_PROTOCOL_ERROR: nothing on it can be trusted. */
  #broken(): void {
    this.#code = DOQ.protocolError
    this.die(lost('the resolver broke DNS over QUIC'))
  }

  #code: number = DOQ.noError

  #fail(slot: DoqRequest<P>, error: EnigmError): void {
    this.#settle(slot)
    slot.ticket?.failed(error, 'lost')
    this.#rested()
  }

  #takeBack(slot: DoqRequest<P>): void {
    if (slot.holder !== this.#open && slot.holder !== this.#unwritten) return
    this.#settle(slot)
    this.#soon()
    this.#rested()
  }

  #rested(): void {
    if (!this.dead) this.rest()
  }

  #settle(slot: DoqRequest<P>): void {
    const wasOpen = this.#open.delete(slot)
    if (!wasOpen && !this.#unwritten.delete(slot)) return
    if (wasOpen && this.#blockedSinceMs !== undefined) {
      this.#blockedSinceMs = this.clock.nowMs()
      this.#soon()
    }
    if (slot.ticket === undefined) this.#probes--
    slot.stream?.free(DOQ.requestCancelled)
  }

  protected failAll(error: EnigmError): void {
    const slots = [...this.#open.list(), ...this.#unwritten.list()]
    for (const slot of slots) {
      const loss = slot.stream === undefined ? 'unsent' : 'lost'
      this.#open.delete(slot)
      this.#unwritten.delete(slot)
      slot.ticket?.failed(error, loss)
    }
    this.#probes = 0
  }

  protected shut(): void {
    this.#timer?.cancel()
    this.#grantTimer?.cancel()
    this.#quic.close(this.#code)
    this.#path.close()
  }
}
