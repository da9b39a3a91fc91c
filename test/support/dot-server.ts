import { once } from 'node:events'
import type { Socket } from 'node:net'
import { createServer, type Server, type TLSSocket, type TlsOptions } from 'node:tls'
import { FrameReader, framed } from '../../src/dns/framing.ts'

/** One connection, as an `answer` function sees it. */
export interface DotPeer {
  /** 1 for the first connection that the server ever had. */
  readonly number: number
  readonly socket: TLSSocket
  /** Queries seen on this connection so far, this one included. */
  readonly queries: number
  /** One framed message. */
  send(message: Uint8Array): void
  /** As a vanished peer looks: RST, nothing said. */
  reset(): void
}

export interface DotOptions {
  readonly identity: { readonly key: string; readonly cert: string }
  readonly host?: string
  readonly port?: number
  /**
   * What to say to a query: a message, later or at once; undefined: nothing (use `peer` for
   * anything else).
   */
  readonly answer: (query: Uint8Array, peer: DotPeer) => Uint8Array | undefined | Promise<Uint8Array | undefined>
  readonly onConnection?: (peer: DotPeer) => void
  readonly tls?: TlsOptions
}

export interface DotServer {
  readonly port: number
  readonly host: string
  /**
   * TCP connections accepted, TLS handshakes finished, and those of them that resumed a session.
   */
  readonly counts: { tcp: number; handshakes: number; resumed: number; applicationOctets: number; records: number; queries: number }
  readonly live: ReadonlySet<DotPeer>
  /** Other keys from the next handshake on. */
  present(identity: { readonly key: string; readonly cert: string }): void
  close(): Promise<void>
}

/** A DoT server on loopback that does what `answer` says. */
export async function startDot(options: DotOptions): Promise<DotServer> {
  const counts = { tcp: 0, handshakes: 0, resumed: 0, applicationOctets: 0, records: 0, queries: 0 }
  const live = new Set<DotPeer>()
  const server = createServer(
    { ALPNProtocols: ['dot'], noDelay: true, ...options.tls, key: options.identity.key, cert: options.identity.cert },
    (socket) => {
      counts.handshakes++
      if (socket.isSessionReused()) counts.resumed++
      let queries = 0
      const peer: DotPeer = {
        number: counts.handshakes,
        socket,
        get queries() {
          return queries
        },
        send: (message) => void socket.write(framed(message)),
        reset: () => void sockets.get(socket.remotePort ?? 0)?.resetAndDestroy(),
      }
      live.add(peer)
      const frames = new FrameReader()
      socket.on('error', () => {})
      socket.on('close', () => live.delete(peer))
      socket.on('data', (chunk: Buffer) => {
        counts.records++
        counts.applicationOctets += chunk.length
        frames.push(chunk, (frame) => {
          queries++
          counts.queries++
          Promise.resolve(options.answer(Uint8Array.from(frame), peer)).then((reply) => {
            if (reply !== undefined && !socket.destroyed) peer.send(reply)
          })
        })
      })
      options.onConnection?.(peer)
    },
  )
  server.on('tlsClientError', () => {})
  const sockets = trackSockets(server, () => counts.tcp++)
  const host = options.host ?? '127.0.0.1'
  server.listen(options.port ?? 0, host)
  await once(server, 'listening')
  return {
    port: portOf(server),
    host,
    counts,
    live,
    present: ({ key, cert }) => server.setSecureContext({ key, cert }),
    close: () => closeServer(server, sockets.values()),
  }
}

/** Every TCP connection of a server by the client's port, also those that never finish TLS. */
export function trackSockets(server: Server, onConnection: () => void): Map<number, Socket> {
  const sockets = new Map<number, Socket>()
  server.on('connection', (socket: Socket) => {
    onConnection()
    const port = socket.remotePort ?? 0
    sockets.set(port, socket)
    socket.on('close', () => sockets.delete(port))
  })
  return sockets
}

/** Closes a server and all of its connections. */
export async function closeServer(server: Server, sockets: Iterable<Socket>): Promise<void> {
  const closed = once(server, 'close')
  server.close()
  for (const socket of sockets) socket.destroy()
  await closed
}

export function portOf(server: { address(): ReturnType<Server['address']> }): number {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('not listening')
  return address.port
}
