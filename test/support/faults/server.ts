import { constants } from 'node:http2'
import { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import type { Authority } from '../../../src/demo/authority.ts'
import { type DohPeer, type DohReply, startDoh, startDohH1 } from '../doh-server.ts'
import { startDot } from '../dot-server.ts'
import { nameIn, rightAnswer } from './answers.ts'
import { strange, strangeHeaders } from './expected.ts'
import { type AnswerKind, type Fault, type FaultKind, isAnswerKind, isIdentityKind, isPossible, type Protocol } from './fault.ts'
import { misbehaveOverDot, misbehaveOverHttp, Reverser } from './misbehave.ts'
import { FAIR, type Path, startPath, type Weather } from './path.ts'
import type { Seeded } from './seeded.ts'

/** The name that its certificates are for. */
export const FAULT_SERVER_NAME = 'resolver.faults.example'
/**
 * These end a connection under all that is in flight on it. What is asked once more because of that
 * is not counted towards the next: with more in flight than `every` nobody could ever be answered.
 */
const STORMS: readonly FaultKind[] = ['reset', 'goaway', 'goaway-0']
const HOUR_MS = 3_600_000
/** Ports are used again in the end. */
const MOST_PORTS = 1000
/** GOAWAY, NO_ERROR, last stream 0 (RFC 9113 section 6.8). Node's own server cannot say it. */
const GOAWAY_ZERO = Uint8Array.of(0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)

export interface FaultServerOptions {
  readonly authority: Authority
  readonly protocol: Protocol
  readonly chance: Seeded
  /** 0: any. */
  readonly port?: number
  /** Default: 127.0.0.1. */
  readonly host?: string
  readonly paddingBlock?: number
  /** What the path is like without a fault. */
  readonly usual?: Partial<Weather>
  /**
   * Told what a stub of ours never does: cleartext, an unpadded query, a header too many. Default:
   * throws, out of anybody's reach. `false`: any stub may come.
   */
  readonly unexpected?: ((what: string) => void) | false
}

/** One resolver with one transport, on loopback, that fails when it is told to. */
export interface FaultServer {
  readonly protocol: Protocol
  readonly port: number
  readonly path: Path
  /** Queries, answered or not; faults committed on one of them; TLS handshakes finished. */
  readonly counts: { queries: number; committed: number; handshakes: number }
  /** How often each name was asked, the last 100,000 names. */
  readonly asked: ReadonlyMap<string, number>
  /**
   * Begins a fault; it lasts until `clear`, unless it is over at once (cut, half-open). Throws
   * where the protocol cannot have it.
   */
  begin(fault: Fault): void
  /** Everything in order again. Connections that were stranded stay so. */
  clear(): void
  close(): Promise<void>
}

/** Starts one. Rejects where a certificate cannot be made or the port is taken. */
export async function startFaultServer(o: FaultServerOptions): Promise<FaultServer> {
  const { protocol, authority } = o
  const block = o.paddingBlock ?? 128
  const good = await authority.issue({ name: FAULT_SERVER_NAME })
  const past = new Date(Date.now() - HOUR_MS)
  const identities = {
    expired: await authority.issue({ name: FAULT_SERVER_NAME, notBefore: new Date(past.getTime() - HOUR_MS), notAfter: past }),
    'wrong-name': await authority.issue({ name: 'another.faults.example' }),
    'self-signed': await authority.issue({ name: FAULT_SERVER_NAME, selfSigned: true }),
  }
  const unexpected = (what: string | undefined) => {
    if (what === undefined || o.unexpected === false) return
    if (o.unexpected !== undefined) return o.unexpected(what)
    queueMicrotask(() => {
      throw new Error(`the fault server was not expecting this: ${what}`)
    })
  }
  const counts = { queries: 0, committed: 0, handshakes: 0 }
  const asked = new Map<string, number>()
  const reverser = new Reverser()
  let current: (Fault & { readonly kind: AnswerKind }) | undefined
  let sinceFault = 0
  /** Connections yet to come that die on their first query (`Fault.inARow`). */
  let doomed = 0
  /** Ports of the connections that asked something. */
  const askedFrom = new Set<number>()

  /** The fault that this query, from `port`, is to meet. */
  const seen = (query: Uint8Array, port: number): (Fault & { readonly kind: AnswerKind }) | undefined => {
    counts.queries++
    const first = !askedFrom.has(port)
    askedFrom.add(port)
    if (askedFrom.size > MOST_PORTS) askedFrom.delete(askedFrom.values().next().value ?? 0)
    unexpected(strange(query, protocol, block))
    const name = nameIn(query).toLowerCase()
    if (asked.size >= 100_000) asked.delete(asked.keys().next().value ?? '')
    asked.set(name, (asked.get(name) ?? 0) + 1)
    if (current !== undefined && first && doomed > 0) {
      doomed--
      return current
    }
    if (current === undefined || (current.victims && !name.startsWith('victim'))) return undefined
    const { every = 1 } = current
    if (every > 1 && (asked.get(name) ?? 1) > 1 && STORMS.includes(current.kind)) return undefined
    if (++sinceFault % every !== 0) return undefined
    counts.committed++
    if (doomed === 0) doomed = current.inARow ?? 0
    return current
  }
  /** TLS connections by the port they come from, to write under the nose of HTTP/2. */
  const raw = new Map<number, TLSSocket>()
  let path: Path | undefined
  const reset = (port: number) => path?.reset(port)
  const trickling = new WeakMap<TLSSocket, Promise<void>>()

  const overHttp = (query: Uint8Array, peer: DohPeer): Promise<Uint8Array | DohReply | undefined> | Uint8Array | undefined => {
    if (query.length < Number(peer.headers['content-length'])) return undefined // taken back, or its connection reset, before it was all sent
    unexpected(strangeHeaders(peer.headers, protocol === 'h1' ? 'h1' : 'h2'))
    const fault = seen(query, peer.remotePort)
    if (fault === undefined) return rightAnswer(query)
    if (protocol === 'h2' && fault.kind === 'goaway') {
      setImmediate(() => peer.session?.close())
      return rightAnswer(query)
    }
    if (fault.kind === 'max-streams') return rightAnswer(query)
    if (fault.kind === 'refused-stream') return void peer.stream?.close(constants.NGHTTP2_REFUSED_STREAM)
    if (fault.kind === 'goaway-0') return void raw.get(peer.remotePort)?.end(GOAWAY_ZERO)
    return misbehaveOverHttp(fault, { query, reset: () => reset(peer.remotePort) }, reverser)
  }

  const server =
    protocol === 'dot'
      ? await startDot({
          identity: good,
          onConnection: (peer) => {
            counts.handshakes++
            unexpected(peer.socket.alpnProtocol === 'dot' ? undefined : 'ALPN without dot')
          },
          answer(query, { socket, send }) {
            const port = socket.remotePort ?? 0
            const fault = seen(query, port)
            const before = trickling.get(socket)
            if (before !== undefined) return before.then(() => rightAnswer(query)) // what comes behind a trickle waits for it
            if (fault === undefined) return rightAnswer(query)
            const say = { query, send, write: (octets: Uint8Array) => void (socket.destroyed || socket.write(octets)) }
            return misbehaveOverDot(fault, { ...say, reset: () => reset(port), end: () => void socket.end() }, reverser).then(
              () => undefined,
            )
          },
        })
      : protocol === 'h2'
        ? await startDoh({
            identity: good,
            answer: overHttp,
            raw(socket) {
              counts.handshakes++
              const port = socket.remotePort ?? 0
              raw.set(port, socket)
              socket.on('close', () => raw.delete(port))
              return between(socket)
            },
            onSession: (session) => {
              if (current?.kind === 'max-streams') session.settings({ maxConcurrentStreams: current.streams ?? 1 })
            },
          })
        : await startDohH1({ identity: good, answer: overHttp, onHandshake: () => counts.handshakes++ })

  const usual = { ...FAIR, ...o.usual }
  const way = await startPath(server.port, o.chance, o.port, o.host)
  way.set(usual)
  path = way
  let identity = good
  const present = (other: typeof good) => {
    if (other === identity) return // a new context would cost every ticket that is out
    identity = other
    server.present(other)
  }
  return {
    protocol,
    port: way.port,
    path: way,
    counts,
    asked,
    begin(fault) {
      const { kind } = fault
      if (!isPossible(kind, protocol)) throw new Error(`${kind} cannot be had over ${protocol}`)
      if (isAnswerKind(kind)) {
        current = { ...fault, kind }
        sinceFault = 0
        doomed = 0
        if (kind === 'max-streams' && 'sessions' in server)
          for (const session of server.sessions) if (!session.destroyed) session.settings({ maxConcurrentStreams: fault.streams ?? 1 })
      } else if (isIdentityKind(kind)) {
        present(identities[kind])
        way.reset()
      } else if (kind === 'half-open') way.strand()
      else if (kind === 'cut') way.reset()
      else if (kind === 'blackhole') way.set({ dark: true })
      else if (kind === 'away') way.set({ away: true })
      else if (kind === 'latency') way.set({ rttMs: fault.ms ?? 100, spreadMs: fault.spreadMs ?? 0 })
      else if (kind === 'loss') way.set({ lossPerMille: fault.perMille ?? 50, retransmitMs: fault.ms ?? 200 })
      else if (kind === 'rate') way.set({ octetsPerS: fault.octetsPerS ?? 1000 })
      else way.set({ handshakeMs: fault.ms ?? 1000 })
    },
    clear() {
      if (current?.kind === 'max-streams' && 'sessions' in server)
        for (const session of server.sessions) if (!session.destroyed) session.settings({ maxConcurrentStreams: 2 ** 32 - 1 })
      current = undefined
      present(good)
      way.set(usual)
    },
    async close() {
      unexpected(way.counts.cleartext > 0 ? `${way.counts.cleartext} connections began in cleartext` : undefined)
      await way.close()
      await server.close()
    },
  }
}

/**
 * A stream before `socket`: HTTP/2 on the socket itself leaves no room for a frame that it does not
 * know how to send (Node aborts). Each write of it is whole frames.
 */
function between(socket: TLSSocket): Duplex {
  const stream: Duplex = new Duplex({
    read: () => void socket.resume(),
    write: (chunk: Buffer, _encoding, done) => void socket.write(chunk, () => done()),
    writev: (chunks: readonly { readonly chunk: Buffer }[], done) =>
      void socket.write(Buffer.concat(chunks.map(({ chunk }) => chunk)), () => done()),
    final: (done) => void socket.end(() => done()),
    destroy(error, done) {
      socket.destroy()
      done(error)
    },
  })
  socket.on('data', (chunk: Buffer) => stream.push(chunk) || socket.pause())
  socket.on('end', () => stream.push(null))
  socket.on('error', () => stream.destroy())
  socket.on('close', () => stream.destroy())
  return stream
}
