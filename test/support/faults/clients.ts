import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import { request as requestHttps } from 'node:https'
import { connect as connectTls } from 'node:tls'
import { withPaddedOpt } from '../../../src/dns/edns.ts'
import { FrameReader, framed } from '../../../src/dns/framing.ts'
import { setId } from '../../../src/dns/message.ts'
import { query } from '../messages.ts'
import { FAULT_SERVER_NAME, type FaultServer } from './server.ts'

/** A query as ours leave: RD and AD, lower case, padded to 128 octets. */
export function properQuery(name: string, id = 0): Uint8Array {
  const padded = withPaddedOpt(query({ name, flags: 0x0120 }), { dnssecOk: false, block: 128, keepalive: false })
  setId(padded, id)
  return padded
}

/**
 * What a client that knows nothing of ours saw within `ms`: messages over DoT, a status and a body
 * over HTTP, or how the connection ended.
 */
export interface Seen {
  readonly messages: readonly Uint8Array[]
  readonly status?: number
  readonly headers?: Readonly<Record<string, unknown>>
  readonly ended?: string
  readonly tookMs: number
}

/** Asks once, on a connection of its own, with a client of Node's. */
export function askOnce(server: FaultServer, ca: string, message: Uint8Array, ms = 300): Promise<Seen> {
  return server.protocol === 'dot'
    ? overDot(server, ca, message, ms)
    : server.protocol === 'h2'
      ? overH2(server, ca, message, ms)
      : overH1(server, ca, message, ms)
}

/** How long a second message is waited for. */
const AND_THEN_MS = 20

const tlsTo = ({ port }: FaultServer, ca: string) => ({ host: '127.0.0.1', port, ca, servername: FAULT_SERVER_NAME })

async function overDot(server: FaultServer, ca: string, message: Uint8Array, ms: number): Promise<Seen> {
  const beganMs = performance.now()
  const messages: Uint8Array[] = []
  let ended: string | undefined
  const socket = connectTls({ ...tlsTo(server, ca), ALPNProtocols: ['dot'] }, () => socket.write(framed(message)))
  const reader = new FrameReader()
  const settled = new Promise((resolve) => {
    socket.on('data', (chunk) => {
      reader.push(chunk, (frame) => messages.push(Uint8Array.from(frame)))
      if (messages.length > 0) setTimeout(resolve, AND_THEN_MS)
    })
  })
  socket.on('error', (error: NodeJS.ErrnoException) => {
    ended = error.code ?? error.message
  })
  socket.on('end', () => {
    ended ??= 'FIN'
  })
  await Promise.race([settled, once(socket, 'close').catch(() => {}), new Promise((resolve) => setTimeout(resolve, ms))])
  socket.destroy()
  return { messages, tookMs: performance.now() - beganMs, ...(ended === undefined ? {} : { ended }) }
}

const HEADERS = { accept: 'application/dns-message', 'content-type': 'application/dns-message', 'accept-encoding': 'identity' }

function overH2(server: FaultServer, ca: string, message: Uint8Array, ms: number): Promise<Seen> {
  const beganMs = performance.now()
  return new Promise((resolve) => {
    const session = connectHttp2(`https://127.0.0.1:${server.port}`, { ca, servername: FAULT_SERVER_NAME })
    const body: Buffer[] = []
    let head: { status?: number; headers?: Readonly<Record<string, unknown>> } = {}
    const done = (ended?: string) => {
      clearTimeout(late)
      session.destroy()
      const messages = body.length === 0 ? [] : [Buffer.concat(body)]
      resolve({ messages, ...head, tookMs: performance.now() - beganMs, ...(ended === undefined ? {} : { ended }) })
    }
    const late = setTimeout(() => done('late'), ms)
    session.on('error', (error: NodeJS.ErrnoException) => done(error.code))
    session.on('goaway', (code, last) => done(`goaway ${code} ${last}`))
    const stream = session.request({ ':method': 'POST', ':path': '/dns-query', ...HEADERS, 'content-length': message.length })
    stream.on('response', (headers) => {
      head = { status: headers[':status'] ?? 0, headers }
    })
    stream.on('data', (chunk: Buffer) => body.push(chunk))
    stream.on('error', () => {})
    // A fault of the session is told after that of its streams.
    stream.on('close', () => setImmediate(() => done(stream.rstCode === 0 ? undefined : `reset ${stream.rstCode}`)))
    stream.end(message)
  })
}

function overH1(server: FaultServer, ca: string, message: Uint8Array, ms: number): Promise<Seen> {
  const beganMs = performance.now()
  return new Promise((resolve) => {
    const body: Buffer[] = []
    let head: { status?: number; headers?: Readonly<Record<string, unknown>> } = {}
    const done = (ended?: string) => {
      clearTimeout(late)
      request.destroy()
      const messages = body.length === 0 ? [] : [Buffer.concat(body)]
      resolve({ messages, ...head, tookMs: performance.now() - beganMs, ...(ended === undefined ? {} : { ended }) })
    }
    const late = setTimeout(() => done('late'), ms)
    const request = requestHttps(
      { ...tlsTo(server, ca), agent: false, method: 'POST', path: '/dns-query', headers: { ...HEADERS, 'content-length': message.length } },
      (response) => {
        head = { status: response.statusCode ?? 0, headers: response.headers }
        response.on('data', (chunk: Buffer) => body.push(chunk))
        response.on('end', () => done())
        response.on('error', () => {})
      },
    )
    request.on('error', (error: NodeJS.ErrnoException) => done(error.code ?? error.message))
    request.end(message)
  })
}
