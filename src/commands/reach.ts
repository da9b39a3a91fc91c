import type { X509Certificate } from 'node:crypto'
import type { Clock, Random } from '../clock.ts'
import type { Loaded } from '../config/load.ts'
import { rulesAt, strictestVpn } from '../config/policy.ts'
import { pathsOf } from '../config/query-paths.ts'
import type { TrustedResolver } from '../config/trusted-set.ts'
import { readOpt, withPaddedOpt } from '../dns/edns.ts'
import { rcodeOf } from '../dns/message.ts'
import { escaped } from '../dns/rdata-text.ts'
import { rcodeText } from '../dns/registries.ts'
import { keptCopy } from '../dns/response.ts'
import { asEnigmError, type ErrorCode } from '../errors.ts'
import type { Established } from '../link/carriers/carrier.ts'
import { createLink } from '../link/create-link.ts'
import { DialPace } from '../link/dial/dial-pace.ts'
import { Isolation } from '../link/dial/hops.ts'
import { spkiPin } from '../link/dial/identity.ts'
import { type TlsSessions, tlsSessions } from '../link/dial/sessions.ts'
import { openTransport } from '../link/transports.ts'
import { routesTo } from '../oblivious.ts'
import { egressVerdict } from '../posture/policy-rules.ts'
import type { Carried, ProofOfIdentity, Transport } from '../resolve.ts'
import { type Hop, placeText } from '../route.ts'
import { readEgress } from '../system/egress.ts'
import { readNetworkIdentity } from '../system/network-identity.ts'
import { TRANSPORTS } from '../transports.ts'
import { dialledAddresses, endpointOf, loadQuic, transportsOf } from '../trusted-resolvers.ts'
import { probeOf, refusesRoot } from '../upstream/classification.ts'

/** The certificate of a resolver; every text is printable ASCII. */
export interface SeenCertificate {
  /** The first name in subjectAltName. */
  readonly name: string
  readonly issuer: string
  readonly notAfter: string
  /** Whole days; negative once it has expired. */
  readonly daysLeft: number
  /** Base64 SHA-256 of its public key, in the form of `spkiPins`. */
  readonly spkiPin: string
}

/**
 * The result of one attempt at a resolver over one transport. Fields of steps that were not reached
 * are absent.
 */
export interface Finding {
  readonly resolver: string
  readonly transport: Transport
  /** Whether an authenticated answer arrived. */
  readonly ok: boolean
  /** An ErrorCode, or the name of the response code if the resolver refused to answer. */
  readonly fault?: ErrorCode | string
  /** The error, as a sentence without its final dot. Absent: `fault` says all. */
  readonly detail?: string
  /** The hops on the way, the nearest first; absent: it is dialled directly. */
  readonly hops?: readonly HopFinding[]
  /**
   * It refuses root queries, as a resolver for its own zones may do. Whether it resolves is
   * unknown, because the set has no probe for it.
   */
  readonly refusesRoot?: true
  readonly address?: string
  readonly handshakeMs?: number
  readonly tlsVersion?: string
  /** The group of the key exchange, if Node reports it. */
  readonly group?: string
  /** How the identity was proven: by a certificate chain, or by a chain and a pin. */
  readonly authenticatedBy?: ProofOfIdentity
  readonly certificate?: SeenCertificate
  readonly pin: 'none set' | 'matches' | 'differs' | 'unknown'
  readonly paddedReply?: boolean
  readonly rttMs?: number
}

/** The result for one hop. */
export interface HopFinding {
  readonly name: string
  readonly kind: string
  readonly address: string
  /** `not-tried`: a hop before it failed. */
  readonly is: 'ok' | 'failed' | 'not-tried'
}

export interface ReachTools {
  readonly clock: Clock
  readonly random: Random
  /** Proxy credentials for each operator, shared by all links of one command. */
  readonly isolation?: Isolation
}

/** Limit of simultaneous handshakes: a set may hold a thousand resolvers. */
const AT_ONCE = 8
const NOERROR = 0
const FORMERR = 1
const NXDOMAIN = 3
const REFUSED = 5
const DAY_MS = 86_400_000

/**
 * Tries every resolver over every transport that the configuration would use, in this order. If the
 * policy requires a VPN and it is down, nothing is dialled, and each finding says so. Never
 * rejects.
 */
export async function reachAll(loaded: Loaded, given: ReachTools): Promise<readonly Finding[]> {
  const { resolvers, config } = loaded
  const tools = { ...given, isolation: given.isolation ?? new Isolation(given.random) }
  const ways = resolvers.flatMap((resolver) => transportsOf(resolver, config).map((transport) => ({ resolver, transport })))
  if (await vpnMissing(loaded, tools))
    return ways.map(({ resolver, transport }) => ({
      resolver: resolver.id,
      transport,
      ok: false,
      fault: 'vpn-required',
      pin: unseen(resolver, transport),
    }))
  const findings = new Array<Finding>(ways.length)
  const left = ways.entries()
  const worker = async (): Promise<void> => {
    for (const [i, way] of left) findings[i] = await reach(way.resolver, way.transport, loaded, tools)
  }
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, ways.length) }, worker))
  return findings
}

/**
 * Whether the policy requires a VPN that is down. Then a command must not contact resolvers either.
 */
export async function vpnMissing(loaded: Pick<Loaded, 'config' | 'resolvers'>, { random }: ReachTools): Promise<boolean> {
  const { policy } = loaded.config
  if (policy === undefined || strictestVpn(policy) !== 'required') return false
  const network = readNetworkIdentity(random.bytes(32))
  const named = policy.networks?.find(({ match }) => network.matches(match))?.name
  if (rulesAt(policy, named).vpn !== 'required') return false
  const addresses = loaded.resolvers.flatMap((resolver) => dialledAddresses(resolver, loaded.config))
  return egressVerdict(await readEgress(addresses, { vpnInterfaces: policy.vpnInterfaces ?? [] })).verdict !== 'met'
}

const unseen = ({ spkiPins }: TrustedResolver, transport: Transport) =>
  spkiPins.length === 0 || transport === 'dnscrypt' ? 'none set' : 'unknown'

/**
 * Tries one resolver over one transport. The first connection only reads the certificate; no DNS is
 * sent on it. If the peer proved its identity, one padded query follows over a link like that of
 * `run`: the probe of the set, else a root query. Never rejects because of the network.
 */
export async function reach(resolver: TrustedResolver, transport: Transport, loaded: Loaded, tools: ReachTools): Promise<Finding> {
  const way = { resolver: resolver.id, transport, ...hopsOn({ resolver, transport }, loaded) }
  let dial: Dial
  let looked: Looked
  try {
    dial = dialOf(resolver, transport, loaded, tlsSessions(tools.clock), tools)
    looked = await look(dial, tools)
  } catch (error) {
    return { ...way, ok: false, ...faultOf(error, { resolver, transport }, loaded), pin: unseen(resolver, transport) }
  }
  const { unproven, seen } = looked
  if (unproven !== undefined) {
    const shown = transport === 'odoh' ? resolver.relay?.id : undefined
    return { ...way, ...hopsOn({ resolver, transport }, loaded, shown), ok: false, fault: unproven, ...seen }
  }
  try {
    const probe = probeOf(resolver)
    const { wire, rttMs } = await askOver(probe, dial, loaded, tools)
    const answer = { ...way, ...seen, paddedReply: TRANSPORTS[transport].padsReplies || readOpt(wire)?.padded === true, rttMs }
    const rcode = rcodeOf(wire)
    if (rcode === REFUSED && refusesRoot(probe, rcode)) return { ...answer, ok: true, refusesRoot: true }
    const well = rcode === NOERROR || (rcode === NXDOMAIN && resolver.probe !== undefined)
    return well ? { ...answer, ok: true } : { ...answer, ok: false, fault: rcodeText(rcode) }
  } catch (error) {
    return { ...way, ok: false, ...faultOf(error, { resolver, transport }, loaded), ...seen }
  }
}

/** The parameters for dialling one transport of a resolver. */
export interface Dial {
  readonly endpoint: ReturnType<typeof endpointOf>
  readonly transport: Transport
  readonly sessions: TlsSessions
}

/** The parameters for dialling `resolver` over `transport`, through the configured hops. */
export function dialOf(
  resolver: TrustedResolver,
  transport: Transport,
  loaded: Pick<Loaded, 'config' | 'proxyFiles'>,
  sessions: TlsSessions,
  { clock, random, isolation = new Isolation(random) }: ReachTools,
): Dial {
  const routes = routesTo(resolver, loaded, isolation)
  return {
    endpoint: endpointOf(resolver, transport, { clock, sessions, dialPace: freely(clock), config: loaded.config, ...routes }),
    transport,
    sessions,
  }
}

/** Whether an error can show that this hop failed. A DNSCrypt relay reports no errors. */
const reportsFailure = ({ kind }: Hop) => kind !== 'dnscrypt-relay'

/** A resolver and one of its transports. */
type Way = { readonly resolver: TrustedResolver; readonly transport: Transport }

/**
 * The results of the hops on a route. Hops after the failed one are `not-tried`; without a failure
 * all are `ok`.
 */
function hopsOn({ resolver, transport }: Way, { config }: Loaded, failed?: string): Pick<Finding, 'hops'> {
  const hops = pathsOf({ ...config, transports: [transport] }, [resolver]).flatMap((path) => path.hops.filter(reportsFailure))
  if (hops.length === 0) return {}
  const at = hops.findIndex(({ name }) => name === failed)
  const is = (i: number) => (at < 0 || i < at ? 'ok' : i === at ? 'failed' : 'not-tried')
  return { hops: hops.map((hop, i) => ({ name: hop.name, kind: hop.kind, address: placeText(hop), is: is(i) })) }
}

function faultOf(cause: unknown, way: Way, loaded: Loaded): Pick<Finding, 'fault' | 'detail' | 'hops'> {
  const { code, message, hop } = asEnigmError(cause)
  const hops = hopsOn(way, loaded, hop)
  // The system's own messages are one word, such as ECONNREFUSED, and the code says the same.
  return { fault: code, ...(hops.hops === undefined && !message.includes(' ') ? {} : { detail: message }), ...hops }
}

interface Looked {
  /** Why the peer is not authenticated. */
  readonly unproven: ErrorCode | undefined
  readonly seen: Omit<Finding, 'resolver' | 'transport' | 'ok' | 'fault'>
}

/** No dial limits: a person runs this command. */
const freely = (clock: Clock) => new DialPace(clock, () => undefined)

/**
 * Reads the certificate of a peer. The usage profile `opportunistic` lets the handshake pass with a
 * wrong certificate; the connection is closed unused.
 */
async function look({ endpoint, transport, sessions }: Dial, { clock, random }: ReachTools): Promise<Looked> {
  // Events are dropped: the ledger counts only connections of the service.
  const tools = { clock, random, emit: () => {}, sessions, pace: freely(clock), quic: loadQuic }
  const connection = await openTransport({ ...endpoint, usageProfile: 'opportunistic' }, transport, tools)
  try {
    return lookedAt(connection, endpoint.spkiPins, clock.wallMs())
  } finally {
    connection.close()
  }
}

/** What was seen on a connection. `pins`: the pins of the dialled peer, which may be a relay. */
function lookedAt(connection: Established, pins: readonly string[], wallMs: number): Looked {
  const { address, handshakeMs, protection } = connection
  const x509 = connection.certificate()
  const certificate = x509 === undefined ? undefined : seenCertificate(x509, wallMs)
  const pinned = certificate !== undefined && pins.includes(certificate.spkiPin)
  return {
    unproven: protection.authenticated ? undefined : protection.why,
    seen: {
      address,
      handshakeMs,
      ...(protection.tlsVersion === null ? {} : { tlsVersion: protection.tlsVersion }),
      ...(protection.group === undefined ? {} : { group: protection.group }),
      pin: pins.length === 0 ? 'none set' : pinned ? 'matches' : 'differs',
      ...(protection.authenticated ? { authenticatedBy: protection.by } : {}),
      ...(certificate === undefined ? {} : { certificate }),
    },
  }
}

function seenCertificate(x509: X509Certificate, wallMs: number): SeenCertificate {
  const name = /(?:DNS|IP Address):([^,]+)/.exec(x509.subjectAltName ?? '')?.[1] ?? 'no name'
  const issuer = /^O=(.+)$/m.exec(x509.issuer)?.[1] ?? /^CN=(.+)$/m.exec(x509.issuer)?.[1] ?? 'unnamed'
  const notAfterMs = Date.parse(x509.validTo)
  return {
    name: printable(name),
    issuer: printable(issuer),
    notAfter: new Date(notAfterMs).toISOString(),
    daysLeft: Math.floor((notAfterMs - wallMs) / DAY_MS),
    spkiPin: spkiPin(x509.raw),
  }
}

/** Replaces unprintable characters, because a certificate may contain any text. */
function printable(text: string): string {
  return escaped(Buffer.from(text)).slice(0, 80)
}

/**
 * Sends one padded query over a new link, as `run` does. Only an authenticated reply counts.
 * Rejects with an EnigmError.
 */
export async function askOver(
  probe: Uint8Array,
  { endpoint, transport, sessions }: Dial,
  { config }: Pick<Loaded, 'config'>,
  { clock, random }: ReachTools,
): Promise<Carried> {
  const link = createLink({ ...endpoint, usageProfile: 'strict' }, transport, {
    clock,
    random,
    sessions,
    emit: () => {},
    dialPace: freely(clock),
    quic: loadQuic,
  })
  const sent = (keepalive: boolean) =>
    new Promise<Carried>((carried, failed) => {
      const request = withPaddedOpt(probe, { dnssecOk: false, block: config.padding.queryBlock, keepalive })
      link.send(
        request,
        { purpose: 'probe', deadlineMs: clock.nowMs() + config.timeoutMs },
        { carried: (reply) => carried(keptCopy(reply)), failed },
      )
    })
  const { keepalive } = TRANSPORTS[transport]
  try {
    const carried = await sent(keepalive)
    // Retry without the keepalive option, as `run` does: the resolver may not support the option.
    return keepalive && rcodeOf(carried.wire) === FORMERR ? await sent(false) : carried
  } finally {
    await link.close()
  }
}
