import { once } from 'node:events'
import {
  createSecureServer,
  type Http2SecureServer,
  type SecureServerOptions,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import { createServer as createHttps, type ServerOptions } from 'node:https'
import type { Duplex, Writable } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import { closeServer, portOf, trackSockets } from './dot-server.ts'

/** A whole response, for what a bare message cannot say. */
export interface DohReply {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  /** Sent one after the other; no Content-Length unless `headers` has one. */
  readonly body?: readonly Uint8Array[] | AsyncIterable<Uint8Array>
}

/** One request, as an `answer` function sees it. */
export interface DohPeer {
  /** 1 for the first connection or session that the server ever had. */
  readonly connection: number
  /** Requests seen on this connection so far, this one included. */
  readonly requests: number
  /** The port it came from. */
  readonly remotePort: number
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  /** HTTP/2 only. */
  readonly session: ServerHttp2Session | undefined
  readonly stream: ServerHttp2Stream | undefined
  /** Ends its connection at once, without a word. */
  kill(): void
}

export interface DohOptions {
  readonly identity: { readonly key: string; readonly cert: string }
  readonly host?: string
  readonly port?: number
  /** A message for a plain 200, a whole response, or undefined: nothing is said. */
  readonly answer: (query: Uint8Array, peer: DohPeer) => Uint8Array | DohReply | undefined | Promise<Uint8Array | DohReply | undefined>
  readonly http2?: SecureServerOptions
  readonly onSession?: (session: ServerHttp2Session, number: number) => void
  /**
   * Takes a TLS connection away from HTTP/2, to speak octets: returns true; or has HTTP/2 speak
   * through a stream of its own. Number 1 is the first connection that the server ever had.
   */
  readonly raw?: (socket: TLSSocket, number: number) => boolean | Duplex
}

export interface DohServer {
  readonly port: number
  readonly counts: { tcp: number; connections: number; requests: number }
  readonly sessions: ReadonlySet<ServerHttp2Session>
  /** Other keys from the next handshake on. */
  present(identity: { readonly key: string; readonly cert: string }): void
  close(): Promise<void>
}

const TYPE = 'application/dns-message'

function responseOf(reply: Uint8Array | DohReply): Required<DohReply> {
  if (reply instanceof Uint8Array)
    return { status: 200, headers: { 'content-type': TYPE, 'content-length': String(reply.length) }, body: [reply] }
  return { status: reply.status ?? 200, headers: reply.headers ?? { 'content-type': TYPE }, body: reply.body ?? [] }
}

/** A DoH server on loopback, HTTP/2 only. */
export async function startDoh(options: DohOptions): Promise<DohServer> {
  const counts = { tcp: 0, connections: 0, requests: 0 }
  const sessions = new Set<ServerHttp2Session>()
  const server: Http2SecureServer = createSecureServer({ ...options.http2, key: options.identity.key, cert: options.identity.cert })
  server.on('session', (session) => {
    const number = ++counts.connections
    let requests = 0
    const remotePort = beginning?.remotePort ?? session.socket.remotePort ?? 0
    sessions.add(session)
    session.on('error', () => {})
    session.on('close', () => sessions.delete(session))
    session.on('stream', (stream, headers) => {
      counts.requests++
      requests++
      const peer = {
        connection: number,
        requests,
        remotePort,
        headers: headers as DohPeer['headers'],
        session,
        stream,
        kill: () => void sockets.get(remotePort)?.resetAndDestroy(),
      }
      stream.on('error', () => {})
      gather(stream, async (query) => {
        const reply = await options.answer(query, peer)
        if (reply === undefined || stream.destroyed) return
        const { status, headers: fields, body } = responseOf(reply)
        stream.respond({ ':status': status, ...fields })
        await writeAll(stream, body)
      })
    })
    options.onSession?.(session, number)
  })
  server.on('sessionError', () => {})
  server.on('tlsClientError', () => {})
  let beginning: TLSSocket | undefined
  const { raw } = options
  if (raw !== undefined)
    intercept(server, (socket, number) => {
      beginning = socket
      return raw(socket, number)
    })
  const sockets = trackSockets(server, () => counts.tcp++)
  server.listen(options.port ?? 0, options.host ?? '127.0.0.1')
  await once(server, 'listening')
  const present = ({ key, cert }: DohOptions['identity']) => server.setSecureContext({ key, cert })
  return { port: portOf(server), counts, sessions, present, close: () => closeServer(server, sockets.values()) }
}

function intercept(server: Http2SecureServer, raw: NonNullable<DohOptions['raw']>): void {
  const listeners = server.listeners('secureConnection')
  server.removeAllListeners('secureConnection')
  let number = 0
  server.on('secureConnection', (socket: TLSSocket) => {
    socket.on('error', () => {})
    const taken = raw(socket, ++number)
    if (taken !== true) for (const listener of listeners) listener.call(server, taken === false ? socket : taken)
  })
}

/** A DoH server on loopback that knows HTTP/1.1 only. */
export async function startDohH1(
  options: Omit<DohOptions, 'http2' | 'onSession'> & { readonly https?: ServerOptions; readonly onHandshake?: () => void },
): Promise<DohServer> {
  const counts = { tcp: 0, connections: 0, requests: 0 }
  const seen = new WeakMap<object, { number: number; requests: number }>()
  const server = createHttps({ ...options.https, key: options.identity.key, cert: options.identity.cert }, (request, response) => {
    counts.requests++
    const known = seen.get(request.socket) ?? { number: ++counts.connections, requests: 0 }
    known.requests++
    seen.set(request.socket, known)
    const remotePort = request.socket.remotePort ?? 0
    const peer = {
      connection: known.number,
      requests: known.requests,
      remotePort,
      headers: request.headers,
      session: undefined,
      stream: undefined,
      kill: () => void sockets.get(remotePort)?.resetAndDestroy(),
    }
    gather(request, async (query) => {
      const reply = await options.answer(query, peer)
      if (reply === undefined || response.destroyed) return
      const { status, headers, body } = responseOf(reply)
      response.writeHead(status, { ...headers })
      await writeAll(response, body)
    })
  })
  server.on('tlsClientError', () => {})
  server.on('secureConnection', () => options.onHandshake?.())
  const sockets = trackSockets(server, () => counts.tcp++)
  server.listen(options.port ?? 0, options.host ?? '127.0.0.1')
  await once(server, 'listening')
  const present = ({ key, cert }: DohOptions['identity']) => server.setSecureContext({ key, cert })
  return { port: portOf(server), counts, sessions: new Set(), present, close: () => closeServer(server, sockets.values()) }
}

/** What is known goes out in one turn; only what comes later is waited for. */
async function writeAll(to: Writable, body: readonly Uint8Array[] | AsyncIterable<Uint8Array>): Promise<void> {
  if (Symbol.asyncIterator in body) {
    for await (const part of body) {
      if (to.destroyed) return
      to.write(part)
    }
  } else for (const part of body) if (!to.destroyed) to.write(part)
  if (!to.destroyed) to.end()
}

function gather(from: NodeJS.ReadableStream, then: (body: Uint8Array) => Promise<void>): void {
  const chunks: Buffer[] = []
  from.on('data', (chunk: Buffer) => chunks.push(chunk))
  from.on('end', () => void then(Buffer.concat(chunks)).catch(() => {}))
}
