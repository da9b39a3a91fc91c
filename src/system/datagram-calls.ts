import { getSystemErrorMap, getSystemErrorName } from 'node:util'
import { addressOctets } from '../config/cidr.ts'
import { type Koffi, withKoffi } from './koffi.ts'

const AF_INET = 2
const AF_INET6 = 10
const SOCK_DGRAM_NONBLOCK_CLOEXEC = 2 | 0o4000 | 0o2000000
const SOL_SOCKET = 1
const SO_REUSEPORT = 15
const IPPROTO_IPV6 = 41
const IPV6_V6ONLY = 26
const MSG_DONTWAIT = 0x40
const F_DUPFD_CLOEXEC = 1030

/**
 * The system calls of a batched UDP listener. The type must match listen/listener.ts, because rooms
 * do not import each other.
 */
export interface SystemDatagramCalls {
  open(address: string, port: number, reusePort: boolean): number
  share(fd: number): number
  close(fd: number): void
  addressOf(buffer: Buffer): bigint
  receive(fd: number, headers: Buffer, count: number): number
  nameOf(address: string, port: number): Buffer
  send(fd: number, headers: Buffer, count: number): number
}

let found: SystemDatagramCalls | undefined | null = null

/**
 * Loads the calls. Undefined: this is not 64-bit little-endian Linux, or koffi (an optional
 * dependency) is missing or does not load.
 */
export function datagramCalls(): SystemDatagramCalls | undefined {
  if (found === null) found = load()
  return found
}

function load(): SystemDatagramCalls | undefined {
  return ['x64', 'arm64'].includes(process.arch) ? withKoffi(bind) : undefined
}

function bind(koffi: Koffi): SystemDatagramCalls {
  const socket = koffi.c('int socket(int, int, int)')
  const setsockopt = koffi.c('int setsockopt(int, int, int, void *, uint32_t)')
  const bindTo = koffi.c('int bind(int, void *, uint32_t)')
  const close = koffi.c('int close(int)')
  const fcntl = koffi.c('int fcntl(int, int, int)')
  const recvmmsg = koffi.c('int recvmmsg(int, void *, uint32_t, int, void *)')
  const sendmmsg = koffi.c('int sendmmsg(int, void *, uint32_t, int)')
  const one = Buffer.from(Int32Array.of(1).buffer)

  return {
    open(address, port, reusePort) {
      const v6 = address.includes(':')
      const name = nameOf(address, port)
      const fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM_NONBLOCK_CLOEXEC, 0)
      if (fd < 0) throw systemError('socket', koffi.errno())
      const failed =
        (v6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, one, 4) < 0) ||
        (reusePort && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, one, 4) < 0) ||
        bindTo(fd, name, name.length) < 0
      if (failed) {
        const error = systemError('bind', koffi.errno())
        close(fd)
        throw error
      }
      return fd
    },
    share(fd) {
      const other = fcntl(fd, F_DUPFD_CLOEXEC, 0)
      if (other < 0) throw systemError('fcntl', koffi.errno())
      return other
    },
    close: (fd) => void close(fd),
    addressOf: (buffer) => koffi.address(buffer),
    nameOf,
    receive: (fd, headers, count) => Math.max(0, recvmmsg(fd, headers, count, MSG_DONTWAIT, null)),
    send: (fd, headers, count) => Math.max(0, sendmmsg(fd, headers, count, MSG_DONTWAIT)),
  }
}

function systemError(call: string, errno: number): Error {
  const known = getSystemErrorMap().has(-errno)
  const code = known ? getSystemErrorName(-errno) : `errno ${errno}`
  return Object.assign(new Error(`${call}: ${code}`), { code, syscall: call })
}

function nameOf(address: string, port: number): Buffer {
  return address.includes(':') ? sockaddr6(address, port) : sockaddr4(address, port)
}

function sockaddr4(address: string, port: number): Buffer {
  const name = Buffer.alloc(16)
  name.writeUInt16LE(AF_INET, 0)
  name.writeUInt16BE(port, 2)
  name.set(addressOctets(address), 4)
  return name
}

/** A sockaddr_in6 without a zone, because link-local addresses use dgram. */
function sockaddr6(address: string, port: number): Buffer {
  const name = Buffer.alloc(28)
  name.writeUInt16LE(AF_INET6, 0)
  name.writeUInt16BE(port, 2)
  name.set(addressOctets(address), 8)
  return name
}
