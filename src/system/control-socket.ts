import { chmodSync, existsSync, rmSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { dirname, join } from 'node:path'
import type { Clock } from '../clock.ts'

/** sun_path of unix(7) less its zero; other systems have 4 octets less. */
const MAX_PATH_OCTETS = 103
const MAX_REQUEST_OCTETS = 64
const MAX_CONNECTIONS = 4
const PATIENCE_MS = 10_000

/** Where the daemon that writes this status file takes orders. */
export function controlPath(statusFile: string): string {
  return join(dirname(statusFile), 'control.sock')
}

/** Takes a word and answers with what `JSON.stringify` can write, or with a `Feed`; undefined: no such order. */
export type Obey = (order: string) => Promise<unknown>

/** Where the lines of a feed go. */
interface Outlet {
  /** Sends each value as a line of JSON. False: the socket is full, and `drained` will be called. */
  send(lines: readonly object[]): boolean
  end(): void
}

/** An answer of many lines: `begin` is called once with where they go, and what it returns is told of the other end. */
export class Feed {
  readonly begin: (outlet: Outlet) => { drained(): void; gone(): void }
  constructor(begin: Feed['begin']) {
    this.begin = begin
  }
}

export interface Control {
  /** Listens anew where the socket was taken away, with its directory perhaps. Costs a stat; what fails is tried again with the next call. Never throws. */
  readonly heal: () => void
  readonly close: () => Promise<void>
}

/**
 * Listens for orders at `path`, a socket that only our user (and root) may connect to: one word and a newline, answered with one line of JSON. Resolves to `taken`
 * where another process answers there, or to why there is no socket. A socket that a killed process left is taken over.
 */
export async function listenControl(path: string, obey: Obey, clock: Clock): Promise<Control | 'taken' | { readonly why: string }> {
  if (Buffer.byteLength(path) > MAX_PATH_OCTETS) return { why: `its path is longer than ${MAX_PATH_OCTETS} octets` }
  const sockets = new Set<Socket>()
  const open = () => opened(path, sockets, obey, clock)
  let server: Server | string | undefined = await open()
  if (server === 'EADDRINUSE') {
    if (await answers(path)) return 'taken'
    // Where somebody was quicker, the second attempt tells.
    rmSync(path, { force: true })
    server = await open()
  }
  if (typeof server === 'string') return { why: server }
  let current: Server | undefined = server
  let healing = false
  let ended = false
  return {
    heal() {
      if (ended || healing || existsSync(path)) return
      healing = true
      current?.close()
      current = undefined
      void open().then((next) => {
        healing = false
        if (typeof next === 'string') return
        if (ended) next.close()
        else current = next
      })
    },
    close() {
      ended = true
      return closed(current, sockets)
    },
  }
}

/** The server, or the code of the error. */
async function opened(path: string, sockets: Set<Socket>, obey: Obey, clock: Clock): Promise<Server | string> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket.once('close', () => sockets.delete(socket)))
    serve(socket, obey, clock)
  })
  server.maxConnections = MAX_CONNECTIONS
  const code = await listening(server, path)
  if (code !== undefined) return code
  server.on('error', () => {})
  return server.unref()
}

function closed(server: Server | undefined, sockets: ReadonlySet<Socket>): Promise<void> {
  return new Promise((resolve) => {
    if (server === undefined) resolve()
    else server.close(() => resolve())
    for (const socket of sockets) socket.destroySoon()
  })
}

/** Resolves to the error's code, or undefined. The umask closes the socket while it is made; the mode says so for good. */
function listening(server: Server, path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const failed = (error: NodeJS.ErrnoException) => resolve(error.code ?? 'unknown error')
    const umask = process.umask(0o177)
    server.once('error', failed).listen(path, () => {
      server.off('error', failed)
      chmodSync(path, 0o600)
      resolve(undefined)
    })
    process.umask(umask)
  })
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

function serve(socket: Socket, obey: Obey, clock: Clock): void {
  const late = clock.setTimer(PATIENCE_MS, () => socket.destroy())
  let order = ''
  socket.on('error', () => {})
  socket.on('close', () => late.cancel())
  const hear = (chunk: Buffer) => {
    order += chunk.toString('latin1')
    if (order.length > MAX_REQUEST_OCTETS) return socket.destroy()
    if (!order.endsWith('\n')) return
    socket.off('data', hear).pause()
    void obey(order.trim()).then(
      (reply) => {
        if (!(reply instanceof Feed)) return socket.end(`${JSON.stringify(reply ?? { error: 'no such order' })}\n`)
        late.cancel()
        feed(socket, reply, clock)
      },
      () => socket.end(`${JSON.stringify({ error: 'it failed' })}\n`),
    )
  }
  socket.on('data', hear)
}

/** The other end has said all that it may: what it says now, its end above all, ends the feed. */
function feed(socket: Socket, { begin }: Feed, clock: Clock): void {
  if (socket.destroyed) return
  const receiver = begin({
    send: (lines) => socket.write(lines.map((line) => `${JSON.stringify(line)}\n`).join('')),
    end() {
      // Who does not read does not keep it open.
      const late = clock.setTimer(PATIENCE_MS, () => socket.destroy())
      socket.end().once('close', () => late.cancel())
    },
  })
  const hangUp = () => void socket.destroySoon()
  socket.on('drain', receiver.drained).on('close', receiver.gone)
  socket.on('data', hangUp).on('end', hangUp).resume()
}
