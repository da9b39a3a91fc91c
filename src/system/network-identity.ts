import { createHmac } from 'node:crypto'
import { endianness } from 'node:os'
import { textOf } from '../files/reading.ts'

/** The description of a network in a policy. All given parts must match. */
export interface NetworkDescription {
  readonly gateway?: string | undefined
  readonly gatewayMac?: string | undefined
  readonly subnet?: string | undefined
}

/** Identifies a network by a fingerprint that has no meaning outside of this process. */
export interface NetworkIdentity {
  /** Whether this host can identify its network. */
  readonly known: boolean
  /** Equal for the same network, within one run of the process. */
  readonly id: string
  matches(description: NetworkDescription): boolean
}

interface Route {
  readonly name: string
  readonly destination: number
  readonly gateway: number
  readonly metric: number
  readonly mask: number
}

/**
 * Reads the gateway, its hardware address and the subnets of that interface. It keeps only their
 * HMACs under `key`. The caller makes a new random key for each run and never stores it, so a
 * memory dump without the key identifies no network. IPv4 only. `known` is false without a default
 * route.
 */
export function readNetworkIdentity(key: Uint8Array, proc = '/proc/self/net'): NetworkIdentity {
  const fingerprint = (kind: string, value: string) => createHmac('sha256', key).update(`${kind}=${value.toLowerCase()}`).digest('base64')
  const routes = routesOf(textOf(`${proc}/route`) ?? '')
  const defaultRoute = routes.filter((r) => r.destination === 0 && r.mask === 0).toSorted((a, b) => a.metric - b.metric)[0]
  if (defaultRoute === undefined) return { known: false, id: '', matches: () => false }
  const gateway = dotted(defaultRoute.gateway)
  const mac = macOf(textOf(`${proc}/arp`) ?? '', gateway)
  const subnets = routes.filter((r) => r.name === defaultRoute.name && r.gateway === 0 && r.mask !== 0)
  const fingerprints = new Set([
    fingerprint('gateway', gateway),
    ...(mac === undefined ? [] : [fingerprint('mac', mac)]),
    ...subnets.map((r) => fingerprint('subnet', `${dotted(r.destination)}/${bits(r.mask)}`)),
  ])
  return {
    known: true,
    id: fingerprint('all', [...fingerprints].toSorted().join(' ')),
    matches({ gateway: g, gatewayMac: m, subnet: s }) {
      const asked = (
        [
          ['gateway', g],
          ['mac', m],
          ['subnet', s],
        ] as const
      ).flatMap(([kind, value]) => (value === undefined ? [] : [fingerprint(kind, value)]))
      return asked.length > 0 && asked.every((p) => fingerprints.has(p))
    },
  }
}

function routesOf(table: string): readonly Route[] {
  return table
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [name = '', destination, gateway, , , , metric, mask] = line.trim().split(/\s+/)
      const [d, g, m] = [hex(destination), hex(gateway), hex(mask)]
      return d === undefined || g === undefined || m === undefined
        ? []
        : [{ name, destination: d, gateway: g, metric: Number(metric), mask: m }]
    })
}

/** Reads a number of /proc. An address is a number in the byte order of the host. */
function hex(text: string | undefined): number | undefined {
  if (text === undefined || !/^[0-9A-F]{8}$/i.test(text)) return undefined
  const octets = Buffer.from(text, 'hex')
  return endianness() === 'LE' ? octets.readUInt32LE(0) : octets.readUInt32BE(0)
}

const dotted = (n: number) => [n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255].join('.')
const bits = (mask: number) => [...mask.toString(2)].filter((bit) => bit === '1').length

function macOf(arp: string, address: string): string | undefined {
  const line = arp.split('\n').find((text) => text.split(/\s+/)[0] === address)
  const mac = line?.split(/\s+/)[3]
  return mac === undefined || mac === '00:00:00:00:00:00' ? undefined : mac
}
