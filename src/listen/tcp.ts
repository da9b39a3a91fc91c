import { createServer, isIPv6, type Server, type Socket } from 'node:net'
import { InFlight } from './in-flight.ts'
import { DEFAULT_LIMITS, type Listener, type ListenOptions, sparseFaults, withoutZone } from './listener.ts'
import { TcpConnection, type TcpShared } from './tcp-connection.ts'

/** Answers on one address or wildcard over TCP (RFC 7766). Rejects with the system's error when it cannot bind. */
export async function listenTcp(options: ListenOptions): Promise<Listener> {
  const limits = { ...DEFAULT_LIMITS, ...options.limits }
  const inFlight = new InFlight(limits.inFlight)
  const shared: TcpShared = {
    options,
    limits,
    inFlight,
    scratch: Buffer.alloc(2 + 65_535),
    fault: sparseFaults(options, 'listen/tcp'),
    unreadOctets: 0,
  }
  const clients = new Clients(shared)
  // allowHalfOpen: dig and socat send FIN right behind the query and still want the answer.
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => clients.admit(socket))
  const port = await bound(server, options)

  let closed: Promise<void> | undefined
  const close = async () => {
    const freed = new Promise<void>((resolve) => server.close(() => resolve()))
    clients.finish()
    const limit = options.clock.setTimer(options.drainMs, () => clients.destroy())
    await freed
    limit.cancel()
  }
  return {
    address: options.address,
    port,
    transport: 'tcp',
    close() {
      closed ??= close()
      return closed
    },
  }
}

/** The connections of one listener: who gets one, and who loses one when there are too many. */
class Clients {
  readonly #shared: TcpShared
  readonly #connections = new Map<TcpConnection, string>()
  #finished = false

  constructor(shared: TcpShared) {
    this.#shared = shared
  }

  /** Takes the connection up, or closes it: not allowed to ask, or no room and nobody idle to make some. */
  admit(socket: Socket): void {
    socket.on('error', ignored)
    const address = socket.remoteAddress === undefined ? undefined : withoutZone(socket.remoteAddress)
    if (this.#finished || address === undefined || !this.#shared.options.allowed(address) || !this.#makeRoom(address)) {
      socket.destroy()
      return
    }
    const connection = new TcpConnection(socket, address, this.#shared)
    this.#connections.set(connection, address)
    socket.on('close', () => this.#connections.delete(connection))
  }

  finish(): void {
    this.#finished = true
    for (const connection of this.#connections.keys()) connection.finish()
  }

  destroy(): void {
    for (const connection of this.#connections.keys()) connection.destroy()
  }

  #makeRoom(address: string): boolean {
    const { connections, connectionsPerClient } = this.#shared.limits
    let own = 0
    for (const other of this.#connections.values()) if (other === address) own++
    if (own >= connectionsPerClient) return this.#closeIdlest(address)
    return this.#connections.size < connections || this.#closeIdlest(undefined)
  }

  /** Closes the connection that has been idle longest, of one client or of all; false if none is idle. */
  #closeIdlest(address: string | undefined): boolean {
    let idlest: TcpConnection | undefined
    for (const [connection, client] of this.#connections) {
      if (!connection.idle || (address !== undefined && client !== address)) continue
      if (idlest === undefined || connection.progressMs < idlest.progressMs) idlest = connection
    }
    if (idlest === undefined) return false
    idlest.destroy()
    this.#connections.delete(idlest)
    return true
  }
}

/** A 'close' follows every error of a connection, and that is where it is freed. */
function ignored(): void {}

function bound(server: Server, options: ListenOptions): Promise<number> {
  const { address, port } = options
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host: address, port, ipv6Only: isIPv6(address), exclusive: true }, () => {
      server.off('error', reject)
      // accept() failing (EMFILE, ENFILE) costs that one connection; the server goes on.
      server.on('error', sparseFaults(options, 'listen/tcp'))
      const bound = server.address()
      resolve(bound !== null && typeof bound === 'object' ? bound.port : port)
    })
  })
}
