import { type Hop, routeOf } from '../route.ts'
import { TRANSPORTS, type Transport } from '../transports.ts'
import type { QueryPath } from '../who-knows.ts'
import { mayFetchCertificates } from './dnscrypt.ts'
import type { DnscryptRelay, TrustedRelay } from './relays.ts'
import type { ConfigFile } from './settings.ts'
import { offers, type TrustedResolver } from './trusted-set.ts'

type RouteSettings = Pick<ConfigFile, 'transports' | 'proxies' | 'odoh' | keyof UseSettings>

/** The settings that decide whether a transport of a resolver is used. */
type UseSettings = Pick<ConfigFile, 'usageProfile' | 'shaping' | 'via' | 'allowDnscryptCertificates'>

/**
 * The routes that a query may take to each resolver of a checked configuration, in the order of the
 * resolvers. Each transport in use adds its route, even if it is used only when another one fails.
 */
export function pathsOf(config: RouteSettings, resolvers: readonly TrustedResolver[]): readonly QueryPath[] {
  return resolvers.flatMap((resolver) => {
    const paths: QueryPath[] = []
    for (const transport of config.transports.filter((one) => isUsed(one, resolver, config))) {
      const path = pathOver(transport, resolver, config)
      const same = paths.findIndex((other) => sameWay(other, path))
      const other = paths[same]
      if (other === undefined) paths.push(path)
      else paths[same] = { ...other, over: [...other.over, transport] }
    }
    return paths
  })
}

/**
 * Whether a configured transport is used for a resolver that offers it: no datagrams are sent
 * through a proxy, some transports have no schedule, and `strict` sends nothing in cleartext.
 */
export function isUsed(transport: Transport, resolver: TrustedResolver, config: UseSettings): boolean {
  const { shaping, via } = config
  const { datagrams, schedule } = TRANSPORTS[transport]
  if (!offers(resolver, transport) || (transport === 'dnscrypt' && !mayFetchCertificates(config))) return false
  const paced = shaping.profile !== 'off' && shaping.profile !== 'jitter'
  return !(datagrams && (resolver.via ?? via).length > 0) && (schedule || !paced)
}

function pathOver(transport: Transport, resolver: TrustedResolver, config: RouteSettings): QueryPath {
  const { id, operator, jurisdiction, spkiPins, addresses } = resolver
  const { hops } = routeOf(resolver, config)
  const [first] = hops
  const own = { resolver: id, ...(operator === undefined ? {} : { operator }), ...(jurisdiction === undefined ? {} : { jurisdiction }) }
  const how = { over: [transport], seal: TRANSPORTS[transport].seal }
  const { relay } = resolver
  if (transport === 'odoh' && relay !== undefined) {
    const fetched = config.odoh.configFetch === 'direct' && first === undefined
    return {
      ...{ ...own, ...how, hops: [...hops, relayHop(relay, config)], proof: 'key' },
      ...(fetched ? { keyFetchedDirectly: true } : {}),
      dialled: first === undefined ? [...relay.addresses, ...(fetched ? addresses : [])] : [first.host],
    }
  }
  if (transport === 'dnscrypt') {
    const relays = resolver.dnscryptRelay === undefined ? [] : [datagramHop(resolver.dnscryptRelay)]
    return { ...own, ...how, hops: relays, proof: 'key', dialled: (resolver.dnscryptRelay ?? resolver).addresses }
  }
  const proof = config.usageProfile !== 'strict' ? 'no' : spkiPins.length === 0 ? 'ca' : 'ca+spki'
  return { ...own, ...how, hops, proof, dialled: first === undefined ? addresses : [first.host] }
}

/** The hop of a relay. It is dialled like a resolver: under `opportunistic` it needs no proof. */
function relayHop({ id, operator, jurisdiction, addresses, port, authenticationDomainName }: TrustedRelay, config: RouteSettings): Hop {
  return {
    kind: 'odoh-relay',
    name: id,
    host: addresses[0] ?? authenticationDomainName,
    port,
    protection: config.usageProfile === 'strict' ? { by: 'tls', authenticated: 'ca', authenticationDomainName } : { by: 'none' },
    credentials: 'none',
    ...(operator === undefined ? {} : { operator }),
    ...(jurisdiction === undefined ? {} : { jurisdiction }),
  }
}

function datagramHop({ id, operator, jurisdiction, addresses, port }: DnscryptRelay): Hop {
  return {
    ...{ kind: 'dnscrypt-relay', name: id, host: addresses[0] ?? '', port, protection: { by: 'none' }, credentials: 'none' },
    ...(operator === undefined ? {} : { operator }),
    ...(jurisdiction === undefined ? {} : { jurisdiction }),
  }
}

function sameWay(a: QueryPath, b: QueryPath): boolean {
  const names = (path: QueryPath) => path.hops.map(({ kind, name }) => `${kind} ${name}`).join(' ')
  return a.seal === b.seal && a.proof === b.proof && a.keyFetchedDirectly === b.keyFetchedDirectly && names(a) === names(b)
}
