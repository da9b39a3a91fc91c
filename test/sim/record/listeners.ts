import { EventEmitter } from 'node:events'
import { Duplex } from 'node:stream'
import { hex, type Transcript } from './transcript.ts'

const FIRST_PORT = 53_001

/** Who listens where, and where answers go. */
export class Listening {
  readonly udp = new Map<number, FakeUdp>()
  readonly tcp = new Map<number, FakeServer>()
  readonly transcript: Transcript
  #next = FIRST_PORT

  constructor(transcript: Transcript) {
    this.transcript = transcript
  }
  portFor(wanted: number): number {
    return wanted === 0 ? this.#next++ : wanted
  }
}

const soon = (fn: () => void) => process.nextTick(fn)

/** Stands in for a UDP socket of node:dgram. */
export class FakeUdp extends EventEmitter {
  readonly #all: Listening
  #at = { address: '', port: 0, family: 'IPv4' }
  #closed = false

  constructor(all: Listening) {
    super()
    this.#all = all
  }

  bind({ address, port = 0 }: { readonly address: string; readonly port?: number }, bound: () => void): this {
    this.#at = { address, port: this.#all.portFor(port), family: 'IPv4' }
    this.#all.udp.set(this.#at.port, this)
    soon(bound)
    return this
  }
  address() {
    return this.#at
  }
  setRecvBufferSize(): void {}
  getSendQueueCount(): number {
    return 0
  }
  ref(): this {
    return this
  }
  unref(): this {
    return this
  }

  /** A query from there. */
  came(packet: Uint8Array, address: string, port: number): void {
    if (!this.#closed) this.emit('message', Buffer.from(packet), { address, port, family: 'IPv4', size: packet.length })
  }

  /** `send(octets, port, address, done?)`, or with where the octets begin and how many they are. */
  send(octets: Uint8Array, ...rest: readonly unknown[]): void {
    if (this.#closed) throw new Error('the socket is closed')
    const numbers = rest.filter((one) => typeof one === 'number')
    const done = rest.find((one) => typeof one === 'function')
    const [from, length, port] = numbers.length === 3 ? numbers : [0, octets.length, numbers[0]]
    const to = rest.find((one) => typeof one === 'string')
    this.#all.transcript.add('answer', `udp ${to}:${port} ${hex(Uint8Array.from(octets).subarray(from, (from ?? 0) + (length ?? 0)))}`)
    if (done !== undefined) soon(() => done())
  }
  close(done?: () => void): this {
    this.#closed = true
    if (this.#all.udp.get(this.#at.port) === this) this.#all.udp.delete(this.#at.port)
    soon(() => {
      this.emit('close')
      done?.()
    })
    return this
  }
}

/** Stands in for a server of node:net. */
export class FakeServer extends EventEmitter {
  readonly #all: Listening
  readonly #taken: (socket: Duplex) => void
  readonly #connections = new Set<FakeClient>()
  #at = { address: '', port: 0, family: 'IPv4' }
  #closing: (() => void) | undefined

  constructor(all: Listening, taken: (socket: Duplex) => void) {
    super()
    this.#all = all
    this.#taken = taken
  }

  listen({ host, port = 0 }: { readonly host: string; readonly port?: number }, bound: () => void): this {
    this.#at = { address: host, port: this.#all.portFor(port), family: 'IPv4' }
    this.#all.tcp.set(this.#at.port, this)
    soon(bound)
    return this
  }
  address() {
    return this.#at
  }
  unref(): this {
    return this
  }
  ref(): this {
    return this
  }

  /** A client that connects from there. */
  connect(address: string, port: number): FakeClient {
    const client = new FakeClient(address, port, this.#all.transcript)
    this.#connections.add(client)
    client.on('close', () => {
      this.#connections.delete(client)
      this.#finish()
    })
    this.#taken(client)
    return client
  }
  close(done?: () => void): this {
    this.#closing = done ?? (() => {})
    if (this.#all.tcp.get(this.#at.port) === this) this.#all.tcp.delete(this.#at.port)
    this.#finish()
    return this
  }
  #finish(): void {
    const done = this.#closing
    if (done === undefined || this.#connections.size > 0) return
    this.#closing = undefined
    soon(done)
  }
}

/** Our end of a client's TCP connection. */
export class FakeClient extends Duplex {
  readonly remoteAddress: string
  readonly remotePort: number
  readonly remoteFamily = 'IPv4'
  readonly #transcript: Transcript
  #frames = Buffer.alloc(0)

  constructor(address: string, port: number, transcript: Transcript) {
    super({ allowHalfOpen: true })
    this.remoteAddress = address
    this.remotePort = port
    this.#transcript = transcript
  }

  /** The client writes queries, each behind its length. */
  ask(queries: readonly Uint8Array[]): void {
    if (this.destroyed) return
    this.push(Buffer.concat(queries.flatMap((q) => [Buffer.from([q.length >> 8, q.length & 255]), q])))
  }
  /** The client writes no more. */
  done(): void {
    if (!this.destroyed) this.push(null)
  }

  setNoDelay(): this {
    return this
  }
  setKeepAlive(): this {
    return this
  }
  setTimeout(): this {
    return this
  }
  override _read(): void {}
  override _write(octets: Buffer, _encoding: string, done: () => void): void {
    this.#frames = Buffer.concat([this.#frames, octets])
    while (this.#frames.length >= 2 && this.#frames.length >= 2 + this.#frames.readUInt16BE(0)) {
      const end = 2 + this.#frames.readUInt16BE(0)
      this.#note(hex(this.#frames.subarray(2, end)))
      this.#frames = this.#frames.subarray(end)
    }
    soon(done)
  }
  override _final(done: () => void): void {
    this.#note('end')
    done()
  }
  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#note('closed')
    done(error)
  }
  #note(text: string): void {
    this.#transcript.add('answer', `tcp ${this.remoteAddress}:${this.remotePort} ${text}`)
  }
}
