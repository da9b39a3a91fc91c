import { UDP_SIZE } from '../dns/edns.ts'
import { copyOf, put, viewOf } from '../dns/octets.ts'
import type { Client, View } from '../resolve.ts'
import type { DatagramCalls } from './datagram-calls.ts'
import type { InFlight } from './in-flight.ts'
import type { ListenOptions } from './listener.ts'
import { MessageRing } from './message-ring.ts'
import { overloadReply } from './overload.ts'
import { isLocal } from './reply-rate.ts'
import { ClientAddresses, SocketNames } from './sender.ts'

/** Messages a call: more gains nothing (measured: 32 to 256 differ by less than the noise), fewer costs. */
const SLOTS = 64
/** No honest query comes near it; what is longer is cut by the kernel and gets no reply. 33 cache lines: at 32 the slots would share two sets of the first cache. */
const QUERY_OCTETS = 2112
/** Calls in a row before other sockets get their turn: about 2 ms of hits. */
const MAX_ROUNDS = 16
/** What one `drain` takes at most. */
export const MOST_DRAINED = SLOTS * MAX_ROUNDS

/** What a batch works with. */
export interface BatchParts {
  readonly options: ListenOptions
  readonly calls: DatagramCalls
  readonly fd: number
  readonly v6: boolean
  readonly inFlight: InFlight
  readonly shutdown: { readonly closing: boolean }
}

/** The rings of one socket and what happens between them: many messages in, many replies out, each with one system call. */
export class Batch {
  readonly #o: BatchParts
  readonly #in: MessageRing
  readonly #out: MessageRing
  readonly #late: MessageRing
  readonly #clientAddresses: ClientAddresses
  readonly #socketNames: SocketNames
  #replies = 0
  #lateCount = 0
  readonly #turn = () => this.flush()
  #flushing = false
  #ended = false
  /** The last client that was looked up, and its view, undefined where it may not ask; '' at the start of each batch, so that a reload is heeded. */
  #client = ''
  #view: View | undefined
  /** The client is on another host, and there is a bound to what it is sent. */
  #paced = false

  constructor(parts: BatchParts) {
    this.#o = parts
    this.#in = new MessageRing(parts.calls, SLOTS, QUERY_OCTETS)
    this.#out = new MessageRing(parts.calls, SLOTS, UDP_SIZE)
    this.#late = new MessageRing(parts.calls, SLOTS, UDP_SIZE)
    this.#clientAddresses = new ClientAddresses(parts.v6)
    this.#socketNames = new SocketNames(parts.calls)
  }

  /** The descriptor is somebody else's from here on. */
  end(): void {
    this.#ended = true
  }

  /** Answers one message that came another way; its reply leaves with the next `drain` or `send`. */
  take(packet: Uint8Array, address: string, port: number): void {
    if (this.#o.shutdown.closing || this.#ended) return
    const view = this.#viewOf(address)
    if (view === undefined) return
    const out = this.#out
    const at = out.startOf(this.#replies)
    const length = this.#reply(packet, 0, packet.length, at, view)
    const name = this.#socketNames.of(address, port)
    if (length > 0) out.addressTo(this.#replies++, length, name)
    else if (length < 0) this.#later({ address, transport: 'udp', view }, copyOf(name))
  }

  /** Fetches and answers what waits; how many there were. */
  drain(): number {
    let total = 0
    for (let round = 0; round < MAX_ROUNDS && !this.#ended; round++) {
      const count = this.#o.calls.receive(this.#o.fd, this.#in.headers, SLOTS - this.#replies)
      if (count === 0) break
      total += count
      const more = count === SLOTS - this.#replies
      this.#answer(count)
      if (!more) break
    }
    this.send()
    return total
  }

  /** Sends the replies that are written. What the kernel does not take now is lost, as on a full network: clients ask again. */
  send(): void {
    if (this.#replies > 0) this.#sendAll(this.#out, this.#replies)
    this.#replies = 0
    this.#client = ''
  }

  #answer(count: number): void {
    if (this.#o.shutdown.closing) return
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
      this.#view = this.#o.options.allowed(client) ? this.#o.options.view(client) : undefined
      this.#paced = this.#o.options.replyRate !== undefined && !isLocal(client)
    }
    return this.#view
  }

  /** Writes the reply that there is at once; its length, 0 where none is due, -1 where it must be asked for. */
  #reply(packet: Uint8Array, start: number, end: number, at: number, view: View): number {
    const { options, inFlight } = this.#o
    if (this.#paced) {
      const { replyRate, clock } = options
      const instead = replyRate?.instead(this.#client, clock.nowMs(), viewOf(packet, start, end), this.#out.data, at)
      if (instead !== undefined) return instead
    }
    const length = options.responder.now(packet, start, end, this.#out.data, at, UDP_SIZE, view)
    if (length > 0) return length
    return inFlight.full ? overloadReply(viewOf(packet, start, end), this.#out.data, at) : -1
  }

  /** Asks for what `#reply` has just looked at. */
  #later(client: Client, name: Uint8Array): void {
    const { options, inFlight } = this.#o
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
    setImmediate(this.#turn)
  }

  /** Sends the replies that were asked for. */
  flush(): void {
    this.#flushing = false
    if (this.#lateCount === 0 || this.#ended) return
    this.#sendAll(this.#late, this.#lateCount)
    this.#lateCount = 0
  }

  /** A message that the kernel refuses (no route, a firewall) ends the call: those behind it are not its client's. */
  #sendAll(ring: MessageRing, count: number): void {
    const { calls, fd } = this.#o
    for (let at = calls.send(fd, ring.headers, count) + 1; at < count; at++) at += calls.send(fd, ring.headersFrom(at), count - at)
  }
}
