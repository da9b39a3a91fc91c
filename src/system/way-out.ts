import { readFileSync } from 'node:fs'

/** What this host's kernel and name service configuration say about the way out. Nothing is sent to find out. */
export interface WayOut {
  /** Whether a default route exists, by family; undefined: cannot be read here. */
  readonly ipv4: boolean | undefined
  readonly ipv6: boolean | undefined
  /** The smallest MTU among interfaces with a default route, in octets; undefined: none, or cannot be read. */
  readonly mtu: number | undefined
  /** What nsswitch.conf says for `hosts`, word by word; undefined: no such file (musl and others have none). */
  readonly hosts: readonly string[] | undefined
}

interface Route {
  readonly family: 4 | 6
  readonly name: string
}

/** Reads it all; never throws. `root` is for tests. */
export function readWayOut(root = ''): WayOut {
  const v4 = linesOf(`${root}/proc/net/route`)
  const v6 = linesOf(`${root}/proc/net/ipv6_route`)
  const routes = [...(v4 ?? []).flatMap(defaultRoute4), ...(v6 ?? []).flatMap(defaultRoute6)]
  const mtus = routes.flatMap(({ name }) => mtuOf(root, name))
  return {
    ipv4: v4 === undefined ? undefined : routes.some((route) => route.family === 4),
    // Without the file the kernel has no IPv6: but where there is no IPv4 table either, this is no Linux.
    ipv6: v6 === undefined ? (v4 === undefined ? undefined : false) : routes.some((route) => route.family === 6),
    mtu: mtus.length === 0 ? undefined : Math.min(...mtus),
    hosts: hostsLine(root),
  }
}

function defaultRoute4(line: string): readonly Route[] {
  const [name = '', destination, , , , , , mask] = line.split('\t').map((field) => field.trim())
  return destination === '00000000' && mask === '00000000' ? [{ family: 4, name }] : []
}

function defaultRoute6(line: string): readonly Route[] {
  const fields = line.trim().split(/\s+/)
  const name = fields[9] ?? ''
  return fields[1] === '00' && /^0+$/.test(fields[0] ?? '') && name !== '' && name !== 'lo' ? [{ family: 6, name }] : []
}

function mtuOf(root: string, name: string): readonly number[] {
  if (!/^[\w.@:-]+$/.test(name) || name.startsWith('.')) return []
  const mtu = Number(linesOf(`${root}/sys/class/net/${name}/mtu`)?.[0])
  return Number.isInteger(mtu) && mtu > 0 ? [mtu] : []
}

/** The last `hosts:` line, as glibc takes it. */
function hostsLine(root: string): readonly string[] | undefined {
  const lines = linesOf(`${root}/etc/nsswitch.conf`)?.map((line) => line.replace(/#.*/, '').trim())
  const found = lines?.findLast((line) => line.startsWith('hosts:'))
  if (lines === undefined) return undefined
  return found === undefined ? [] : found.slice(6).trim().split(/\s+/)
}

function linesOf(path: string): readonly string[] | undefined {
  try {
    return readFileSync(path, 'utf8').split('\n').slice(0, 4096)
  } catch {
    return undefined
  }
}
