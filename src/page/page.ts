import { randomBytes, timingSafeEqual } from 'node:crypto'
import { existsSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { dirname, join } from 'node:path'
import type { Clock, Timer } from '../clock.ts'
import { parseListen } from '../config/listen-address.ts'
import { asEnigmError, EnigmError, systemCode } from '../errors.ts'
import { readUnlinked, secretFile } from '../files/reading.ts'
import { listenOnSocket, socketFault } from '../files/socket.ts'
import { directoryFault, makeDirectory, remove, replaceFile } from '../files/writing.ts'
import type { StatusDocument } from '../posture/document.ts'
import { type Explain, explainedBox, readForm } from './explain-box.ts'
import { CONTENT_SECURITY_POLICY, explainHtml, pageHtml } from './html.ts'
import { metricsText } from './metrics.ts'
import { sampleEachMinute } from './sample.ts'

export interface PageOptions {
  /** A path (a Unix socket, mode 0600) or a loopback ADDRESS:PORT (with a token). */
  readonly listen: string
  /** The directory of `page.token` (mode 0600). */
  readonly stateDir: string
  readonly document: () => StatusDocument
  /** How often each rule of the policy ceased to be met since the start, by code. */
  readonly violations: () => Readonly<Record<string, number>>
  readonly clock: Clock
  /** Explains how a question would be answered. */
  readonly explain: Explain
}

/** The running page. */
export interface Page {
  /** The place of the page: the path, or http://ADDRESS:PORT. */
  readonly at: string
  close(): Promise<void>
}

const COOKIE = 'enigm-dns'
/** The served paths; redirects lead to no others. */
const PATHS = ['/', '/metrics'] as const
const EXPLAIN = '/explain'
const HTML = 'text/html; charset=utf-8'

/**
 * Serves `/` (HTML), `/explain` (the answer of its form) and `/metrics` (Prometheus text) to
 * authorized clients. Over a Unix socket that is every process that may open it. Over TCP the
 * client needs the token, as `Authorization: Bearer`, or once as `?token=` for a browser, which
 * gets a session. Rejects with `listen` if it cannot be bound.
 */
export async function servePage(o: PageOptions): Promise<Page> {
  const place = o.listen.startsWith('/') ? undefined : parseListen(o.listen)
  const token = place === undefined ? undefined : tokenOf(o.stateDir)
  const sessions = new Sessions(o.clock)
  const sampler = sampleEachMinute(o)
  const server = createServer(
    { requestTimeout: PATIENCE_MS, headersTimeout: PATIENCE_MS, keepAliveTimeout: PATIENCE_MS, maxHeaderSize: 8192 },
    (request, response) => {
      answer(request, response).catch(() => response.destroy())
    },
  )
  boundConnections(server, o.clock)

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = targetOf(request)
    if (url === undefined) return say(response, 400, 'no\n', 'text/plain')
    const refused = place === undefined ? undefined : refusal(request, url, token ?? '', sessions)
    if (refused === 'welcome') {
      return say(response, 303, '', 'text/plain', {
        location: PATHS.find((path) => path === url.pathname) ?? '/',
        'set-cookie': `${COOKIE}=${sessions.begin()}; HttpOnly; SameSite=Strict; Path=/; Max-Age=${SESSION_S}`,
      })
    }
    if (refused !== undefined)
      return say(response, refused, refused === 401 ? `The token is in ${join(o.stateDir, 'page.token')}.\n` : 'no\n', 'text/plain')
    if (request.method === 'POST' && url.pathname === EXPLAIN) {
      const form = await readForm(request)
      if (form === undefined) return say(response, 413, 'too much\n', 'text/plain')
      return say(response, 200, explainHtml(await explainedBox(form, o.explain)), HTML)
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') return say(response, 405, 'GET only\n', 'text/plain')
    const now = o.document()
    if (url.pathname === '/') return say(response, 200, pageHtml(now, sampler.counted(), sampler.minutes()), HTML)
    if (url.pathname === '/metrics') {
      return say(response, 200, await metricsText(now, sampler.counted()), 'text/plain; version=0.0.4; charset=utf-8')
    }
    say(response, 404, 'Here are / and /metrics.\n', 'text/plain')
  }

  try {
    await listen(server, o.listen, place)
  } catch (error) {
    sampler.stop()
    throw error
  }
  const bound = server.address()
  return {
    at:
      typeof bound === 'object' && bound !== null
        ? `http://${bound.family === 'IPv6' ? `[${bound.address}]` : bound.address}:${bound.port}`
        : o.listen,
    async close() {
      sampler.stop()
      server.closeAllConnections()
      await new Promise<void>((resolve) => server.close(() => resolve()))
      if (place === undefined) remove(o.listen)
    },
  }
}

/**
 * Why `servePage` would reject, as a sentence; undefined: it would succeed. Opens the port for a
 * moment; changes no file. `made`: the start makes these directories before.
 */
export async function pageFault(
  { listen: text, stateDir }: Pick<PageOptions, 'listen' | 'stateDir'>,
  made: readonly string[] = [],
): Promise<string | undefined> {
  const place = parseListen(text)
  try {
    if (place === undefined) {
      const directory = dirname(text)
      const absent = existsSync(directory) || made.includes(directory) ? undefined : 'ENOENT'
      const why = socketFault(text) ?? directoryFault(directory) ?? absent
      return why === undefined ? undefined : `The page cannot listen on ${text}: ${why}.`
    }
    keptToken(join(stateDir, 'page.token'))
    const server = createServer()
    await listen(server, text, place)
    await new Promise<void>((resolve) => server.close(() => resolve()))
    return undefined
  } catch (error) {
    return asEnigmError(error).message
  }
}

async function listen(server: ReturnType<typeof createServer>, text: string, place: ReturnType<typeof parseListen>): Promise<void> {
  if (place === undefined) {
    const refused = await listenOnSocket(server, text)
    if (refused === undefined) return
    throw new EnigmError('listen', `The page cannot listen on ${text}: ${refused === 'taken' ? 'another process does' : refused.why}.`)
  }
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => reject(new EnigmError('listen', `The page cannot listen on ${text}: ${cause.message}.`, { cause })))
    server.listen(place.port, place.address, resolve)
  })
}

/**
 * The request target as a URL: a path, even if it begins with "//", or a complete http URL (RFC
 * 9112 section 3.2.2); undefined for anything else.
 */
function targetOf({ url = '' }: IncomingMessage): URL | undefined {
  const text = url.startsWith('/') ? `http://localhost${url}` : url
  const target = URL.canParse(text) ? new URL(text) : undefined
  return target?.protocol === 'http:' ? target : undefined
}

/**
 * The status code with which a request is refused; 'welcome' for a browser with the token;
 * undefined: it is allowed. The Host header is checked, so that a name of another site that points
 * to loopback is refused (DNS rebinding).
 */
function refusal(request: IncomingMessage, url: URL, token: string, sessions: Sessions): number | 'welcome' | undefined {
  const host = (request.headers.host ?? '').replace(/:\d+$/, '')
  if (![host, url.hostname].every((name) => /^(127\.\d+\.\d+\.\d+|localhost|\[::1\])$/.test(name))) return 421
  const bearer = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1]
  const cookies = (request.headers.cookie ?? '').split('; ').filter((cookie) => cookie.startsWith(`${COOKIE}=`))
  if (same(bearer, token) || cookies.some((cookie) => sessions.has(cookie.slice(COOKIE.length + 1)))) return undefined
  return same(url.searchParams.get('token') ?? undefined, token) ? 'welcome' : 401
}

function same(given: string | undefined, token: string): boolean {
  const a = Buffer.from(given ?? '')
  const b = Buffer.from(token)
  return a.length === b.length && timingSafeEqual(a, b)
}

function say(response: ServerResponse, status: number, body: string, type: string, more: Readonly<Record<string, string>> = {}): void {
  response.writeHead(status, {
    'content-type': type,
    'content-security-policy': CONTENT_SECURITY_POLICY,
    'cache-control': 'no-store',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
    ...more,
  })
  response.end(body)
}

/**
 * Returns the stored token, or creates one. It is kept between starts, so that scrapers keep
 * working. A token that another user could have written or read is not used, and files of other
 * users are not overwritten. Throws an EnigmError `state`.
 */
function tokenOf(stateDir: string): string {
  const path = join(stateDir, 'page.token')
  const kept = keptToken(path)
  if (kept !== undefined) return kept
  const fresh = randomBytes(32).toString('base64url')
  try {
    makeDirectory(stateDir, 0o700)
    replaceFile(path, `${fresh}\n`, 0o600)
    return fresh
  } catch (error) {
    throw unusableToken(path, error)
  }
}

/** The stored token; undefined: there is none. Throws an EnigmError `state` if it is unusable. */
function keptToken(path: string): string | undefined {
  try {
    const kept = readUnlinked(path, MAX_TOKEN_OCTETS, secretFile)
    if (typeof kept === 'string') throw new EnigmError('state', `The page has no token: ${path} ${kept}; remove it.`)
    const token = kept?.toString('latin1').trim() ?? ''
    if (token === '' || TOKEN.test(token)) return token === '' ? undefined : token
    throw new EnigmError('state', `The page has no token: ${path} has other content; remove it.`)
  } catch (error) {
    throw error instanceof EnigmError ? error : unusableToken(path, error)
  }
}

function unusableToken(path: string, cause: unknown): EnigmError {
  return new EnigmError('state', `The page has no token: ${path} cannot be used (${systemCode(cause) ?? 'unknown error'}).`, { cause })
}

const TOKEN = /^[\w-]{43}$/
const MAX_TOKEN_OCTETS = 1024

/** Limit of browser sessions; one more ends the oldest session. */
const MAX_SESSIONS = 32
/** Duration of a browser session in seconds: a working day. */
export const SESSION_S = 12 * 3600

/**
 * The sessions of browsers that showed the token. A session has a random id instead of the token:
 * browsers send a cookie to every port of this host, and so to servers of other programs.
 */
export class Sessions {
  readonly #clock: Clock
  /** End times by id, in boot time; oldest first. */
  readonly #ends = new Map<string, number>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Starts a session and returns its id: 256 random bits, base64url. */
  begin(): string {
    const [oldest] = this.#ends.keys()
    if (oldest !== undefined && this.#ends.size >= MAX_SESSIONS) this.#ends.delete(oldest)
    const id = randomBytes(32).toString('base64url')
    this.#ends.set(id, this.#clock.nowMs() + SESSION_S * 1000)
    return id
  }

  /** Whether `id` is a session that has not ended. */
  has(id: string | undefined): boolean {
    const endMs = id === undefined ? undefined : this.#ends.get(id)
    if (id === undefined || endMs === undefined) return false
    if (this.#clock.nowMs() < endMs) return true
    this.#ends.delete(id)
    return false
  }
}

/** Limit of connections. A browser opens a few, a scraper one. */
const MAX_CONNECTIONS = 16
/**
 * Time limit for the head of a request, for the response, and between two requests; a connection
 * that takes longer is closed. Node checks its own timeouts only every 30 s.
 */
export const PATIENCE_MS = 5000

interface OpenConnection {
  late: Timer
  /** Number of requests that wait for their response. */
  busy: number
}

/**
 * Limits the number of connections of `server` and the time of each. At the limit a new one is
 * accepted and the one that has been idle longest is closed, so silent connections cannot keep a
 * scraper out.
 */
export function boundConnections(server: Server, clock: Clock): void {
  /** The connection that has been idle longest comes first. */
  const connections = new Map<Socket, OpenConnection>()
  const patience = (socket: Socket) => clock.setTimer(PATIENCE_MS, () => socket.destroy())
  const begin = (socket: Socket, held: OpenConnection, busy: number) => {
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

/**
 * The connection to close at the limit: the one that has been idle longest; if all are busy, the
 * one that has been busy longest.
 */
function leastWanted(connections: ReadonlyMap<Socket, OpenConnection>): Socket | undefined {
  const [oldest] = connections.keys()
  for (const [socket, { busy }] of connections) if (busy === 0) return socket
  return oldest
}
