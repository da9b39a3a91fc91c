import { once } from 'node:events'
import { connect, createServer, isIP, type Server, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { createServer as createTlsServer } from 'node:tls'
import type { DialHop, Login } from '../../src/link/dial/hops.ts'
import type { Hop, ProxyKind } from '../../src/route.ts'
import { portOf } from './dot-server.ts'

/** How a scripted proxy behaves from the next connection on. */
export type ProxyFault =
  /** Accepts TCP and says nothing. */
  | 'silent'
  /** RST after the first octets. */
  | 'resets'
  /** One octet of its reply every 50 ms. */
  | 'trickles'
  /** Answers the first message, and nothing after it. */
  | 'half-silent'
  | 'refuses-credentials'
  | 'refuses-rules'
  | 'cannot-reach'
  | 'garbage'
  /** Octets after its reply that nobody asked for. */
  | 'talks'
  | 'endless'

/** What a client asked a proxy for. */
export interface ProxyRequest {
  readonly host: string
  readonly port: number
  readonly login: Login | undefined
  /** The source port of the client. */
  readonly from: number
}

/** A SOCKS5 or HTTP proxy on loopback. Names are reached as `names` says, and never looked up. */
export interface ScriptedProxy {
  readonly kind: ProxyKind
  readonly port: number
  readonly requests: readonly ProxyRequest[]
  readonly counts: { readonly tcp: number }
  behave(fault: ProxyFault | undefined): void
  /** The connections that exist carry nothing more, without a word. */
  freeze(): void
  /** Ends all connections and refuses new ones. */
  die(): Promise<void>
  /** After `die`: as before, on the same port. */
  comeBack(): Promise<void>
  close(): Promise<void>
}

export interface ProxySpec {
  readonly kind: ProxyKind
  readonly login?: Login
  /** Accepts any user name and password, as Tor does. */
  readonly anyLogin?: true
  readonly tls?: { readonly key: string; readonly cert: string }
  /** Where names lead on loopback: a port, by name. */
  readonly names?: Readonly<Record<string, number>>
  /** One way between this proxy and the next host, added to each chunk. */
  readonly delayMs?: number
}

/** Reads exactly what a message needs. */
class Reader {
  readonly #stream: Duplex
  constructor(stream: Duplex) {
    this.#stream = stream
  }
  async take(count: number): Promise<Buffer> {
    for (;;) {
      const octets: Buffer | null = this.#stream.read(count)
      if (octets !== null && octets.length === count) return octets
      await Promise.race([once(this.#stream, 'readable'), once(this.#stream, 'close').then(() => Promise.reject(new Error('closed')))])
    }
  }
  async head(): Promise<string> {
    let head = ''
    while (!head.endsWith('\r\n\r\n')) head += (await this.take(1)).toString('latin1')
    return head
  }
}

/** What a proxy decided about a request. */
type Verdict = 'connected' | 'credentials' | 'rules' | 'unreachable'

export async function startProxy(spec: ProxySpec): Promise<ScriptedProxy> {
  const requests: ProxyRequest[] = []
  const counts = { tcp: 0 }
  const sockets = new Set<Socket>()
  const frozen = new Set<Socket>()
  let fault: ProxyFault | undefined
  const track = (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => {
      sockets.delete(socket)
      frozen.delete(socket)
    })
  }

  const reach = async (host: string, port: number): Promise<Socket | undefined> => {
    if (fault === 'cannot-reach') return undefined
    const target = isIP(host) === 0 ? spec.names?.[host] : port
    if (target === undefined) return undefined
    const socket = connect({ host: isIP(host) === 0 ? '127.0.0.1' : host, port: target, noDelay: true })
    track(socket)
    try {
      await once(socket, 'connect')
      return socket
    } catch {
      return undefined
    }
  }
  const say = async (stream: Duplex, octets: Uint8Array): Promise<void> => {
    if (fault === 'garbage') return void stream.write('SSH-2.0-OpenSSH_9.2\r\n\r\n')
    if (fault === 'endless') return void stream.write(`HTTP/1.1 200 OK\r\nx: ${'x'.repeat(20_000)}`)
    if (fault !== 'trickles') return void stream.write(fault === 'talks' ? Buffer.concat([octets, Buffer.from('hello')]) : octets)
    for (const octet of octets) {
      stream.write(Uint8Array.of(octet))
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
  const judge = (login: Login | undefined): Verdict | undefined => {
    if (fault === 'refuses-credentials') return 'credentials'
    if (fault === 'refuses-rules') return 'rules'
    if (spec.login !== undefined && (login?.username !== spec.login.username || login.password !== spec.login.password))
      return 'credentials'
    return undefined
  }

  const socks = async (stream: Duplex, from: number): Promise<Socket | undefined> => {
    const reader = new Reader(stream)
    const [, count = 0] = await reader.take(2)
    const methods = [...(await reader.take(count))]
    const wanted = spec.login !== undefined || spec.anyLogin ? 2 : 0
    if (!methods.includes(wanted)) {
      await say(stream, Uint8Array.of(5, 0xff))
      return undefined
    }
    await say(stream, Uint8Array.of(5, wanted))
    if (fault === 'half-silent') return await new Promise<never>(() => {})
    let login: Login | undefined
    if (wanted === 2) {
      const [, nameLength = 0] = await reader.take(2)
      const username = (await reader.take(nameLength)).toString()
      const password = (await reader.take((await reader.take(1))[0] ?? 0)).toString()
      login = { username, password }
      if (judge(login) === 'credentials') {
        await say(stream, Uint8Array.of(1, 1))
        return undefined
      }
      await say(stream, Uint8Array.of(1, 0))
    }
    const type = (await reader.take(4))[3]
    const host =
      type === 1
        ? [...(await reader.take(4))].join('.')
        : type === 3
          ? (await reader.take((await reader.take(1))[0] ?? 0)).toString()
          : ((await reader.take(16)).toString('hex').match(/.{4}/g) ?? []).join(':')
    const port = (await reader.take(2)).readUInt16BE()
    requests.push({ host, port, login, from })
    const verdict = judge(login)
    const next = verdict === undefined ? await reach(host, port) : undefined
    const code = next !== undefined ? 0 : verdict === 'rules' ? 2 : 5
    await say(stream, Uint8Array.of(5, code, 0, 1, 127, 0, 0, 1, 0, 0))
    return next
  }
  const http = async (stream: Duplex, from: number): Promise<Socket | undefined> => {
    const head = await new Reader(stream).head()
    const [, host = '', port = ''] = /^CONNECT \[?([^\]\s]*?)\]?:(\d+) HTTP\/1\.1\r\n/.exec(head) ?? []
    const basic = /\r\nProxy-Authorization: Basic (.*)\r\n/.exec(head)?.[1]
    const [, username = '', password = ''] = /^([^:]*):(.*)$/.exec(Buffer.from(basic ?? '', 'base64').toString()) ?? []
    const login = basic === undefined ? undefined : { username, password }
    requests.push({ host, port: Number(port), login, from })
    if (fault === 'half-silent') return await new Promise<never>(() => {})
    const verdict = judge(login)
    const next = verdict === undefined ? await reach(host, Number(port)) : undefined
    const status =
      next !== undefined ? '200 OK' : verdict === 'rules' ? '403 Forbidden' : verdict === 'credentials' ? '407 No' : '502 Bad Gateway'
    await say(stream, Buffer.from(`HTTP/1.1 ${status}\r\nVia: test\r\n\r\n${next === undefined ? '<html>' : ''}`))
    return next
  }

  const serve = async (tcp: Socket, stream: Duplex): Promise<void> => {
    if (fault === 'silent') return
    if (fault === 'resets') {
      stream.once('data', () => tcp.resetAndDestroy())
      return
    }
    const next = await (spec.kind === 'socks5' ? socks : http)(stream, tcp.remotePort ?? 0)
    if (next === undefined) return void stream.end()
    const carry = (from: Duplex, into: Duplex) => {
      from.on('data', (chunk: Buffer) => {
        const pass = () => !frozen.has(tcp) && !into.destroyed && into.write(chunk)
        if (spec.delayMs === undefined) pass()
        else setTimeout(pass, spec.delayMs)
      })
      from.on('close', () => !frozen.has(tcp) && into.destroy())
    }
    carry(stream, next)
    carry(next, stream)
  }
  const opened = (tcp: Socket, stream: Duplex) => {
    stream.on('error', () => {})
    serve(tcp, stream).catch(() => stream.destroy())
  }
  const listen = async (port: number): Promise<Server> => {
    const raw = new Map<number, Socket>()
    const server =
      spec.tls === undefined
        ? createServer({ noDelay: true }, (socket) => opened(socket, socket))
        : createTlsServer({ ...spec.tls, noDelay: true }, (socket) => {
            const tcp = raw.get(socket.remotePort ?? 0)
            if (tcp !== undefined) opened(tcp, socket)
          })
    server.on('connection', (socket: Socket) => {
      counts.tcp++
      raw.set(socket.remotePort ?? 0, socket)
      track(socket)
    })
    server.on('tlsClientError', () => {})
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    return server
  }
  let server: Server | undefined = await listen(0)
  const port = portOf(server)
  const die = async () => {
    const closing = server
    server = undefined
    const closed = new Promise((resolve) => (closing === undefined ? resolve(undefined) : closing.close(resolve)))
    for (const socket of sockets) socket.destroy()
    await closed
  }
  return {
    kind: spec.kind,
    ...{ port, requests, counts, die, close: die },
    behave(next) {
      fault = next
    },
    freeze() {
      for (const socket of sockets) frozen.add(socket)
    },
    async comeBack() {
      server = await listen(port)
    },
  }
}

/** The hop for a proxy on loopback. */
export function hopTo(
  proxy: Pick<ScriptedProxy, 'kind' | 'port'>,
  more: Partial<Hop> & { readonly login?: () => Login; readonly ca?: string; readonly spkiPins?: readonly string[] } = {},
): DialHop {
  const { login, ca, spkiPins = [], ...hop } = more
  return {
    hop: { kind: proxy.kind, name: 'hop', host: '127.0.0.1', port: proxy.port, protection: { by: 'none' }, credentials: 'none', ...hop },
    ...{ ca, spkiPins },
    ...(login === undefined ? {} : { login }),
  }
}
