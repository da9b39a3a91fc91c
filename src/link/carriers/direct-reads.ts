import type { OnReadOpts } from 'node:net'
import type { Duplex } from 'node:stream'

/** Cut into views: an array of its own for each record cost as much as taking the reply apart. */
const PAGE_OCTETS = 65_536
/** A TLS record at its largest (RFC 8446 section 5.1): what one read can bring. */
const RECORD_OCTETS = 16_384

const readers = new WeakMap<Duplex, DirectReads>()

/**
 * What a socket decrypts, handed to one listener without a stream between (the option `onread` of node:net, which tls.connect takes as well). Until somebody listens it
 * goes into the stream as ever, so that whoever wants the stream (node:http2, HTTP/1.1) has it whole.
 */
export class DirectReads {
  #page = Buffer.allocUnsafeSlow(PAGE_OCTETS)
  #socket: Duplex | undefined
  #listener: ((octets: Uint8Array) => void) | undefined
  readonly onread: OnReadOpts = {
    buffer: () => this.#room(),
    callback: (octets) => this.#came(octets),
  }

  /** To be called as soon as there is a socket, before it reads. */
  of(socket: Duplex): void {
    this.#socket = socket
    readers.set(socket, this)
  }

  listen(listener: (octets: Uint8Array) => void): void {
    this.#listener = listener
    // What came before is still in the stream; reading it sets a reader in motion that the stream had stopped.
    for (let early = this.#socket?.read(); early !== null && early !== undefined; early = this.#socket?.read()) listener(early)
  }

  #room(): Buffer {
    if (this.#page.length < RECORD_OCTETS) this.#page = Buffer.allocUnsafeSlow(PAGE_OCTETS)
    return this.#page
  }

  /** False stops reading until the stream has room again. */
  #came(length: number): boolean {
    const octets = this.#page.subarray(0, length)
    this.#page = this.#page.subarray(length)
    if (this.#listener === undefined) return this.#socket?.push(octets) ?? false
    this.#listener(octets)
    return true
  }
}

/** Calls `listener` with what comes, as it comes: directly where the socket was made for it, else as its stream says. Views: they stay as they are. Once a socket. */
export function onOctets(socket: Duplex, listener: (octets: Uint8Array) => void): void {
  const direct = readers.get(socket)
  if (direct === undefined) socket.on('data', listener)
  else direct.listen(listener)
}
