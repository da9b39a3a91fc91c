import { type ErrorCode, isAuthenticationFailure, isCounted, isOurs, provesAlive } from '../errors.ts'
import type { Event, Observation } from '../events.ts'
import type { Transport } from '../resolve.ts'
import { onAnotherNetwork, seenAround } from './around.ts'
import { addRtt } from './rtt.ts'
import { type LinkEvidence, type Moment, PADDING_WINDOW, type ResolverEvidence, repliesPadded, type State } from './state.ts'

/** A dial may fail once by chance (one address of several, a network just coming up); a wrong certificate is no chance. */
const DIALS_TO_DOUBT = 2
/** A failure while other answers of the same resolver came in says something about a name, not about the resolver, unless it repeats. */
const FAILURES_TO_DOUBT = 3
/**
 * The state after one event, at `atMs` (boot time) and `atWallMs`. Called for every upstream answer: it makes at most three small objects.
 * Pure, but for the ring of round trips, which successive states share (see rtt.ts). Events about unknown resolvers change nothing.
 */
export function reduce(state: State, event: Event, atMs: number, atWallMs: number): State {
  switch (event.type) {
    case 'upstream.answered':
      return on(state, event.resolver, (r) => answered(r, event, { ms: atMs, wallMs: atWallMs }))
    case 'upstream.failed':
      return on(state, event.resolver, (r) => failed(r, event, { ms: atMs, wallMs: atWallMs }))
    case 'link.up':
      return on(state, event.resolver, (r) => linkUp(r, event, { ms: atMs, wallMs: atWallMs }))
    case 'link.down':
      return on(state, event.resolver, (r) => linkDown(r, event.transport, event.code))
    case 'link.failed':
      return on(state, event.resolver, (r) => linkFailed(r, event.transport, event.code, { ms: atMs, wallMs: atWallMs }))
    case 'link.mismatch':
      return on(state, event.resolver, (r) => counted(r, 'reply-mismatch'))
    case 'shaping.covers': // judged by shaping-force.ts
      return reshaped(state)
    case 'trace':
      return reshaped({ ...state, trace: event.untilWallMs === undefined ? undefined : { untilWallMs: event.untilWallMs } })
    case 'service.started':
      return reshaped({ ...state, phase: 'running' })
    case 'service.stopping':
      return reshaped({ ...state, phase: 'stopping' })
    case 'reload.refused':
      return reshaped({ ...state, refusedReload: { message: onOneLine(event.message, 300), at: { ms: atMs, wallMs: atWallMs } } })
    case 'reload.waiting':
      return reshaped({ ...state, waiting: event.settings })
    case 'network.changed': // what was seen of the last one permits nothing on this one
      return reshaped({ ...state, around: onAnotherNetwork(state.around) })
    case 'woke':
    case 'clock.moved':
      return state // what follows from them is seen in links and answers
    case 'seen.network':
    case 'seen.vpn':
    case 'seen.system':
    case 'seen.canary':
    case 'seen.bypass':
    case 'audit':
    case 'unsigned':
    case 'restarts':
      return around(state, event, { ms: atMs, wallMs: atWallMs })
    case 'fault':
      return reshaped({
        ...state,
        faults: state.faults + 1,
        lastFault: { where: event.where.slice(0, 100), at: { ms: atMs, wallMs: atWallMs } },
      })
  }
}

function around(state: State, event: Observation, at: Moment): State {
  const seen = seenAround(state.around, event, at)
  const after = { ...state, around: seen.around }
  return seen.changed ? reshaped(after) : after
}

function reshaped(state: State): State {
  return { ...state, shape: state.shape + 1 }
}

/** Replaces one resolver's evidence. A plain loop: `map` with its closure doubled the cost of an answer. */
function on(state: State, id: string, change: (r: ResolverEvidence) => ResolverEvidence): State {
  for (let i = 0; i < state.resolvers.length; i++) {
    const before = state.resolvers[i]
    if (before === undefined || before.setup.id !== id) continue
    const after = change(before)
    const resolvers = state.resolvers.slice()
    resolvers[i] = after
    // Written out: a spread here made an answer cost 0.4 us more (1.1 with a power instead of a shift for the padding mask; 0.27 us as it is).
    return {
      setup: state.setup,
      startedAt: state.startedAt,
      phase: state.phase,
      resolvers,
      around: state.around,
      faults: state.faults,
      lastFault: state.lastFault,
      trace: state.trace,
      waiting: state.waiting,
      refusedReload: state.refusedReload,
      shape: sameShape(before, after) ? state.shape : state.shape + 1,
    }
  }
  return state
}

/** Whether nothing that a verdict reads (times and counts apart, which age at heartbeats) differs. */
function sameShape(a: ResolverEvidence, b: ResolverEvidence): boolean {
  return (
    a.links === b.links &&
    a.failing === b.failing &&
    a.lastProtection?.authenticated === b.lastProtection?.authenticated &&
    a.lastAnswerBy === b.lastAnswerBy &&
    repliesPadded(a) === repliesPadded(b)
  )
}

function counted(r: ResolverEvidence, code: ErrorCode): ResolverEvidence {
  return { ...r, failures: { ...r.failures, [code]: (r.failures[code] ?? 0) + 1 } }
}

function answered(r: ResolverEvidence, e: Extract<Event, { type: 'upstream.answered' }>, at: Moment): ResolverEvidence {
  addRtt(r.rtt, e.rttMs)
  const known = Math.min(PADDING_WINDOW, r.paddedKnown + 1)
  return {
    setup: r.setup,
    links: answeredBy(r.links, e.transport),
    lastAnswerAt: at,
    lastAnswerBy: e.transport,
    lastProtection: e.protection,
    failing: undefined,
    failuresInARow: 0,
    failures: r.failures,
    paddedBits: ((r.paddedBits << 1) | (e.paddedReply ? 1 : 0)) & ((1 << known) - 1),
    paddedKnown: known,
    rtt: r.rtt,
  }
}

/** An answer proves its link, whatever was reported before; the same array when there is nothing to mend. */
function answeredBy(links: readonly LinkEvidence[], transport: Transport): readonly LinkEvidence[] {
  for (const l of links) {
    if (l.transport === transport && l.is === 'failed') return withLink(links, transport, { is: 'idle', code: undefined, failedDials: 0 })
  }
  return links
}

function failed(r: ResolverEvidence, e: Extract<Event, { type: 'upstream.failed' }>, at: Moment): ResolverEvidence {
  const after = counted(r, e.code)
  if (isOurs(e.code)) return after
  if (e.unproven === true) return after
  const failuresInARow = r.failuresInARow + 1
  const startedMs = at.ms - (e.afterMs ?? 0)
  const answeredMeanwhile = r.lastAnswerAt !== undefined && e.afterMs !== undefined && r.lastAnswerAt.ms > startedMs
  // One reply that speaks of the hop may be about one kind of question (NOTIMP to ANY): the path has answered.
  const doubt = (!answeredMeanwhile && !provesAlive(e.code)) || failuresInARow >= FAILURES_TO_DOUBT
  return { ...after, failuresInARow, failing: r.failing ?? (doubt ? { code: e.code, since: at } : undefined) }
}

function linkUp(r: ResolverEvidence, e: Extract<Event, { type: 'link.up' }>, at: Moment): ResolverEvidence {
  const change = { is: 'up', code: undefined, failedDials: 0, protection: e.protection, handshakeAt: at } as const
  return { ...r, links: withLink(r.links, e.transport, change) }
}

function linkDown(r: ResolverEvidence, transport: Transport, code: ErrorCode): ResolverEvidence {
  const after = isCounted(code) ? counted(r, code) : r
  if (r.links.find((l) => l.transport === transport)?.is !== 'up') return after
  return { ...after, links: withLink(r.links, transport, { is: 'idle' }) }
}

function linkFailed(r: ResolverEvidence, transport: Transport, code: ErrorCode, at: Moment): ResolverEvidence {
  const after = counted(r, code)
  if (isOurs(code)) return after
  const failedDials = (r.links.find((l) => l.transport === transport)?.failedDials ?? 0) + 1
  const links = withLink(r.links, transport, { is: 'failed', code, failedDials })
  const dead = links.every(
    (l) => l.is === 'failed' && l.code !== undefined && (isAuthenticationFailure(l.code) || l.failedDials >= DIALS_TO_DOUBT),
  )
  return { ...after, links, failing: r.failing ?? (dead ? { code, since: at } : undefined) }
}

function withLink(links: readonly LinkEvidence[], transport: Transport, change: Partial<LinkEvidence>): readonly LinkEvidence[] {
  return links.map((l) => (l.transport === transport ? { ...l, ...change } : l))
}

/** Lines as one text of at most `most` characters: as many whole ones as fit, and how many more. */
function onOneLine(text: string, most: number): string {
  const lines = text.split('\n')
  const shown = (count: number) => {
    const more = lines.length - count
    return `${lines.slice(0, count).join('; ')}${more === 0 ? '' : `; and ${more} more`}`
  }
  let count = lines.length
  while (count > 1 && shown(count).length > most) count--
  const whole = shown(count)
  return whole.length > most ? `${whole.slice(0, most - 3)}...` : whole
}
