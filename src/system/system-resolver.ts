import { isIP } from 'node:net'
import { withoutZone } from '../config/cidr.ts'
import type { SocketAddress } from '../config/listen-address.ts'
import { textOf } from '../files/reading.ts'

/**
 * Which DNS servers the system uses, according to its configuration. `by`: the file or service that
 * decides.
 */
export interface SystemResolver {
  readonly asks: 'us' | 'elsewhere' | 'partly' | 'unknown'
  readonly by: string
  /**
   * Whether every configured name server is an address of this host. Only then does a query through
   * the system stay on this host.
   */
  readonly stays: boolean
}

const RESOLVED_STUBS: ReadonlySet<string> = new Set(['127.0.0.53', '127.0.0.54'])
/** How many entries of resolv.conf glibc uses (resolv.conf(5)). */
const MAX_NAMESERVERS = 3

/**
 * Reads resolv.conf. If it or nsswitch.conf sends queries to systemd-resolved, the servers of
 * systemd-resolved are read too. NetworkManager writes one of the two. `ours`: the listeners of
 * this service. Costs a few reads of small files. Never throws. `root` is for tests.
 */
export function readSystemResolver(ours: readonly SocketAddress[], root = ''): SystemResolver {
  const text = textOf(`${root}/etc/resolv.conf`)
  if (text === undefined) return { asks: 'unknown', by: 'no resolv.conf', stays: false }
  const named = nameservers(text)
  const isOurs = (address: string) =>
    ours.some((listener) => listener.port === 53 && (listener.address === address || isWildcardFor(listener.address, address)))
  const listed = textOf(`${root}/run/systemd/resolve/resolv.conf`)
  const uplinks = nameservers(listed ?? '')
  const throughResolved =
    listed !== undefined && (asksResolved(root) || named.some((address) => RESOLVED_STUBS.has(address) && !isOurs(address)))
  const final = throughResolved ? uplinks : named
  const by = throughResolved
    ? 'systemd-resolved'
    : /NetworkManager/.test(text.slice(0, 200))
      ? 'NetworkManager (resolv.conf)'
      : 'resolv.conf'
  const stays = [...named, ...(throughResolved ? uplinks : [])].every(isLoopback) && final.length > 0
  return { asks: verdict(final, isOurs), by, stays }
}

/**
 * Whether the servers are this service. Another name server on this host may forward to us or to
 * another server, which cannot be read here.
 */
function verdict(final: readonly string[], isOurs: (address: string) => boolean): SystemResolver['asks'] {
  const mine = final.filter(isOurs).length
  if (final.length > 0 && mine === final.length) return 'us'
  if (mine > 0) return 'partly'
  return final.length > 0 && !final.every(isLoopback) ? 'elsewhere' : 'unknown'
}

/** The name servers in the text of a resolv.conf. Empty if the file could not be read. */
export function nameserversIn(text: string | undefined): readonly string[] {
  return (text ?? '').split('\n').flatMap((line) => {
    const [word, address = ''] = line.trim().split(/\s+/)
    return word === 'nameserver' && isIP(withoutZone(address)) !== 0 ? [address] : []
  })
}

/** The name servers that glibc uses. Without entries it asks 127.0.0.1. */
function nameservers(text: string): readonly string[] {
  const found = nameserversIn(text)
  return found.length === 0 ? ['127.0.0.1'] : found.slice(0, MAX_NAMESERVERS)
}

/** Whether nss-resolve is used. It asks systemd-resolved over a socket and ignores resolv.conf. */
function asksResolved(root: string): boolean {
  const hosts = (textOf(`${root}/etc/nsswitch.conf`) ?? '').split('\n').find((line) => line.startsWith('hosts:')) ?? ''
  const sources = hosts.replace(/\[[^\]]*\]/g, '').split(/\s+/)
  const resolve = sources.indexOf('resolve')
  return resolve >= 0 && (sources.indexOf('dns') < 0 || resolve < sources.indexOf('dns'))
}

const isLoopback = (address: string) => address.startsWith('127.') || address === '::1'
const isWildcardFor = (bound: string, address: string) => (bound === '0.0.0.0' || bound === '::') && isLoopback(address)

/**
 * Looks up a name as any program of this system does, with getaddrinfo. Resolves when the lookup
 * has ended, with any result. It may take as long as the system's own timeouts, and uses one thread
 * of libuv's pool during that time. The caller must ensure that the name is answered on this host.
 */
export async function askSystem(name: string): Promise<void> {
  const { lookup } = await import('node:dns')
  return new Promise((resolve) => lookup(name, { all: true }, () => resolve()))
}
