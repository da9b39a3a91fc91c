import { isIP } from 'node:net'
import { canonical } from '../config/cidr.ts'
import type { TrustedResolver } from '../config/trusted-set.ts'

/** The place of a resolver, as other programs write it. */
export type Place =
  | { readonly kind: 'plain'; readonly address: string; readonly port: number }
  | {
      readonly kind: 'dot' | 'doh'
      /** A host name or an address. */
      readonly host: string
      /** The address; undefined if only a name is written. */
      readonly address: string | undefined
      readonly port: number
      readonly path: string
    }

/** An entry for a trusted set. */
export interface ResolverPlace {
  readonly id: string
  readonly authenticationDomainName?: string
  readonly addresses: readonly string[]
  readonly transports?: Readonly<Record<string, object>>
}

const OTHER_PROTOCOLS: Readonly<Record<string, string>> = {
  quic: 'for DNS over QUIC write an entry of a trusted set with "doq", and "doq" in "transports"; or its address over TLS',
  h3: 'HTTP/3 is not a transport of this program; write its address with https://',
}

/**
 * Parses `tls://HOST`, `https://HOST/PATH`, `ADDRESS`, `ADDRESS:PORT`, `ADDRESS#PORT` (dnsmasq) and
 * `ADDRESS@PORT#NAME` (Unbound). For any other text, returns the reason as a clause.
 */
export function parsePlace(text: string): Place | { readonly why: string } {
  const [, protocol = '', rest = text] = /^([a-z0-9]+):\/\/(.*)$/i.exec(text.trim()) ?? []
  const other = OTHER_PROTOCOLS[protocol.toLowerCase()]
  if (other !== undefined) return { why: other }
  if (/^(tls|https)$/i.test(protocol)) return encrypted(text.trim())
  if (protocol !== '' && !/^(udp|tcp)$/i.test(protocol)) return { why: `the protocol ${protocol} is not known` }
  const [, address = '', portText = '', name = ''] =
    /^\[?([0-9a-f.:]+?)\]?(?:@(\d+))?(?:#([a-z0-9_.-]*[a-z_.-][a-z0-9_.-]*))?$/i.exec(rest) ?? []
  if (isIP(address) !== 0 && name !== '')
    return { kind: 'dot', host: name.toLowerCase().replace(/\.$/, ''), address, port: Number(portText || 853), path: '' }
  if (isIP(address) !== 0 && Number(portText || 53) === 853) return { kind: 'dot', host: address, address, port: 853, path: '' }
  if (isIP(address) !== 0) return { kind: 'plain', address, port: Number(portText || 53) }
  const [, six, four, port = '53'] = /^(?:\[([0-9a-f:.]+)\]|([0-9.]+|[0-9a-f:]+))[:#](\d{1,5})$/i.exec(rest) ?? []
  const plain = six ?? four ?? ''
  if (isIP(plain) !== 0) return { kind: 'plain', address: plain, port: Number(port) }
  return { why: 'it is no address and no known form; the address of a resolver is never looked up' }
}

function encrypted(text: string): Place | { readonly why: string } {
  if (!URL.canParse(text.replace(/^tls:/i, 'https:'))) return { why: 'it is not a URL' }
  const url = new URL(text.replace(/^tls:/i, 'https:'))
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const dot = /^tls:/i.test(text)
  return {
    kind: dot ? 'dot' : 'doh',
    host,
    address: isIP(host) === 0 ? undefined : host,
    port: url.port === '' ? (dot ? 853 : 443) : Number(url.port),
    path: url.pathname === '/' ? '/dns-query' : url.pathname,
  }
}

/** Other host names of resolvers in the shipped set, as their operators publish them. */
const SAME: Readonly<Record<string, string>> = {
  'cloudflare-dns.com': 'cloudflare',
  'dns.cloudflare.com': 'cloudflare',
  '1dot1dot1dot1.cloudflare-dns.com': 'cloudflare',
  'dns9.quad9.net': 'quad9',
}

/**
 * Finds the known resolver at a place, or makes a new entry; otherwise returns the reason as a
 * clause. A known resolver that was asked in cleartext will be asked over TLS.
 */
export function resolverOf(
  place: Place,
  shipped: readonly TrustedResolver[],
  made: readonly ResolverPlace[],
): { readonly id: string; readonly says: string } | { readonly entry: ResolverPlace } | { readonly why: string } {
  const { address } = place
  const byAddress = address === undefined ? undefined : shipped.find((one) => one.addresses.map(canonical).includes(canonical(address)))
  if (place.kind === 'plain') {
    if (byAddress !== undefined) return { id: byAddress.id, says: 'of the shipped trusted set, which is asked over an encrypted transport' }
    return { why: 'a server without encryption can be used for zones in "forward" and "allowCleartext", never for all names' }
  }
  const byName = shipped.find((one) => one.authenticationDomainName === place.host || one.id === SAME[place.host])
  const known = byName ?? (isIP(place.host) === 0 ? undefined : byAddress)
  const path = known?.transports.doh?.path
  if (known !== undefined && (place.kind === 'dot' || path === undefined || path === place.path))
    return { id: known.id, says: 'of the shipped trusted set' }
  const addresses = place.address === undefined ? (known?.addresses ?? []) : [place.address]
  if (addresses.length === 0) return { why: 'its address is missing and is never looked up; add an entry with it to a trusted set' }
  const same = made.find((one) => one.authenticationDomainName === place.host)
  const transport = place.kind === 'dot' ? { dot: { port: place.port } } : { doh: { port: place.port, path: place.path } }
  const entry = {
    id: same?.id ?? slug(place.host),
    authenticationDomainName: place.host,
    addresses: [...new Set([...(same?.addresses ?? []), ...addresses])],
    transports: { ...same?.transports, ...transport },
  }
  return { entry }
}

/** Makes an id for a list or a resolver, with only the characters that an id may have. */
export function slug(text: string): string {
  const id = text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 58)
  return id === '' ? 'list' : id
}
