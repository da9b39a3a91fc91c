import { existsSync, readdirSync } from 'node:fs'
import { isRecord } from '../../files/json.ts'
import { textOf } from '../../files/reading.ts'
import type { TakeoverHost } from './backend.ts'

/** One interface of systemd-resolved that has servers or domains. */
export interface ResolvedLink {
  readonly name: string
  readonly servers: readonly string[]
  /** The domains without their leading `~`. `.` means every name. */
  readonly domains: readonly string[]
  /** Whether it belongs to a VPN: WireGuard, TUN, TAP or a kind that VPN programs make. */
  readonly vpn: boolean
}

/** The present settings of systemd-resolved, from its D-Bus properties. */
export interface ResolvedView {
  readonly servers: readonly string[]
  readonly domains: readonly string[]
  readonly fallback: readonly string[]
  readonly dnsOverTls: string
  readonly links: readonly ResolvedLink[]
}

const MANAGER = ['org.freedesktop.resolve1', '/org/freedesktop/resolve1', 'org.freedesktop.resolve1.Manager'] as const

/**
 * Reads the settings over D-Bus, which any user may do. Undefined: systemd-resolved does not
 * answer. Before version 246 it has no `DNSEx`. Then the ports of servers are not known, and not
 * needed.
 */
export async function readResolved(host: Pick<TakeoverHost, 'run'>): Promise<ResolvedView | undefined> {
  const names = ['DNSEx', 'Domains', 'FallbackDNSEx', 'DNSOverTLS'] as const
  const said = await host.run('busctl', ['--json=short', 'get-property', ...MANAGER, ...names], { limitMs: 3000 })
  if (said.code !== 0) return undefined
  const [servers, domains, fallback, tls] = said.stdout.trim().split('\n').map(dataOf)
  if (!Array.isArray(servers) || !Array.isArray(domains)) return undefined
  // A global server on this host is reported with the loopback interface.
  const global = (one: Numbered) => (one.index === LOOPBACK_INDEX ? { ...one, index: 0 } : one)
  const dns = servers.flatMap(serverOf).map(global)
  const names53 = domains.flatMap(domainOf).map(global)
  const indices = [...new Set([...dns, ...names53].map(({ index }) => index))].filter((index) => index !== 0)
  const interfaces = interfaceNames()
  return {
    servers: dns.filter(({ index }) => index === 0).map(({ text }) => text),
    domains: names53.filter(({ index }) => index === 0).map(({ text }) => text),
    fallback: Array.isArray(fallback) ? fallback.flatMap(serverOf).map(({ text }) => text) : [],
    dnsOverTls: typeof tls === 'string' ? tls : '',
    links: indices.map((index) => {
      const name = interfaces.get(index) ?? `link ${index}`
      const texts = (list: readonly Numbered[]) => list.filter((one) => one.index === index).map(({ text }) => text)
      return { name, servers: texts(dns), domains: texts(names53), vpn: isVpnLink(name) }
    }),
  }
}

/** The index of `lo` in every network namespace. */
const LOOPBACK_INDEX = 1

interface Numbered {
  readonly index: number
  readonly text: string
}

function dataOf(line: string): unknown {
  try {
    const value: unknown = JSON.parse(line)
    return isRecord(value) ? value.data : undefined
  } catch {
    return undefined
  }
}

/** Reads a server (iiayqs): interface, family, address, port, name for TLS. */
function serverOf(entry: unknown): readonly Numbered[] {
  if (!Array.isArray(entry) || typeof entry[0] !== 'number' || !Array.isArray(entry[2])) return []
  const octets = entry[2].map(Number)
  const port = typeof entry[3] === 'number' && entry[3] !== 0 && entry[3] !== 53 ? entry[3] : undefined
  const address = octets.length === 4 ? octets.join('.') : sixOf(octets)
  return [{ index: entry[0], text: port === undefined ? address : `${address.includes(':') ? `[${address}]` : address}:${port}` }]
}

function sixOf(octets: readonly number[]): string {
  const words = Array.from({ length: 8 }, (_, i) => (((octets[2 * i] ?? 0) << 8) | (octets[2 * i + 1] ?? 0)).toString(16))
  return new URL(`http://[${words.join(':')}]/`).hostname.slice(1, -1)
}

/** Reads a domain (isb): interface, domain, whether it is for routing only. */
function domainOf(entry: unknown): readonly Numbered[] {
  if (!Array.isArray(entry) || typeof entry[0] !== 'number' || typeof entry[1] !== 'string') return []
  return [{ index: entry[0], text: entry[1] === '' ? '.' : entry[1] }]
}

function interfaceNames(): ReadonlyMap<number, string> {
  try {
    const names = readdirSync('/sys/class/net')
    return new Map(names.map((name) => [Number(textOf(`/sys/class/net/${name}/ifindex`)), name]))
  } catch {
    return new Map()
  }
}

/** The names that VPN programs give to interfaces. The kind of these interfaces is not specific. */
const VPN_NAMES = /^(tun|tap|wg|ppp|ipsec|xfrm|vti|tailscale|nordlynx|proton|mullvad|zt|utun|gpd|cscotun|warp|CloudflareWARP)/i

/** Whether an interface is a tunnel of a VPN, by its kind or its name. */
export function isVpnLink(name: string): boolean {
  if (!/^[\w.@:-]+$/.test(name)) return false
  const device = `/sys/class/net/${name}`
  return /^DEVTYPE=wireguard$/m.test(textOf(`${device}/uevent`) ?? '') || existsSync(`${device}/tun_flags`) || VPN_NAMES.test(name)
}

/** Whether nss-resolve comes before DNS in nsswitch.conf. Then resolv.conf has little effect. */
export function usesNssResolve(text = textOf('/etc/nsswitch.conf') ?? ''): boolean {
  const line = text.split('\n').findLast((one) => one.trim().startsWith('hosts:')) ?? ''
  const words = line.replace(/\[[^\]]*\]/g, '').split(/\s+/)
  const [resolve, dns] = [words.indexOf('resolve'), words.indexOf('dns')]
  return resolve >= 0 && (dns < 0 || resolve < dns)
}

/**
 * The bypass of Docker. It gives containers of its default bridge only those servers of resolv.conf
 * that are not loopback.
 */
export function dockerBypass(): readonly { readonly via: string; readonly what: string }[] {
  if (!existsSync('/sys/class/net/docker0')) return []
  const what = 'containers of Docker\'s default bridge ask public name servers: loopback ones are left out; set "dns" in daemon.json'
  return [{ via: 'docker0', what }]
}
