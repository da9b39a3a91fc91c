import { createServer, isIPv6, type Server, type Socket } from 'node:net'
import { clientOf } from '../client-shares.ts'
import { withoutZone } from '../config/cidr.ts'
import { type BudgetedConnection, type ConnectionBudget, connectionToClose, unlimitedConnections } from './connection-budget.ts'
import { InFlight, untilQuiet } from './in-flight.ts'
import { DEFAULT_LIMITS, type Listener, type ListenOptions, sparseFaults } from './listener.ts'
import { TcpConnection, type TcpShared } from './tcp-connection.ts'

/** The share of a small common budget that one client may use. */
const CLIENT_SHARE = 3 / 4

/**
 * Serves one address or wildcard over TCP (RFC 7766). Rejects with the system's error if it cannot
 * bind.
 */
export async function listenTcp(options: ListenOptions): Promise<Listener> {
  const limits = { ...DEFAULT_LIMITS, ...options.limits }
  const inFlight = new InFlight(limits.inFlight)
  const shared: TcpShared = {
    options,
    limits,
    inFlight,
    scratch: Buffer.alloc(2 + 65_535),
    unreadOctets: 0,
    closeMostUnread: () => clients.closeMostUnread(),
  }
  const clients = new Clients(shared)
  // allowHalfOpen: dig and socat send FIN directly after the query and still want the answer.
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => clients.admit(socket))
  const port = await bindServer(server, options)

  let closed: Promise<void> | undefined
  const close = async () => {
    const half = options.clock.setTimer(options.drainMs / 2, () => clients.finish())
    const limit = options.clock.setTimer(options.drainMs, () => clients.destroy())
    // Connections that the kernel has accepted, with queries in them, were made before the end.
    // libuv delivers one per turn. Those of an inherited socket are left to the next process.
    if (options.inheritedFd === undefined) await untilQuiet(() => clients.admitted, options.clock, options.drainMs / 2)
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
    inheritedFd: options.inheritedFd,
    close() {
      closed ??= close()
      return closed
    },
  }
}

/** The connections of one listener: accepts them, and closes one when there are too many. */
class Clients {
  readonly #shared: TcpShared
  readonly #connections = new Set<TcpConnection>()
  readonly #budget: ConnectionBudget
  #finished = false
  /** Number of connections so far. */
  admitted = 0

  constructor(shared: TcpShared) {
    this.#shared = shared
    this.#budget = shared.options.connectionBudget ?? unlimitedConnections()
  }

  /**
   * Accepts the connection, or closes it: if the client is not allowed, or if there is no room and
   * none can be made.
   */
  admit(socket: Socket): void {
    this.admitted++
    socket.on('error', ignoreError)
    const address = socket.remoteAddress === undefined ? undefined : withoutZone(socket.remoteAddress)
    if (this.#finished || address === undefined || !this.#shared.options.allowed(address) || !this.#makeRoom(clientOf(address))) {
      socket.destroy()
      return
    }
    const connection = new TcpConnection(socket, address, this.#shared)
    this.#connections.add(connection)
    this.#budget.add(connection)
    socket.on('close', () => this.#forget(connection))
  }

  #forget(connection: TcpConnection): void {
    this.#connections.delete(connection)
    this.#budget.remove(connection)
  }

  /** Accepts no new connection; the others end after their queries are answered. */
  windUp(): void {
    this.#finished = true
    for (const connection of this.#connections) connection.windUp()
  }

  finish(): void {
    this.#finished = true
    for (const connection of this.#connections) connection.finish()
  }

  destroy(): void {
    for (const connection of this.#connections) connection.destroy()
  }

  /**
   * Called when too many answers are not accepted: the client that holds the most of them loses a
   * connection, with all unread answers on it.
   */
  closeMostUnread(): void {
    const unread = new Map<string, number>()
    for (const { client, unreadOctets } of this.#connections) unread.set(client, (unread.get(client) ?? 0) + unreadOctets)
    const most = Math.max(...unread.values())
    let largest: TcpConnection | undefined
    for (const one of this.#connections)
      if (unread.get(one.client) === most && one.unreadOctets > (largest?.unreadOctets ?? 0)) largest = one
    largest?.destroy()
  }

  #makeRoom(client: string): boolean {
    const { connections, connectionsPerClient } = this.#shared.limits
    const own = [...this.#budget.connections].filter((one) => one.client === client)
    if (own.length >= Math.min(connectionsPerClient, Math.ceil(this.#budget.size * CLIENT_SHARE)))
      return this.#close(connectionToClose(own, client))
    if (this.#connections.size >= connections) return this.#close(connectionToClose(this.#connections, client))
    return this.#budget.left > 0 || this.#close(connectionToClose(this.#budget.connections, client))
  }

  #close(connection: BudgetedConnection | undefined): boolean {
    if (connection === undefined) return false
    connection.destroy()
    this.#budget.remove(connection)
    if (connection instanceof TcpConnection) this.#connections.delete(connection)
    return true
  }
}

/** A 'close' follows every error of a connection, and its handler frees the connection. */
function ignoreError(): void {}

function bindServer(server: Server, options: ListenOptions): Promise<number> {
  const { address, port, inheritedFd } = options
  const place = inheritedFd === undefined ? { host: address, port, ipv6Only: isIPv6(address), exclusive: true } : { fd: inheritedFd }
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(place, () => {
      server.off('error', reject)
      // If accept() fails (EMFILE, ENFILE), only that connection is lost; the server continues.
      server.on('error', sparseFaults(options, 'listen/tcp'))
      const bound = server.address()
      resolve(bound !== null && typeof bound === 'object' ? bound.port : port)
    })
  })
}
