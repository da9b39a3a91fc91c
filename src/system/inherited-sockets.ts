import { readFileSync } from 'node:fs'
import { endianness } from 'node:os'
import { canonical } from '../config/cidr.ts'
import { listenText, type SocketAddress } from '../config/listen-address.ts'
import { EnigmError } from '../errors.ts'
import { targetOf } from '../files/reading.ts'

/** A socket that the service manager opened and bound for this process (sd_listen_fds(3)). */
export interface InheritedSocket extends SocketAddress {
  readonly transport: 'udp' | 'tcp'
  readonly fd: number
}

/** The variables of the service manager. */
type Environment = { [name: string]: string | undefined }

const FIRST_FD = 3
/** Limit of sockets. No unit lists as many. */
const MAX_SOCKETS = 256
/* The fields of a line of /proc/net/{udp,tcp}, proc_net(5): local address, state and inode. */
const LOCAL = 1
const STATE = 3
const INODE = 9
const TCP_LISTEN = '0A'
const VARIABLES = ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES'] as const

/**
 * The sockets that the service manager passed to this process, in their order. Empty: there are
 * none. Removes the variables from `env`, so that children do not get them. Throws an EnigmError
 * `listen` with a sentence for each socket that cannot be used.
 */
export function inheritedSockets(env: Environment = process.env, pid = process.pid, proc = '/proc/self'): readonly InheritedSocket[] {
  const count = Number(env.LISTEN_PID) === pid ? Number(env.LISTEN_FDS ?? 0) : 0
  for (const name of VARIABLES) delete env[name]
  if (!Number.isInteger(count) || count <= 0) return []
  const fds = Array.from({ length: Math.min(count, MAX_SOCKETS) }, (_, i) => FIRST_FD + i)
  const table = socketTable(proc)
  const found = fds.map((fd) => ({ fd, socket: table.get(targetOf(`${proc}/fd/${fd}`) ?? '') }))
  const faults = found.flatMap(({ fd, socket }) => faultOf(fd, socket))
  if (faults.length > 0) throw new EnigmError('listen', faults.join('\n'))
  return found.flatMap(({ fd, socket }) => (socket === undefined ? [] : [{ fd, ...socket }]))
}

type BoundSocket = Omit<InheritedSocket, 'fd'>

function faultOf(fd: number, socket: BoundSocket | undefined): readonly string[] {
  const unit = 'fix the socket unit (systemctl edit --full enigm-dns.socket)'
  if (socket === undefined)
    return [
      `Descriptor ${fd} of the service manager is neither a UDP socket nor a TCP one that listens: ${unit}, where ListenDatagram= and ListenStream= name ADDRESS:PORT.`,
    ]
  const where = listenText(socket)
  // A reply must come from the address that was asked, and dgram cannot set that for this socket.
  if (socket.transport === 'udp' && (socket.address === '0.0.0.0' || socket.address === '::'))
    return [`${where} is a UDP socket for every address of this host: ${unit}, where a ListenDatagram= names each address.`]
  if (/^fe[89ab]/.test(socket.address)) return [`${where} is link-local: ${unit}, and name it with its interface in "listen" instead.`]
  return []
}

/** The bound sockets of this network namespace, by the text of a link in /proc/self/fd. */
function socketTable(proc: string): ReadonlyMap<string, BoundSocket> {
  const found = new Map<string, BoundSocket>()
  for (const transport of ['udp', 'tcp'] as const)
    for (const family of ['', '6']) {
      for (const line of linesOf(`${proc}/net/${transport}${family}`)) {
        const fields = line.trim().split(/\s+/)
        const [address, port] = (fields[LOCAL] ?? '').split(':')
        if (address === undefined || port === undefined || (transport === 'tcp' && fields[STATE] !== TCP_LISTEN)) continue
        found.set(`socket:[${fields[INODE]}]`, { transport, address: textual(address), port: Number.parseInt(port, 16) })
      }
    }
  return found
}

/** Reads all lines of a table, because their order is arbitrary. */
function linesOf(table: string): readonly string[] {
  try {
    return readFileSync(table, 'latin1').split('\n').slice(1)
  } catch {
    return []
  }
}

/** Converts an address from /proc (32-bit words in the byte order of the host) to text. */
function textual(hex: string): string {
  const octets = (hex.match(/.{8}/g) ?? []).flatMap((word) => {
    const four = [...Buffer.from(word, 'hex')]
    return endianness() === 'LE' ? four.reverse() : four
  })
  if (octets.length === 4) return octets.join('.')
  const groups = Array.from({ length: 8 }, (_, i) => ((octets[2 * i] ?? 0) * 256 + (octets[2 * i + 1] ?? 0)).toString(16))
  return canonical(groups.join(':'))
}
