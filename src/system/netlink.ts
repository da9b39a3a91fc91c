import { createSocket } from 'node:dgram'
import { type Koffi, withKoffi } from './koffi.ts'

const AF_INET = 2
const AF_NETLINK = 16
const SOCK_DGRAM = 2
const SOCK_RAW = 3
const NONBLOCK_CLOEXEC = 0o4000 | 0o2000000
const O_CLOEXEC = 0o2000000
/** RTMGRP_ LINK, IPV4_IFADDR, IPV4_ROUTE, IPV6_IFADDR and IPV6_ROUTE (linux/rtnetlink.h). */
const GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400

/**
 * Calls `heard` whenever the kernel reports a change of a link, an address or a route
 * (rtnetlink(7)). The content of the message is not used, because messages may be lost. Undefined:
 * this is not Linux, or koffi (an optional dependency) is missing. It does not keep the process
 * alive.
 */
export function listenToKernel(heard: () => void): { close(): void } | undefined {
  return withKoffi((koffi) => open(koffi, heard))
}

function open(koffi: Koffi, heard: () => void): { close(): void } | undefined {
  const socket = koffi.c('int socket(int, int, int)')
  const bind = koffi.c('int bind(int, void *, uint32_t)')
  const dup3 = koffi.c('int dup3(int, int, int)')
  const close = koffi.c('int close(int)')

  const netlink = socket(AF_NETLINK, SOCK_RAW | NONBLOCK_CLOEXEC, 0)
  const place = socket(AF_INET, SOCK_DGRAM | NONBLOCK_CLOEXEC, 0)
  if (netlink < 0 || place < 0 || bind(netlink, sockaddrNetlink(), 12) < 0) {
    for (const fd of [netlink, place]) if (fd >= 0) close(fd)
    return undefined
  }
  // Node accepts only a UDP descriptor, so the netlink socket replaces one. libuv gives it to epoll
  // at the end of this turn at the earliest, when the replacement is done.
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
