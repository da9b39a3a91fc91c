import { createSocket } from 'node:dgram'
import { createRequire } from 'node:module'
import { endianness } from 'node:os'

const AF_INET = 2
const AF_NETLINK = 16
const SOCK_DGRAM = 2
const SOCK_RAW = 3
const NONBLOCK_CLOEXEC = 0o4000 | 0o2000000
const O_CLOEXEC = 0o2000000
/** RTMGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE (linux/rtnetlink.h). */
const GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400

type Call = (...args: readonly (number | Buffer)[]) => number
interface Koffi {
  load(path: string): { func(declaration: string): Call }
}

/**
 * Calls `heard` whenever the kernel says that a link, an address or a route has changed (rtnetlink(7)); what has changed is not read from the message, which may
 * be lost. Undefined where that cannot be had: not Linux, or koffi (an optional dependency) is not there. Keeps the process alive no longer than it lives anyway.
 */
export function listenToKernel(heard: () => void): { close(): void } | undefined {
  if (process.platform !== 'linux' || endianness() !== 'LE') return undefined
  try {
    return open(createRequire(import.meta.url)('koffi') as Koffi, heard)
  } catch {
    return undefined
  }
}

function open(koffi: Koffi, heard: () => void): { close(): void } | undefined {
  // `null` is the program itself: musl and glibc alike.
  const libc = koffi.load(null as unknown as string)
  const socket = libc.func('int socket(int, int, int)')
  const bind = libc.func('int bind(int, void *, uint32_t)')
  const dup3 = libc.func('int dup3(int, int, int)')
  const close = libc.func('int close(int)')

  const netlink = socket(AF_NETLINK, SOCK_RAW | NONBLOCK_CLOEXEC, 0)
  const place = socket(AF_INET, SOCK_DGRAM | NONBLOCK_CLOEXEC, 0)
  if (netlink < 0 || place < 0 || bind(netlink, sockaddrNetlink(), 12) < 0) {
    for (const fd of [netlink, place]) if (fd >= 0) close(fd)
    return undefined
  }
  // Node takes no netlink descriptor, but a UDP one. libuv gives it to epoll at the end of this turn at the earliest: by then it is the netlink socket.
  const messages = createSocket('udp4')
  messages.on('message', heard)
  // ENOBUFS: messages were lost, so something has changed.
  messages.on('error', heard)
  messages.bind({ fd: place })
  const done = dup3(netlink, place, O_CLOEXEC)
  close(netlink)
  if (done < 0) {
    messages.close()
    return undefined
  }
  messages.unref()
  return { close: () => void messages.close() }
}

function sockaddrNetlink(): Buffer {
  const name = Buffer.alloc(12)
  name.writeUInt16LE(AF_NETLINK, 0)
  name.writeUInt32LE(GROUPS, 8)
  return name
}
