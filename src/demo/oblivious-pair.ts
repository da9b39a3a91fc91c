import { createPublicKey, diffieHellman, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createSecureServer, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2'
import { Agent, request as httpsRequest } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { Fields, targetKeyOf, u16Octets, vector } from '../config/odoh-config.ts'
import { expand, extract, HpkeContext, keyScheduleContext, publicOctets, recipientOf, seal } from '../link/odoh/hpke.ts'
import { responseSecrets } from '../link/odoh/message.ts'

/** A relay and a target of RFC 9230 on loopback. Each keeps a log of what it saw. */

const MEDIA_TYPE = 'application/oblivious-dns-message'
const SCHEDULE = keyScheduleContext('odoh query')
const KEY_ID_LABEL = Buffer.from('odoh key id')

interface Identity {
  readonly key: string
  readonly cert: string
}

/** What a target saw of one query: who connected, and the query. */
export interface SeenByTarget {
  readonly from: string
  readonly query: Uint8Array
}

/** What a relay saw of one query: who asked, for which target, and how much. */
export interface SeenByRelay {
  readonly from: string
  readonly target: string
  readonly octets: number
  readonly body: Buffer
}

export interface TargetOptions {
  readonly identity: Identity
  /** The reply to a query; undefined: none is sent. */
  readonly answer: (query: Uint8Array) => Uint8Array | undefined | Promise<Uint8Array | undefined>
  /** What it says to a query for a key that it does not know. Default: status 401. */
  readonly unknownKey?: 'status' | 'empty'
  readonly host?: string
}

export interface Target {
  readonly port: number
  readonly log: SeenByTarget[]
  /** How often its keys were fetched. */
  readonly fetched: () => number
  /** Base64 of the ObliviousDoHConfigs that it publishes. */
  readonly config: () => string
  /** From now on it has another key. */
  rotate(): void
  close(): Promise<void>
}

/** Where a relay finds a target. */
export interface TargetPlace {
  readonly port: number
  readonly ca: string
  readonly host?: string
  /** The address from which the relay connects. */
  readonly from?: string
}

export interface Relay {
  readonly port: number
  readonly log: SeenByRelay[]
  close(): Promise<void>
}

/** The keys of a target, and what it publishes of them. */
export interface KeyPair {
  readonly privateKey: KeyObject
  readonly octets: Buffer
  readonly id: Buffer
  readonly configs: Buffer
}

export function newKeyPair(): KeyPair {
  const { privateKey } = generateKeyPairSync('x25519')
  const octets = publicOctets(createPublicKey(privateKey))
  const contents = Buffer.concat([u16Octets(0x20), u16Octets(1), u16Octets(1), vector(octets)])
  const configs = vector(Buffer.concat([u16Octets(1), vector(contents)]))
  if (typeof targetKeyOf(configs) === 'string') throw new Error('the config is malformed')
  return { privateKey, octets, id: expand(extract(new Uint8Array(0), contents), 32, KEY_ID_LABEL), configs }
}

/** A query that a target opened. */
export interface OpenedQuery {
  readonly query: Uint8Array
  /** Seals a reply to it. */
  reply(message: Uint8Array): Buffer
  /** Seals a plaintext with any fields. */
  replyPlain(plaintext: Uint8Array): Buffer
}

/** Opens a query; undefined: it was sealed to another key. */
export function openQuery(keys: KeyPair, body: Uint8Array): OpenedQuery | undefined {
  const fields = new Fields(body)
  const type = fields.u8()
  const id = fields.vector()
  const encrypted = fields.vector()
  if (type !== 1 || id === undefined || encrypted === undefined || !keys.id.equals(id)) return undefined
  const enc = encrypted.subarray(0, 32)
  const dh = diffieHellman({ privateKey: keys.privateKey, publicKey: recipientOf(enc).key })
  const context = new HpkeContext(dh, enc, keys.octets, SCHEDULE)
  const plaintext = context.open(Buffer.concat([Buffer.from([1]), vector(id)]), encrypted.subarray(32))
  const query = plaintext && new Fields(plaintext).vector()
  if (plaintext === undefined || query === undefined) return undefined
  const replyPlain = (reply: Uint8Array) => {
    const nonce = randomBytes(16)
    const secrets = responseSecrets(context, plaintext, nonce)
    const header = Buffer.concat([Buffer.from([2]), vector(nonce)])
    return Buffer.concat([header, vector(seal(secrets.key, secrets.nonce, header, reply))])
  }
  return { query, replyPlain, reply: (message) => replyPlain(Buffer.concat([vector(message), u16Octets(0)])) }
}

async function bodyOf(request: Http2ServerRequest): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

async function serve(
  identity: Identity,
  host: string,
  handle: (request: Http2ServerRequest, response: Http2ServerResponse) => Promise<void>,
): Promise<{ readonly port: number; close(): Promise<void> }> {
  const sockets = new Set<Socket>()
  const server = createSecureServer({ ...identity, allowHTTP1: true }, (request, response) => {
    handle(request, response).catch(() => response.stream?.close())
  })
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket)).on('error', () => {})
  })
  server.on('sessionError', () => {}).on('tlsClientError', () => {})
  server.listen(0, host)
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise((done) => server.close(done))
    },
  }
}

/** A target: it sees queries, and as their sender a relay. */
export async function startTarget({ identity, answer, unknownKey = 'status', host = '127.0.0.1' }: TargetOptions): Promise<Target> {
  let keys = newKeyPair()
  let fetched = 0
  const log: SeenByTarget[] = []
  const server = await serve(identity, host, async (request, response) => {
    if (request.method === 'GET' && request.url === '/.well-known/odohconfigs') {
      fetched++
      response.writeHead(200, { 'content-type': 'application/binary' }).end(keys.configs)
      return
    }
    const opened = openQuery(keys, await bodyOf(request))
    if (request.headers['content-type'] !== MEDIA_TYPE) response.writeHead(415).end()
    // Without a type: an empty body has none.
    else if (opened === undefined) response.writeHead(unknownKey === 'status' ? 401 : 200).end()
    else {
      log.push({ from: request.socket.remoteAddress ?? '', query: Uint8Array.from(opened.query) })
      const reply = await answer(opened.query)
      if (reply !== undefined) response.writeHead(200, { 'content-type': MEDIA_TYPE }).end(opened.reply(reply))
    }
  })
  return {
    ...server,
    log,
    fetched: () => fetched,
    config: () => keys.configs.toString('base64'),
    rotate() {
      keys = newKeyPair()
    },
  }
}

/**
 * A relay: it passes on POSTs to the targets that it knows, by name, and cannot read them. `spoils`
 * may change the body of a response.
 */
export async function startRelay(options: {
  readonly identity: Identity
  readonly targets: Readonly<Record<string, TargetPlace>>
  readonly host?: string
  readonly spoils?: (body: Buffer) => Buffer
  /** It does not say how long a response is. */
  readonly chunked?: boolean
}): Promise<Relay> {
  const log: SeenByRelay[] = []
  const agent = new Agent({ keepAlive: true })
  const server = await serve(options.identity, options.host ?? '127.0.0.1', async (request, response) => {
    const url = new URL(request.url, 'https://relay')
    const name = url.searchParams.get('targethost') ?? ''
    const body = await bodyOf(request)
    const target = options.targets[name]
    log.push({ from: request.socket.remoteAddress ?? '', target: name, octets: body.length, body })
    if (request.method !== 'POST' || target === undefined) return void response.writeHead(request.method === 'POST' ? 403 : 405).end()
    const from = await passedOn(agent, target, url.searchParams.get('targetpath') ?? '/', name, body)
    const spoilt = options.spoils?.(from.body) ?? from.body
    const type = from.type === undefined ? {} : { 'content-type': from.type }
    const length = options.chunked === true ? {} : { 'content-length': String(spoilt.length) }
    response.writeHead(from.status, { ...type, ...length }).end(spoilt)
  })
  return {
    ...server,
    log,
    async close() {
      agent.destroy()
      await server.close()
    },
  }
}

async function passedOn(
  agent: Agent,
  { port, ca, host = '127.0.0.1', from: localAddress }: TargetPlace,
  path: string,
  name: string,
  body: Buffer,
) {
  const servername = name.replace(/:\d+$/, '')
  const headers = { 'content-type': MEDIA_TYPE, accept: MEDIA_TYPE, 'content-length': body.length }
  const outgoing = httpsRequest({ agent, host, port, ca, localAddress, servername, method: 'POST', path, headers })
  outgoing.end(body)
  const [incoming] = await once(outgoing, 'response')
  const chunks: Buffer[] = []
  for await (const chunk of incoming) chunks.push(chunk)
  return { status: Number(incoming.statusCode), type: incoming.headers['content-type'], body: Buffer.concat(chunks) }
}
