import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { portOf } from '../dot-server.ts'
import type { Seeded } from './seeded.ts'

/** The path between a stub and a server, as a relay of octets that can fail as networks do. */
export interface Path {
  readonly port: number
  readonly counts: PathCounts
  /** When (performance.now()) each connection came, the last 10,000 of them. */
  readonly dialledAtMs: readonly number[]
  readonly live: number
  set(weather: Partial<Weather>): void
  /**
   * The connections that exist fall silent for ever. Returns how many octets clients wrote to them
   * since, whenever it is called.
   */
  strand(): () => number
  /**
   * RST on the connection that reaches the server from its local port `serverSide`; on all where it
   * is undefined.
   */
  reset(serverSide?: number): void
  close(): Promise<void>
}

export interface PathCounts {
  connections: number
  /** Octets that clients sent and were sent. */
  up: number
  down: number
  /** Connections whose first octet was no TLS handshake: something went out in cleartext. */
  cleartext: number
}

/** What the path is like now, for old and new connections alike. */
export interface Weather {
  dark: boolean
  away: boolean
  rttMs: number
  spreadMs: number
  lossPerMille: number
  retransmitMs: number
  /** 0: no limit. */
  octetsPerS: number
  handshakeMs: number
}

export const FAIR: Weather = {
  dark: false,
  away: false,
  rttMs: 0,
  spreadMs: 0,
  lossPerMille: 0,
  retransmitMs: 200,
  octetsPerS: 0,
  handshakeMs: 0,
}
const TLS_HANDSHAKE = 0x16
const SEGMENT = 1400

interface Pipe {
  readonly client: Socket
  readonly server: Socket
  stranded: boolean
}

/** A relay on `host`:`port` (0: any) to 127.0.0.1:`to`. */
export async function startPath(to: number, chance: Seeded, port = 0, host = '127.0.0.1'): Promise<Path> {
  const weather: Weather = { ...FAIR }
  const counts: PathCounts = { connections: 0, up: 0, down: 0, cleartext: 0 }
  const pipes = new Set<Pipe>()
  const sockets = new Set<Socket>()
  const dialledAtMs: number[] = []
  let strandedOctets = 0
  const busyUntilMs = { up: 0, down: 0 }

  const open = (client: Socket) => {
    counts.connections++
    if (dialledAtMs.push(performance.now()) > 10_000) dialledAtMs.shift()
    const server = connect({ port: to, host: '127.0.0.1', noDelay: true })
    const pipe: Pipe = { client, server, stranded: false }
    pipes.add(pipe)
    for (const socket of [client, server]) {
      sockets.add(socket)
      socket.on('close', () => sockets.delete(socket))
    }
    client.setNoDelay(true)
    carry(pipe, client, server, 'up')
    carry(pipe, server, client, 'down')
    if (weather.dark) for (const socket of [client, server]) socket.pause()
  }

  /**
   * In order, each segment when its time has come. A segment that is lost holds up those behind it.
   */
  const carry = (pipe: Pipe, from: Socket, into: Socket, way: 'up' | 'down') => {
    let first = true
    let dueMs = 0
    const later = (fn: () => void, octets: number) => {
      const nowMs = performance.now()
      let delayMs = weather.rttMs / 2 + (weather.spreadMs > 0 ? chance.next() * weather.spreadMs : 0)
      for (let left = octets; left > 0 && weather.lossPerMille > 0; left -= SEGMENT)
        if (chance.below(1000) < weather.lossPerMille) delayMs += weather.retransmitMs
      if (first && way === 'down') delayMs += weather.handshakeMs
      if (weather.octetsPerS > 0) {
        busyUntilMs[way] = Math.max(busyUntilMs[way], nowMs) + (octets / weather.octetsPerS) * 1000
        delayMs += busyUntilMs[way] - nowMs
      }
      dueMs = Math.max(dueMs, nowMs + delayMs)
      if (dueMs - nowMs < 0.5) fn()
      else setTimeout(fn, dueMs - nowMs).unref()
    }
    from.on('data', (chunk: Buffer) => {
      counts[way] += chunk.length
      if (pipe.stranded) {
        if (way === 'up') strandedOctets += chunk.length
        return
      }
      if (first && way === 'up' && chunk[0] !== TLS_HANDSHAKE) counts.cleartext++
      later(() => !pipe.stranded && !into.destroyed && into.write(chunk), chunk.length)
      first = false
    })
    from.on('end', () => !pipe.stranded && later(() => into.end(), 0))
    from.on('error', () => {})
    from.on('close', (failed) => {
      if (way === 'up' || !pipe.stranded) pipes.delete(pipe)
      if (pipe.stranded) return void (way === 'up' && into.destroy())
      later(() => (failed ? rst(into) : into.end()), 0)
    })
  }

  const listen = async (at: number): Promise<Server> => {
    const server = createServer({ allowHalfOpen: true }, open)
    server.listen(at, host)
    await once(server, 'listening')
    return server
  }
  let listener: Server | undefined = await listen(port)
  const own = portOf(listener)

  return {
    port: own,
    counts,
    dialledAtMs,
    get live() {
      return pipes.size
    },
    set(change) {
      const before = { ...weather }
      Object.assign(weather, change)
      if (weather.octetsPerS === 0) busyUntilMs.up = busyUntilMs.down = 0
      if (weather.dark !== before.dark)
        for (const { client, server } of pipes) for (const socket of [client, server]) weather.dark ? socket.pause() : socket.resume()
      if (weather.away && listener !== undefined) {
        listener.close()
        listener = undefined
        for (const { client } of pipes) rst(client)
      } else if (!weather.away && before.away) {
        listener = createServer({ allowHalfOpen: true }, open).listen(own, host)
      }
    },
    strand() {
      const before = strandedOctets
      for (const pipe of pipes) {
        pipe.stranded = true
        pipe.server.destroy()
      }
      return () => strandedOctets - before
    },
    reset(serverSide) {
      for (const { client, server } of pipes)
        if (serverSide === undefined || server.localPort === serverSide) {
          rst(client)
          server.destroy()
        }
    },
    async close() {
      for (const socket of sockets) socket.destroy() // of a pipe that is half gone, too: it would hold the listener for ever
      if (listener === undefined) return
      const closed = once(listener, 'close')
      listener.close()
      await closed
    },
  }
}

/**
 * RST; where a FIN is on its way already libuv refuses to (and Node would leave the socket open for
 * ever).
 */
function rst(socket: Socket): void {
  if (socket.writableEnded || socket.connecting) socket.destroy()
  else socket.resetAndDestroy()
}
