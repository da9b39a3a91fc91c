import * as nodeFs from 'node:fs'
import { createRequire, syncBuiltinESMExports } from 'node:module'
import type { Duplex } from 'node:stream'
import type { VirtualClock } from './clock.ts'
import { FakeServer, FakeUdp, type Listening } from './listeners.ts'
import type { DialOptions } from './peer.ts'

/** What takes the place of the outside while a seed is recorded. */
export interface Outside {
  readonly clock: VirtualClock
  readonly listening: Listening
  dial(options: DialOptions): Duplex
  /** A file took the place of `path`. */
  replaced(path: string): void
}

const require = createRequire(import.meta.url)
const modules = Object.fromEntries(
  ['tls', 'net', 'dgram', 'fs', 'fs/promises'].map((name) => [name, require(`node:${name}`) as Record<string, unknown>]),
)

/**
 * As a FileHandle, over calls that are over when they return: work of the thread pool ends at no
 * moment of a virtual clock.
 */
function handleOf(fd: number) {
  const now =
    <A extends readonly unknown[], R>(fn: (...args: A) => R) =>
    async (...args: A) =>
      fn(...args)
  return {
    fd,
    appendFile: now((octets: Uint8Array) => nodeFs.writeFileSync(fd, octets)),
    writeFile: now((octets: Uint8Array) => nodeFs.writeFileSync(fd, octets)),
    write: now((octets: Uint8Array) => ({ bytesWritten: nodeFs.writeSync(fd, octets) })),
    readFile: now((encoding?: BufferEncoding) => nodeFs.readFileSync(fd, encoding)),
    read: now((buffer: Buffer, at: number = 0, octets: number = buffer.length - at, position: number | null = null) => ({
      buffer,
      bytesRead: nodeFs.readSync(fd, buffer, at, octets, position),
    })),
    stat: now(() => nodeFs.fstatSync(fd)),
    chmod: now((mode: number) => nodeFs.fchmodSync(fd, mode)),
    sync: now(() => nodeFs.fsyncSync(fd)),
    datasync: now(() => nodeFs.fdatasyncSync(fd)),
    close: now(() => nodeFs.closeSync(fd)),
  }
}

const AT_ONCE = [
  'rm',
  'rename',
  'unlink',
  'mkdir',
  'readFile',
  'writeFile',
  'stat',
  'lstat',
  'readdir',
  'access',
  'chmod',
  'realpath',
  'link',
]

/**
 * Puts stand-ins in the place of what Node offers: TLS connections, sockets that listen, files that
 * are written in the background, and the two clocks that the program
 * must not read. Whatever shape the program has inside, this is where it ends. Returns what puts
 * everything back.
 */
export function standIn(outside: Outside): () => void {
  const undo: (() => void)[] = []
  const replace = (target: object, name: string, value: unknown) => {
    const before = Object.getOwnPropertyDescriptor(target, name)
    undo.push(() => {
      if (before === undefined) Reflect.deleteProperty(target, name)
      else Object.defineProperty(target, name, before)
    })
    Object.defineProperty(target, name, { value, configurable: true, writable: true, enumerable: true })
  }
  const { tls, net, dgram, fs, 'fs/promises': promises } = modules
  if (!tls || !net || !dgram || !fs || !promises) throw new Error('Node has no such module')
  replace(tls, 'connect', (options: DialOptions) => outside.dial(options))
  const refused = () => {
    throw new Error('a recorded run connects by TLS only')
  }
  replace(net, 'connect', refused)
  replace(net, 'createConnection', refused)
  replace(net, 'createServer', (_options: unknown, taken: (socket: Duplex) => void) => new FakeServer(outside.listening, taken))
  replace(dgram, 'createSocket', () => new FakeUdp(outside.listening))
  const { renameSync } = nodeFs
  replace(fs, 'renameSync', (from: string, to: string) => {
    renameSync(from, to)
    outside.replaced(to)
  })
  for (const name of AT_ONCE) {
    const sync = fs[`${name}Sync`] as (...args: readonly unknown[]) => unknown
    replace(promises, name, async (...args: readonly unknown[]) => sync(...args))
  }
  replace(promises, 'open', async (path: string, flags?: string | number, mode?: number) =>
    handleOf(nodeFs.openSync(path, flags ?? 'r', mode)),
  )
  replace(performance, 'now', () => outside.clock.nowMs())
  replace(Date, 'now', () => Math.floor(outside.clock.wallMs()))
  syncBuiltinESMExports()
  return () => {
    for (const one of undo.toReversed()) one()
    syncBuiltinESMExports()
  }
}
