import type { Instant } from '../clock.ts'
import type { Policy } from '../config/policy.ts'
import type { ErrorCode } from '../errors.ts'
import type { Event, Observation } from '../events.ts'
import type { Protection, Transport } from '../resolve.ts'
import type { QueryPath, Split } from '../who-knows.ts'

/** One resolver of the trusted set, as configured. */
export interface ResolverSetup {
  readonly id: string
  /** Who runs it; its id if nobody named an operator. */
  readonly operator: string
  /** Nobody named its operator. It counts as this one; see `operatorKeys`. */
  readonly unnamed?: string
  /** The transports in order of preference; at least one. */
  readonly transports: readonly Transport[]
  readonly jurisdiction?: string
  /** How many SPKI pins are set. */
  readonly pins?: number
  /** The operator's own claims. */
  readonly claims?: Readonly<Record<string, boolean | string>>
  /**
   * Whether it gets only names of its zones or views. Then its answers do not show that general
   * names resolve.
   */
  readonly notGeneral?: true
}

/** A zone that is asked in cleartext, and its server: ADDRESS:PORT or `link`. */
export interface SplitZone {
  readonly zone: string
  readonly server: string
}

/** The facts that the configuration fixes. */
export interface PostureSetup {
  readonly usageProfile: 'strict' | 'opportunistic'
  readonly resolvers: readonly ResolverSetup[]
  readonly queryBlock: number
  /** Undefined: no policy is configured, so nothing is forbidden. */
  readonly policy: Policy | undefined
  readonly shaping: { readonly profile: string; readonly jitterMs: number }
  /**
   * Whether the profile keeps a schedule. If so, padded replies and covers show whether it is in
   * force.
   */
  readonly paced: boolean
  /** The causes of cleartext packets that settings allow by name. */
  readonly allowedCleartext?: readonly CleartextCause[]
  /** Whether the system should use this service. */
  readonly systemEnabled: boolean
  readonly splitDns: readonly SplitZone[]
  /** The routes to the resolvers, in the order of the resolvers. */
  readonly paths: readonly QueryPath[]
  /**
   * The ids of the resolvers for general names: those for all clients, and those of each view that
   * has its own.
   */
  readonly generalSides: readonly (readonly string[])[]
  /** How names are divided among the resolvers. */
  readonly split: Split
}

/** Why covers do not flow on a shaped link, or do not hide real queries. */
export type CoverTrouble = Exclude<Extract<Event, { type: 'shaping.covers' }>['covers'], 'flowing'>

/**
 * The evidence about one transport to one resolver. `idle`: closed without an error. An `idle`
 * resolver can be healthy.
 */
export interface LinkEvidence {
  readonly transport: Transport
  readonly is: 'untried' | 'up' | 'idle' | 'failed'
  /** Why it failed. Kept until there is a connection again. */
  readonly code: ErrorCode | undefined
  /** The hop of its route that failed, if a hop is the cause. */
  readonly hop?: string | undefined
  /** Failed dials in a row. */
  readonly failedDials: number
  readonly protection: Protection | undefined
  readonly handshakeAt: Instant | undefined
}

/** The evidence about one resolver. */
export interface ResolverEvidence {
  readonly setup: ResolverSetup
  readonly links: readonly LinkEvidence[]
  readonly lastAnswerAt: Instant | undefined
  readonly lastAnswerBy: Transport | undefined
  /** Protection of the latest answer. */
  readonly lastProtection: Protection | undefined
  /** Set if its latest exchanges failed. An answer clears it; a handshake does not. */
  readonly failing: { readonly code: ErrorCode; readonly since: Instant } | undefined
  /** Failed exchanges since the latest answer. */
  readonly failuresInARow: number
  /** Failures since the start, by error code. */
  readonly failures: Readonly<Partial<Record<ErrorCode, number>>>
  /** The latest replies, one bit each (1 = padded, the newest lowest), at most `PADDING_WINDOW`. */
  readonly paddedBits: number
  readonly paddedKnown: number
  /**
   * How many of these replies came under the current setup, at most `SHAPED_WINDOW`. They show
   * whether its shaping is in force.
   */
  readonly shapedKnown: number
  /** The links on which covers do not flow, or do not hide real queries. */
  readonly coverTroubles: Readonly<Partial<Record<Transport, CoverTrouble>>>
  /** The links on which a program sends queries at regular intervals. */
  readonly beacons: readonly Transport[]
  readonly rtt: RttRing
}

/**
 * How many replies count for the verdict on padding. They are bits of a small integer, so shifts
 * are exact and cheap.
 */
export const PADDING_WINDOW = 30
/**
 * How many replies decide whether shaping is in force. The majority counts, because resolvers may
 * leave an error reply unpadded.
 */
export const SHAPED_WINDOW = 16

type Dated<T extends Observation['type']> = Omit<Extract<Observation, { type: T }>, 'type'> & { readonly at: Instant }

/** The latest observation of each kind about the host. Undefined: not observed yet. */
export interface HostObservations {
  readonly network: Dated<'seen.network'> | undefined
  readonly vpn: Dated<'seen.vpn'> | undefined
  readonly system: Dated<'seen.system'> | undefined
  readonly canary: Dated<'seen.canary'> | undefined
  readonly takeover: Dated<'seen.takeover'> | undefined
  /** `flows` is the sum of all flows that were ever seen. */
  readonly bypass: (Dated<'seen.bypass'> & { readonly looks: number }) | undefined
  readonly sources: Dated<'seen.sources'> | undefined
  readonly audit: Dated<'audit'> | undefined
  readonly unsigned: Dated<'unsigned'> | undefined
  readonly restarts: Dated<'restarts'> | undefined
  readonly lists: Dated<'lists'> | undefined
}

/** The functions for which a person may allow cleartext DNS packets. */
export type CleartextCause = Extract<Event, { type: 'cleartext' }>['cause']

/** All evidence. It is plain, read-only data, except for `ResolverEvidence.rtt` (see RttRing). */
export interface State {
  readonly setup: PostureSetup
  readonly startedAt: Instant
  readonly phase: 'starting' | 'running' | 'stopping' | 'stopped'
  readonly resolvers: readonly ResolverEvidence[]
  /** Observations about the host. */
  readonly host: HostObservations
  readonly faults: number
  readonly lastFault: { readonly where: string; readonly at: Instant } | undefined
  /** Set while a query trace is active, with its latest end. */
  readonly trace: { readonly untilWallMs: number } | undefined
  /** Set while the network's own resolver is used for a login page, with the latest end. */
  readonly portal: { readonly untilWallMs: number } | undefined
  /** The number of cleartext DNS packets sent, by cause. Every allowed cause is present. */
  readonly cleartext: Readonly<Partial<Record<CleartextCause, number>>>
  /** Forward zones that lead back to this service. */
  readonly loops: readonly string[]
  /** Settings that take effect only at the next start. */
  readonly waiting: readonly string[]
  readonly refusedReload: { readonly message: string; readonly at: Instant } | undefined
  /**
   * Changes when an event may have changed a verdict. An answer that is equal to the last one does
   * not change it.
   */
  readonly shape: number
}

/**
 * The state before any event. Events about resolvers that are not in `setup.resolvers` are ignored.
 */
export function initialState(setup: PostureSetup, at: Instant): State {
  return {
    setup,
    startedAt: at,
    phase: 'starting',
    resolvers: setup.resolvers.map(untried),
    host: {
      ...{ network: undefined, vpn: undefined, system: undefined, canary: undefined },
      ...{ takeover: undefined, bypass: undefined, sources: undefined, audit: undefined, unsigned: undefined, restarts: undefined },
      lists: undefined,
    },
    faults: 0,
    lastFault: undefined,
    trace: undefined,
    portal: undefined,
    cleartext: allowedCleartext(setup),
    loops: [],
    waiting: [],
    refusedReload: undefined,
    shape: 0,
  }
}

/**
 * The state after an accepted reload. A resolver whose entry did not change keeps its evidence,
 * except that about its shaping. Other resolvers start without evidence. `looks`: whether the
 * observations of the host still hold for the new setup (addresses, networks, listeners).
 */
export function reconfigured(state: State, setup: PostureSetup, looks: 'hold' | 'gone'): State {
  const kept = new Map(state.resolvers.map((r) => [JSON.stringify(r.setup), r]))
  const resolvers = setup.resolvers.map((r) => ({
    ...(kept.get(JSON.stringify(r)) ?? untried(r)),
    shapedKnown: 0,
    coverTroubles: {},
    beacons: [],
  }))
  const nothing = { network: undefined, vpn: undefined, system: undefined, canary: undefined }
  const host = looks === 'hold' ? state.host : { ...state.host, ...nothing }
  const cleartext = { ...allowedCleartext(setup), ...state.cleartext }
  return { ...state, setup, resolvers, host, cleartext, loops: [], refusedReload: undefined, shape: state.shape + 1 }
}

/** The causes that the configuration allows, with no packet sent yet. */
function allowedCleartext({ splitDns }: PostureSetup): State['cleartext'] {
  return splitDns.length === 0 ? {} : { 'split-dns': 0 }
}

function untried(setup: ResolverSetup): ResolverEvidence {
  return {
    setup,
    links: setup.transports.map(untriedLink),
    lastAnswerAt: undefined,
    lastAnswerBy: undefined,
    lastProtection: undefined,
    failing: undefined,
    failuresInARow: 0,
    failures: {},
    paddedBits: 0,
    paddedKnown: 0,
    shapedKnown: 0,
    coverTroubles: {},
    beacons: [],
    rtt: rttRing(),
  }
}

function untriedLink(transport: Transport): LinkEvidence {
  return { transport, is: 'untried', code: undefined, failedDials: 0, protection: undefined, handshakeAt: undefined }
}

/** Whether the latest replies of a resolver were padded. */
export function repliesPadded(r: ResolverEvidence): 'yes' | 'no' | 'mixed' | 'unknown' {
  if (r.paddedKnown === 0) return 'unknown'
  if (r.paddedBits === 0) return 'no'
  return r.paddedBits === (1 << r.paddedKnown) - 1 ? 'yes' : 'mixed'
}

/**
 * How many round trips are kept per resolver. It is enough for a meaningful p99 and needs 2 KiB. A
 * larger number would show the number of queries.
 */
export const RTT_WINDOW = 256

/** How many medians are kept per resolver. */
export const MEDIANS = 20

/**
 * The percentiles of the kept round trips, in milliseconds with one decimal. `samples` is at most
 * `RTT_WINDOW`.
 */
export interface RttSummary {
  readonly p50: number
  readonly p90: number
  readonly p99: number
  readonly samples: number
}

/**
 * A ring of the latest round trips. It is the only mutable part of `State`. Successive states share
 * it, because copying 2 KiB for every answer would cost more than the rest of the reducer. No
 * verdict depends on it.
 */
export interface RttRing {
  readonly values: Float64Array
  next: number
  filled: number
  /**
   * The medians from `noteMedian`, oldest first, at most `MEDIANS`. They are whole milliseconds,
   * and equal neighbours are left out.
   */
  medians: readonly number[]
}

/** Makes an empty ring. */
export function rttRing(): RttRing {
  return { values: new Float64Array(RTT_WINDOW), next: 0, filled: 0, medians: [] }
}

/** Adds one round trip. A value that is not a finite, non-negative number is ignored. */
export function addRtt(ring: RttRing, rttMs: number): void {
  if (!(rttMs >= 0 && rttMs < Number.POSITIVE_INFINITY)) return
  ring.values[ring.next] = rttMs
  ring.next = (ring.next + 1) % RTT_WINDOW
  if (ring.filled < RTT_WINDOW) ring.filled++
}

/**
 * Records the current median. Must be called at heartbeats. An unchanged median is not recorded
 * again: a row of equal medians, one per heartbeat, would show when no queries came.
 */
export function noteMedian(ring: RttRing): void {
  const median = summariseRtt(ring)?.p50
  if (median === undefined || Math.round(median) === ring.medians.at(-1)) return
  ring.medians = [...ring.medians, Math.round(median)].slice(-MEDIANS)
}

/** The percentiles (nearest rank). Undefined: nothing was measured. */
export function summariseRtt(ring: RttRing): RttSummary | undefined {
  const n = ring.filled
  if (n === 0) return undefined
  const sorted = ring.values.slice(0, n).sort()
  const at = (p: number) => Math.round((sorted[Math.ceil(p * n) - 1] ?? 0) * 10) / 10
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99), samples: n }
}
