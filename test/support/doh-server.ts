import { once } from 'node:events'
import {
  createSecureServer,
  type Http2SecureServer,
  type SecureServerOptions,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import { createServer as createHttps, type ServerOptions } from 'node:https'
import type { TLSSocket } from 'node:tls'
import { closeServer, portOf, trackSockets } from './dot-server.ts'

/** A whole response, for what a bare message cannot say. */
export interface DohReply {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  /** Sent one after the other; no Content-Length unless `headers` has one. */
  readonly body?: readonly Uint8Array[]
}

/** One request, as an `answer` function sees it. */
export interface DohPeer {
  /** 1 for the first connection or session that the server ever had. */
  readonly connection: number
  /** Requests seen on this connection so far, this one included. */
  readonly requests: number
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  /** HTTP/2 only. */
  readonly session: ServerHttp2Session | undefined
  readonly stream: ServerHttp2Stream | undefined
}

export interface DohOptions {
  readonly identity: { readonly key: string; readonly cert: string }
  readonly host?: string
  readonly port?: number
  /** A message for a plain 200, a whole response, or undefined: nothing is said. */
  readonly answer: (query: Uint8Array, peer: DohPeer) => Uint8Array | DohReply | undefined | Promise<Uint8Array | DohReply | undefined>
  readonly http2?: SecureServerOptions
  readonly onSession?: (session: ServerHttp2Session, number: number) => void
  /** Takes a TLS connection away from HTTP/2, to speak octets: returns true. Number 1 is the first connection that the server ever had. */
  readonly raw?: (socket: TLSSocket, number: number) => boolean
}

export interface DohServer {
  readonly port: number
  readonly counts: { tcp: number; connections: number; requests: number }
  readonly sessions: ReadonlySet<ServerHttp2Session>
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
    sessions.add(session)
    session.on('error', () => {})
    session.on('close', () => sessions.delete(session))
    session.on('stream', (stream, headers) => {
      counts.requests++
      requests++
      const peer = { connection: number, requests, headers: headers as DohPeer['headers'], session, stream }
      stream.on('error', () => {})
      gather(stream, async (query) => {
        const reply = await options.answer(query, peer)
        if (reply === undefined || stream.destroyed) return
        const { status, headers: fields, body } = responseOf(reply)
        stream.respond({ ':status': status, ...fields })
        for (const part of body) if (!stream.destroyed) stream.write(part)
        if (!stream.destroyed) stream.end()
      })
    })
    options.onSession?.(session, number)
  })
  server.on('sessionError', () => {})
  server.on('tlsClientError', () => {})
  if (options.raw !== undefined) intercept(server, options.raw)
  const sockets = trackSockets(server, () => counts.tcp++)
  server.listen(options.port ?? 0, options.host ?? '127.0.0.1')
  await once(server, 'listening')
  return { port: portOf(server), counts, sessions, close: () => closeServer(server, sockets.values()) }
}

function intercept(server: Http2SecureServer, raw: (socket: TLSSocket, number: number) => boolean): void {
  const listeners = server.listeners('secureConnection')
  server.removeAllListeners('secureConnection')
  let number = 0
  server.on('secureConnection', (socket: TLSSocket) => {
    socket.on('error', () => {})
    if (!raw(socket, ++number)) for (const listener of listeners) listener.call(server, socket)
  })
}

/** A DoH server on loopback that knows HTTP/1.1 only. */
export async function startDohH1(
  options: Omit<DohOptions, 'http2' | 'onSession'> & { readonly https?: ServerOptions },
): Promise<DohServer> {
  const counts = { tcp: 0, connections: 0, requests: 0 }
  const seen = new WeakMap<object, { number: number; requests: number }>()
  const server = createHttps({ ...options.https, key: options.identity.key, cert: options.identity.cert }, (request, response) => {
    counts.requests++
    const known = seen.get(request.socket) ?? { number: ++counts.connections, requests: 0 }
    known.requests++
    seen.set(request.socket, known)
    const peer = { connection: known.number, requests: known.requests, headers: request.headers, session: undefined, stream: undefined }
    gather(request, async (query) => {
      const reply = await options.answer(query, peer)
      if (reply === undefined || response.destroyed) return
      const { status, headers, body } = responseOf(reply)
      response.writeHead(status, { ...headers })
      for (const part of body) response.write(part)
      response.end()
    })
  })
  server.on('tlsClientError', () => {})
  const sockets = trackSockets(server, () => counts.tcp++)
  server.listen(options.port ?? 0, options.host ?? '127.0.0.1')
  await once(server, 'listening')
  return { port: portOf(server), counts, sessions: new Set(), close: () => closeServer(server, sockets.values()) }
}

function gather(from: NodeJS.ReadableStream, then: (body: Uint8Array) => Promise<void>): void {
  const chunks: Buffer[] = []
  from.on('data', (chunk: Buffer) => chunks.push(chunk))
  from.on('end', () => void then(Buffer.concat(chunks)).catch(() => {}))
}
