import type { Clock, Random } from './clock.ts'
import type { Loaded } from './config/load.ts'
import type { TrustedResolver } from './config/trusted-set.ts'
import type { Emit } from './events.ts'
import type { StrictEndpoint } from './link/endpoint.ts'
import { createLink } from './link/keeper.ts'
import type { TlsSessions } from './link/sessions.ts'
import type { Authenticated, Link, Protection, Shaper, Transport } from './resolve.ts'
import { jitter } from './shaping/jitter.ts'
import { createSelection, type Selection } from './upstream/selection.ts'
import { createUpstream } from './upstream/upstream.ts'

/** What links and selection need of the outside. */
export interface Surroundings {
  readonly clock: Clock
  readonly random: Random
  readonly emit: Emit
  readonly sessions: TlsSessions
}

/** The transports that a resolver is asked over, in the configured order of preference. */
export function transportsOf(resolver: TrustedResolver, preference: readonly Transport[]): readonly Transport[] {
  return preference.filter((transport) => resolver.transports[transport] !== undefined)
}

/** How the links find `resolver` and know it. */
export function endpointOf(resolver: TrustedResolver): Omit<StrictEndpoint, 'usageProfile'> {
  const { dot, doh } = resolver.transports
  return {
    resolver: resolver.id,
    addresses: resolver.addresses,
    authenticationDomainName: resolver.authenticationDomainName,
    spkiPins: resolver.spkiPins,
    ca: resolver.ca,
    ...(dot === undefined ? {} : { dot }),
    ...(doh === undefined ? {} : { doh }),
  }
}

/** The trusted set, live: dials nothing until it is asked. Under `strict` no link that might be unauthenticated can be put in: the types refuse it. */
export function trustedResolvers(loaded: Loaded, around: Surroundings): Selection<Protection> {
  const tools = { ...around, dohClient: loaded.config.dohClient }
  if (loaded.config.usageProfile === 'strict') {
    return select<Authenticated>(loaded, around, (r, t) => createLink({ ...endpointOf(r), usageProfile: 'strict' }, t, tools))
  }
  return select<Protection>(loaded, around, (r, t) => createLink({ ...endpointOf(r), usageProfile: 'opportunistic' }, t, tools))
}

function select<P extends Protection>(
  loaded: Loaded,
  around: Surroundings,
  link: (resolver: TrustedResolver, transport: Transport) => Link<P>,
): Selection<P> {
  const { config } = loaded
  const shape = shaperOf(loaded, around)
  const upstreams = loaded.resolvers.map((resolver) =>
    createUpstream<P>({
      id: resolver.id,
      links: transportsOf(resolver, config.transports).map((transport) => shape(link(resolver, transport))),
      paddingBlock: config.padding.queryBlock,
      clock: around.clock,
      emit: around.emit,
    }),
  )
  return createSelection<P>({ upstreams, clock: around.clock, random: around.random, emit: around.emit })
}

function shaperOf({ config }: Loaded, around: Surroundings): Shaper {
  const { profile, jitterMs } = config.shaping
  return profile === 'jitter' && jitterMs > 0 ? jitter(jitterMs, around) : (link) => link
}
