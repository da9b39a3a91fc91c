import { textOf } from '../files/reading.ts'
import { defaultRoutes4, defaultRoutes6 } from './default-routes.ts'

/** What this host's kernel and name service configuration say about the way out. Nothing is sent to find out. */
export interface Connectivity {
  /** Whether a default route exists, by family; undefined: cannot be read here. */
  readonly ipv4: boolean | undefined
  readonly ipv6: boolean | undefined
  /** The smallest MTU among interfaces with a default route, in octets; undefined: none, or cannot be read. */
  readonly mtu: number | undefined
  /** What nsswitch.conf says for `hosts`, word by word; undefined: no such file (musl and others have none). */
  readonly hosts: readonly string[] | undefined
}

/** Reads it all; never throws. `root` is for tests. */
export function readConnectivity(root = ''): Connectivity {
  const v4 = defaultRoutes4(root)
  const v6 = defaultRoutes6(root)
  const mtus = [...(v4 ?? []), ...(v6 ?? [])].flatMap(({ name }) => mtuOf(root, name))
  return {
    ipv4: v4 && v4.length > 0,
    // Without the file the kernel has no IPv6: but where there is no IPv4 table either, this is no Linux.
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

/** The last `hosts:` line, as glibc takes it. */
function hostsLine(root: string): readonly string[] | undefined {
  const lines = textOf(`${root}/etc/nsswitch.conf`)
    ?.split('\n')
    .map((line) => line.replace(/#.*/, '').trim())
  const found = lines?.findLast((line) => line.startsWith('hosts:'))
  if (lines === undefined) return undefined
  return found === undefined ? [] : found.slice(6).trim().split(/\s+/)
}
