import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import type { Clock, Timer } from '../clock.ts'

/** A browser opens a few, a scraper one. */
const MAX_CONNECTIONS = 16
/** For the head of a request, for the response, and between two requests; a connection that takes longer is closed. Node's own timeouts look every 30 s only. */
export const PATIENCE_MS = 5000

interface Held {
  late: Timer
  /** Requests that wait for their response. */
  busy: number
}

/**
 * Bounds how many connections `server` has and how long each may take. At the bound a new one is taken and the one that has been idle longest is closed, so connections that
 * say nothing cannot keep a scraper out.
 */
export function boundConnections(server: Server, clock: Clock): void {
  /** Idle longest first. */
  const connections = new Map<Socket, Held>()
  const patience = (socket: Socket) => clock.setTimer(PATIENCE_MS, () => socket.destroy())
  const begin = (socket: Socket, held: Held, busy: number) => {
    held.late.cancel()
    held.late = patience(socket)
    held.busy = busy
    connections.delete(socket)
    connections.set(socket, held)
  }
  server.on('connection', (socket: Socket) => {
    if (connections.size >= MAX_CONNECTIONS) leastWanted(connections)?.destroy()
    const held = { late: patience(socket), busy: 0 }
    connections.set(socket, held)
    socket.once('close', () => {
      held.late.cancel()
      connections.delete(socket)
    })
  })
  server.prependListener('request', ({ socket }, response) => {
    const held = connections.get(socket)
    if (held === undefined) return
    begin(socket, held, held.busy + 1)
    response.once('close', () => {
      if (!socket.destroyed) begin(socket, held, held.busy - 1)
    })
  })
}

/** Idle longest; where all are busy, busy longest. */
function leastWanted(connections: ReadonlyMap<Socket, Held>): Socket | undefined {
  const [oldest] = connections.keys()
  for (const [socket, { busy }] of connections) if (busy === 0) return socket
  return oldest
}
