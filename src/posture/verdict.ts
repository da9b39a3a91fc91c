import { isDeepStrictEqual } from 'node:util'
import type { Instant } from '../clock.ts'
import type { ErrorCode } from '../errors.ts'
import type { ProofOfIdentity, Transport } from '../resolve.ts'
import type { Reason, RuleCode } from './reasons.ts'
import {
  type CoverTrouble,
  type HostObservations,
  type LinkEvidence,
  type PostureSetup,
  type ResolverEvidence,
  type ResolverSetup,
  repliesPadded,
  SHAPED_WINDOW,
  type State,
} from './state.ts'

export type SignalState = 'ok' | 'warn' | 'bad' | 'unknown' | 'off'
export type TopState = 'protected' | 'degraded' | 'exposed' | 'offline'
/** A state for the service manager. `closed`: offline, because the policy allows no queries. */
export type ReportedState = TopState | 'closed'
/** The five signals of the trust centre. */
export const SIGNAL_NAMES = ['secureNameResolution', 'protectedNetwork', 'policyCompliance', 'vpn', 'service'] as const
export type SignalName = (typeof SIGNAL_NAMES)[number]
/** `since` is when the signal took this state (ISO 8601, wall time). */
export interface Signal {
  readonly state: SignalState
  readonly since: string
  readonly reasons: readonly Reason[]
}
export type Signals = Readonly<Record<SignalName, Signal>>

/**
 * One rule of the policy and its verdict. `claimed`: it depends only on claims of operators, so it
 * is not reported as met.
 */
export interface RuleVerdict {
  readonly rule: string
  readonly verdict: 'met' | 'not-met' | 'claimed' | 'cannot-tell'
  readonly detail: string
  readonly code: RuleCode
}

/**
 * Whether the configured shaping is in force. `why` is a sentence without its final dot and without
 * a queried name.
 */
export interface ShapingForce {
  readonly inForce: 'yes' | 'no' | 'unknown'
  readonly why?: string
}

/** The result of one judgement. */
export interface Verdict {
  readonly state: TopState
  readonly signals: Signals
  /** Every rule of the policy in force on this network, in the order of the schema. */
  readonly rules: readonly RuleVerdict[]
  /** Why the policy allows no queries. Undefined: it allows them. */
  readonly closed: ErrorCode | undefined
  readonly shaping: ShapingForce
}

/** Facts outside the state: the time, and the delay of the heartbeat. */
export interface VerdictContext {
  readonly now: Instant
  readonly heartbeatLateMs: number
}

/** Evidence counts as old after this time. */
export const PROOF_OLD_MS = 600_000

/**
 * All inputs of a verdict. The functions that judge get this type and never a `State`. So
 * everything that changes a verdict must be in it, and equal inputs give equal verdicts. Times are
 * ages in whole minutes, or only old or not old.
 */
export interface VerdictInput {
  readonly setup: PostureSetup
  readonly phase: State['phase']
  readonly resolvers: readonly ResolverInput[]
  readonly network: Undated<'network'> | undefined
  readonly vpn: Undated<'vpn'> | undefined
  /** Which DNS server the system uses. `system enable` and its watch know it better than files. */
  readonly system: Undated<'system'> | undefined
  readonly takeover: Undated<'takeover'> | undefined
  readonly canary: { readonly outcome: NonNullable<HostObservations['canary']>['outcome']; readonly ageMin: number } | undefined
  readonly bypassFlows: number
  readonly sources: Undated<'sources'> | undefined
  readonly audit: Undated<'audit'> | undefined
  /** Why the status is not signed. */
  readonly unsigned: string | undefined
  readonly restarts: Undated<'restarts'> | undefined
  /** The faults of lists. */
  readonly listFaults: Undated<'lists'>['faults']
  readonly traceUntilWallMs: number | undefined
  readonly portalUntilWallMs: number | undefined
  readonly loops: readonly string[]
  readonly waiting: readonly string[]
  readonly refusedReload: string | undefined
  /** The place of the latest internal error, unless it is old. */
  readonly faultIn: string | undefined
}
type Undated<K extends keyof HostObservations> = Omit<NonNullable<HostObservations[K]>, 'at'>

/** The inputs about one resolver. */
export interface ResolverInput {
  readonly setup: ResolverSetup
  readonly links: readonly LinkEvidence[]
  readonly failing: ErrorCode | undefined
  /** The transport of its latest answer. */
  readonly answeredOver: Transport | undefined
  /** Minutes since its latest answer. Undefined: no answer yet. */
  readonly quietMin: number | undefined
  /** Whether that answer is old. */
  readonly old: boolean
  /** How it proved its identity with its latest answer, or why it did not. */
  readonly proof: ProofOfIdentity | 'none' | undefined
  readonly unproven: ErrorCode | undefined
  /** Days until the certificate of its latest answer expires, rounded up, if that is soon. */
  readonly expiresInDays: number | undefined
  /** Whether the retry with a weaker group was needed for its latest answer. */
  readonly groupForced: boolean
  readonly padded: ReturnType<typeof repliesPadded>
  /** Whether a program sends queries at regular intervals. */
  readonly beacon: boolean
  readonly shaped: 'unasked' | 'holds' | 'bare' | CoverTrouble
}

/** The inputs of verdicts from `state` at `nowMs` (boot time). Pure. */
export function verdictInput(state: State, nowMs: number): VerdictInput {
  const { host, lastFault } = state
  return {
    setup: state.setup,
    phase: state.phase,
    resolvers: state.resolvers.map((r) => resolverInput(r, nowMs)),
    network: undated(host.network),
    vpn: undated(host.vpn),
    system: asked(host),
    takeover: host.takeover?.state === 'off' ? undefined : undated(host.takeover),
    canary: host.canary === undefined ? undefined : { outcome: host.canary.outcome, ageMin: minutes(nowMs - host.canary.at.ms) },
    bypassFlows: host.bypass?.flows ?? 0,
    sources: undated(host.sources),
    audit: undated(host.audit),
    unsigned: host.unsigned?.why,
    restarts: undated(host.restarts),
    listFaults: host.lists?.faults ?? [],
    traceUntilWallMs: state.trace?.untilWallMs,
    portalUntilWallMs: state.portal?.untilWallMs,
    loops: state.loops,
    waiting: state.waiting,
    refusedReload: state.refusedReload?.message,
    faultIn: lastFault === undefined || nowMs - lastFault.at.ms > PROOF_OLD_MS ? undefined : lastFault.where,
  }
}

/** Which DNS server the system uses, from the best source. */
function asked({ takeover, system }: HostObservations): Undated<'system'> | undefined {
  if (takeover === undefined || takeover.state === 'off') return undated(system)
  return { asks: takeover.state === 'held' ? 'us' : 'partly', by: takeover.by }
}

/**
 * The inputs of verdicts from one resolver at `nowMs`. Pure. It is called twice for every reduced
 * answer.
 */
export function resolverInput(r: ResolverEvidence, nowMs: number): ResolverInput {
  const quietMs = r.lastAnswerAt === undefined ? undefined : nowMs - r.lastAnswerAt.ms
  const protection = r.lastProtection
  return {
    setup: r.setup,
    links: r.links,
    failing: r.failing?.code,
    answeredOver: r.lastAnswerBy,
    quietMin: quietMs === undefined ? undefined : minutes(quietMs),
    old: quietMs !== undefined && quietMs > PROOF_OLD_MS,
    proof: protection === undefined ? undefined : protection.authenticated ? protection.by : 'none',
    unproven: protection === undefined || protection.authenticated ? undefined : protection.why,
    expiresInDays: expiresSoon(r, nowMs),
    groupForced: protection?.groupForced === true,
    padded: repliesPadded(r),
    beacon: r.beacons.length > 0,
    shaped: shapedNow(r),
  }
}

const DAY_MS = 86_400_000
/**
 * The end of a certificate is reported this long before it expires. For a certificate that is valid
 * for a few days only, it is reported in the last third of its life.
 */
const EXPIRES_SOON_MS = 14 * DAY_MS
const SHORT_LIFE_MS = 8 * DAY_MS

/** Days until the certificate expires, by boot time. Undefined: not soon, or not known. */
function expiresSoon({ lastProtection, lastAnswerAt }: ResolverEvidence, nowMs: number): number | undefined {
  const validity = lastProtection?.validity
  if (validity === undefined || lastAnswerAt === undefined) return undefined
  const lifeMs = validity.notAfterMs - validity.notBeforeMs
  const leftMs = validity.notAfterMs - lastAnswerAt.wallMs - (nowMs - lastAnswerAt.ms)
  const soon = leftMs <= (lifeMs < SHORT_LIFE_MS ? lifeMs / 3 : EXPIRES_SOON_MS)
  return soon ? Math.max(0, Math.ceil(leftMs / DAY_MS)) : undefined
}

/**
 * Whether two inputs are equal. A loop over one level comes first, which is enough in most cases.
 */
export function sameInput<T extends object>(a: T, b: T): boolean {
  for (const key in a) if (a[key] !== b[key] && !isDeepStrictEqual(a[key], b[key])) return false
  return true
}

/**
 * Whether the shaping of one resolver is in force: covers are sent, and most of its latest replies
 * were padded. Unknown if it was never asked.
 */
function shapedNow(r: ResolverEvidence): ResolverInput['shaped'] {
  if (r.shapedKnown === 0) return 'unasked'
  for (const transport in r.coverTroubles) return r.coverTroubles[transport as keyof typeof r.coverTroubles] ?? 'holds'
  const bits = r.paddedBits & ((1 << Math.min(SHAPED_WINDOW, r.shapedKnown)) - 1)
  return bitsSet(bits) * 2 < r.shapedKnown ? 'bare' : 'holds'
}

function bitsSet(bits: number): number {
  let set = 0
  for (let rest = bits; rest !== 0; rest &= rest - 1) set++
  return set
}

const minutes = (ms: number) => Math.floor(ms / 60_000)

function undated<T extends { readonly at: Instant }>(observation: T | undefined): Omit<T, 'at'> | undefined {
  if (observation === undefined) return undefined
  const { at: _at, ...rest } = observation
  return rest
}
