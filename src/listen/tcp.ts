import { createServer, isIPv6, type Server, type Socket } from 'node:net'
import { InFlight } from './in-flight.ts'
import { DEFAULT_LIMITS, type Listener, type ListenOptions, sparseFaults, withoutZone } from './listener.ts'
import { quiet } from './quiet.ts'
import { type Room, roomWithoutEnd } from './room.ts'
import { TcpConnection, type TcpShared } from './tcp-connection.ts'

/** What one client may have of the room for all, where that is small. */
const CLIENT_SHARE = 3 / 4

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
    const half = options.clock.setTimer(options.drainMs / 2, () => clients.finish())
    const limit = options.clock.setTimer(options.drainMs, () => clients.destroy())
    // Connections that the kernel has taken up for us, with queries in them, were made before the end. libuv hands over one a turn.
    await quiet(() => clients.admitted, options.clock, options.drainMs / 2)
    const freed = new Promise<void>((resolve) => server.close(() => resolve()))
    clients.windUp()
    await freed
    half.cancel()
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
  readonly #room: Room
  #finished = false
  /** Connections that came so far. */
  admitted = 0

  constructor(shared: TcpShared) {
    this.#shared = shared
    this.#room = shared.options.room ?? roomWithoutEnd()
  }

  /** Takes the connection up, or closes it: not allowed to ask, or no room and nobody idle to make some. */
  admit(socket: Socket): void {
    this.admitted++
    socket.on('error', ignored)
    const address = socket.remoteAddress === undefined ? undefined : withoutZone(socket.remoteAddress)
    if (this.#finished || address === undefined || !this.#shared.options.allowed(address) || !this.#makeRoom(address)) {
      socket.destroy()
      return
    }
    const connection = new TcpConnection(socket, address, this.#shared)
    this.#connections.set(connection, address)
    this.#room.left--
    socket.on('close', () => this.#forget(connection))
  }

  #forget(connection: TcpConnection): void {
    if (this.#connections.delete(connection)) this.#room.left++
  }

  /** Takes no new connection; the others end when what they hold is answered. */
  windUp(): void {
    this.#finished = true
    for (const connection of this.#connections.keys()) connection.windUp()
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
    if (own >= Math.min(connectionsPerClient, Math.ceil(this.#room.size * CLIENT_SHARE))) return this.#closeIdlest(address)
    return (this.#connections.size < connections && this.#room.left > 0) || this.#closeIdlest(undefined)
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
    this.#forget(idlest)
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
