import { SCHEMA, type StatusDocument } from './document.ts'
import { summariseRtt } from './rtt.ts'
import type { Signal, Verdict } from './signals.ts'
import { type LinkEvidence, type ResolverEvidence, repliesPadded, type State } from './state.ts'

/** Who writes. `processStart` (opaque) tells a live pid from one used again; undefined where the platform does not say. */
export interface Writer {
  readonly version: string
  readonly pid: number
  readonly processStart?: string
  readonly heartbeatS: number
}

/** What other rooms know and posture is told at each writing. */
export interface Facts {
  readonly cache: StatusDocument['cache']
  readonly shaping: StatusDocument['shaping']
}

/** The document for a state, its verdict and the facts of the moment. Pure. Holds no query name and no client address: none ever gets here. */
export function report(state: State, verdict: Verdict, writer: Writer, facts: Facts, wallMs: number): StatusDocument {
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
    resolvers: state.resolvers.map((r) => resolverReport(r, state.setup.queryBlock)),
    cache: { ...facts.cache },
    shaping: { ...facts.shaping },
    plaintext: { ...state.plaintext },
  }
}

const iso = (wallMs: number) => new Date(wallMs).toISOString()

function written(s: Signal): StatusDocument['signals']['service'] {
  return { state: s.state, since: s.since, reasons: s.reasons.map((r) => ({ ...r })) }
}

function resolverReport(r: ResolverEvidence, sentBlock: number): StatusDocument['resolvers'][number] {
  const link = inUse(r)
  const protection = link?.protection ?? r.lastProtection
  return {
    id: r.setup.id,
    operator: r.setup.operator,
    state: stateOf(r),
    transport: r.lastAnswerBy ?? link?.transport ?? null,
    authenticated: protection === undefined ? null : protection.authenticated ? protection.by : 'no',
    tlsVersion: protection?.tlsVersion ?? null,
    resumed: protection?.resumed ?? null,
    padding: { sentBlock, repliesPadded: repliesPadded(r) },
    lastHandshakeAt: link?.handshakeAt === undefined ? null : iso(link.handshakeAt.wallMs),
    lastAnswerAt: r.lastAnswerAt === undefined ? null : iso(r.lastAnswerAt.wallMs),
    rttMs: summariseRtt(r.rtt) ?? null,
    failures: { ...r.failures },
  }
}

/** The link that gave the latest answer; before any answer, the one that shook hands. */
function inUse(r: ResolverEvidence): LinkEvidence | undefined {
  return r.links.find((l) => l.transport === r.lastAnswerBy) ?? r.links.find((l) => l.handshakeAt !== undefined)
}

function stateOf(r: ResolverEvidence): StatusDocument['resolvers'][number]['state'] {
  if (r.failing !== undefined) return 'failing'
  if (r.lastAnswerAt === undefined) return 'untried'
  return r.links.some((l) => l.is === 'up') ? 'answering' : 'idle'
}
