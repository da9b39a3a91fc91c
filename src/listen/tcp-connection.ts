import type { Socket } from 'node:net'
import { clientOf } from '../client-shares.ts'
import type { Timer } from '../clock.ts'
import { FrameReader, framed } from '../dns/framing.ts'
import type { Client } from '../resolve.ts'
import type { BudgetedConnection } from './connection-budget.ts'
import { type InFlight, nextTurn, overloadReply } from './in-flight.ts'
import type { ListenLimits, ListenOptions } from './listener.ts'

const LONGEST = 65_535

/** What the connections of one listener share. */
export interface TcpShared {
  readonly options: ListenOptions
  readonly limits: ListenLimits
  readonly inFlight: InFlight
  /** Room for one framed answer of any size. */
  readonly scratch: Buffer
  /** Octets of answers that clients have not taken, over all connections. */
  unreadOctets: number
  /** They are too many: ends a connection of who holds the most. */
  closeMostUnread(): void
}

/**
 * One client connection (RFC 7766): queries are answered as the answers come, in any order, all
 * answers of one turn in one write. Bounded in queries being asked, in unread answers and in time.
 * What cannot be taken up at once waits in `#backlog`, which one read fills at most: nothing is
 * read while it holds anything.
 */
export class TcpConnection implements BudgetedConnection {
  readonly client: string
  readonly #socket: Socket
  readonly #client: Client
  readonly #shared: TcpShared
  readonly #reader = new FrameReader()
  #backlog: Uint8Array[] = []
  #inFlight = 0
  #queued: Uint8Array[] = []
  #unreadOctets = 0
  #flushing = false
  /** No further query is read: the client is done (FIN) or sent a broken frame, or we are done. */
  #ended = false
  /** We are to end: what has come by now is still taken. */
  #windingUp = false
  #reads = 0
  /** Queries of this turn of the event loop that are not answered from memory. */
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

  /**
   * Nothing is being asked or waits to be taken: closing it costs the client nothing but a new
   * connection.
   */
  get idle(): boolean {
    return this.#inFlight === 0 && this.#backlog.length === 0 && this.#unreadOctets === 0
  }

  /** Octets of answers that the client has not taken. */
  get unreadOctets(): number {
    return this.#unreadOctets
  }

  /** When the client last sent a whole query or took an answer (clock time). */
  get progressMs(): number {
    return this.#progressMs
  }

  /** Takes what the client has sent by now, answers it, then closes. */
  windUp(): void {
    this.#windingUp = true
    this.#finishWhenQuiet()
  }

  /** A connection that is not read now is looked at again when it is (`#advance`). */
  #finishWhenQuiet(): void {
    if (this.#ended || this.#socket.isPaused()) return
    const reads = this.#reads
    void nextTurn().then(() => {
      if (this.#reads === reads && !this.#socket.isPaused()) this.finish()
      else this.#finishWhenQuiet()
    })
  }

  /** Reads no more, answers what is under way, then closes. */
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
    // After the end what still comes is read and dropped: closing over unread octets would be a
    // reset, and cost the client its last answers.
    if (this.#ended) return
    this.#reads++
    // Behind a broken length nothing can be read. What came before it is answered.
    if (!this.#reader.push(chunk, this.#take)) this.#ended = true
    this.#advance()
  }

  readonly #take = (frame: Uint8Array): void => {
    this.#progressMs = this.#shared.options.clock.nowMs()
    if (this.#hasRoom()) this.#answer(frame)
    else this.#backlog.push(Buffer.from(frame))
  }

  /**
   * One that sends without end and is refused at once gets no more of a turn than one that waits:
   * the others have theirs in between.
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
    let length = options.responder.now(frame, 0, frame.length, scratch, 2, LONGEST, this.#client.view)
    if (length === 0 && inFlight.full) length = overloadReply(frame, scratch, 2)
    else if (length === 0) {
      this.#ask()
      return
    }
    if (length === 0) return
    scratch.writeUInt16BE(length, 0)
    this.#queue(Buffer.from(scratch.subarray(0, length + 2)))
  }

  /** Asks for what the responder has just looked at. */
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
      // Within the call somebody is at it already.
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
    // After the microtasks: every answer that settles in this turn goes out in one write.
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

  /** Takes up what waited, then reads on, waits, or ends. */
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
    // While we owe an answer and the client takes them, it is we who are slow.
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
