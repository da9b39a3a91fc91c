import { connect as connectTcp, type OnReadOpts, type Socket, type TcpNetConnectOpts } from 'node:net'
import { Duplex } from 'node:stream'
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls'
import { viewOf } from '../../dns/octets.ts'

/** TLS that is being set up, and the TCP below it. */
interface TlsStream {
  readonly socket: TLSSocket
  readonly tcp: Socket
  /**
   * Whether the peer has said that it sends no more (close_notify, RFC 8446 section 6.1), after its
   * end. Absent: unknown.
   */
  readonly closeNotified?: () => boolean
}

/**
 * Begins TCP to an address, and TLS over it; a proxy in front of a resolver would make the TCP
 * here. `held`: the end of TLS can be distinguished from that of TCP, see `HeldTcp`.
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
  const tcp = connectTcp({ port, ...(host === undefined ? {} : { host }), ...(lookup === undefined ? {} : { lookup }) })
  const below = new HeldTcp(tcp)
  const socket = connectTls({ ...tls, socket: below })
  socket.once('close', () => below.destroy())
  return { socket, tcp, closeNotified: () => !below.endedByTcp }
}

/**
 * TCP below TLS. Its end is held back until TLS has read all that came before. Node's own TLS over
 * TCP has one `end` for both, so a whole body cannot be distinguished from one that was cut off on
 * the path (RFC 9112 section 9.8). Slower; for HTTP/1.1 alone.
 */
class HeldTcp extends Duplex {
  readonly #tcp: Socket
  #ended = false
  /** TLS learnt of the end of TCP without a close_notify of the peer. */
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

  /** A turn after the last octets, in which TLS says whether they held the peer's close_notify. */
  #endSoon(): void {
    if (!this.#ended || this.endedByTcp || this.readableLength > 0) return
    setImmediate(() => {
      if (this.endedByTcp || this.destroyed || this.readableLength > 0) return
      this.endedByTcp = true
      this.push(null)
    })
  }
}

/** Cut into views: an array of its own for each record cost as much as taking the reply apart. */
const PAGE_OCTETS = 16_384

const readers = new WeakMap<Duplex, DirectReads>()

/**
 * Hands the decrypted octets of a socket to one listener without a stream between (the option
 * `onread` of node:net, which tls.connect takes as well). Until there is a listener they go into
 * the stream as usual, so a reader of the stream (node:http2, HTTP/1.1) gets all of them.
 */
export class DirectReads {
  readonly #page = Buffer.allocUnsafeSlow(PAGE_OCTETS)
  #socket: Duplex | undefined
  #listener: ((octets: Uint8Array) => void) | undefined
  readonly onread: OnReadOpts = {
    buffer: this.#page,
    callback: (octets) => this.#came(octets),
  }

  /** To be called as soon as there is a socket, before it reads. */
  of(socket: Duplex): void {
    this.#socket = socket
    readers.set(socket, this)
  }

  listen(listener: (octets: Uint8Array) => void): void {
    this.#listener = listener
    // The owner must know its carrier before that reports a peer that spoke unasked, so nothing is
    // read before the next microtask.
    queueMicrotask(() => this.#early(listener))
  }

  /**
   * What came before is still in the stream; reading it sets a reader in motion that the stream had
   * stopped.
   */
  #early(listener: (octets: Uint8Array) => void): void {
    for (let early = this.#socket?.read(); early !== null && early !== undefined; early = this.#socket?.read()) listener(early)
  }

  /** False stops reading until the stream has room again. */
  #came(length: number): boolean {
    if (this.#listener === undefined) return this.#socket?.push(Buffer.from(this.#page.subarray(0, length))) ?? false
    this.#listener(viewOf(this.#page, 0, length))
    // Who kept a view finds out, and nothing of what was asked stays here.
    this.#page.fill(0, 0, length)
    return true
  }
}

/**
 * Calls `listener` with what comes, as it comes and never before this returns: directly where the
 * socket was made for it, else as its stream says. Views, which
 * are wiped when the call returns: what is kept of them is copied. Once a socket.
 */
export function onOctets(socket: Duplex, listener: (octets: Uint8Array) => void): void {
  const direct = readers.get(socket)
  if (direct === undefined) socket.on('data', listener)
  else direct.listen(listener)
}
