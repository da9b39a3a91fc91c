import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import { UDP_SIZE } from '../dns/edns.ts'
import { copyOf, put, viewOf } from '../dns/octets.ts'
import type { Client, View } from '../resolve.ts'
import { InFlight, overloadReply } from './in-flight.ts'
import { type DatagramCalls, type Listener, type ListenOptions, sparseFaults } from './listener.ts'
import { ClientAddresses, MessageRing, SocketNames } from './message-ring.ts'
import { isLocal } from './reply-rate.ts'
import { growBuffers, inFlightLimit, listenUdp, literalLookup, packetHandler } from './udp.ts'

/**
 * Messages per call. Between 32 and 256 no difference was measured; fewer than 32 cost time.
 */
const SLOTS = 64
/**
 * No honest query is nearly as long. The kernel cuts longer ones, and they get no reply. These are
 * 33 cache lines of the CPU. With 32, all slots would begin in the same two sets of its L1 cache,
 * and evict each other.
 */
const QUERY_OCTETS = 2112
/**
 * Calls in a row before other sockets get their turn: about 5 ms if the cache answers every
 * message.
 */
const MAX_ROUNDS = 16
/** The most messages that one `readWaiting` reads. */
export const MOST_READ = SLOTS * MAX_ROUNDS

/** The dependencies of a batch. */
export interface BatchParts {
  readonly options: ListenOptions
  readonly calls: DatagramCalls
  readonly fd: number
  readonly v6: boolean
  readonly inFlight: InFlight
  readonly shutdown: { readonly closing: boolean }
}

/**
 * The rings of one socket, and the processing between them. One system call reads many messages,
 * and one sends many replies.
 */
export class Batch {
  readonly #parts: BatchParts
  readonly #in: MessageRing
  readonly #out: MessageRing
  readonly #late: MessageRing
  readonly #clientAddresses: ClientAddresses
  readonly #socketNames: SocketNames
  #replies = 0
  #lateCount = 0
  readonly #flushInTurn = () => this.flush()
  #flushing = false
  #ended = false
  /**
   * The last client that was looked up, and its view (undefined if it is not allowed). Reset to ''
   * after each batch, so that the next batch uses the reloaded settings.
   */
  #client = ''
  #view: View | undefined
  /** The client is on another host, and replies to it are limited. */
  #paced = false

  constructor(parts: BatchParts) {
    this.#parts = parts
    this.#in = new MessageRing(parts.calls, SLOTS, QUERY_OCTETS)
    this.#out = new MessageRing(parts.calls, SLOTS, UDP_SIZE)
    this.#late = new MessageRing(parts.calls, SLOTS, UDP_SIZE)
    this.#clientAddresses = new ClientAddresses(parts.v6)
    this.#socketNames = new SocketNames(parts.calls)
  }

  /**
   * Stops all reading and sending. The descriptor will be closed, and its number may be reused.
   */
  end(): void {
    this.#ended = true
  }

  /**
   * Answers one message that dgram delivered. A reply that is known now is sent with the next
   * `readWaiting` or `send`; a later one, by `flush`.
   */
  take(packet: Uint8Array, address: string, port: number): void {
    if (this.#parts.shutdown.closing || this.#ended) return
    const view = this.#viewOf(address)
    if (view === undefined) return
    const out = this.#out
    const at = out.startOf(this.#replies)
    const length = this.#reply(packet, 0, packet.length, at, view)
    const name = this.#socketNames.of(address, port)
    if (length > 0) out.addressTo(this.#replies++, length, name)
    else if (length < 0) this.#later({ address, transport: 'udp', view }, copyOf(name))
  }

  /** Reads and answers the waiting messages; returns their number. */
  readWaiting(): number {
    let total = 0
    for (let round = 0; round < MAX_ROUNDS && !this.#ended; round++) {
      const count = this.#parts.calls.receive(this.#parts.fd, this.#in.headers, SLOTS - this.#replies)
      if (count === 0) break
      total += count
      const more = count === SLOTS - this.#replies
      this.#answer(count)
      if (!more) break
    }
    this.send()
    return total
  }

  /**
   * Sends the replies that were written. Replies that the kernel does not accept now are lost, as
   * on a congested network: clients ask again.
   */
  send(): void {
    if (this.#replies > 0) this.#sendAll(this.#out, this.#replies)
    this.#replies = 0
    this.#client = ''
  }

  #answer(count: number): void {
    if (this.#parts.shutdown.closing) return
    const { data } = this.#in
    for (let i = 0; i < count; i++) {
      const octets = this.#in.lengthOf(i)
      const client = this.#clientAddresses.textOf(this.#in, i)
      const view = octets === 0 || client === '' ? undefined : this.#viewOf(client)
      if (view === undefined) continue
      const start = this.#in.startOf(i)
      const length = this.#reply(data, start, start + octets, this.#out.startOf(this.#replies), view)
      if (length > 0) this.#out.address(this.#replies++, length, this.#in, i)
      else if (length < 0) this.#later({ address: client, transport: 'udp', view }, this.#in.keepName(i))
    }
    this.send()
  }

  #viewOf(client: string): View | undefined {
    if (client !== this.#client) {
      this.#client = client
      this.#view = this.#parts.options.allowed(client) ? this.#parts.options.view(client) : undefined
      this.#paced = this.#parts.options.replyRate !== undefined && !isLocal(client)
    }
    return this.#view
  }

  /**
   * Writes the reply if it is known now. Returns its length. 0: no reply, because of a limit. -1:
   * call `responder.later`.
   */
  #reply(packet: Uint8Array, start: number, end: number, at: number, view: View): number {
    const { options, inFlight } = this.#parts
    const { queryRate } = options
    if (queryRate !== undefined && queryRate.perSecond > 0) {
      const refused = queryRate.limitedReply(this.#client, options.clock.nowMs(), viewOf(packet, start, end), this.#out.data, at)
      if (refused !== undefined) return refused
    }
    if (this.#paced) {
      const { replyRate, clock } = options
      const instead = replyRate?.limitedReply(this.#client, clock.nowMs(), viewOf(packet, start, end), this.#out.data, at)
      if (instead !== undefined) return instead
    }
    const length = options.responder.now(packet, start, end, this.#out.data, at, UDP_SIZE, view)
    if (length > 0) return length
    return inFlight.full ? overloadReply(viewOf(packet, start, end), this.#out.data, at) : -1
  }

  /**
   * Asks the question of the last `responder.now`, which the responder keeps: no other call may
   * come between.
   */
  #later(client: Client, name: Uint8Array): void {
    const { options, inFlight } = this.#parts
    inFlight.enter()
    options.responder.later(client, (octets, length) => {
      if (length > 0) this.#queue(octets, length, name)
      inFlight.leave()
    })
  }

  #queue(octets: Uint8Array, length: number, name: Uint8Array): void {
    if (this.#ended) return
    if (this.#lateCount === SLOTS) this.flush()
    put(this.#late.data, this.#late.startOf(this.#lateCount), octets, 0, length)
    this.#late.addressTo(this.#lateCount++, length, name)
    if (this.#flushing) return
    this.#flushing = true
    setImmediate(this.#flushInTurn)
  }

  /** Sends the replies that `later` gave. */
  flush(): void {
    this.#flushing = false
    if (this.#lateCount === 0 || this.#ended) return
    this.#sendAll(this.#late, this.#lateCount)
    this.#lateCount = 0
  }

  /**
   * A message that the kernel refuses (no route, a firewall) ends the call. It is skipped, and
   * the messages after it, which belong to other clients, are sent with another call.
   */
  #sendAll(ring: MessageRing, count: number): void {
    const { calls, fd } = this.#parts
    for (let at = calls.send(fd, ring.headers, count) + 1; at < count; at++) at += calls.send(fd, ring.headersFrom(at), count - at)
  }
}

/**
 * If one `readWaiting` read this many messages, more are likely: the next packet starts another
 * one, even if it is the first of its turn.
 */
const BUSY_READ = 8

/**
 * Like listenUdp, but with many messages per system call. libuv watches the socket and delivers the
 * first message. A second one in the same turn of the event loop means that more wait, and they are
 * read and answered in batches. Replies are sent by our own call, because dgram's costs 4 us more.
 * Only replies to addresses with a zone use dgram.
 */
export async function listenUdpBatch(
  options: ListenOptions,
  calls: DatagramCalls,
  inFlight = new InFlight(inFlightLimit(options)),
): Promise<Listener> {
  const { address, clock, drainMs, inheritedFd } = options
  // dgram closes the descriptor that it reads; for an inherited socket the batch keeps a duplicate.
  const read = inheritedFd === undefined ? calls.open(address, options.port, options.reusePort === true) : calls.share(inheritedFd)
  const fd = inheritedFd === undefined ? read : calls.share(inheritedFd)
  const v6 = isIPv6(address)
  const socket = createSocket({ type: v6 ? 'udp6' : 'udp4', lookup: literalLookup })
  const shutdown = { closing: false }
  const batch = new Batch({ options, calls, fd, v6, inFlight, shutdown })
  socket.on('message', readBursts(batch, packetHandler(socket, options, inFlight, shutdown)))
  const port = await adoptSocket(socket, read, options)
  growBuffers(socket)
  const closeSocket = () => new Promise<void>((resolve) => socket.close(resolve))

  let closed: Promise<void> | undefined
  const close = async () => {
    // First read what already waits. Clients sent it before this socket began to close, and with
    // several workers this thread may have had no turn yet.
    for (const untilMs = clock.nowMs() + drainMs / 2; batch.readWaiting() >= MOST_READ && clock.nowMs() < untilMs; );
    shutdown.closing = true
    await inFlight.drained(clock, drainMs)
    batch.flush()
    batch.end()
    await closeSocket()
  }
  /**
   * Nothing more is read. Our descriptors are closed, but the kernel's socket stays open for the
   * next process (`inheritedFd`), and messages wait in it.
   */
  const leave = async () => {
    await closeSocket()
    await inFlight.drained(clock, drainMs)
    shutdown.closing = true
    batch.flush()
    batch.end()
    calls.close(fd)
  }
  return {
    address,
    port,
    transport: 'udp',
    inheritedFd,
    close() {
      closed ??= inheritedFd === undefined ? close() : leave()
      return closed
    },
  }
}

/**
 * Handles the packets of dgram: answers a single one immediately, and in a burst reads all that
 * wait. `handleZoned` handles packets from addresses with a zone.
 */
function readBursts(batch: Batch, handleZoned: (packet: Buffer, from: RemoteInfo) => void): (packet: Buffer, from: RemoteInfo) => void {
  let thisTurn = 0
  let busy = false
  const nextTurn = () => {
    thisTurn = 0
  }
  return (packet, from) => {
    if (thisTurn++ === 0) setImmediate(nextTurn)
    if (from.address.includes('%')) handleZoned(packet, from)
    // Port 0 can be forged, and a reply to it is impossible.
    else if (from.port !== 0) batch.take(packet, from.address, from.port)
    if (busy || thisTurn > 1) busy = batch.readWaiting() >= BUSY_READ
    else batch.send()
  }
}

function adoptSocket(socket: Socket, fd: number, options: ListenOptions): Promise<number> {
  const fault = sparseFaults(options, 'listen/udp')
  return new Promise((resolve, reject) => {
    socket.once('error', reject)
    socket.bind({ fd, exclusive: true }, () => {
      socket.off('error', reject)
      socket.on('error', (error: NodeJS.ErrnoException) => {
        if (error.code !== 'ECONNREFUSED') fault()
      })
      resolve(socket.address().port)
    })
  })
}

/**
 * Opens UDP on one address, with many datagrams per call if the system calls are given. A
 * link-local address (with its zone) always uses dgram.
 */
export function openUdp(options: ListenOptions, inFlight = new InFlight(inFlightLimit(options))): Promise<Listener> {
  const calls = options.address.includes('%') ? undefined : options.datagramCalls
  return calls === undefined ? listenUdp(options, inFlight) : listenUdpBatch(options, calls, inFlight)
}
