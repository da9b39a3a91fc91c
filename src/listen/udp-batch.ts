import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import { viewOf } from '../dns/octets.ts'
import type { DatagramCalls } from './datagram-calls.ts'
import { InFlight } from './in-flight.ts'
import { type Listener, type ListenOptions, sparseFaults } from './listener.ts'
import { MessageRing } from './message-ring.ts'
import { overloadReply } from './overload.ts'
import { growBuffers, inFlightLimit, literal, packetHandler } from './udp.ts'

const UDP_LIMIT = 1232
/** Messages a call: more gains nothing (measured: 32 to 256 differ by less than the noise), fewer costs. */
const SLOTS = 64
/** No honest query comes near it; what is longer is cut by the kernel and gets no reply. */
const QUERY_OCTETS = 2048
/** Calls in a row before other sockets get their turn: about 2 ms of hits. */
const MAX_ROUNDS = 16
/** After a drain this large the next turn drains at its first packet. */
const BUSY = 8

/**
 * As listenUdp, with many messages a system call. libuv watches the socket and delivers what comes first; a second message in the same turn of the event loop
 * means that more wait, and they are fetched and answered in batches. A lone query therefore takes the same path as with dgram and costs the same.
 */
export async function listenUdpBatch(
  options: ListenOptions,
  calls: DatagramCalls,
  inFlight = new InFlight(inFlightLimit(options)),
): Promise<Listener> {
  const { address, clock, drainMs } = options
  const fd = calls.open(address, options.port, options.reusePort === true)
  const v6 = isIPv6(address)
  const socket = createSocket({ type: v6 ? 'udp6' : 'udp4', lookup: literal })
  const door = { closing: false }
  const batch = new Batch(options, calls, fd, v6, inFlight, door)
  const single = packetHandler(socket, options, inFlight, door)
  socket.on('message', pace(single, batch))
  const port = await adopted(socket, fd, options)
  growBuffers(socket)

  let closed: Promise<void> | undefined
  const close = async () => {
    // What the kernel holds was asked before the end: with several workers it can wait in a socket that this thread had no turn for yet.
    for (const untilMs = clock.nowMs() + drainMs / 2; batch.drain() === SLOTS * MAX_ROUNDS && clock.nowMs() < untilMs; );
    door.closing = true
    await inFlight.drained(clock, drainMs)
    batch.flush()
    batch.end()
    await new Promise<void>((resolve) => socket.close(resolve))
  }
  return {
    address,
    port,
    transport: 'udp',
    close() {
      closed ??= close()
      return closed
    },
  }
}

/** Tells a lone packet from a burst. */
function pace(single: (packet: Buffer, from: RemoteInfo) => void, batch: Batch): (packet: Buffer, from: RemoteInfo) => void {
  let thisTurn = 0
  let busy = false
  const nextTurn = () => {
    thisTurn = 0
  }
  return (packet, from) => {
    if (thisTurn++ === 0) setImmediate(nextTurn)
    single(packet, from)
    if (busy || thisTurn > 1) busy = batch.drain() >= BUSY
  }
}

function adopted(socket: Socket, fd: number, options: ListenOptions): Promise<number> {
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

/** The rings of one socket and what happens between them. */
class Batch {
  readonly #options: ListenOptions
  readonly #calls: DatagramCalls
  readonly #fd: number
  readonly #v6: boolean
  readonly #inFlight: InFlight
  readonly #door: { readonly closing: boolean }
  readonly #in: MessageRing
  readonly #out: MessageRing
  readonly #late: MessageRing
  #lateCount = 0
  readonly #turn = () => this.flush()
  #flushing = false
  #ended = false

  constructor(
    options: ListenOptions,
    calls: DatagramCalls,
    fd: number,
    v6: boolean,
    inFlight: InFlight,
    door: { readonly closing: boolean },
  ) {
    this.#options = options
    this.#calls = calls
    this.#fd = fd
    this.#v6 = v6
    this.#inFlight = inFlight
    this.#door = door
    this.#in = new MessageRing(calls, SLOTS, QUERY_OCTETS)
    this.#out = new MessageRing(calls, SLOTS, UDP_LIMIT)
    this.#late = new MessageRing(calls, SLOTS, UDP_LIMIT)
  }

  /** The descriptor is somebody else's from here on. */
  end(): void {
    this.#ended = true
  }

  /** Fetches and answers what waits; how many there were. */
  drain(): number {
    let total = 0
    for (let round = 0; round < MAX_ROUNDS && !this.#ended; round++) {
      const count = this.#calls.receive(this.#fd, this.#in.headers, SLOTS)
      if (count === 0) break
      total += count
      this.#answer(count)
      if (count < SLOTS) break
    }
    return total
  }

  #answer(count: number): void {
    if (this.#door.closing) return
    const { responder } = this.#options
    const out = this.#out
    let replies = 0
    for (let i = 0; i < count; i++) {
      const octets = this.#in.lengthOf(i)
      const client = this.#clientOf(i)
      if (octets === 0 || client === '') continue
      const start = this.#in.startOf(i)
      const at = out.startOf(replies)
      let length = responder.now(this.#in.data, start, start + octets, out.data, at, UDP_LIMIT, this.#options.view(client))
      if (length === 0 && this.#inFlight.full) length = overloadReply(this.#in.data.subarray(start, start + octets), out.data, at)
      else if (length === 0) {
        this.#later(i, start, start + octets, client)
        continue
      }
      if (length > 0) out.address(replies++, length, this.#in, i)
    }
    // What the kernel does not take now is lost, as on a full network: clients ask again.
    if (replies > 0) this.#calls.send(this.#fd, out.headers, replies)
  }

  #lastName = -1
  #lastClient = ''

  /** The client's address as text, or '' for one that may not ask or has no port. */
  #clientOf(i: number): string {
    const { names } = this.#in
    const at = this.#in.nameOf(i)
    if (names[at + 2] === 0 && names[at + 3] === 0) return ''
    if (this.#v6) return this.#admit(text6(names, at + 8))
    const name = names.readUInt32BE(at + 4)
    if (name !== this.#lastName) {
      this.#lastName = name
      this.#lastClient = `${name >>> 24}.${(name >>> 16) & 255}.${(name >>> 8) & 255}.${name & 255}`
    }
    return this.#admit(this.#lastClient)
  }

  #admit(address: string): string {
    return this.#options.allowed(address) ? address : ''
  }

  #later(i: number, start: number, end: number, address: string): void {
    const name = this.#in.keepName(i)
    this.#inFlight.enter()
    void this.#options.responder.later(viewOf(this.#in.data, start, end), { address, transport: 'udp' }).then((wire) => {
      if (wire !== undefined) this.#queue(wire, name)
      this.#inFlight.leave()
    }, this.#inFlight.leave)
  }

  #queue(wire: Uint8Array, name: Uint8Array): void {
    if (this.#ended) return
    if (this.#lateCount === SLOTS) this.flush()
    this.#late.data.set(wire, this.#late.startOf(this.#lateCount))
    this.#late.addressTo(this.#lateCount++, wire.length, name)
    if (this.#flushing) return
    this.#flushing = true
    setImmediate(this.#turn)
  }

  /** Sends the replies that were asked for. */
  flush(): void {
    this.#flushing = false
    if (this.#lateCount === 0 || this.#ended) return
    this.#calls.send(this.#fd, this.#late.headers, this.#lateCount)
    this.#lateCount = 0
  }
}

function text6(names: Buffer, at: number): string {
  const groups: string[] = []
  for (let i = 0; i < 16; i += 2) groups.push(names.readUInt16BE(at + i).toString(16))
  return groups.join(':')
}
