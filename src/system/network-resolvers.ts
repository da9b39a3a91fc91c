import { execFile, execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { isIP } from 'node:net'
import { isLinkLocal6, isLoopback, isMulticastOrBroadcast, isUnspecified, unmapped, withoutZone } from '../config/cidr.ts'
import type { SocketAddress } from '../config/listen-address.ts'
import { textOf } from '../files/reading.ts'
import { defaultRoutes4, hostInterfaces } from './network-view.ts'
import { nameserversIn } from './system-resolver.ts'

/** The resolvers that a network announces, and where on this host they were found. */
export interface NetworkResolvers {
  /** Numeric addresses in order of preference. An IPv6 link-local address has its interface. */
  readonly addresses: readonly string[]
  readonly by: string
}

/** The sources of these facts on the host. Replaced in tests. */
export interface NetworkRecords {
  readonly root?: string
  readonly now: Date
  /** NetworkManager's list of the name servers of all devices. Undefined: it does not run. */
  readonly networkManager?: () => string | undefined
}

const MOST = 2

/**
 * Finds the resolver that the network itself announces, even if the system uses this service. The
 * sources, in this order: the leases of the DHCP client; the entries of systemd-resolved and
 * resolv.conf; the gateway, on which home and hotel routers answer. Addresses of this host are left
 * out. Nothing is sent. Undefined: none was found. Never throws.
 */
export function findNetworkResolvers(records: NetworkRecords): NetworkResolvers | undefined {
  return firstFound([
    ...announcing(records),
    ['the gateway', () => (defaultRoutes4(records.root ?? '') ?? []).map(({ gateway }) => fromHex(gateway))],
  ])
}

type Sources = readonly (readonly [by: string, find: () => readonly string[]])[]

/** The places where the resolvers that a network announces are recorded. */
function announcing({ root = '', now, networkManager }: NetworkRecords): Sources {
  return [
    ['systemd-networkd', () => filesIn(`${root}/run/systemd/netif/leases`).flatMap(networkdServers)],
    ['NetworkManager', () => managerServers(networkManager?.() ?? '')],
    [
      'dhclient',
      () => DHCLIENT.flatMap((dir) => filesIn(`${root}${dir}`, /^dhclient.*\.leases?$/)).flatMap((text) => leaseServers(text, now)),
    ],
    ['dhcpcd', () => filesIn(`${root}/run/dhcpcd/hook-state/resolv.conf`).flatMap(nameserversIn)],
    ['resolvconf', () => RESOLVCONF.flatMap((dir) => filesIn(`${root}${dir}`, /^(?!lo\b)/)).flatMap(nameserversIn)],
    ['systemd-resolved', () => nameserversIn(textOf(`${root}/run/systemd/resolve/resolv.conf`))],
    ['NetworkManager', () => nameserversIn(textOf(`${root}/run/NetworkManager/no-stub-resolv.conf`))],
    ['resolv.conf', () => nameserversIn(textOf(`${root}/etc/resolv.conf`))],
  ]
}

function firstFound(sources: Sources): NetworkResolvers | undefined {
  const own = new Set(Object.values(hostInterfaces() ?? {}).flatMap((list) => (list ?? []).map(({ address }) => address)))
  for (const [by, find] of sources) {
    const addresses = [...new Set(find())].filter((address) => isElsewhere(address, own)).slice(0, MOST)
    if (addresses.length > 0) return { addresses, by }
  }
  return undefined
}

const DHCLIENT = ['/var/lib/dhcp', '/var/lib/dhclient', '/var/lib/NetworkManager'] as const
const RESOLVCONF = ['/run/resolvconf/interface', '/run/resolvconf/interfaces', '/run/resolvconf/keys'] as const
const MOST_FILES = 32

/** Whether an address belongs to another host that can be asked. */
function isElsewhere(address: string, own: ReadonlySet<string>): boolean {
  const plain = unmapped(address)
  if (isIP(plain) === 0 || own.has(withoutZone(plain))) return false
  return !isLoopback(plain) && !isUnspecified(plain) && !isMulticastOrBroadcast(plain) && (!isLinkLocal6(plain) || plain.includes('%'))
}

/** Reads the files in a directory, in the order of their names. */
function filesIn(dir: string, named = /./): readonly string[] {
  try {
    const names = readdirSync(dir).filter((name) => named.test(name))
    return names
      .toSorted()
      .slice(0, MOST_FILES)
      .flatMap((name) => textOf(`${dir}/${name}`) ?? [])
  } catch {
    return []
  }
}

/** The servers in a lease of systemd-networkd: `DNS=10.0.0.1 10.0.0.2`. */
function networkdServers(text: string): readonly string[] {
  return text.split('\n').flatMap((line) => (line.startsWith('DNS=') ? line.slice(4).trim().split(/\s+/) : []))
}

/**
 * The servers in the output of `nmcli -g IP4.DNS,IP6.DNS device show`: `10.0.0.1 | 10.0.0.2`, with
 * escaped colons.
 */
function managerServers(text: string): readonly string[] {
  return text.split('\n').flatMap((line) =>
    line
      .replaceAll('\\:', ':')
      .split('|')
      .map((one) => one.trim()),
  )
}

/**
 * The servers in a file of dhclient: those of the last lease of each interface, unless it has
 * expired (times are UTC).
 */
function leaseServers(text: string, now: Date): readonly string[] {
  const last = new Map<string, readonly string[]>()
  for (const [, body = ''] of text.matchAll(/^lease \{([^}]*)\}/gm)) {
    const name = /interface "([^"]*)"/.exec(body)?.[1] ?? ''
    const [, date, time] = /expire \d (\d{4}\/\d\d\/\d\d) (\d\d:\d\d:\d\d);/.exec(body) ?? []
    const isOver = date !== undefined && new Date(`${date.replaceAll('/', '-')}T${time}Z`) < now
    const servers = /option domain-name-servers ([^;]*);/.exec(body)?.[1] ?? ''
    last.set(name, isOver ? [] : servers.split(',').map((one) => one.trim()))
  }
  return [...last.values()].flat()
}

/** Converts an address of /proc/net/route: eight hexadecimal digits, the last octet first. */
function fromHex(text: string): string {
  return (text.match(/../g) ?? [])
    .toReversed()
    .map((octet) => Number.parseInt(octet, 16))
    .join('.')
}

const NMCLI = ['-g', 'IP4.DNS,IP6.DNS', 'device', 'show'] as const

/** The answer of NetworkManager. Undefined: it does not run. Waits at most 2 s. */
export function askNetworkManager(): string | undefined {
  try {
    return execFileSync('nmcli', [...NMCLI], { encoding: 'utf8', timeout: 2000, stdio: ['ignore', 'pipe', 'ignore'] })
  } catch {
    return undefined
  }
}

/** A link of systemd-resolved: its servers, and the domains for which they are used. */
interface ResolvedLink {
  readonly servers: readonly string[]
  readonly domains: readonly string[]
}

/**
 * The servers that the network announces for a zone, with port 53. If systemd-resolved knows a link
 * whose domains contain the zone, they are those of this link. Otherwise they are the first ones
 * from DHCP or systemd-resolved. This host is never included, and the gateway only if it is
 * announced. Nothing is sent. Empty: nothing is announced. Never rejects.
 */
export async function announcedServers(zone: string, root = ''): Promise<readonly SocketAddress[]> {
  const ofLink = resolvedLinks(root).find(({ domains }) => domains.some((domain) => zone === domain || zone.endsWith(`.${domain}`)))
  const listed = await networkManagerList()
  const sources: Sources = [
    ...(ofLink === undefined ? [] : [['systemd-resolved', () => ofLink.servers] as const]),
    ...announcing({ root, now: new Date(), networkManager: () => listed }),
  ]
  return (firstFound(sources)?.addresses ?? []).map((address) => ({ address, port: DNS_PORT }))
}

const DNS_PORT = 53

/** The links with their own domains, from the files that systemd-resolved saves. */
function resolvedLinks(root: string): readonly ResolvedLink[] {
  return filesIn(`${root}/run/systemd/resolve/netif`).map((text) => {
    const listed = (key: string) => new RegExp(`^${key}=(.*)$`, 'm').exec(text)?.[1]?.trim().split(/\s+/).filter(Boolean) ?? []
    const domains = listed('DOMAINS').map((domain) => domain.replace(/^~/, '').replace(/\.$/, '').toLowerCase())
    return { servers: listed('SERVERS').map((server) => server.replace(/#.*$/, '')), domains: domains.filter((domain) => domain !== '') }
  })
}

/** The same as `askNetworkManager`, but asynchronous. */
function networkManagerList(): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile('nmcli', [...NMCLI], { encoding: 'utf8', timeout: 2000 }, (error, stdout) => resolve(error === null ? stdout : undefined))
  })
}
