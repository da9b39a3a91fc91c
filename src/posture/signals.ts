import { type ErrorCode, type HopCode, type IdentityCode, inDoubt, isAuthenticationFailure, isOfHop } from '../errors.ts'
import type { Transport } from '../resolve.ts'
import { TRANSPORTS } from '../transports.ts'
import { listReasons, sourceReasons } from './list-reasons.ts'
import { pathReasons } from './path-rules.ts'
import { exposedZones, failClosed, policyCompliance, ruleVerdicts, vpnAsked, vpnPaths } from './policy-rules.ts'
import { type Reason, reason, worstFirst } from './reasons.ts'
import type { CoverTrouble } from './state.ts'
import type {
  ResolverInput,
  RuleVerdict,
  ShapingForce,
  Signal,
  SignalName,
  SignalState,
  Signals,
  TopState,
  Verdict,
  VerdictContext,
  VerdictInput,
} from './verdict.ts'

/** A heartbeat that is later than this means that queries were delayed too. */
const LATE_MS = 250
/**
 * A heartbeat that is later than this was not delayed by a busy event loop: the process was
 * stopped, or the machine slept.
 */
export const ASLEEP_MS = 10_000

type SignalDraft = Omit<Signal, 'since'>

/**
 * Makes the verdict for one moment. Pure. `previous` only provides the `since` of signals that have
 * not changed.
 */
export function judge(input: VerdictInput, c: VerdictContext, previous?: Signals): Verdict {
  const shaping = shapingForce(input)
  const rules = ruleVerdicts(input, shaping)
  const closed = failClosed(rules)
  const draft = {
    secureNameResolution: secureNameResolution(input, shaping, closed !== undefined),
    protectedNetwork: protectedNetwork(input) ?? notAssessed('unknown', 'This network is not assessed.'),
    policyCompliance: input.setup.policy === undefined ? notAssessed('off', 'No policy is configured.') : policyCompliance(rules),
    vpn: vpnSignal(input) ?? notAssessed('off', 'No VPN is configured.'),
    service: service(input, c.heartbeatLateMs),
  } satisfies Record<SignalName, SignalDraft>
  const dated = (name: SignalName): Signal => {
    const was = previous?.[name]
    const since = was !== undefined && was.state === draft[name].state ? was.since : new Date(c.now.wallMs).toISOString()
    return { ...draft[name], since }
  }
  return {
    state: topState(input, shaping, rules, closed),
    signals: {
      secureNameResolution: dated('secureNameResolution'),
      protectedNetwork: dated('protectedNetwork'),
      policyCompliance: dated('policyCompliance'),
      vpn: dated('vpn'),
      service: dated('service'),
    },
    rules,
    closed,
    shaping,
  }
}

/** Which kinds of answers come now, according to the latest exchange of each resolver. */
function flowOf({ resolvers }: VerdictInput): { readonly authenticated: boolean; readonly unauthenticated: readonly ResolverInput[] } {
  const answering = resolvers.filter(answersNow)
  return {
    authenticated: answering.some((r) => proven(r) && r.setup.notGeneral !== true),
    // An old unauthenticated answer of a resolver that is no longer used does not count.
    unauthenticated: answering.filter(({ proof, old }) => proof === 'none' && !old),
  }
}

/** Whether the latest answer of a resolver came from an authenticated peer. */
function proven({ proof }: ResolverInput): boolean {
  return proof !== undefined && proof !== 'none'
}

/**
 * Whether a resolver answers: its latest exchange was answered. If this is long ago, one failed
 * dial on every link is enough for doubt.
 */
function answersNow({ quietMin, failing, old, links }: ResolverInput): boolean {
  if (quietMin === undefined || failing !== undefined) return false
  return !old || links.some((l) => l.is !== 'failed')
}

function topState(input: VerdictInput, shaping: ShapingForce, rules: readonly RuleVerdict[], closed: ErrorCode | undefined): TopState {
  const flow = flowOf(input)
  if (closed !== undefined || input.phase !== 'running') return 'offline'
  if (flow.unauthenticated.length > 0 || input.portalUntilWallMs !== undefined || exposedZones(input).length > 0) return 'exposed'
  if (!flow.authenticated) return 'offline'
  const violated = rules.some(({ verdict }) => verdict === 'not-met')
  return violated || shapingBroken(input, shaping).length > 0 || asksOthers(input) ? 'degraded' : 'protected'
}

/**
 * Whether the system should use this service but provably uses another server, at least for some
 * names. The servers that a VPN sets on its own link do not count if the setting allows them.
 */
function asksOthers({ setup, system, takeover }: VerdictInput): boolean {
  if (!setup.systemEnabled) return false
  return system?.asks === 'elsewhere' || system?.asks === 'partly' || takeover?.bypasses.some(({ vpn }) => !vpn) === true
}

const COVERS: Readonly<Record<CoverTrouble | 'bare', string>> = {
  claim: 'states that it wants no cover traffic, so none is sent',
  refused: 'refuses cover traffic, so it is paused',
  'used-up': 'has received its daily limit of cover traffic',
  slower: 'answers cover traffic from its cache more or less often than real queries, so response times distinguish them',
  larger: 'sends larger replies to real queries than to cover traffic, so reply sizes distinguish them',
  bare: 'does not pad its replies, so reply sizes reveal information',
}

/**
 * Whether the configured profile is in force. Only resolvers that have answered count.
 */
function shapingForce({ setup, resolvers }: VerdictInput): ShapingForce {
  if (!setup.paced) return { inForce: 'yes' }
  for (const { setup, shaped } of resolvers)
    if (shaped !== 'unasked' && shaped !== 'holds') return { inForce: 'no', why: `${setup.id} ${COVERS[shaped]}` }
  return { inForce: resolvers.some(({ shaped }) => shaped === 'holds') ? 'yes' : 'unknown' }
}

/** The reason if the configured profile is not in force. */
function shapingBroken({ setup: { shaping } }: VerdictInput, { inForce, why }: ShapingForce): readonly Reason[] {
  return shaping.profile === 'off' || inForce !== 'no' ? [] : [reason('shaping-not-in-force', { profile: shaping.profile, why })]
}

/**
 * The reason if shaped replies come over a transport on which their sizes vary. It says why this
 * transport is used.
 */
function shapedUnevenly({ setup, resolvers }: VerdictInput): readonly Reason[] {
  if (!setup.paced) return []
  const which = resolvers.flatMap(({ setup: { id, transports }, answeredOver, links }) => {
    if (answeredOver === undefined || TRANSPORTS[answeredOver].evenReplies) return []
    const even = transports.find((transport) => TRANSPORTS[transport].evenReplies)
    const code = links.find(({ transport }) => transport === even)?.code
    return [{ id, why: even === undefined ? 'no DoT is configured' : `DoT failed${code === undefined ? '' : `: ${code}`}` }]
  })
  return which.length === 0 ? [] : [reason('shaping-over-doh', which)]
}

/** The signal secureNameResolution, from the evidence of all resolvers. It matters most. */
function secureNameResolution(input: VerdictInput, shaping: ShapingForce, closed: boolean): SignalDraft {
  const { resolvers, portalUntilWallMs } = input
  const flow = flowOf(input)
  const general = resolvers.filter(({ setup }) => setup.notGeneral !== true)
  const flows = flow.authenticated || flow.unauthenticated.length > 0
  const forced = resolvers.filter(({ groupForced }) => groupForced).map(({ setup: { id } }) => id)
  const bare = resolvers.filter(({ padded }) => padded === 'no' || padded === 'mixed')
  const reasons = worstFirst([
    ...(portalUntilWallMs === undefined ? [] : [reason('captive-portal', { untilWallMs: portalUntilWallMs })]),
    ...splitDns(input),
    ...shapingBroken(input, shaping),
    ...shapedUnevenly(input),
    ...(resolvers.some(({ beacon }) => beacon) ? [reason('shaping-beacon', input.setup.shaping)] : []),
    ...hopsDown(resolvers, flows),
    ...resolvers.flatMap((r) => resolverReasons(r, flows)),
    ...(flow.unauthenticated.length === 0
      ? []
      : [
          reason(
            'unauthenticated-answers',
            flow.unauthenticated.map(({ setup: { id }, unproven: why = 'internal' }) => ({ id, why })),
          ),
        ]),
    ...(flows ? [] : [notFlowing(general, closed)]),
    ...(clockSuspect(general) ? [reason('clock-suspect')] : []),
    ...(portalSuspect(general) ? [reason('portal-suspected')] : []),
    ...resolvers.flatMap(({ setup: { id }, expiresInDays: days }) =>
      days === undefined ? [] : [reason('certificate-expires', { id, days })],
    ),
    ...(forced.length > 0 ? [reason('group-forced', forced)] : []),
    ...(bare.length > 0
      ? [
          reason(
            'replies-unpadded',
            bare.map(({ setup }) => setup.id),
          ),
        ]
      : []),
    ...(flow.authenticated ? proofOld(general) : []),
    ...(input.setup.usageProfile === 'opportunistic' ? [reason('profile-opportunistic')] : []),
    ...pathReasons(input.setup.paths),
  ])
  const untouched =
    portalUntilWallMs === undefined &&
    exposedZones(input).length === 0 &&
    resolvers.every((r) => r.quietMin === undefined && r.failing === undefined)
  return { state: untouched ? 'unknown' : levelOf(reasons), reasons }
}

/**
 * The reasons for zones that are asked without encryption, with and without the policy's consent.
 */
function splitDns(input: VerdictInput): readonly Reason[] {
  const exposed = exposedZones(input)
  const allowed = input.setup.splitDns.filter((zone) => !exposed.includes(zone))
  return [
    ...(exposed.length === 0 ? [] : [reason('split-dns', { zones: exposed, allowed: false })]),
    ...(allowed.length === 0 ? [] : [reason('split-dns', { zones: allowed, allowed: true })]),
  ]
}

function levelOf(reasons: readonly Reason[]): SignalState {
  if (reasons.some((r) => r.severity === 'bad')) return 'bad'
  return reasons.some((r) => r.severity === 'warn') ? 'warn' : 'ok'
}

/**
 * The reasons for one resolver: it was refused because of its identity, or does not answer.
 * `flows`: whether another resolver answers.
 */
function resolverReasons(r: ResolverInput, flows: boolean): readonly Reason[] {
  const { setup, links, failing } = r
  const decides = !flows && failing !== undefined
  const refused = (code: IdentityCode, transport: Transport) => reason(code, { id: setup.id, transport, decides })
  const found = links.flatMap(({ code, transport }) =>
    code !== undefined && isAuthenticationFailure(code) ? [refused(code, transport)] : [],
  )
  if (failing === undefined || failedHops(r).length > 0) return found
  if (!isAuthenticationFailure(failing)) return [...found, reason('resolver-down', { id: setup.id, code: failing })]
  return found.length > 0 ? found : setup.transports.slice(0, 1).map((offered) => refused(failing, offered))
}

/** The hops because of which a resolver does not answer. */
function failedHops({ failing, links }: ResolverInput): readonly { readonly code: HopCode; readonly hop: string }[] {
  if (failing === undefined) return []
  return links.flatMap(({ code, hop }) => (code !== undefined && isOfHop(code) && hop !== undefined ? [{ code, hop }] : []))
}

/** The reasons for failed hops, each hop once per error code. */
function hopsDown(resolvers: readonly ResolverInput[], flows: boolean): readonly Reason[] {
  const different = new Map(resolvers.flatMap(failedHops).map((one) => [`${one.code} ${one.hop}`, one]))
  return [...different.values()].map((one) => reason('hop-down', { ...one, decides: !flows }))
}

/** `closed`: whether the policy allows no queries. */
function notFlowing(resolvers: readonly ResolverInput[], closed: boolean): Reason {
  if (resolvers.every(({ failing }) => failing !== undefined))
    return reason('all-failing', { up: resolvers.some(({ links }) => links.some(({ is }) => is === 'up')) })
  const touched = resolvers.some((r) => r.quietMin !== undefined || r.failing !== undefined)
  return touched ? reason('none-answering') : reason('not-proven-yet', { closed })
}

/**
 * Whether all resolvers were refused because of the dates in their certificates. Then our clock is
 * probably wrong. False if there is only one resolver and its certificate "expired": then the
 * certificate is as likely the cause.
 */
function clockSuspect(resolvers: readonly ResolverInput[]): boolean {
  const doubts = resolvers.map(({ failing, links }) => {
    if (failing === undefined) return undefined
    return inDoubt(links.flatMap(({ code }) => code ?? []).find(isAuthenticationFailure) ?? failing)
  })
  if (doubts.length === 0 || !doubts.every((doubt) => doubt === 'dates' || doubt === 'clock')) return false
  return doubts.length > 1 || doubts[0] === 'clock'
}

/**
 * Whether another host seems to answer in place of all resolvers, as the login page of a network
 * does. Each resolver was refused at the latest dial of its links, at least once because of the
 * name or the issuer of the certificate. False for a single resolver that never proved its
 * identity: then a mistake in the trusted set is as likely.
 */
function portalSuspect(resolvers: readonly ResolverInput[]): boolean {
  const replaced = (r: ResolverInput) =>
    r.failing !== undefined && r.links.some(({ is, code }) => is === 'failed' && code !== undefined && inDoubt(code) === 'stranger')
  if (resolvers.length === 0 || !resolvers.every(replaced)) return false
  return resolvers.length > 1 || resolvers.some(proven)
}

function proofOld(resolvers: readonly ResolverInput[]): readonly Reason[] {
  const proofs = resolvers.filter(proven)
  if (proofs.some(({ old }) => !old)) return []
  return [reason('proof-old', { minutes: Math.min(...proofs.map(({ quietMin = 0 }) => quietMin)) })]
}

/**
 * The signal protectedNetwork: whether the policy names this network, and whether the system uses
 * this service. A network that the policy does not name is untrusted.
 */
function protectedNetwork({ setup, network, system, canary, takeover, bypassFlows }: VerdictInput): SignalDraft | undefined {
  if (network === undefined && system === undefined) return undefined
  // A person who may write the configuration cannot add a network to a signed policy.
  const unsigned = (setup.policy === undefined ? undefined : setup.policy.unsignedNetworks) ?? []
  const trusted = network?.named !== undefined && !unsigned.includes(network.named)
  const reasons = [
    networkReason(network, trusted),
    ...(system === undefined
      ? []
      : [takeover?.state === 'held' || takeover === undefined ? systemReason(system, canary) : takenOver(takeover)]),
    ...(takeover === undefined || takeover.bypasses.length === 0
      ? []
      : [reason('system-bypasses', takeover.bypasses.map(bypassText).join('; '))]),
    ...(bypassFlows === 0 ? [] : [reason('bypassed', { flows: bypassFlows })]),
  ]
  const state = reasons.some((r) => r.severity !== 'info') ? 'warn' : trusted ? 'ok' : 'unknown'
  return { state, reasons: worstFirst(reasons) }
}

function networkReason(network: VerdictInput['network'], trusted: boolean): Reason {
  if (network?.told !== true) return reason('network-unknown')
  const { named } = network
  return named !== undefined && trusted ? reason('network-named', { named }) : reason('network-untrusted', { named })
}

const bypassText = ({ link, names, vpn }: { readonly link: string; readonly names: string; readonly vpn: boolean }) =>
  `${vpn ? 'VPN ' : ''}${link}, ${names}`

const REPAIR = {
  held: '',
  off: '',
  taken: 'It is being repaired.',
  'given-up': 'Three repairs within a minute did not help.',
  left: 'Nothing repairs it here, because no systemd runs: run sudo enigm-dns system enable.',
} as const

function takenOver({ by, state }: NonNullable<VerdictInput['takeover']>): Reason {
  return reason('system-taken-over', { by, repair: REPAIR[state] })
}

function systemReason({ asks, by }: NonNullable<VerdictInput['system']>, canary: VerdictInput['canary']): Reason {
  if (asks === 'elsewhere' || asks === 'partly') return reason('system-asks-elsewhere', { by, partly: asks === 'partly' })
  if (canary?.outcome === 'returned') return reason('system-asks-us', { ageMin: canary.ageMin })
  if (asks === 'us' && canary?.outcome === 'lost') return reason('canary-lost', { by })
  return reason('system-unknown', { by, named: asks === 'us' })
}

/** The signal vpn. It is off unless the policy has a rule about a VPN. */
function vpnSignal(input: VerdictInput): SignalDraft | undefined {
  const asked = vpnAsked(input)
  if (asked === 'off') return undefined
  const { verdict, detail } = vpnPaths(input)
  const required = asked === 'required'
  if (verdict === 'met') return { state: 'ok', reasons: [reason('vpn-present', { detail })] }
  if (verdict === 'cannot-tell') return { state: 'unknown', reasons: [reason('vpn-unknown', { detail, required })] }
  return { state: required ? 'bad' : 'warn', reasons: [reason('vpn-absent', { detail, required })] }
}

/** The signal service: whether the service itself works correctly. */
function service(input: VerdictInput, heartbeatLateMs: number): SignalDraft {
  const { phase, audit, sources, unsigned, restarts, traceUntilWallMs, refusedReload, loops, waiting, faultIn } = input
  if (phase === 'starting') return { state: 'unknown', reasons: [reason(phase)] }
  if (phase !== 'running') return { state: 'off', reasons: [reason(phase)] }
  const reasons = [
    // Reported even if the audit log is not required, because a missing entry cannot be added
    // later.
    ...(audit !== undefined && (audit.state === 'unwritable' || audit.lost > 0) ? [reason('audit-gap', audit)] : []),
    ...(unsigned === undefined ? [] : [reason('status-unsigned', { why: unsigned })]),
    ...(restarts === undefined || restarts.clean ? [] : [reason('restarted', restarts)]),
    ...(traceUntilWallMs === undefined ? [] : [reason('query-trace', { untilWallMs: traceUntilWallMs })]),
    ...(refusedReload === undefined ? [] : [reason('reload-refused', { message: refusedReload })]),
    ...(loops.length === 0 ? [] : [reason('zone-loop', loops)]),
    ...sourceReasons(sources),
    ...(waiting.length === 0 ? [] : [reason('restart-needed', waiting)]),
    ...listReasons(input.listFaults),
    ...(faultIn === undefined ? [] : [reason('internal-fault', { where: faultIn })]),
    ...lateness(heartbeatLateMs),
  ]
  return { state: levelOf(reasons), reasons: worstFirst(reasons) }
}

function lateness(lateMs: number): readonly Reason[] {
  if (lateMs > ASLEEP_MS) return [reason('was-asleep', { lateMs })]
  return lateMs > LATE_MS ? [reason('event-loop-late', { lateMs })] : []
}

function notAssessed(state: SignalState, message: string): SignalDraft {
  return { state, reasons: [reason('not-assessed', { message })] }
}
