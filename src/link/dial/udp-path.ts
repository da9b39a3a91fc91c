import { createSocket, type Socket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import type { EnigmError } from '../../errors.ts'
import { dialFault } from './tls-faults.ts'

/** Datagrams longer than this are not read. */
const MAX_DATAGRAM_OCTETS = 65_535

/** Receives what a path reports. Nothing is called after `close`. */
export interface PathListener {
  /** `octets` is a view that is reused after the call. */
  datagram(octets: Uint8Array): void
  /** The port is closed (ICMP), or the route is gone. */
  broken(error: EnigmError): void
}

/**
 * A UDP socket that is connected to one address. Datagrams from other addresses do not arrive, and
 * the kernel reports a closed port. The kernel gives each socket a random local port.
 */
export class UdpPath {
  readonly address: string
  readonly #socket: Socket
  #listener: PathListener | undefined
  #closed = false
  heard = false

  private constructor(socket: Socket, address: string) {
    this.#socket = socket
    this.address = address
    socket.on('message', (octets: Uint8Array) => {
      this.heard = true
      if (!this.#closed && octets.length <= MAX_DATAGRAM_OCTETS) this.#listener?.datagram(octets)
    })
    socket.on('error', (cause) => this.#broken(cause))
  }

  /** Opens a socket. Nothing is sent. Rejects with an EnigmError if there is no route. */
  static open(address: string, port: number): Promise<UdpPath> {
    return new Promise((resolve, reject) => {
      const socket = createSocket({ type: isIPv6(address) ? 'udp6' : 'udp4', lookup: literal })
      // Waiting for a silent resolver must not keep the process alive.
      socket.unref()
      const path = new UdpPath(socket, address)
      const failed = (cause: unknown) => {
        path.close()
        reject(dialFault(cause, false))
      }
      socket.once('error', failed)
      try {
        socket.connect(port, address, () => {
          socket.off('error', failed)
          resolve(path)
        })
      } catch (cause) {
        failed(cause)
      }
    })
  }

  listen(listener: PathListener): void {
    this.#listener = listener
  }

  /** `datagram` must not change until it has left. */
  send(datagram: Uint8Array): void {
    if (this.#closed) return
    try {
      this.#socket.send(datagram, (cause) => {
        if (cause !== null && cause !== undefined) this.#broken(cause)
      })
    } catch (cause) {
      this.#broken(cause)
    }
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#socket.close()
  }

  #broken(cause: unknown): void {
    if (!this.#closed) this.#listener?.broken(dialFault(cause, false))
  }
}

type Lookup = (host: string, options: object, done: (error: Error | null, address: string, family: number) => void) => void

/** dgram looks up even IP literals. This function returns the literal without a lookup. */
const literal: Lookup = (host, _options, done) => done(null, host, isIPv6(host) ? 6 : 4)
