import type { Clock, Random } from './clock.ts'
import { mayFetchCertificates } from './config/dnscrypt.ts'
import type { Loaded } from './config/load.ts'
import { isUsed, pathsOf } from './config/query-paths.ts'
import type { Config } from './config/settings.ts'
import { offers, type TrustedResolver } from './config/trusted-set.ts'
import { dividedNames } from './divided-names.ts'
import { withPaddedOpt } from './dns/edns.ts'
import { EnigmError } from './errors.ts'
import type { Emit } from './events.ts'
import { createLink, createScheduledLink, type LinkTools, type RenewableLink, type RenewableScheduledLink } from './link/create-link.ts'
import { DialPace } from './link/dial/dial-pace.ts'
import type { StrictEndpoint } from './link/dial/endpoint.ts'
import { Isolation } from './link/dial/hops.ts'
import type { TlsSessions } from './link/dial/sessions.ts'
import type { Renewable } from './link/on-demand.ts'
import { type KeyTools, relayEndpoint, routesTo } from './oblivious.ts'
import { type Gate, gatedLink } from './policy/gate.ts'
import type { Quic } from './quic.ts'
import type { Authenticated, Carried, Link, Protection, ScheduledLink, Shaper, Transport } from './resolve.ts'
import { sidesOf } from './rules/sides.ts'
import { constantRate } from './shaping/constant-rate.ts'
import { jitter } from './shaping/jitter.ts'
import { isPaced, PACES, type Pace, type PacedProfile, STANDBY } from './shaping/profiles.ts'
import { type ShapedLink, standBy } from './shaping/standby.ts'
import { TRANSPORTS } from './transports.ts'
import { probeOf } from './upstream/classification.ts'
import { ALWAYS_ON, ON_DEMAND, ON_SCHEDULE } from './upstream/path-health.ts'
import { type Asking, createSelection, type Selection } from './upstream/selection.ts'
import { createUpstream } from './upstream/upstream.ts'

/** The cell size of every schedule (RFC 8467). */
const CELL_BLOCK = 128

/** The dependencies of links and selection. */
export interface LinkParts {
  readonly clock: Clock
  readonly random: Random
  readonly emit: Emit
  readonly sessions: TlsSessions
  /** The SOCKS credentials that keep operators apart. Absent: those of this set alone. */
  readonly isolation?: Isolation
  /** The function that dials one address; replaced in tests without a network. */
  readonly handshake?: NonNullable<LinkTools['handshake']>
  readonly gate: Gate
  /** The secret of this device by which names are divided; called only if they are. */
  readonly splitKey: () => Uint8Array
  /** Called before each exchange: the machine may have slept since the last one. */
  readonly notice?: (nowMs?: number) => void
  /** Called before each dial: the network may have changed just now. */
  readonly beforeDial?: () => void
}

/** A trusted set that reacts to changes of the network and the clock. */
export interface LiveResolvers<P extends Protection> extends Selection<P> {
  /**
   * `network`, `wake`: all connections and TLS sessions are dropped, so that no observer of two
   * networks can link them. Links that were in use are dialled again at once (if `online`), and
   * queries in flight are sent again. `clock`: failures caused by a certificate's dates are
   * retried.
   */
  react(what: 'network' | 'wake' | 'clock', online: boolean): void
}

/**
 * The transports of a resolver, in the configured order of preference. Under a profile that keeps a
 * schedule, those on which a reply has one size come first.
 */
export function transportsOf(resolver: TrustedResolver, config: Config): readonly Transport[] {
  const used = config.transports.filter((transport) => isUsed(transport, resolver, config))
  if (!isPaced(config.shaping.profile)) return used
  return used.toSorted((a, b) => Number(TRANSPORTS[b].evenReplies) - Number(TRANSPORTS[a].evenReplies))
}

/** Why `transportsOf` returns nothing for a resolver: a clause. */
export function whyNoTransport(resolver: TrustedResolver, { transports, ...config }: Config): string {
  const isRefused = transports.includes('dnscrypt') && offers(resolver, 'dnscrypt') && !mayFetchCertificates(config)
  return isRefused ? CERTIFICATES_REFUSED : 'offers no transport that the configuration can use'
}

const CERTIFICATES_REFUSED = 'DNSCrypt needs "allowDnscryptCertificates": true under "strict"'

/**
 * How the links reach and authenticate `resolver`, or the relay on the way to it. Its
 * routes are made by `routesTo`. Throws an EnigmError `config` if the transport may not be used.
 */
export function endpointOf(
  resolver: TrustedResolver,
  transport: Transport,
  tools: KeyTools & { readonly config: Pick<Config, 'usageProfile' | 'allowDnscryptCertificates'> },
): Omit<StrictEndpoint, 'usageProfile'> {
  // Every dial comes through here, also those to resolvers that the configuration does not name.
  if (transport === 'dnscrypt' && !mayFetchCertificates(tools.config))
    throw new EnigmError('config', `${resolver.id}: ${CERTIFICATES_REFUSED}`)
  if (transport === 'odoh') return relayEndpoint(resolver, tools)
  const { odoh: _throughRelay, dnscrypt, ...direct } = resolver.transports
  const through = resolver.dnscryptRelay
  // Directly, the resolver would see what the relay is there to hide.
  if (transport === 'dnscrypt' && dnscrypt?.relay !== undefined && through === undefined)
    throw new EnigmError('config', `${resolver.id} names the relay ${dnscrypt.relay}, which cannot be used for it`)
  return {
    resolver: resolver.id,
    addresses: resolver.addresses,
    authenticationDomainName: resolver.authenticationDomainName,
    // DNSCrypt shows no key of TLS and no chain: the key of the provider is its identity.
    spkiPins: transport === 'dnscrypt' ? [] : resolver.spkiPins,
    certHashes: transport === 'dnscrypt' ? [] : (resolver.certHashes ?? []),
    ca: resolver.ca,
    ...(resolver.tls === undefined ? {} : { tls: resolver.tls }),
    route: tools.route,
    ...(dnscrypt === undefined ? {} : { dnscrypt: { ...dnscrypt, ...(through === undefined ? {} : { through }) } }),
    ...direct,
  }
}

/** The addresses to which this host connects to ask `resolver`: those of the first hop. */
export function dialledAddresses(resolver: TrustedResolver, config: Config): readonly string[] {
  return [...new Set(pathsOf(config, [resolver]).flatMap(({ dialled }) => dialled))]
}

/** Loaded with the first connection over QUIC. */
export async function loadQuic(): Promise<Quic | undefined> {
  return (await import('./system/quic.ts')).nativeQuic()
}

/** Makes the links of one usage profile. */
interface LinkMaker<P extends Protection> {
  plain(resolver: TrustedResolver, transport: Transport, dialPace: DialPace): RenewableLink<P>
  paced(resolver: TrustedResolver, transport: Transport, dialPace: DialPace): RenewableScheduledLink<P>
}

/**
 * The trusted set with its links: nothing is dialled before the first query (`always-on` dials at
 * once). Under `strict` a link that might be unauthenticated is a type error.
 */
export function trustedResolvers(loaded: Loaded, given: LinkParts): LiveResolvers<Protection> {
  const { config } = loaded
  const parts = { ...given, isolation: given.isolation ?? new Isolation(given.random) }
  const tools = { ...parts, quic: loadQuic }
  const at = (r: TrustedResolver, t: Transport, dialPace: DialPace) =>
    endpointOf(r, t, { ...parts, dialPace, config, ...routesTo(r, loaded, parts.isolation) })
  if (config.usageProfile === 'strict') {
    const strict = (...way: Parameters<typeof at>) => ({ ...at(...way), usageProfile: 'strict' }) as const
    return select<Authenticated>(loaded, parts, {
      plain: (r, t, dialPace) => createLink(strict(r, t, dialPace), t, { ...tools, dialPace, probe: probeOf(r) }),
      paced: (r, t, dialPace) => createScheduledLink(strict(r, t, dialPace), t, { ...tools, dialPace, probe: probeOf(r) }),
    })
  }
  const opportunistic = (...way: Parameters<typeof at>) => ({ ...at(...way), usageProfile: 'opportunistic' }) as const
  return select<Protection>(loaded, parts, {
    plain: (r, t, dialPace) => createLink(opportunistic(r, t, dialPace), t, { ...tools, dialPace, probe: probeOf(r) }),
    paced: (r, t, dialPace) => createScheduledLink(opportunistic(r, t, dialPace), t, { ...tools, dialPace, probe: probeOf(r) }),
  })
}

function select<P extends Protection>(loaded: Loaded, parts: LinkParts, make: LinkMaker<P>): LiveResolvers<P> {
  const { config } = loaded
  const { gate } = parts
  const { profile } = config.shaping
  const paced = isPaced(profile)
  const manner = !paced ? ON_DEMAND : profile === 'always-on' ? ALWAYS_ON : ON_SCHEDULE
  const plain = shaperOf(loaded, parts)
  // A cell is 128 octets, independent of the block that is configured for profiles without a
  // schedule.
  const paddingBlock = paced ? CELL_BLOCK : config.padding.queryBlock
  const links: Renewable[] = []
  const noted = <L extends Renewable>(link: L): L => {
    links.push(link)
    return link
  }
  const split = dividedNames(loaded, parts)
  const shaped = new Map<string, ShapedLink<P>[]>()
  // The resolvers of each side, in order: among them one link is always on. Names that are divided
  // need every path: the links of each resolver stand in for each other alone.
  const groups = split === undefined ? sidesOf(config).all.map(({ to }) => to) : loaded.resolvers.map(({ id }) => [id])
  const leads = (id: string) => !shaped.has(id) && groups.some(([first]) => first === id)
  const upstreams = loaded.resolvers.map((resolver) => {
    const dialPace = new DialPace(parts.clock, () => gate.refusal())
    const linkOver = (transport: Transport): Link<P> => {
      if (!paced) return plain(noted(make.plain(resolver, transport, dialPace)))
      const onSignOfLife = (carried: Carried) => upstream.health.signOfLife(transport, carried)
      const link = noted(make.paced(resolver, transport, dialPace))
      const onSchedule = scheduledLink(link, resolver, { pace: paceOf(profile, leads(resolver.id)), parts, onSignOfLife })
      shaped.set(resolver.id, [...(shaped.get(resolver.id) ?? []), onSchedule])
      return onSchedule
    }
    const upstream = createUpstream<P>({
      id: resolver.id,
      links: transportsOf(resolver, config).map((transport) => gatedLink(linkOver(transport), gate)),
      paddingBlock,
      probe: probeOf(resolver),
      clock: parts.clock,
      emit: parts.emit,
      manner,
    })
    return upstream
  })
  if (manner.byLinks) standBy(groups.map((ids) => ids.flatMap((id) => shaped.get(id) ?? [])))
  /** The machine may have slept since the last query. */
  const noticing = (asking: Asking<P>): Asking<P> => ({
    ask(message, dnssecOk, ask, to) {
      parts.notice?.(ask.startedMs)
      asking.ask(message, dnssecOk, ask, to)
    },
  })
  const selection = createSelection<P>({ upstreams, clock: parts.clock, random: parts.random, emit: parts.emit, manner, split })
  return {
    ...selection,
    ...noticing(selection),
    among: (ids) => noticing(selection.among(ids)),
    react(what, online) {
      if (what === 'clock') {
        for (const link of links) link.reconsider()
        selection.reconsider()
        return
      }
      selection.disturbed()
      // No circuit of this network is joined to one of the last.
      parts.isolation?.renew()
      for (const link of links) link.renew(online)
    },
  }
}

const unshaped: Shaper = (link) => link

function shaperOf({ config }: Loaded, parts: LinkParts): Shaper {
  const { profile, jitterMs } = config.shaping
  return profile === 'jitter' && jitterMs > 0 ? jitter(jitterMs, parts) : unshaped
}

/**
 * Only the first link of a group is always on: the others would cost the same again without
 * benefit.
 */
function paceOf(profile: PacedProfile, first: boolean): Pace {
  return profile === 'always-on' && !first ? STANDBY : PACES[profile]
}

/** Each link has its own schedule, with a new random phase for each session. */
function scheduledLink<P extends Protection>(
  link: ScheduledLink<P>,
  resolver: TrustedResolver,
  o: { readonly pace: Pace; readonly parts: LinkParts; readonly onSignOfLife: (carried: Carried) => void },
): ShapedLink<P> {
  const { pace, onSignOfLife } = o
  const { clock, random, emit } = o.parts
  const coverWanted = resolver.claims.coverTraffic !== false
  const probe = withPaddedOpt(probeOf(resolver), { dnssecOk: false, block: CELL_BLOCK, keepalive: TRANSPORTS[link.transport].keepalive })
  return constantRate(link, { pace, clock, random, emit, resolver: resolver.id, coverWanted, probe, onSignOfLife })
}
