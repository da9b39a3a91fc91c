import type { Socket } from 'node:net'
import { clientOf } from '../client-shares.ts'
import type { Timer } from '../clock.ts'
import { FrameReader, framed } from '../dns/framing.ts'
import type { Client } from '../resolve.ts'
import type { BudgetedConnection } from './connection-budget.ts'
import { type InFlight, nextTurn, overloadReply } from './in-flight.ts'
import type { ListenLimits, ListenOptions } from './listener.ts'

const LONGEST = 65_535

/** State that the connections of one listener share. */
export interface TcpShared {
  readonly options: ListenOptions
  readonly limits: ListenLimits
  readonly inFlight: InFlight
  /** Scratch buffer with room for one framed answer of any size. */
  readonly scratch: Buffer
  /** Octets of answers that clients have not accepted, over all connections. */
  unreadOctets: number
  /** Called when that number is too high: ends a connection of the client that holds the most. */
  closeMostUnread(): void
}

/**
 * One client connection (RFC 7766). Answers are sent as they come, in any order; all answers of one
 * turn go out in one write. Queries in progress, unread answers and time are limited. Queries that
 * cannot be processed at once wait in `#backlog`, which holds at most one read: nothing is read
 * while it is not empty.
 */
export class TcpConnection implements BudgetedConnection {
  readonly client: string
  readonly #socket: Socket
  #client: Client
  readonly #shared: TcpShared
  readonly #reader = new FrameReader()
  #backlog: Uint8Array[] = []
  #inFlight = 0
  #queued: Uint8Array[] = []
  #unreadOctets = 0
  #flushing = false
  /**
   * No further query is read: the client has finished (FIN) or sent an invalid frame, or we close.
   */
  #ended = false
  /** The listener closes: data that has arrived is still processed. */
  #windingUp = false
  #reads = 0
  /** Queries of this turn of the event loop that could not be answered from memory. */
  #askedNow = 0
  #progressMs: number
  #timer: Timer

  constructor(socket: Socket, address: string, shared: TcpShared) {
    this.#socket = socket
    this.client = clientOf(address)
    this.#client = { address, transport: 'tcp', view: shared.options.view(address) }
    this.#shared = shared
    this.#progressMs = shared.options.clock.nowMs()
    this.#timer = shared.options.clock.setTimer(shared.limits.idleMs, this.#checkIdle)
    socket.on('data', this.#receive)
    socket.on('end', this.finish)
    socket.on('close', this.#release)
  }

  /** No query is in progress or waits: if it is closed, the client only has to connect again. */
  get idle(): boolean {
    return this.#inFlight === 0 && this.#backlog.length === 0 && this.#unreadOctets === 0
  }

  /** Octets of answers that the client has not accepted. */
  get unreadOctets(): number {
    return this.#unreadOctets
  }

  /** When the client last sent a complete query or accepted an answer (clock time). */
  get progressMs(): number {
    return this.#progressMs
  }

  /** Processes what the client has sent so far, answers it, then closes. */
  windUp(): void {
    this.#windingUp = true
    this.#finishWhenQuiet()
  }

  /** A connection that is not read now is checked again when reading resumes (`#advance`). */
  #finishWhenQuiet(): void {
    if (this.#ended || this.#socket.isPaused()) return
    const reads = this.#reads
    void nextTurn().then(() => {
      if (this.#reads === reads && !this.#socket.isPaused()) this.finish()
      else this.#finishWhenQuiet()
    })
  }

  /** Stops reading, answers the queries in progress, then closes. */
  readonly finish = (): void => {
    this.#ended = true
    this.#advance()
  }

  /** Closes at once. */
  destroy(): void {
    this.#socket.destroy()
    this.#release()
  }

  readonly #receive = (chunk: Buffer): void => {
    // After the end, further data is read and dropped: a close with unread octets would be a reset,
    // and could cost the client its last answers.
    if (this.#ended) return
    this.#reads++
    // After an invalid length nothing can be read. Queries before it are answered.
    if (!this.#reader.push(chunk, this.#take)) this.#ended = true
    this.#advance()
  }

  readonly #take = (frame: Uint8Array): void => {
    this.#progressMs = this.#shared.options.clock.nowMs()
    if (this.#hasRoom()) this.#answer(frame)
    else this.#backlog.push(Buffer.from(frame))
  }

  /**
   * A client that sends without end and is refused at once gets no larger share of a turn than one
   * that waits, so that other clients get theirs.
   */
  #hasRoom(): boolean {
    const { inFlightPerConnection: most, unreadOctets } = this.#shared.limits
    return this.#inFlight < most && this.#askedNow < most && this.#unreadOctets <= unreadOctets && !this.#socket.destroyed
  }

  readonly #nextTurn = (): void => {
    this.#askedNow = 0
    this.#advance()
  }

  #answer(frame: Uint8Array): void {
    const { options, scratch, inFlight } = this.#shared
    // Looked up for each query: a reload may have changed it since the client connected.
    const view = options.view(this.#client.address)
    if (view !== this.#client.view) this.#client = { ...this.#client, view }
    const refused = options.queryRate?.limitedReply(this.#client.address, this.#progressMs, frame, scratch, 2)
    let length = refused ?? options.responder.now(frame, 0, frame.length, scratch, 2, LONGEST, view)
    if (refused === 0) return
    if (length === 0 && inFlight.full) length = overloadReply(frame, scratch, 2)
    else if (length === 0) {
      this.#ask()
      return
    }
    if (length === 0) return
    scratch.writeUInt16BE(length, 0)
    this.#queue(Buffer.from(scratch.subarray(0, length + 2)))
  }

  /** Asks the question that the responder has just parsed. */
  #ask(): void {
    const { options, inFlight } = this.#shared
    inFlight.enter()
    this.#inFlight++
    if (this.#askedNow++ === 0) setImmediate(this.#nextTurn)
    let inCall = true
    options.responder.later(this.#client, (octets, length) => {
      this.#inFlight--
      inFlight.leave()
      if (this.#socket.destroyed) return
      if (length > 0) this.#queue(framed(octets.subarray(0, length)))
      // During the call the caller continues anyway.
      if (!inCall) this.#advance()
    })
    inCall = false
  }

  #queue(frame: Uint8Array): void {
    const shared = this.#shared
    this.#queued.push(frame)
    this.#unreadOctets += frame.length
    shared.unreadOctets += frame.length
    if (shared.unreadOctets > shared.limits.totalUnreadOctets) shared.closeMostUnread()
    if (this.#flushing) return
    this.#flushing = true
    // Runs after the microtasks: every answer of this turn goes out in one write.
    process.nextTick(this.#flush)
  }

  readonly #flush = (): void => {
    this.#flushing = false
    const frames = this.#queued
    this.#queued = []
    if (this.#socket.destroyed) return
    const joined = frames.length === 1 && frames[0] !== undefined ? frames[0] : Buffer.concat(frames)
    this.#socket.write(joined, (error) => {
      if (!error) this.#taken(joined.length)
    })
  }

  #taken(octets: number): void {
    if (this.#socket.destroyed) return
    this.#unreadOctets -= octets
    this.#shared.unreadOctets -= octets
    this.#progressMs = this.#shared.options.clock.nowMs()
    this.#advance()
  }

  /** Processes the backlog, then continues to read, waits, or ends. */
  #advance(): void {
    if (this.#socket.destroyed) return
    let next = 0
    for (; next < this.#backlog.length && this.#hasRoom(); next++) this.#answer(this.#backlog[next] ?? new Uint8Array(0))
    if (next > 0) this.#backlog = this.#backlog.slice(next)
    if (this.#ended) this.#endWhenDone()
    else if (this.#backlog.length > 0 || !this.#hasRoom()) this.#socket.pause()
    else if (this.#socket.isPaused()) {
      this.#socket.resume()
      if (this.#windingUp) this.#finishWhenQuiet()
    }
  }

  #endWhenDone(): void {
    if (this.#socket.isPaused()) this.#socket.resume()
    if (this.idle && !this.#socket.writableEnded) this.#socket.end(() => this.destroy())
  }

  readonly #checkIdle = (): void => {
    const { options, limits } = this.#shared
    // If a query is in progress and the client accepts its answers, the delay is ours.
    const waitsForUs = this.#inFlight > 0 && this.#unreadOctets === 0
    const quietMs = waitsForUs ? 0 : options.clock.nowMs() - this.#progressMs
    if (quietMs >= limits.idleMs) this.destroy()
    else this.#timer = options.clock.setTimer(limits.idleMs - quietMs, this.#checkIdle)
  }

  readonly #release = (): void => {
    this.#timer.cancel()
    this.#shared.unreadOctets -= this.#unreadOctets
    this.#unreadOctets = 0
    this.#backlog = []
    this.#queued = []
  }
}
