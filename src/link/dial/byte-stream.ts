import { connect as connectTcp, type OnReadOpts, type Socket, type TcpNetConnectOpts } from 'node:net'
import { Duplex } from 'node:stream'
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls'

/** A TLS socket during its handshake, and the TCP socket below it. */
export interface TlsStream {
  readonly socket: TLSSocket
  readonly tcp: Socket
  /**
   * Whether the peer has sent close_notify (RFC 8446 section 6.1), known after the end. Absent:
   * unknown.
   */
  readonly closeNotified?: () => boolean
}

/** Starts TLS over an existing byte stream. `held`: as for `openTls`. */
export function tlsOver(tcp: Socket, options: ConnectionOptions, held: boolean): TlsStream {
  return held ? heldTls(tcp, options) : { socket: connectTls({ ...options, socket: tcp }), tcp }
}

/**
 * Starts TCP to an address, and TLS over it. `held`: whether the result can distinguish the end of
 * TLS from the end of TCP, see `HeldTcp`.
 */
export function openTls(options: ConnectionOptions & TcpNetConnectOpts, held: boolean): TlsStream {
  if (!held) {
    const reads = new DirectReads()
    const direct: ConnectionOptions & TcpNetConnectOpts = { ...options, onread: reads.onread }
    const socket = connectTls(direct)
    reads.of(socket)
    return { socket, tcp: socket }
  }
  const { host, port, lookup, ...tls } = options
  return heldTls(connectTcp({ port, ...(host === undefined ? {} : { host }), ...(lookup === undefined ? {} : { lookup }) }), tls)
}

function heldTls(tcp: Socket, options: ConnectionOptions): TlsStream {
  const below = new HeldTcp(tcp)
  const socket = connectTls({ ...options, socket: below })
  socket.once('close', () => below.destroy())
  return { socket, tcp, closeNotified: () => !below.endedByTcp }
}

/**
 * TCP below TLS. Its end is delayed until TLS has read all earlier octets. Node's own TLS over TCP
 * emits the same `end` for both, so a complete body cannot be distinguished from one that was cut
 * on the path (RFC 9112 section 9.8). This is slower, and used only for HTTP/1.1.
 */
class HeldTcp extends Duplex {
  readonly #tcp: Socket
  #ended = false
  /** TCP ended before the peer sent close_notify. */
  endedByTcp = false

  constructor(tcp: Socket) {
    super({ allowHalfOpen: true })
    this.#tcp = tcp
    tcp.pause()
    tcp.on('data', (octets) => {
      if (!this.push(octets)) tcp.pause()
    })
    tcp.on('end', () => {
      this.#ended = true
      this.#endSoon()
    })
    tcp.on('error', (error) => this.destroy(error))
  }

  override _read(): void {
    this.#tcp.resume()
    this.#endSoon()
  }

  override _write(octets: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.#tcp.write(octets, done)
  }

  override _final(done: () => void): void {
    this.#tcp.end(done)
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#tcp.destroy()
    done(error)
  }

  /**
   * Ends the stream one turn after the last octets. In that turn TLS reports whether these octets
   * held the peer's close_notify.
   */
  #endSoon(): void {
    if (!this.#ended || this.endedByTcp || this.readableLength > 0) return
    setImmediate(() => {
      if (this.endedByTcp || this.destroyed || this.readableLength > 0) return
      this.endedByTcp = true
      this.push(null)
    })
  }
}

/**
 * Records are views of one page. A new array per record would cost as much as parsing the reply.
 */
const PAGE_OCTETS = 16_384

const readers = new WeakMap<Duplex, DirectReads>()

/**
 * Passes the decrypted octets of a socket to one listener without a stream between them (the option
 * `onread` of node:net, which tls.connect accepts too). Until there is a listener they go into the
 * stream as usual, so a reader of the stream (node:http2, HTTP/1.1) gets all of them.
 */
export class DirectReads {
  /** Not a Buffer, whose `fill` takes 40 ns longer than the one of an array. */
  readonly #page = new Uint8Array(PAGE_OCTETS)
  #socket: Duplex | undefined
  #listener: OctetListener | undefined
  readonly onread: OnReadOpts = {
    buffer: this.#page,
    callback: (octets) => this.#came(octets),
  }

  /** Sets the socket. Must be called as soon as the socket exists, before it reads. */
  of(socket: Duplex): void {
    this.#socket = socket
    readers.set(socket, this)
  }

  listen(listener: OctetListener): void {
    this.#listener = listener
    // Nothing is read before the next microtask: the owner must have its carrier before the carrier
    // reports that the peer sent data without a request.
    queueMicrotask(() => this.#early(listener))
  }

  /**
   * Reads the octets that are still in the stream. This also restarts a reader that the stream had
   * stopped.
   */
  #early(listener: OctetListener): void {
    for (let early = this.#socket?.read(); early !== null && early !== undefined; early = this.#socket?.read())
      listener(early, early.length)
  }

  /** Returns false to stop reading until the stream has room again. */
  #came(length: number): boolean {
    if (this.#listener === undefined) return this.#socket?.push(Buffer.from(this.#page.subarray(0, length))) ?? false
    this.#listener(this.#page, length)
    // So code that wrongly keeps a view sees zeros, and no octets of answers stay in memory here.
    this.#page.fill(0, 0, length)
    return true
  }
}

/**
 * Receives the first `end` octets of `octets`, which are wiped after the call: copy what you keep.
 */
type OctetListener = (octets: Uint8Array, end: number) => void

/**
 * Calls `listener` with received octets, never before this function returns. Call it only once per
 * socket. Sockets with `DirectReads` pass their octets directly; the others through their stream.
 */
export function onOctets(socket: Duplex, listener: OctetListener): void {
  const direct = readers.get(socket)
  if (direct === undefined) socket.on('data', (octets: Buffer) => listener(octets, octets.length))
  else direct.listen(listener)
}
