import type { Loaded } from './config/load.ts'
import { targetKeyOf } from './config/odoh-config.ts'
import type { TrustedRelay } from './config/relays.ts'
import type { Config } from './config/settings.ts'
import type { TrustedResolver } from './config/trusted-set.ts'
import { EnigmError } from './errors.ts'
import { hostAndPort } from './link/carriers/doh-message.ts'
import type { ConnectOptions } from './link/dial/connect.ts'
import type { StrictEndpoint } from './link/dial/endpoint.ts'
import { type DialHop, dialHops, type Isolation } from './link/dial/hops.ts'
import { SEAL_OCTETS, TargetKeys } from './link/odoh/target-keys.ts'

/** What an endpoint needs that has a key to fetch. */
export interface KeyTools extends Pick<ConnectOptions, 'clock' | 'sessions' | 'handshake'> {
  readonly dialPace: ConnectOptions['pace']
  /** Called before each fetch: the network may have changed just now. */
  readonly beforeDial?: () => void
  readonly config: Pick<Config, 'odoh'>
  /** The hops on the way to the resolver. */
  readonly route: readonly DialHop[]
  /** The same hops on the way to its relay, with the credentials for the relay's operator. */
  readonly relayRoute: readonly DialHop[]
}

/**
 * The hops to a resolver, and to its relay: a proxy that keeps operators apart does not see that
 * both are asked by one client.
 */
export function routesTo(
  resolver: TrustedResolver,
  loaded: Pick<Loaded, 'config' | 'proxyFiles'>,
  isolation: Isolation,
): Pick<KeyTools, 'route' | 'relayRoute'> {
  const { relay, via } = resolver
  const to = (party: { readonly id: string; readonly operator?: string }) =>
    dialHops({ ...party, ...(via === undefined ? {} : { via }) }, loaded, isolation)
  return {
    route: to(resolver),
    relayRoute: relay === undefined ? [] : to({ id: resolver.id, operator: relay.operator ?? `relay ${relay.id}` }),
  }
}

/**
 * The relay through which `resolver` is asked, as the endpoint that is dialled, and the resolver as
 * the target to which queries are sealed (RFC 9230). Throws an EnigmError `config` if it has none.
 */
export function relayEndpoint(resolver: TrustedResolver, tools: KeyTools): Omit<StrictEndpoint, 'usageProfile'> {
  const { relay, transports } = resolver
  if (relay === undefined || transports.odoh === undefined) throw new EnigmError('config', `${resolver.id} names no relay`)
  const { port, path } = transports.odoh
  return {
    resolver: resolver.id,
    addresses: relay.addresses,
    authenticationDomainName: relay.authenticationDomainName,
    spkiPins: [],
    certHashes: relay.certHashes ?? [],
    ca: relay.ca,
    route: tools.relayRoute,
    odoh: {
      relay: relay.id,
      port: relay.port,
      path: pathThrough(relay, hostAndPort(resolver.authenticationDomainName, port), path),
      keys: keysOf(resolver, port, tools),
      sealOctets: SEAL_OCTETS,
    },
  }
}

/** RFC 9230 section 4.1. */
function pathThrough({ path }: TrustedRelay, host: string, targetPath: string): string {
  return `${path}?targethost=${encodeURIComponent(host)}&targetpath=${encodeURIComponent(targetPath)}`
}

function keysOf(
  resolver: TrustedResolver,
  port: number,
  { config, clock, sessions, handshake, route, dialPace: pace, beforeDial }: KeyTools,
): TargetKeys {
  const pinned = resolver.transports.odoh?.config
  const found = pinned === undefined ? undefined : targetKeyOf(Buffer.from(pinned, 'base64'))
  const { id, addresses, authenticationDomainName, spkiPins, certHashes = [], ca, tls } = resolver
  // Strict, whatever the usage profile: queries are sealed to this key.
  const target = {
    resolver: id,
    addresses,
    authenticationDomainName,
    spkiPins,
    certHashes,
    ca,
    ...(tls === undefined ? {} : { tls }),
    route,
    usageProfile: 'strict',
    doh: { port, path: '' },
  } as const
  const fetch = async (signal: AbortSignal) => {
    const { fetchTargetConfig } = await import('./link/odoh/fetch-config.ts')
    return fetchTargetConfig(target, { clock, sessions, pace, signal, ...(handshake === undefined ? {} : { handshake }) })
  }
  return new TargetKeys({
    clock,
    beforeDial,
    pinned: typeof found === 'object' ? found : undefined,
    fetch: config.odoh.configFetch === 'direct' || route.length > 0 ? fetch : undefined,
  })
}
