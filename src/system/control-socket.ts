import { existsSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { dirname, join } from 'node:path'
import type { Clock } from '../clock.ts'
import { listenOnSocket } from '../files/socket.ts'

/** A word, a type, a name of 255 octets that are all escaped, and an address. */
const MAX_REQUEST_OCTETS = 1200
const MAX_CONNECTIONS = 4
const PATIENCE_MS = 10_000
/** The longest that an order may take: a reload waits for the ones before it. */
export const ORDER_LIMIT_MS = 60_000

/** The path of the control socket of the daemon that writes this status file. */
export function controlPath(statusFile: string): string {
  return join(dirname(statusFile), 'control.sock')
}

/**
 * Handles an order and returns an answer that `JSON.stringify` can write, or a `Feed`; undefined:
 * no such order.
 */
export type HandleOrder = (order: string) => Promise<unknown>

/** The output of a feed. */
interface FeedWriter {
  /**
   * Sends each value as a line of JSON. Returns false if the socket is full; `drained` is called
   * later.
   */
  send(lines: readonly object[]): boolean
  end(): void
}

/**
 * An answer of many lines: `begin` is called once with the output, and returns callbacks for events
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
   * Listens again if the socket was removed, even with its directory. Costs a stat; a failure is
   * retried at the next call. Never throws.
   */
  readonly heal: () => void
  readonly close: () => Promise<void>
}

/**
 * Listens for orders at `path`, a socket to which only our user (and root) may connect: one word
 * and a newline, answered with one line of JSON. Resolves to `taken` if another process answers
 * there, or to the reason why there is no socket. A socket that a killed process left is replaced.
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

/** The server, or the reason why there is none. */
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

/** After its order the other end may send nothing more: further data, and its end, end the feed. */
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
