import { existsSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { dirname, join } from 'node:path'
import type { Clock } from '../clock.ts'
import { listenOnSocket } from '../files/socket.ts'

/** Limit of an order: a word, a type, a name of 255 escaped octets, and an address. */
const MAX_REQUEST_OCTETS = 1200
const MAX_CONNECTIONS = 4
const PATIENCE_MS = 10_000
/** Limit for one order. It is long because a reload waits for earlier reloads. */
export const ORDER_LIMIT_MS = 60_000

/** The path of the control socket of the daemon that writes this status file. */
export function controlPath(statusFile: string): string {
  return join(dirname(statusFile), 'control.sock')
}

/**
 * Handles an order. Resolves to an answer that `JSON.stringify` can write, or to a `Feed`.
 * Undefined: the order is unknown.
 */
export type HandleOrder = (order: string) => Promise<unknown>

/** The output of a feed. */
interface FeedWriter {
  /**
   * Sends each value as a line of JSON. Returns false if the socket is full; then `drained` is
   * called later.
   */
  send(lines: readonly object[]): boolean
  end(): void
}

/**
 * An answer of many lines. `begin` is called once with the output. It returns callbacks for events
 * of the other end.
 */
export class Feed {
  readonly begin: (outlet: FeedWriter) => { drained(): void; gone(): void }
  constructor(begin: Feed['begin']) {
    this.begin = begin
  }
}

export interface Control {
  /**
   * Listens again if the socket was removed, even with its directory. Costs a stat. After a failure
   * the next call tries again. Never throws.
   */
  readonly heal: () => void
  readonly close: () => Promise<void>
}

/**
 * Listens for orders on a Unix socket at `path`. Only our user and root may connect. An order is
 * one line, and its answer is one line of JSON. A socket that a killed process left is replaced.
 * Resolves to `taken` if another process answers there, or to the reason why there is no socket.
 */
export async function listenControl(
  path: string,
  handle: HandleOrder,
  clock: Clock,
): Promise<Control | 'taken' | { readonly why: string }> {
  const sockets = new Set<Socket>()
  const open = () => openServer(path, sockets, handle, clock)
  const server = await open()
  if (!('listen' in server)) return server.why === 'taken' ? 'taken' : server
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
        if (!('listen' in next)) return
        if (ended) next.close()
        else current = next
      })
    },
    close() {
      ended = true
      return closeServer(current, sockets)
    },
  }
}

/** Opens the server, or returns why this failed. */
async function openServer(
  path: string,
  sockets: Set<Socket>,
  handle: HandleOrder,
  clock: Clock,
): Promise<Server | { readonly why: string }> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket.once('close', () => sockets.delete(socket)))
    serve(socket, handle, clock)
  })
  server.maxConnections = MAX_CONNECTIONS
  const refused = await listenOnSocket(server, path)
  if (refused !== undefined) return refused === 'taken' ? { why: refused } : refused
  server.on('error', () => {})
  return server.unref()
}

function closeServer(server: Server | undefined, sockets: ReadonlySet<Socket>): Promise<void> {
  return new Promise((resolve) => {
    if (server === undefined) resolve()
    else server.close(() => resolve())
    for (const socket of sockets) socket.destroySoon()
  })
}

function serve(socket: Socket, handle: HandleOrder, clock: Clock): void {
  let late = clock.setTimer(PATIENCE_MS, () => socket.destroy())
  let order = ''
  socket.on('error', () => {})
  socket.on('close', () => late.cancel())
  const receive = (chunk: Buffer) => {
    order += chunk.toString('latin1')
    if (order.length > MAX_REQUEST_OCTETS) return socket.destroy()
    if (!order.endsWith('\n')) return
    socket.off('data', receive).pause()
    late.cancel()
    late = clock.setTimer(ORDER_LIMIT_MS, () => socket.destroy())
    void handle(order.trim()).then(
      (reply) => {
        if (!(reply instanceof Feed)) return socket.end(`${JSON.stringify(reply ?? { error: 'no such order' })}\n`)
        late.cancel()
        feed(socket, reply, clock)
      },
      () => socket.end(`${JSON.stringify({ error: 'it failed' })}\n`),
    )
  }
  socket.on('data', receive)
}

/** Runs a feed. It ends when the other end closes or sends more data. */
function feed(socket: Socket, { begin }: Feed, clock: Clock): void {
  if (socket.destroyed) return
  const receiver = begin({
    send: (lines) => socket.write(lines.map((line) => `${JSON.stringify(line)}\n`).join('')),
    end() {
      // A client that does not read cannot keep the connection open.
      const late = clock.setTimer(PATIENCE_MS, () => socket.destroy())
      socket.end().once('close', () => late.cancel())
    },
  })
  const hangUp = () => void socket.destroySoon()
  socket.on('drain', receiver.drained).on('close', receiver.gone)
  socket.on('data', hangUp).on('end', hangUp).resume()
}
