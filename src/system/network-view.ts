import { closeSync, existsSync, openSync, readFileSync, readSync } from 'node:fs'
import { networkInterfaces } from 'node:os'

/** What tells one network from another, as far as this host can see without asking anybody. */
export interface NetworkView {
  /** Equal for the same network; another text for another one. It names addresses: it stays in memory and goes into no log. */
  readonly text: string
  /** Whether there is any way out of this host: a default route, or, where routes cannot be read, an address. */
  readonly online: boolean
}

/** A router's table may have a million lines; the default routes of IPv4 come first, those of IPv6 within the local ones. */
const MAX_ROUTE_OCTETS = 65_536
/** Read into and copied out of at once. */
const octets = Buffer.allocUnsafeSlow(MAX_ROUTE_OCTETS)

/**
 * Reads the view: default routes, addresses that are not loopback or link-local (of IPv6 the /64: a privacy address that takes another's place is the same
 * network), and how often the carrier of those interfaces has changed (two networks may give the same address). A bridge without a default route does not
 * count: containers come and go. Costs 0.35 ms; never throws.
 */
export function readNetwork(): NetworkView {
  const routes = [...routes4(), ...routes6()]
  const outward = new Set(routes.map((route) => route.split(' ')[0]))
  const addresses = Object.entries(networkInterfaces()).flatMap(([name, list]) => {
    if (!outward.has(name) && existsSync(`/sys/class/net/${name}/bridge`)) return []
    const own = [...new Set((list ?? []).map((a) => prefixOf(a.address, a.family)).filter((text) => text !== undefined))]
    return own.length === 0 ? [] : [`${name} ${carrierChanges(name)} ${own.toSorted().join(' ')}`]
  })
  return {
    text: [...routes.toSorted(), ...addresses.toSorted()].join('\n'),
    online: outward.size > 0 || (addresses.length > 0 && !existsSync('/proc/net/route')),
  }
}

/** Undefined for what every network has. */
function prefixOf(address: string, family: string): string | undefined {
  if (family === 'IPv4') return address.startsWith('127.') || address.startsWith('169.254.') ? undefined : address
  if (address === '::1' || /^fe[89ab]/i.test(address)) return undefined
  const [head = '', tail] = address.split('::')
  const before = head === '' ? [] : head.split(':')
  const after = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = Array<string>(tail === undefined ? 0 : Math.max(0, 8 - before.length - after.length)).fill('0')
  return [...before, ...zeros, ...after].slice(0, 4).join(':')
}

/** Lines `interface gateway metric`. */
function routes4(): readonly string[] {
  return linesOf('/proc/net/route').flatMap((line) => {
    const [name, destination, gateway, , , , metric, mask] = line.split('\t').map((field) => field.trim())
    return destination === '00000000' && mask === '00000000' ? [`${name} ${gateway} ${metric}`] : []
  })
}

function routes6(): readonly string[] {
  return linesOf('/proc/net/ipv6_route').flatMap((line) => {
    const [destination, length, , , gateway, metric, , , , name] = line.trim().split(/\s+/)
    return length === '00' && /^0+$/.test(destination ?? '') && name !== 'lo' ? [`${name} ${gateway} ${metric}`] : []
  })
}

function linesOf(path: string): readonly string[] {
  let fd: number | undefined
  try {
    fd = openSync(path, 'r')
    let length = 0
    for (let n = -1; n !== 0 && length < octets.length; length += n) n = readSync(fd, octets, length, octets.length - length, null)
    return octets.toString('latin1', 0, length).split('\n')
  } catch {
    return []
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}

function carrierChanges(name: string): string {
  try {
    return readFileSync(`/sys/class/net/${name}/carrier_changes`, 'latin1').trim()
  } catch {
    return ''
  }
}
