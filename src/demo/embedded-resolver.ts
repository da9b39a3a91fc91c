import { createSecureServer, type Http2Session, type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo, Server, Socket } from 'node:net'
import { createServer } from 'node:tls'
import { readOpt, withPaddedOpt } from '../dns/edns.ts'
import { FrameReader, framed } from '../dns/framing.ts'
import { idOf, questionOf, setId } from '../dns/message.ts'
import { newScan, scanQuery, VERDICT } from '../dns/query-scan.ts'
import { groupOffer, TLS_SETTINGS } from '../link/dial/tls-settings.ts'
import type { Zone } from './zone.ts'

/** RFC 8467 section 4.2: replies padded to the next multiple of 468 octets. */
const REPLY_BLOCK = 468
const MAX_QUERY_OCTETS = 4096
const MESSAGE_TYPE = 'application/dns-message'

/**
 * A trusted resolver on loopback, for `demo`: DoT (RFC 7858) and DoH over HTTP/2 (RFC 8484) on free
 * ports.
 */
export interface EmbeddedResolver {
  readonly dotPort: number
  readonly dohPort: number
  close(): Promise<void>
}

/**
 * Serves `zone` with the given certificate (PEM). Packets that are not valid queries are dropped
 * (DoT) or get status 400 (DoH).
 */
export async function startEmbeddedResolver(
  zone: Zone,
  identity: { readonly key: string; readonly cert: string },
): Promise<EmbeddedResolver> {
  const tls = { ...TLS_SETTINGS, ...identity, ecdhCurve: groupOffer(undefined, false)?.ecdhCurve, minVersion: 'TLSv1.3' } as const
  const dot = createServer({ ...tls, ALPNProtocols: ['dot'] }, (socket) => serveDot(socket, zone))
  const doh = createSecureServer({ ...tls, settings: { enablePush: false } })
  const sockets = new Set<Socket | Http2Session>()
  const track = (thing: Socket | Http2Session) => {
    sockets.add(thing)
    thing.on('error', () => thing.destroy())
    thing.on('close', () => sockets.delete(thing))
  }
  dot.on('connection', track)
  doh.on('session', track)
  doh.on('stream', (stream, headers) => serveDoh(stream, headers[':method'], headers[':path'], zone))
  for (const server of [dot, doh]) server.on('tlsClientError', () => {})
  const [dotPort, dohPort] = [await listening(dot), await listening(doh)]
  return {
    dotPort,
    dohPort,
    async close() {
      for (const socket of sockets) socket.destroy()
      await Promise.all([dot, doh].map((server) => new Promise((resolve) => server.close(resolve))))
    },
  }
}

function listening(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port))
  })
}

function serveDot(socket: Socket, zone: Zone): void {
  const reader = new FrameReader(MAX_QUERY_OCTETS)
  socket.setNoDelay()
  socket.on('error', () => socket.destroy())
  socket.on('data', (chunk) => {
    const sane = reader.push(chunk, (query) => {
      const reply = replyTo(query, zone)
      if (reply !== undefined) socket.write(framed(reply))
    })
    if (!sane) socket.destroy()
  })
}

function serveDoh(stream: ServerHttp2Stream, method: string | undefined, path: string | undefined, zone: Zone): void {
  const chunks: Buffer[] = []
  let octets = 0
  stream.on('error', () => stream.destroy())
  stream.on('data', (chunk: Buffer) => {
    octets += chunk.length
    if (octets > MAX_QUERY_OCTETS) stream.destroy()
    else chunks.push(chunk)
  })
  stream.on('end', () => {
    const query = method === 'POST' ? Buffer.concat(chunks) : Buffer.from(/[?&]dns=([\w-]+)/.exec(path ?? '')?.[1] ?? '', 'base64url')
    const reply = replyTo(query, zone)
    stream.respond({ ':status': reply === undefined ? 400 : 200, 'content-type': MESSAGE_TYPE })
    stream.end(reply)
  })
}

/** The reply is padded if and only if the query was (RFC 7830 section 4). */
export function replyTo(query: Uint8Array, zone: Zone): Uint8Array | undefined {
  const scan = newScan()
  if (scanQuery(query, 0, query.length, scan) !== VERDICT.ok) return undefined
  const bare = zone.answer(questionOf(query, scan))
  setId(bare, idOf(query))
  const opt = readOpt(query)
  if (opt === undefined) return bare
  return withPaddedOpt(bare, { dnssecOk: opt.dnssecOk, block: opt.padded ? REPLY_BLOCK : 0, keepalive: false })
}
