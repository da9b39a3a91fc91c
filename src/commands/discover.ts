import { isIP } from 'node:net'
import { canonical } from '../config/cidr.ts'
import type { Loaded } from '../config/load.ts'
import type { TrustedResolver } from '../config/trusted-set.ts'
import { presentMessage } from '../dns/presentation.ts'
import { type ServiceBinding, serviceBindings } from '../dns/svcb.ts'
import { asEnigmError } from '../errors.ts'
import { tlsSessions } from '../link/dial/sessions.ts'
import { isTransport, TRANSPORTS } from '../transports.ts'
import { transportsOf, whyNoTransport } from '../trusted-resolvers.ts'
import { resinfoOf } from './rank.ts'
import { askOver, dialOf, type ReachTools, reach } from './reach.ts'
import { questionFor } from './set-lookup.ts'

/** A transport that a resolver designates, and the result of its check. */
export interface Designated {
  readonly transport: string
  readonly port: number
  readonly path?: string
  readonly target: string
  /**
   * `proven`: a pinned address showed the right certificate. `known`: the set has it already.
   * `elsewhere`: it points to addresses that are not pinned; they are not dialled.
   */
  readonly verdict: 'proven' | 'known' | 'refused' | 'elsewhere' | 'not supported'
  readonly why?: string
  /** The name that the certificate must contain. */
  readonly authenticationDomainName: string
}

/** The result of discovery for one resolver of the set. */
export interface Discovery {
  readonly resolver: string
  readonly asked: readonly string[]
  readonly designated: readonly Designated[]
  /** Why records were ignored, as clauses. */
  readonly ignored: readonly string[]
  /** Its claims about itself (RESINFO, RFC 9606). Null: none. */
  readonly resinfo: Readonly<Record<string, string>> | null
  /** An ErrorCode, or a clause if no transport can be used. */
  readonly fault?: string
}

/** ALPN protocols and our names of their transports. */
const BY_ALPN: Readonly<Record<string, string>> = { dot: 'dot', doq: 'doq', h2: 'doh', 'http/1.1': 'doh', h3: 'doh3' }

/**
 * Runs Discovery of Designated Resolvers (DDR, RFC 9462) with a trusted resolver over an
 * authenticated connection. The resolver of the network is never asked. For `_dns.NAME`, the
 * certificate must contain that name. For `_dns.resolver.arpa`, it must contain the pinned address.
 * Only pinned addresses are dialled. Never rejects.
 */
export async function discover(resolver: TrustedResolver, loaded: Loaded, tools: ReachTools): Promise<Discovery> {
  const { id, authenticationDomainName } = resolver
  const named = isIP(authenticationDomainName) === 0
  const asked = [...(named ? [`_dns.${authenticationDomainName}`] : []), '_dns.resolver.arpa']
  const designated: Designated[] = []
  const ignored: string[] = []
  const [transport] = transportsOf(resolver, loaded.config)
  if (transport === undefined)
    return { resolver: id, asked: [], designated, ignored, resinfo: null, fault: whyNoTransport(resolver, loaded.config) }
  const ask = async (name: string, type: string) => {
    const dial = dialOf(resolver, transport, loaded, tlsSessions(tools.clock), tools)
    return (await askOver(questionFor(name, type), dial, loaded, tools)).wire
  }
  try {
    for (const name of asked) {
      const found = serviceBindings(await ask(name, 'SVCB'), name)
      ignored.push(...found.ignored)
      const identities = name === '_dns.resolver.arpa' ? resolver.addresses : [authenticationDomainName]
      for (const binding of found.bindings) designated.push(...(await judged(binding, identities, resolver, loaded, tools)))
    }
    const message = presentMessage(await ask(named ? authenticationDomainName : 'resolver.arpa', 'RESINFO'))
    const info = message?.answers.find(({ type }) => type === 'RESINFO')
    return { resolver: id, asked, designated: unique(designated), ignored, resinfo: info === undefined ? null : resinfoOf(info.data) }
  } catch (error) {
    return { resolver: id, asked, designated: unique(designated), ignored, resinfo: null, fault: asEnigmError(error).code }
  }
}

async function judged(
  binding: ServiceBinding,
  identities: readonly string[],
  resolver: TrustedResolver,
  loaded: Loaded,
  tools: ReachTools,
): Promise<readonly Designated[]> {
  const found: Designated[] = []
  for (const transport of new Set(binding.alpn.map((alpn) => BY_ALPN[alpn] ?? alpn))) {
    const known = isTransport(transport) ? TRANSPORTS[transport] : undefined
    const way = {
      transport,
      port: binding.port ?? known?.port ?? (transport === 'doq' ? 853 : 443),
      target: binding.target,
      ...(transport === 'doh' && binding.dohpath !== undefined ? { path: binding.dohpath } : {}),
    }
    found.push(await verdictOn(way, binding, identities, resolver, loaded, tools))
  }
  return found
}

type Way = Pick<Designated, 'transport' | 'port' | 'path' | 'target'>

async function verdictOn(
  way: Way,
  { hints }: ServiceBinding,
  identities: readonly string[],
  resolver: TrustedResolver,
  loaded: Loaded,
  tools: ReachTools,
): Promise<Designated> {
  const [first = ''] = identities
  const as = (verdict: Designated['verdict'], why?: string, identity = first): Designated => ({
    ...way,
    verdict,
    ...(why === undefined ? {} : { why }),
    authenticationDomainName: identity,
  })
  const { transport, port, path } = way
  const place = { port, ...(path === undefined ? {} : { path }) }
  const ours: unknown = Reflect.get(resolver.transports, transport)
  if (ours !== undefined && JSON.stringify(ours) === JSON.stringify(place)) return as('known')
  // The record holds neither the relay of ODoH nor the key of a DNSCrypt provider.
  if (!isTransport(transport) || transport === 'odoh' || transport === 'dnscrypt') return as('not supported')
  if (transport === 'doh' && path === undefined) return as('refused', 'it names no path')
  const pinned = new Set(resolver.addresses.map(canonical))
  if (hints.length > 0 && !hints.some((hint) => pinned.has(canonical(hint))))
    return as('elsewhere', `it points to ${hints.slice(0, 4).join(', ')}`)
  // A direct connection would reveal the address of this host, which the relay hides.
  if (isRelayed(resolver, loaded)) return as('refused', 'not tried: it is reached through a relay')
  let why = 'no address is pinned'
  for (const identity of identities) {
    // If the identity is an address, only that address is dialled, and the certificate must contain
    // it.
    const addresses = identities.length > 1 || isIP(identity) !== 0 ? [identity] : resolver.addresses
    const candidate = { ...resolver, authenticationDomainName: identity, addresses, transports: { [transport]: place } } as TrustedResolver
    const { ok, fault } = await reach(candidate, transport, loaded, tools)
    if (ok) return as('proven', undefined, identity)
    why = fault ?? 'unknown error'
  }
  return as('refused', why)
}

function isRelayed(resolver: TrustedResolver, { config }: Loaded): boolean {
  const { odoh, dnscrypt } = resolver.transports
  const relays = { odoh: odoh?.relay, dnscrypt: dnscrypt?.relay }
  return transportsOf(resolver, config).some((transport) => Reflect.get(relays, transport) !== undefined)
}

function unique(all: readonly Designated[]): readonly Designated[] {
  return [
    ...new Map(
      all.map((one) => [JSON.stringify([one.transport, one.port, one.path, one.verdict, one.authenticationDomainName]), one]),
    ).values(),
  ]
}
