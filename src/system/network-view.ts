import { existsSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { textOf } from '../files/reading.ts'

/** A default route. Its values are texts of /proc/net. */
export interface DefaultRoute {
  readonly name: string
  readonly gateway: string
  readonly metric: string
}

/**
 * The default routes of IPv4. Undefined: the table cannot be read. Only the beginning of a long
 * table is read, because the kernel lists default routes first. `root` is for tests.
 */
export function defaultRoutes4(root = ''): readonly DefaultRoute[] | undefined {
  return linesOf(`${root}/proc/self/net/route`)?.flatMap((line) => {
    const [name = '', destination, gateway = '', , , , metric = '', mask] = line.split('\t').map((field) => field.trim())
    return destination === '00000000' && mask === '00000000' ? [{ name, gateway, metric }] : []
  })
}

/**
 * The default routes of IPv6, which are listed between the local routes. The kernel's own
 * unreachable routes (on `lo`) do not count.
 */
export function defaultRoutes6(root = ''): readonly DefaultRoute[] | undefined {
  return linesOf(`${root}/proc/self/net/ipv6_route`)?.flatMap((line) => {
    const [destination = '', length, , , gateway = '', metric = '', , , , name = ''] = line.trim().split(/\s+/)
    return length === '00' && /^0+$/.test(destination) && name !== '' && name !== 'lo' ? [{ name, gateway, metric }] : []
  })
}

const linesOf = (path: string) => textOf(path)?.split('\n')

/**
 * The same as `os.networkInterfaces`. Undefined: a sandbox blocks netlink, which the C library uses
 * (RestrictAddressFamilies= without AF_NETLINK). This says nothing about the network.
 */
export function hostInterfaces(): ReturnType<typeof networkInterfaces> | undefined {
  try {
    return networkInterfaces()
  } catch {
    return undefined
  }
}

/**
 * The facts that distinguish one network from another. They are found without sending packets.
 */
export interface NetworkView {
  /**
   * Equal for the same network, different for another one. It contains addresses, so it stays in
   * memory and is never logged.
   */
  readonly text: string
  /**
   * Whether this host has a path to other networks: a default route, or, if routes cannot be read,
   * an address. If neither can be read, true is assumed.
   */
  readonly online: boolean
}

/**
 * Reads what identifies the network: the default routes, and the addresses that are not loopback or
 * link-local. Of an IPv6 address only the /64 counts, because a new privacy address does not mean
 * another network. It also reads how often the carrier of those interfaces has changed, because two
 * networks may assign the same address. A bridge without a default route is ignored, because
 * containers come and go. Costs 0.35 ms. Never throws.
 */
export function readNetwork(root = '', interfaces = hostInterfaces): NetworkView {
  const [v4, v6] = [defaultRoutes4(root), defaultRoutes6(root)]
  const routes = [...(v4 ?? []), ...(v6 ?? [])]
  const outward = new Set(routes.map(({ name }) => name))
  const found = interfaces()
  const addresses = Object.entries(found ?? {}).flatMap(([name, list]) => {
    if (!outward.has(name) && existsSync(`/sys/class/net/${name}/bridge`)) return []
    const own = [...new Set((list ?? []).map((a) => prefixOf(a.address, a.family)).filter((text) => text !== undefined))]
    return own.length === 0 ? [] : [`${name} ${textOf(`/sys/class/net/${name}/carrier_changes`)?.trim() ?? ''} ${own.toSorted().join(' ')}`]
  })
  return {
    text: [...routes.map(({ name, gateway, metric }) => `${name} ${gateway} ${metric}`).toSorted(), ...addresses.toSorted()].join('\n'),
    online: outward.size > 0 || (v4 === undefined && (found === undefined || addresses.length > 0)),
  }
}

/** The prefix of an address. Undefined: every network has this prefix. */
function prefixOf(address: string, family: string): string | undefined {
  if (family === 'IPv4') return address.startsWith('127.') || address.startsWith('169.254.') ? undefined : address
  if (address === '::1' || /^fe[89ab]/i.test(address)) return undefined
  const [head = '', tail] = address.split('::')
  const before = head === '' ? [] : head.split(':')
  const after = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = Array<string>(tail === undefined ? 0 : Math.max(0, 8 - before.length - after.length)).fill('0')
  return [...before, ...zeros, ...after].slice(0, 4).join(':')
}

/**
 * Facts about connectivity, from the kernel and the name service configuration of this host. They
 * are found without sending packets.
 */
export interface Connectivity {
  /** Whether a default route of IPv4 exists. Undefined: it cannot be read here. */
  readonly ipv4: boolean | undefined
  readonly ipv6: boolean | undefined
  /**
   * The smallest MTU of the interfaces with a default route, in octets. Undefined: there is no such
   * interface, or it cannot be read.
   */
  readonly mtu: number | undefined
  /** The words of the `hosts` line in nsswitch.conf. Undefined: no file, as with musl. */
  readonly hosts: readonly string[] | undefined
}

/** Reads these facts. Never throws. `root` is for tests. */
export function readConnectivity(root = ''): Connectivity {
  const v4 = defaultRoutes4(root)
  const v6 = defaultRoutes6(root)
  const mtus = [...(v4 ?? []), ...(v6 ?? [])].flatMap(({ name }) => mtuOf(root, name))
  return {
    ipv4: v4 && v4.length > 0,
    // Without this file the kernel has no IPv6. If there is no IPv4 table either, it is not Linux.
    ipv6: v6 === undefined ? v4 && false : v6.length > 0,
    mtu: mtus.length === 0 ? undefined : Math.min(...mtus),
    hosts: hostsLine(root),
  }
}

function mtuOf(root: string, name: string): readonly number[] {
  if (!/^[\w.@:-]+$/.test(name) || name.startsWith('.')) return []
  const mtu = Number(textOf(`${root}/sys/class/net/${name}/mtu`) ?? Number.NaN)
  return Number.isInteger(mtu) && mtu > 0 ? [mtu] : []
}

/** The last `hosts:` line, which glibc uses. */
function hostsLine(root: string): readonly string[] | undefined {
  const lines = textOf(`${root}/etc/nsswitch.conf`)
    ?.split('\n')
    .map((line) => line.replace(/#.*/, '').trim())
  const found = lines?.findLast((line) => line.startsWith('hosts:'))
  if (lines === undefined) return undefined
  return found === undefined ? [] : found.slice(6).trim().split(/\s+/)
}
