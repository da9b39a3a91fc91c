import { NOTHING_IN_CLEARTEXT, SCHEMA, type StatusDocument } from './document.ts'
import { pathsReport } from './path-report.ts'
import { type LinkEvidence, type ResolverEvidence, type RttRing, repliesPadded, type State, summariseRtt } from './state.ts'
import type { Signal, Verdict } from './verdict.ts'

/**
 * The process that writes the document. `processStart` (opaque) distinguishes it from a later
 * process with the same pid. Undefined: the platform does not report it.
 */
export interface StatusWriter {
  readonly version: string
  readonly pid: number
  readonly processStart?: string
  readonly heartbeatS: number
}

/** The counts of the cache. They are read at each write, and no verdict depends on them. */
export type CacheCounts = StatusDocument['cache']

/** The time of writing, and the delay of the heartbeat. */
export interface Heartbeat {
  readonly nowMs: number
  readonly lateMs: number
  readonly worstLateMs: number
}

/**
 * The document for a state, its verdict and the current counts. Pure. Contains no query name and no
 * client address, because the state has none.
 */
export function report(
  state: State,
  verdict: Verdict,
  writer: StatusWriter,
  counts: CacheCounts,
  wallMs: number,
  beat?: Heartbeat,
  lists: NonNullable<StatusDocument['lists']> = [],
): StatusDocument {
  return {
    schema: SCHEMA,
    version: writer.version,
    pid: writer.pid,
    ...(writer.processStart === undefined ? {} : { processStart: writer.processStart }),
    startedAt: iso(state.startedAt.wallMs),
    updatedAt: iso(wallMs),
    heartbeatS: writer.heartbeatS,
    state: verdict.state,
    signals: {
      secureNameResolution: written(verdict.signals.secureNameResolution),
      protectedNetwork: written(verdict.signals.protectedNetwork),
      policyCompliance: written(verdict.signals.policyCompliance),
      vpn: written(verdict.signals.vpn),
      service: written(verdict.signals.service),
    },
    proof: proofOf(state, wallMs, beat?.nowMs),
    resolvers: state.resolvers.map((r) => resolverReport(r, state.setup.queryBlock, counts)),
    paths: pathsReport(state, verdict.shaping),
    cache: { ...counts },
    shaping: { ...state.setup.shaping, ...verdict.shaping },
    plaintext: { ...NOTHING_IN_CLEARTEXT, ...state.cleartext },
    plaintextAllowed: [...new Set([...(state.setup.allowedCleartext ?? []), ...Object.keys(state.cleartext)])],
    bypassed: bypassedReport(state),
    ...policyReport(state, verdict),
    ...auditReport(state),
    ...sourcesReport(state),
    ...(state.trace === undefined ? {} : { trace: { state: 'on' as const, until: iso(state.trace.untilWallMs) } }),
    ...(lists.length === 0 ? {} : { lists }),
    running: {
      restarts: state.host.restarts?.count ?? null,
      lateMs: Math.round(beat?.lateMs ?? 0),
      worstLateMs: Math.round(beat?.worstLateMs ?? 0),
      faults: state.faults,
    },
  }
}

/**
 * The newest authenticated answer. Its age is measured in boot time: a change of the wall clock
 * must not make a proof younger.
 */
function proofOf(state: State, wallMs: number, nowMs: number | undefined): NonNullable<StatusDocument['proof']> {
  const proofs = state.resolvers.flatMap((r) =>
    r.lastProtection?.authenticated === true && r.lastAnswerAt !== undefined ? [r.lastAnswerAt] : [],
  )
  const last = proofs.reduce<(typeof proofs)[number] | undefined>((a, b) => (a === undefined || b.ms > a.ms ? b : a), undefined)
  if (last === undefined) return { lastAnswerAt: null, ageS: null }
  const ageMs = nowMs === undefined ? wallMs - last.wallMs : nowMs - last.ms
  return { lastAnswerAt: iso(last.wallMs), ageS: Math.max(0, Math.floor(ageMs / 1000)) }
}

/**
 * The report about queries that bypass this service. It never says that there are none: a check
 * sees one moment only, and only a part of the traffic.
 */
function bypassedReport({ host }: State): NonNullable<StatusDocument['bypassed']> {
  const { bypass } = host
  const flows = bypass?.flows ?? 0
  return {
    seen: flows > 0 ? 'yes' : 'cannot-tell',
    atLeast: flows > 0 ? flows : null,
    looks: bypass?.looks ?? 0,
    through: [...(bypass?.through ?? [])],
  }
}

function policyReport(state: State, verdict: Verdict): Pick<StatusDocument, 'policy'> {
  if (state.setup.policy === undefined) return {}
  const rules = verdict.rules.map(({ rule, verdict, detail }) => ({ rule, verdict, detail }))
  return { policy: { network: state.host.network?.named ?? null, rules } }
}

function auditReport({ host: { audit } }: State): Pick<StatusDocument, 'audit'> {
  return audit === undefined ? {} : { audit: { state: audit.state, entries: audit.entries, lost: audit.lost } }
}

function sourcesReport({ host: { sources } }: State): Pick<StatusDocument, 'sources'> {
  if (sources === undefined || sources.sources.length === 0) return {}
  return {
    sources: sources.sources.map(({ id, state, why, entries, signedS, changes }) => ({
      id,
      state,
      ...(why === undefined ? {} : { why: why.slice(0, 300) }),
      ...(entries === undefined ? {} : { entries }),
      // Date of JavaScript ends at 8.64e12 seconds.
      ...(signedS === undefined || signedS > 8e12 ? {} : { signedAt: iso(signedS * 1000) }),
      changes: changes.slice(0, 100).map(({ id, what, from, to, applied }) => ({
        ...{ resolver: id, what: [...what], from, to },
        ...(applied === undefined ? {} : { applied }),
      })),
    })),
  }
}

const iso = (wallMs: number) => new Date(wallMs).toISOString()

function written(s: Signal): StatusDocument['signals']['service'] {
  return { state: s.state, since: s.since, reasons: s.reasons.map((r) => ({ ...r })) }
}

function resolverReport(r: ResolverEvidence, sentBlock: number, counts: CacheCounts): StatusDocument['resolvers'][number] {
  const link = inUse(r)
  const protection = link?.protection ?? r.lastProtection
  return {
    id: r.setup.id,
    operator: r.setup.operator,
    ...(r.setup.jurisdiction === undefined ? {} : { jurisdiction: r.setup.jurisdiction }),
    ...(r.setup.pins === undefined ? {} : { pins: r.setup.pins }),
    ...(r.setup.claims === undefined ? {} : { claims: { ...r.setup.claims } }),
    state: stateOf(r),
    transport: r.lastAnswerBy ?? link?.transport ?? null,
    authenticated: protection === undefined ? null : protection.authenticated ? protection.by : 'no',
    tlsVersion: protection?.tlsVersion ?? null,
    cipher: protection?.cipher ?? null,
    group: protection?.group ?? null,
    certificateUntil: protection?.validity === undefined ? null : iso(protection.validity.notAfterMs),
    resumed: protection?.resumed ?? null,
    padding: { sentBlock, repliesPadded: repliesPadded(r) },
    lastHandshakeAt: link?.handshakeAt === undefined ? null : iso(link.handshakeAt.wallMs),
    lastAnswerAt: r.lastAnswerAt === undefined ? null : iso(r.lastAnswerAt.wallMs),
    rttMs: rttReport(r.rtt, counts),
    failures: { ...r.failures },
  }
}

/**
 * The percentiles of a ring. Under profiles with covers, misses are not reported, because they
 * would show how much traffic was real. Then the medians over time are left out too.
 */
function rttReport(ring: RttRing, counts: CacheCounts): StatusDocument['resolvers'][number]['rttMs'] {
  const summary = summariseRtt(ring)
  if (summary === undefined) return null
  return counts.misses === undefined || ring.medians.length === 0 ? summary : { ...summary, medians: [...ring.medians] }
}

/** The link of the latest answer. Before any answer, the link with a completed handshake. */
function inUse(r: ResolverEvidence): LinkEvidence | undefined {
  return r.links.find((l) => l.transport === r.lastAnswerBy) ?? r.links.find((l) => l.handshakeAt !== undefined)
}

function stateOf(r: ResolverEvidence): StatusDocument['resolvers'][number]['state'] {
  if (r.failing !== undefined) return 'failing'
  if (r.lastAnswerAt === undefined) return 'untried'
  return r.links.some((l) => l.is === 'up') ? 'answering' : 'idle'
}
