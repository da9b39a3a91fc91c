import { createSocket, type Socket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import type { EnigmError } from '../../errors.ts'
import { dialFault } from './tls-faults.ts'

/** Datagrams longer than this are not read. */
const MAX_DATAGRAM_OCTETS = 65_535

/** What a path reports. None is called after `close`. */
export interface PathListener {
  /** `octets` is a view that is reused after the call. */
  datagram(octets: Uint8Array): void
  /** Nothing listens there any more (ICMP), or the route is gone. */
  broken(error: EnigmError): void
}

/**
 * A UDP socket that is connected to one address: datagrams of others do not arrive, and the kernel
 * reports a port on which nobody listens. Each has a random local port of the kernel.
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

  /** Nothing is sent. Rejects with an EnigmError if there is no route. */
  static open(address: string, port: number): Promise<UdpPath> {
    return new Promise((resolve, reject) => {
      const socket = createSocket({ type: isIPv6(address) ? 'udp6' : 'udp4', lookup: literal })
      // A timer of ours keeps nothing alive, and neither does a resolver that is silent.
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

/** dgram looks up even an address; this one finds it without a thread, and nothing else. */
const literal: Lookup = (host, _options, done) => done(null, host, isIPv6(host) ? 6 : 4)
