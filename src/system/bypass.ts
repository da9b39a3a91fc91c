import { closeSync, openSync, readSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { endianness } from 'node:os'
import { hostInterfaces } from './network-view.ts'

/** The result of a check for flows of other programs to port 53 of other servers. */
export interface Bypasses {
  readonly flows: number
  readonly through: readonly ('sockets' | 'conntrack')[]
}

/** Fields of a line of /proc/self/net/{udp,tcp}: remote address and inode. */
const REMOTE = 2
const INODE = 9
const PORT_53 = '0035'
/**
 * Limit of remembered flows. A flow is identified by its socket or its ports. Above the limit, new
 * flows cannot be distinguished from earlier ones.
 */
const MAX_KNOWN = 4096

/**
 * The TCP sockets are checked once in this time. The kernel walks its whole hash table to list
 * them, which takes 5 ms even for few sockets, and DNS over TCP is rare.
 */
const LONG_EVERY_MS = 60_000

/**
 * Watches for queries that bypass this service. It reads the sockets that are connected to port 53
 * of other servers (most libraries connect theirs), and the connection table of the firewall if
 * this process may read it. A check sees only what is open at that moment, so an empty result
 * proves nothing. UDP sockets are checked each time, the rest once a minute by `nowMs`.
 */
export function bypassWatch(nowMs: () => number, proc = '/proc/self/net'): () => Promise<Bypasses> {
  const known = new Set<string>()
  const isNew = (flow: string) => {
    if (known.has(flow)) return false
    if (known.size >= MAX_KNOWN) known.clear()
    known.add(flow)
    return true
  }
  let longAtMs = Number.NEGATIVE_INFINITY
  let through: Bypasses['through'] = []
  return async () => {
    const long = nowMs() - longAtMs >= LONG_EVERY_MS
    const tables = ['udp', 'udp6'].map((name) => readShortTable(`${proc}/${name}`))
    let tracked: string | undefined
    if (long) {
      longAtMs = nowMs()
      tables.push(...(await Promise.all(['tcp', 'tcp6'].map((name) => readLongTable(`${proc}/${name}`)))))
      tracked = await readLongTable(`${proc}/nf_conntrack`)
      through = [
        ...(tables.some((table) => table !== undefined) ? (['sockets'] as const) : []),
        ...(tracked === undefined || tracked === '' ? [] : (['conntrack'] as const)),
      ]
    }
    const sockets = tables.flatMap((table) => (table === undefined ? [] : socketsOf(table)))
    const flows = [...sockets, ...(tracked === undefined ? [] : trackedOf(tracked))]
    return { flows: flows.filter(isNew).length, through }
  }
}

function socketsOf(table: string): readonly string[] {
  return table
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const fields = line.trim().split(/\s+/)
      const [address = '', port] = (fields[REMOTE] ?? '').split(':')
      return port === PORT_53 && !isLoopback(address) ? [`socket ${fields[INODE]}`] : []
    })
}

/** Whether an address in the form of /proc (words in the byte order of the host) is loopback. */
function isLoopback(hex: string): boolean {
  const little = endianness() === 'LE'
  if (/^0+$/.test(hex)) return true
  const v4 = (word: string) => (little ? word.endsWith('7F') : word.startsWith('7F'))
  if (hex.length === 8) return v4(hex)
  if (/^0{24}(01000000|00000001)$/.test(hex)) return true
  return /^0{16}(FFFF0000|0000FFFF)/.test(hex) && v4(hex.slice(24))
}

/** The tracked flows that began on this host. On a router the table also holds flows of others. */
function trackedOf(table: string): readonly string[] {
  const own = new Set(Object.values(hostInterfaces() ?? {}).flatMap((list) => (list ?? []).map(({ address }) => address)))
  return table.split('\n').flatMap((line) => {
    const found = /\b(udp|tcp)\b.*?src=(\S+) dst=(\S+) sport=(\d+) dport=53\b/.exec(line)
    if (found === null) return []
    const [, protocol, from = '', to = '', port] = found
    return own.has(from) && !to.startsWith('127.') && to !== '::1' ? [`flow ${protocol} ${from} ${to} ${port}`] : []
  })
}

/**
 * Reads a table on a thread of libuv, so the event loop does not wait. Each page of /proc (4096
 * octets) wakes two threads.
 */
async function readLongTable(file: string): Promise<string | undefined> {
  return readFile(file, 'latin1').catch(() => undefined)
}

/**
 * Reads a table synchronously, which takes 0.2 ms for the usual size. Only the beginning of a long
 * table is read: later checks see the other sockets while they are open.
 */
function readShortTable(file: string): string | undefined {
  let fd: number | undefined
  let text = ''
  try {
    fd = openSync(file, 'r')
    for (let pages = 0; pages < MAX_PAGES; pages++) {
      const length = readSync(fd, page)
      if (length === 0) break
      text += page.toString('latin1', 0, length)
    }
    return text
  } catch {
    return undefined
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}
/** Limit of pages that are read, for about 2000 sockets. */
const MAX_PAGES = 64
/** The shared read buffer. Its content is copied at once. */
const page = Buffer.allocUnsafeSlow(4096)
