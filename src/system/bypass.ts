import { closeSync, openSync, readSync } from 'node:fs'
import { endianness, networkInterfaces } from 'node:os'

/** Flows of other programs to port 53 elsewhere that no earlier look has seen. */
export interface Bypasses {
  readonly flows: number
  readonly through: readonly ('sockets' | 'conntrack')[]
}

/** Fields of a line of /proc/net/{udp,tcp}: remote address and inode. */
const REMOTE = 2
const INODE = 9
const PORT_53 = '0035'
/** A flow is told by its socket or by its ports; more than this at once are not told apart from earlier ones. */
const MAX_KNOWN = 4096

/**
 * A watcher of what goes past this service: sockets that are connected to port 53 elsewhere (most libraries connect theirs), and, where this process may read
 * it, the table of the firewall. A look sees what is open at that moment and nothing else: finding none proves nothing.
 */
export function bypassWatch(proc = '/proc/net'): () => Promise<Bypasses> {
  const known = new Set<string>()
  const isNew = (flow: string) => {
    if (known.has(flow)) return false
    if (known.size >= MAX_KNOWN) known.clear()
    known.add(flow)
    return true
  }
  return async () => {
    const tables = await Promise.all(['udp', 'udp6', 'tcp', 'tcp6'].map((name) => textOf(`${proc}/${name}`)))
    const tracked = await textOf(`${proc}/nf_conntrack`)
    const sockets = tables.flatMap((table) => (table === undefined ? [] : socketsOf(table)))
    const flows = [...sockets, ...(tracked === undefined ? [] : trackedOf(tracked))]
    const through = [
      ...(tables.some((table) => table !== undefined) ? (['sockets'] as const) : []),
      ...(tracked === undefined || tracked === '' ? [] : (['conntrack'] as const)),
    ]
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

/** As /proc prints addresses: words in the byte order of the host. */
function isLoopback(hex: string): boolean {
  const little = endianness() === 'LE'
  if (/^0+$/.test(hex)) return true
  const v4 = (word: string) => (little ? word.endsWith('7F') : word.startsWith('7F'))
  if (hex.length === 8) return v4(hex)
  if (/^0{24}(01000000|00000001)$/.test(hex)) return true
  return /^0{16}(FFFF0000|0000FFFF)/.test(hex) && v4(hex.slice(24))
}

/** Flows that began on this host; a router sees those of others, too. */
function trackedOf(table: string): readonly string[] {
  const own = new Set(Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address)))
  return table.split('\n').flatMap((line) => {
    const found = /\b(udp|tcp)\b.*?src=(\S+) dst=(\S+) sport=(\d+) dport=53\b/.exec(line)
    if (found === null) return []
    const [, protocol, from = '', to = '', port] = found
    return own.has(from) && !to.startsWith('127.') && to !== '::1' ? [`flow ${protocol} ${from} ${to} ${port}`] : []
  })
}

/**
 * /proc gives a page at a time. A thread of the pool for each is ten times what the page costs (20 us), and wakes the machine as often; so pages are read here,
 * and a long table, which a router has, in pieces, with a turn of the event loop between them.
 */
async function textOf(file: string): Promise<string | undefined> {
  let fd: number | undefined
  let text = ''
  try {
    fd = openSync(file, 'r')
    for (let pages = 1; ; pages++) {
      const length = readSync(fd, page)
      if (length === 0) return text
      text += page.toString('latin1', 0, length)
      if (pages % PAGES_A_TURN === 0) await new Promise((resolve) => setImmediate(resolve))
    }
  } catch {
    return undefined
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}
const PAGES_A_TURN = 16
/** Read into and copied out of at once. */
const page = Buffer.allocUnsafeSlow(4096)
