import { createSocket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import type { NetworkInterfaceInfo } from 'node:os'
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
  /** Interfaces that count as VPN whatever their kind. */
  readonly vpnInterfaces: readonly string[]
  /** Where the kernel describes interfaces; replaced in tests. */
  readonly sysfs?: string
  readonly interfaces?: () => NodeJS.Dict<NetworkInterfaceInfo[]>
}

/** Any port will do: nothing is sent. Not 53, so that nobody who looks for bypasses finds this. */
const PORT = 853

/**
 * From what kind of interface each address would be reached: by the source address that the kernel
 * chooses for it, which heeds every rule of routing, where the default route alone does not.
 * Connecting a UDP socket chooses it and sends nothing. Never rejects.
 */
export async function readEgress(addresses: readonly string[], o: EgressOptions): Promise<Egress> {
  const sources = await Promise.all(addresses.map(sourceTowards))
  const own = o.interfaces?.() ?? hostInterfaces() ?? {}
  const kinds = sources.map((source) => (source === undefined ? 'unreachable' : kindOfSource(source, own, o)))
  const count = (kind: keyof Egress) => kinds.filter((k) => k === kind).length
  return { vpn: count('vpn'), other: count('other'), unknown: count('unknown'), unreachable: count('unreachable') }
}

/** The source address towards `address`; undefined where there is no route. */
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
  const plain = source.replace(/%.*$/, '')
  for (const [name, list] of Object.entries(own)) {
    const held = list?.find(({ address }) => address.replace(/%.*$/, '') === plain)
    if (held !== undefined) return o.vpnInterfaces.includes(name) ? 'vpn' : kindOf(name, held, o.sysfs ?? '/sys/class/net')
  }
  return 'unknown'
}

/**
 * Device types of linux/if_arp.h that carry no encryption of their own: Ethernet, IPIP, SIT, GRE.
 */
const BARE_TYPES: ReadonlySet<string> = new Set(['1', '768', '776', '778'])

/** WireGuard and TUN/TAP are VPN; PPP (it may be DSL) and the like cannot be told. */
function kindOf(name: string, held: NetworkInterfaceInfo, sysfs: string): keyof Egress {
  if (held.internal) return 'other'
  const read = (file: string) => (process.platform === 'linux' ? textOf(`${sysfs}/${name}/${file}`)?.trim() : undefined)
  const mac = read('address')
  // In a network namespace of one's own, /sys may still describe another one's interface of that
  // name.
  if (mac === undefined || (mac !== '' && mac !== held.mac)) return 'unknown'
  if (/^DEVTYPE=wireguard$/m.test(read('uevent') ?? '') || read('tun_flags') !== undefined) return 'vpn'
  return BARE_TYPES.has(read('type') ?? '') ? 'other' : 'unknown'
}
