import { createSocket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import type { NetworkInterfaceInfo } from 'node:os'
import { withoutZone } from '../config/cidr.ts'
import { textOf } from '../files/reading.ts'
import { hostInterfaces } from './network-view.ts'

/** How many addresses are reached from an interface of each kind. */
export interface Egress {
  readonly vpn: number
  readonly other: number
  readonly unknown: number
  readonly unreachable: number
}

export interface EgressOptions {
  /** The interfaces that always count as VPN. */
  readonly vpnInterfaces: readonly string[]
  /** The directory in which the kernel describes interfaces; replaced in tests. */
  readonly sysfs?: string
  readonly interfaces?: () => NodeJS.Dict<NetworkInterfaceInfo[]>
}

/**
 * The port for the test. Any port works, because nothing is sent. It is not 53, so that the check
 * for bypasses does not find this socket.
 */
const PORT = 853

/**
 * Finds the kind of interface from which each address would be reached. The source address that the
 * kernel chooses shows the interface. It follows every routing rule, which the default route does
 * not. Connecting a UDP socket makes the kernel choose and sends nothing. Never rejects.
 */
export async function readEgress(addresses: readonly string[], o: EgressOptions): Promise<Egress> {
  const sources = await Promise.all(addresses.map(sourceTowards))
  const own = o.interfaces?.() ?? hostInterfaces() ?? {}
  const kinds = sources.map((source) => (source === undefined ? 'unreachable' : kindOfSource(source, own, o)))
  const count = (kind: keyof Egress) => kinds.filter((k) => k === kind).length
  return { vpn: count('vpn'), other: count('other'), unknown: count('unknown'), unreachable: count('unreachable') }
}

/** The source address for packets to `address`. Undefined: there is no route. */
function sourceTowards(address: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const type = isIPv6(address) ? 'udp6' : 'udp4'
    const socket = createSocket({ type, lookup: (host, _options, done) => done(null, host, type === 'udp6' ? 6 : 4) })
    const end = (source: string | undefined) => {
      resolve(source)
      socket.close()
    }
    socket.once('error', () => end(undefined))
    socket.once('connect', () => end(socket.address().address))
    socket.connect(PORT, address)
  })
}

function kindOfSource(source: string, own: NodeJS.Dict<NetworkInterfaceInfo[]>, o: EgressOptions): keyof Egress {
  const plain = withoutZone(source)
  for (const [name, list] of Object.entries(own)) {
    const held = list?.find(({ address }) => withoutZone(address) === plain)
    if (held !== undefined) return o.vpnInterfaces.includes(name) ? 'vpn' : kindOf(name, held, o.sysfs ?? '/sys/class/net')
  }
  return 'unknown'
}

/** The device types without encryption: Ethernet, IPIP, SIT, GRE (linux/if_arp.h). */
const BARE_TYPES: ReadonlySet<string> = new Set(['1', '768', '776', '778'])

/**
 * The kind of an interface. WireGuard and TUN/TAP are VPN. PPP is unknown, because it may be DSL.
 */
function kindOf(name: string, held: NetworkInterfaceInfo, sysfs: string): keyof Egress {
  if (held.internal) return 'other'
  const read = (file: string) => (process.platform === 'linux' ? textOf(`${sysfs}/${name}/${file}`)?.trim() : undefined)
  const mac = read('address')
  // In a separate network namespace, /sys may describe an interface of another namespace with the
  // same name.
  if (mac === undefined || (mac !== '' && mac !== held.mac)) return 'unknown'
  if (/^DEVTYPE=wireguard$/m.test(read('uevent') ?? '') || read('tun_flags') !== undefined) return 'vpn'
  return BARE_TYPES.has(read('type') ?? '') ? 'other' : 'unknown'
}
