import { readdir, readFile, readlink } from 'node:fs/promises'
import { endianness } from 'node:os'
import { basename } from 'node:path'
import { canonical, withoutZone } from '../config/cidr.ts'

/* The fields of a line of /proc/self/net/{udp,tcp}, proc_net(5): local address, state and inode. */
const LOCAL = 1
const STATE = 3
const INODE = 9
const TCP_LISTEN = '0A'
/** The kernel cuts a command name to 15 characters: `systemd-resolve` is systemd-resolved. */
const COMM_LENGTH = 15

/**
 * Finds the process that holds a port at an address, or blocks it with a wildcard. If `address` is
 * a wildcard, any address counts. The result is "name (pid N)". Undefined: not known, because this
 * is not Linux, it is another user's process and we are not root, or it has ended. Never rejects.
 */
export async function portHolder(address: string, port: number, transport: 'udp' | 'tcp'): Promise<string | undefined> {
  if (process.platform !== 'linux') return undefined
  try {
    const inodes = await inodesOf(address, port, transport)
    return inodes.size === 0 ? undefined : await ownerOf(inodes)
  } catch {
    return undefined
  }
}

async function inodesOf(address: string, port: number, transport: 'udp' | 'tcp'): Promise<ReadonlySet<string>> {
  const wanted = port.toString(16).toUpperCase().padStart(4, '0')
  const inTheWay = conflicting(address)
  const found = new Set<string>()
  for (const table of [`/proc/self/net/${transport}`, `/proc/self/net/${transport}6`]) {
    for (const line of (await readFile(table, 'latin1').catch(() => '')).split('\n').slice(1)) {
      const fields = line.trim().split(/\s+/)
      const [held, heldPort] = (fields[LOCAL] ?? '').split(':')
      if (held === undefined || heldPort !== wanted || !inTheWay(held)) continue
      if (transport === 'tcp' && fields[STATE] !== TCP_LISTEN) continue
      const inode = fields[INODE]
      if (inode !== undefined && inode !== '0') found.add(`socket:[${inode}]`)
    }
  }
  return found
}

const EVERY_V4 = '0'.repeat(8)
const EVERY_V6 = '0'.repeat(32)

/**
 * Returns a function that says whether a held address (in the form of /proc) blocks `address`: both
 * are equal, or one of them is a wildcard. `::` may block IPv4 too.
 */
function conflicting(address: string): (held: string) => boolean {
  const own = address.includes(':') ? hexV6(address) : hexV4(address)
  if (own === EVERY_V6) return (held) => held.length === 32
  if (own === EVERY_V4) return (held) => held.length === 8 || held === EVERY_V6
  return (held) => held === own || held === EVERY_V6 || (held === EVERY_V4 && own.length === 8)
}

/** Converts octets to the form of /proc: 32-bit words in the byte order of the host. */
function hexWords(octets: readonly number[]): string {
  let text = ''
  for (let at = 0; at < octets.length; at += 4) {
    const word = octets.slice(at, at + 4)
    if (endianness() === 'LE') word.reverse()
    text += Buffer.from(word).toString('hex').toUpperCase()
  }
  return text
}

function hexV4(address: string): string {
  return hexWords(address.split('.').map(Number))
}

function hexV6(address: string): string {
  // One form of every IPv6 literal: hexadecimal groups, and at most one `::`.
  const [head = '', tail] = canonical(withoutZone(address)).split('::')
  const left = groups(head)
  const right = groups(tail ?? '')
  const middle = tail === undefined ? [] : new Array<number>(8 - left.length - right.length).fill(0)
  return hexWords([...left, ...middle, ...right].flatMap((group) => [group >>> 8, group & 0xff]))
}

function groups(text: string): readonly number[] {
  return text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16))
}

async function ownerOf(inodes: ReadonlySet<string>): Promise<string | undefined> {
  for (const pid of await readdir('/proc')) {
    if (!/^[0-9]+$/.test(pid)) continue
    for (const fd of await readdir(`/proc/${pid}/fd`).catch(() => [])) {
      const target = await readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')
      if (inodes.has(target)) return `${await nameOf(pid)} (pid ${pid})`
    }
  }
  return undefined
}

/**
 * The name of a process. The process chooses its name and the name is logged, so characters that
 * are not printable are replaced.
 */
async function nameOf(pid: string): Promise<string> {
  const comm = (await readFile(`/proc/${pid}/comm`, 'latin1').catch(() => '')).replace(/\n$/, '')
  const exe = basename(await readlink(`/proc/${pid}/exe`).catch(() => ''))
  if (/^node/.test(exe) && THREAD_NAMES.includes(comm)) return nodeScript(pid)
  const name = comm.length === COMM_LENGTH && exe.startsWith(comm) ? exe : comm
  return name === '' ? 'a process' : name.replace(/[^\x20-\x7e]/g, '?')
}

/** The names that Node gives its processes: Node 20, and Node 24. */
const THREAD_NAMES = ['node', 'MainThread']

/** What a Node process runs, because its own name does not tell it. */
async function nodeScript(pid: string): Promise<string> {
  const words = (await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '')).split('\0')
  const script = words.slice(1).find((word) => word !== '' && !word.startsWith('-'))
  if (script === undefined) return 'node'
  if (/(^|\/)enigm-dns(\/|$)/.test(script)) return 'enigm-dns'
  return `node ${basename(script)
    .replace(/[^\x20-\x7e]/g, '?')
    .slice(0, 40)}`
}
