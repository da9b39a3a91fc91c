import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'

/**
 * TCP below TLS, the end of which is held back until TLS has had all that came before. Node's own TLS
 * over TCP has one `end` for both, and so cannot tell a body that is whole from one that somebody on
 * the path cut off (RFC 9112 section 9.8). Slower than that; for HTTP/1.1 alone.
 */
export class HeldTcp extends Duplex {
  readonly #tcp: Socket
  #ended = false
  /** TLS was told of the end of TCP, since it did not say by itself that the peer is done. */
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
