import { isIP } from 'node:net'
import { EnigmError } from './errors.ts'

/**
 * The route to a resolver, as a list of hops. The configuration names hops, links dial them, and
 * the status document says what each hop can know. All of them share these types.
 */

/** The kinds of hops. `carries`: what a hop passes on, a byte stream or single messages. */
export const HOP_KINDS = {
  /** RFC 1928. It receives the address of the next hop. */
  socks5: { label: 'SOCKS5', carries: 'stream' },
  /** RFC 9110 section 9.3.6: the method CONNECT. It also receives the address of the next hop. */
  'http-connect': { label: 'HTTP CONNECT', carries: 'stream' },
  /** RFC 9230. One encrypted message for each query. */
  'odoh-relay': { label: 'ODoH relay', carries: 'message' },
  /** Anonymized DNSCrypt. One encrypted message for each query. */
  'dnscrypt-relay': { label: 'DNSCrypt relay', carries: 'message' },
} as const satisfies Readonly<Record<string, { readonly label: string; readonly carries: 'stream' | 'message' }>>

export type HopKind = keyof typeof HOP_KINDS
/** The kinds of `proxies` in the configuration. */
export type ProxyKind = { [Kind in HopKind]: (typeof HOP_KINDS)[Kind]['carries'] extends 'stream' ? Kind : never }[HopKind]

/** How the connection to a hop is protected. The data inside has its own protection. */
export type HopProtection =
  | { readonly by: 'none' }
  | { readonly by: 'tls'; readonly authenticated: 'ca' | 'ca+spki'; readonly authenticationDomainName: string }

/** One party between this host and a resolver. */
export interface Hop {
  readonly kind: HopKind
  /** Its key in `proxies`, or its id in the trusted set. Unique in a route. */
  readonly name: string
  /** An IP address. Behind another hop it may be a host name, which that hop looks up. */
  readonly host: string
  readonly port: number
  readonly protection: HopProtection
  /**
   * The credentials that this host sends to the hop: none, the user name of the configuration, or a
   * random user name for each operator.
   */
  readonly credentials: 'none' | 'fixed' | 'per-operator'
  /** The operator of the hop, if it is configured. */
  readonly operator?: string
  readonly jurisdiction?: string
}

/** The hops to a resolver, the nearest first. Without hops, the resolver is dialled directly. */
export interface Route {
  readonly resolver: string
  readonly hops: readonly Hop[]
}

/** Normalises the name of an operator for comparison: case and spaces do not matter. */
export function operatorKey(operator: string): string {
  return operator.trim().replace(/\s+/g, ' ').toLowerCase()
}

/** A configured proxy; see config/proxies.ts. */
interface ConfiguredProxy {
  readonly type: ProxyKind
  readonly address: string
  readonly username?: string | undefined
  readonly isolate: 'operator' | 'none'
  readonly tls?: { readonly authenticationDomainName: string; readonly spkiPins: readonly string[] } | undefined
  readonly operator?: string | undefined
  readonly jurisdiction?: string | undefined
}

interface Routed {
  readonly id: string
  /** Replaces the general `via`; [] means a direct connection. */
  readonly via?: readonly string[] | undefined
}

interface Routes {
  readonly proxies: Readonly<Record<string, ConfiguredProxy>>
  readonly via: readonly string[]
}

/**
 * The route to a resolver for transports over byte streams. Throws an EnigmError `config` if `via`
 * names an unknown proxy, because a direct connection must never replace it.
 */
export function routeOf({ id, via }: Routed, config: Routes): Route {
  return { resolver: id, hops: (via ?? config.via).map((name) => hopOf(name, config)) }
}

/** Limit of hops in a route. */
export const MOST_HOPS = 3

function hopOf(name: string, { proxies }: Routes): Hop {
  const proxy = Object.hasOwn(proxies, name) ? proxies[name] : undefined
  const place = proxy === undefined ? undefined : parsePlace(proxy.address)
  if (proxy === undefined) throw new EnigmError('config', `there is no proxy "${name}"`)
  if (place === undefined) throw new EnigmError('config', `the address of the proxy "${name}" is not valid`)
  const { type, username, isolate, tls, operator, jurisdiction } = proxy
  return {
    ...{ kind: type, name, ...place },
    protection: tls === undefined ? { by: 'none' } : protectionOf(tls),
    credentials: isolate === 'operator' ? 'per-operator' : username === undefined ? 'none' : 'fixed',
    ...(operator === undefined ? {} : { operator }),
    ...(jurisdiction === undefined ? {} : { jurisdiction }),
  }
}

function protectionOf({ authenticationDomainName, spkiPins }: NonNullable<ConfiguredProxy['tls']>): HopProtection {
  return { by: 'tls', authenticated: spkiPins.length === 0 ? 'ca' : 'ca+spki', authenticationDomainName }
}

/** A host, by address or name, and a port. */
export interface Place {
  readonly host: string
  readonly port: number
}

/**
 * Parses "192.0.2.1:1080", "[2001:db8::1]:1080" or "proxy.example:1080"; undefined: it is
 * malformed.
 */
export function parsePlace(text: string): Place | undefined {
  const [, six, other, digits = ''] = /^(?:\[([^\]]+)\]|([^:[\]]+)):([1-9]\d{0,4})$/.exec(text) ?? []
  const host = six ?? other ?? ''
  const port = Number(digits)
  if (port === 0 || port > 65_535) return undefined
  if (six !== undefined) return isIP(host) === 6 ? { host, port } : undefined
  return isIP(host) === 4 || isHostName(host) ? { host, port } : undefined
}

/** Whether a text is a host name in ASCII, and not a number that could be an address. */
export function isHostName(text: string): boolean {
  if (text.length > 253 || !/^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/i.test(text)) return false
  const labels = text.split('.')
  return labels.every((label) => label.length <= 63) && !/^(\d+|0x[0-9a-f]*)$/i.test(labels.at(-1) ?? '')
}

/** The inverse of `parsePlace`. */
export function placeText({ host, port }: Place): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** Whether a host is an onion service (RFC 7686), which only Tor can reach. */
export function isOnion(address: string): boolean {
  return /\.onion$/i.test(address)
}
