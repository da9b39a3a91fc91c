import type { Clock } from '../../../clock.ts'
import { NumberTable } from '../../../containers.ts'
import { EnigmError } from '../../../errors.ts'
import type { Protection } from '../../../resolve.ts'
import { type Loss, lost } from '../carrier.ts'
import { headFault } from '../doh-message.ts'
import { heldBack, TurnQueue } from '../turn-queue.ts'
import { FLAG, H2, MAX_31_BITS } from './codes.ts'
import type { FrameSink, Patience } from './frames.ts'
import { HeadReader } from './heads.ts'
import type { Outbox } from './outbox.ts'
import type { Sender } from './sender.ts'
import { DataWindows, ResetStreams, type Stream } from './stream.ts'

/** What the streams of a connection depend on. */
export interface StreamTools<P extends Protection> {
  /** The protection of the connection. */
  readonly protection: P
  readonly clock: Clock
  readonly patience: Patience
  readonly out: Outbox
  readonly sender: Sender
  readonly lastStreamId: number
  /** The media type of an answer. */
  readonly mediaType: string
  /** The peer is alive: a response began or ended, or a PING was answered. */
  heard(): void
  /** A reply came that matches no request. */
  mismatch(): void
  /** The peer accepts no more requests. */
  drain(): void
  /** The peer ended the connection. */
  ended(): void
  /** A stream ended. It may be the last one. */
  rest(): void
}

/** How often a request that the peer refused is queued again on the same connection. */
const MAX_REQUEUED = 3

/** The streams of one connection (waiting, open and reset), and the handlers of received frames. */
export class Streams<P extends Protection = Protection> implements FrameSink {
  readonly #tools: StreamTools<P>
  readonly #heads: HeadReader
  readonly #windows: DataWindows
  readonly #open = new NumberTable<Stream<P>>()
  readonly #queue = new TurnQueue<Stream<P>>()
  readonly #resets = new ResetStreams()
  #nextId = 1
  #goawayId = MAX_31_BITS
  /** The highest stream that was answered. */
  #answeredId = 0
  #nowMs = 0
  draining = false

  constructor(tools: StreamTools<P>) {
    this.#tools = tools
    this.#heads = new HeadReader(tools.mediaType)
    this.#windows = new DataWindows(tools.out)
  }

  get inFlight(): number {
    return this.#open.size + this.#queue.size
  }
  get waiting(): number {
    return this.#queue.size
  }

  add(stream: Stream<P>): void {
    this.#queue.add(stream, stream.ticket.givesWay === true)
  }

  /** Opens as many streams as the peer allows. Returns whether any was opened. */
  pump(): boolean {
    if (this.#queue.size === 0) return false
    const { sender, clock, lastStreamId } = this.#tools
    const before = this.#nextId
    const nowMs = clock.nowMs()
    const { maxStreams } = sender
    while (sender.open && this.#nextId <= lastStreamId) {
      const stream = this.#queue.next(maxStreams - this.#open.size, heldBack(maxStreams))
      if (stream === undefined) break
      this.#open.set(this.#nextId, stream)
      stream.sentMs = nowMs
      sender.start(stream, this.#nextId)
      this.#nextId += 2
    }
    if (this.#nextId > lastStreamId) this.#drain()
    return this.#nextId !== before
  }

  /** Cancels a request. Returns whether there is something to write. */
  cancel(stream: Stream<P>): boolean {
    if (!this.#forget(stream)) return false
    if (stream.id !== 0) this.#giveUp(stream.id, H2.cancel)
    this.#tools.rest()
    return stream.id !== 0
  }

  /** The connection is dead. */
  failAll(error: EnigmError): void {
    const open = this.#open.list()
    const queued = this.#queue.all()
    this.#open.clear()
    this.#queue.clear()
    this.draining = true
    for (const { ticket } of open) ticket.failed(error, 'lost')
    for (const { ticket } of queued) ticket.failed(error, 'unsent')
  }

  onSettings(octets: Uint8Array, start: number, end: number): number {
    return this.#tools.sender.settings(octets, start, end, this.#open.list())
  }

  onPing(octets: Uint8Array, start: number): void {
    this.#tools.out.ping(FLAG.ack, octets, start)
  }

  onPong(): void {
    this.#heard()
  }

  /**
   * Handles GOAWAY. Streams above `lastStreamId` were not processed. The others may still be
   * answered (RFC 9113 section 6.8), unless GOAWAY reports an error. If it denies a stream that was
   * answered, it says nothing about the others either: one of them may be its cause.
   */
  onGoaway(lastStreamId: number, code: number): number {
    if (lastStreamId > this.#goawayId) return H2.protocol
    this.#goawayId = lastStreamId
    const loss = lastStreamId < this.#answeredId ? 'denied' : 'refused'
    this.#drain()
    for (const stream of this.#open.list()) {
      if (stream.id > lastStreamId) this.#settle(stream, lost('the resolver is going away'), loss)
    }
    if (code !== H2.none) this.#tools.ended()
    return H2.none
  }

  onReset(streamId: number, code: number): number {
    const stream = this.#open.get(streamId)
    if (stream === undefined) {
      if (this.#isIdle(streamId)) return H2.protocol
      this.#resets.delete(streamId)
      return this.#tools.patience.spend()
    }
    if (code !== H2.refusedStream) this.#settle(stream, lost(`the stream was reset (${code})`), 'lost')
    else if (this.draining || stream.requeued >= MAX_REQUEUED) this.#settle(stream, lost('the stream was refused'), 'refused')
    else this.#requeue(stream)
    return H2.none
  }

  onWindowUpdate(streamId: number, increment: number): number {
    if (streamId === 0) return this.#tools.sender.widen(increment)
    const stream = this.#open.get(streamId)
    if (stream === undefined) return this.#isIdle(streamId) ? H2.protocol : H2.none
    const code = this.#tools.sender.widenStream(stream, increment)
    return code === H2.none ? code : this.#reset(stream, code, lost('a window out of range'), 'lost')
  }

  onHeaders(streamId: number, octets: Uint8Array, start: number, end: number, endStream: boolean): number {
    const head = this.#heads.read(octets, start, end)
    if (head === 'compression') return H2.compression
    const stream = this.#open.get(streamId)
    if (stream === undefined) return this.#stray(streamId, endStream)
    if (typeof head === 'string' || !stream.expects(head.status, endStream)) return this.#malformed(stream)
    if (head.status >= 100 && head.status < 200) return this.#tools.patience.spend()
    if (head.status !== 0) {
      stream.head = head
      this.#heard()
      const fault = head.usable ? undefined : headFault(head.status, head.headers, this.#tools.mediaType, endStream)
      if (fault !== undefined && stream.judgedByBody(head, endStream)) stream.fault = fault
      else if (fault !== undefined) return this.#refuse(stream, fault, endStream)
    }
    return endStream ? this.#finish(stream) : H2.none
  }

  onData(streamId: number, octets: Uint8Array, start: number, end: number, flowOctets: number, endStream: boolean): number {
    const code = this.#windows.received(flowOctets)
    if (code !== H2.none) return code
    const stream = this.#open.get(streamId)
    if (stream === undefined) return this.#stray(streamId, endStream)
    if (stream.head === undefined) return this.#malformed(stream)
    if (!this.#windows.fits(stream, flowOctets)) return this.#reset(stream, H2.flowControl, lost('more than the window allows'), 'lost')
    if (stream.fault !== undefined && end > start) return this.#refuse(stream, stream.fault, endStream)
    if (!stream.take(octets, start, end)) {
      return this.#refuse(stream, new EnigmError('http-size', 'longer than a DNS message can be'), endStream)
    }
    return endStream ? this.#finish(stream) : H2.none
  }

  onChunk(): void {
    this.#nowMs = 0
  }

  /** Reports a sign of life, once per chunk: the clock is read once for all its replies. */
  #heard(): void {
    if (this.#nowMs !== 0) return
    this.#nowMs = this.#tools.clock.nowMs()
    this.#tools.heard()
  }

  /** The response is complete. */
  #finish(stream: Stream<P>): number {
    if (!stream.complete) return this.#malformed(stream)
    const wire = stream.reply()
    if (wire instanceof EnigmError) {
      if (wire.code === 'reply-mismatch') this.#tools.mismatch()
      return this.#refuse(stream, wire, true)
    }
    this.#tools.patience.earn()
    if (stream.id > this.#answeredId) this.#answeredId = stream.id
    this.#ended(stream)
    this.#heard()
    const cameMs = this.#nowMs
    const rttMs = cameMs - stream.sentMs
    const ageS = stream.head?.ageS
    const { protection } = this.#tools
    stream.ticket.answered(ageS === undefined ? { wire, rttMs, cameMs, protection } : { wire, rttMs, cameMs, protection, ageS })
    this.#tools.rest()
    return H2.none
  }

  /**
   * Handles a frame for a stream that is not open (RFC 9113 section 5.1). It is ignored if we reset
   * the stream; otherwise it is an error.
   */
  #stray(streamId: number, endStream: boolean): number {
    if (this.#isIdle(streamId)) return H2.protocol
    return this.#resets.has(streamId, endStream) ? this.#tools.patience.spend() : H2.streamClosed
  }

  #isIdle(streamId: number): boolean {
    return streamId % 2 === 0 || streamId >= this.#nextId
  }

  #malformed(stream: Stream<P>): number {
    return this.#reset(stream, H2.protocol, lost('a malformed response'), 'lost')
  }

  #refuse(stream: Stream<P>, fault: EnigmError, ended: boolean): number {
    if (!ended) return this.#reset(stream, H2.cancel, fault, 'final')
    this.#ended(stream)
    stream.ticket.failed(fault, 'final')
    this.#tools.rest()
    return H2.none
  }

  /** Resets one stream because of an error of the peer. This costs patience. */
  #reset(stream: Stream<P>, code: number, error: EnigmError, loss: Loss): number {
    this.#giveUp(stream.id, code)
    this.#settle(stream, error, loss)
    return this.#tools.patience.spend()
  }

  #giveUp(streamId: number, code: number): void {
    this.#tools.out.rstStream(streamId, code)
    this.#resets.add(streamId)
  }

  #requeue(stream: Stream<P>): void {
    this.#forget(stream)
    stream.rewind()
    stream.requeued++
    this.#queue.add(stream, stream.ticket.givesWay === true)
  }

  #settle(stream: Stream<P>, error: EnigmError, loss: Loss): void {
    if (this.#forget(stream)) stream.ticket.failed(error, loss)
    this.#tools.rest()
  }

  /**
   * The peer ended the stream. If part of the request was not sent yet, it is not sent (RFC 9113
   * section 8.1).
   */
  #ended(stream: Stream<P>): void {
    this.#open.delete(stream.id)
    if (this.#tools.sender.forget(stream)) this.#tools.out.rstStream(stream.id, H2.cancel)
  }

  #forget(stream: Stream<P>): boolean {
    if (this.#queue.delete(stream)) return true
    if (this.#open.get(stream.id) !== stream) return false
    this.#tools.sender.forget(stream)
    return this.#open.delete(stream.id)
  }

  /** Accepts no more requests. Those in the queue are sent on another connection. */
  #drain(): void {
    if (this.draining) return
    this.draining = true
    this.#tools.drain()
    for (const stream of this.#queue.all()) this.#settle(stream, lost('the connection accepts no more queries'), 'unsent')
  }
}
