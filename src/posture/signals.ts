import { protectedNetwork, vpnSignal } from './around-signals.ts'
import { failClosed, policyCompliance, ruleVerdicts } from './policy.ts'
import { clockSuspect, portalSuspect, type Reason, resolverReasons, unpadded, worstFirst } from './reasons.ts'
import { type ResolverEvidence, repliesPadded, type State } from './state.ts'
import type { Circumstances, Signal, SignalName, SignalState, Signals, TopState, Verdict } from './verdict.ts'

export type { Circumstances, Signal, SignalName, SignalState, Signals, TopState, Verdict }

/** Older evidence than this is called old. */
export const PROOF_OLD_MS = 600_000
/** A heartbeat later than this means queries waited, too. */
const LATE_MS = 250
/** A heartbeat later than this was no busy loop: the process was stopped or the machine slept. */
export const ASLEEP_MS = 10_000

/** The verdict at a moment. Pure; `previous` only lends the `since` of signals that have not changed. */
export function judge(state: State, c: Circumstances, previous?: Signals): Verdict {
  const flow = flowOf(state, c.now.ms)
  const draft = {
    secureNameResolution: secureNameResolution(state, c),
    protectedNetwork: protectedNetwork(state, c.now) ?? {
      state: 'unknown',
      reasons: [notAssessed('This network is not assessed.')],
    },
    policyCompliance:
      state.setup.policy === undefined
        ? { state: 'off', reasons: [notAssessed('No policy is configured.')] }
        : policyCompliance(state, c.shaping),
    vpn: vpnSignal(state) ?? { state: 'off', reasons: [notAssessed('No VPN is configured.')] },
    service: service(state, c),
  } satisfies Record<SignalName, Omit<Signal, 'since'>>
  const dated = (name: SignalName): Signal => {
    const was = previous?.[name]
    const since = was !== undefined && was.state === draft[name].state ? was.since : new Date(c.now.wallMs).toISOString()
    return { ...draft[name], since }
  }
  return {
    state: topState(state, c, flow),
    signals: {
      secureNameResolution: dated('secureNameResolution'),
      protectedNetwork: dated('protectedNetwork'),
      policyCompliance: dated('policyCompliance'),
      vpn: dated('vpn'),
      service: dated('service'),
    },
  }
}

/** What flows now, by each resolver's latest exchange. Both can be true. */
export function flowOf(state: State, nowMs: number): { readonly authenticated: boolean; readonly unauthenticated: boolean } {
  const answering = state.resolvers.filter((r) => answersNow(r, nowMs))
  return {
    authenticated: answering.some((r) => r.lastProtection?.authenticated === true),
    // An old unauthenticated answer of a resolver that is no longer used does not flow "now".
    unauthenticated: answering.some((r) => r.lastProtection?.authenticated === false && !isOld(r, nowMs)),
  }
}

/** Its latest exchange was answered; once that is old, one failed dial on every link is enough to doubt it. */
function answersNow(r: ResolverEvidence, nowMs: number): boolean {
  if (r.lastAnswerAt === undefined || r.failing !== undefined) return false
  return !isOld(r, nowMs) || r.links.some((l) => l.is !== 'failed')
}

function isOld(r: ResolverEvidence, nowMs: number): boolean {
  return r.lastAnswerAt !== undefined && nowMs - r.lastAnswerAt.ms > PROOF_OLD_MS
}

function topState(state: State, c: Circumstances, flow: ReturnType<typeof flowOf>): TopState {
  if (failClosed(state) !== undefined) return 'offline'
  if (state.phase !== 'running' || (!flow.authenticated && !flow.unauthenticated)) return 'offline'
  if (flow.unauthenticated) return 'exposed'
  const violated = ruleVerdicts(state, c.shaping).some(({ verdict }) => verdict === 'not-met')
  return violated || shapingBroken(c).length > 0 ? 'degraded' : 'protected'
}

/** The configured profile, where it does not hold. */
function shapingBroken({ shaping }: Circumstances): readonly Reason[] {
  if (shaping.profile === 'off' || shaping.inForce !== 'no') return []
  const why = shaping.why === undefined ? '' : `: ${shaping.why}`
  const message = `The shaping profile ${shaping.profile} is configured but not in force${why}.`
  const mend = 'Use a resolver that pads its replies and takes cover traffic; or another profile.'
  return [{ code: 'shaping-not-in-force', severity: 'warn', message, mend }]
}

function bareReplies(state: State): readonly string[] {
  return state.resolvers.filter((r) => ['no', 'mixed'].includes(repliesPadded(r))).map((r) => r.setup.id)
}

/** The signal that matters most, from the evidence of every resolver. */
export function secureNameResolution(state: State, c: Circumstances): Omit<Signal, 'since'> {
  const flow = flowOf(state, c.now.ms)
  const reasons: Reason[] = [...shapingBroken(c)]
  for (const r of state.resolvers) reasons.push(...resolverReasons(r))
  if (flow.unauthenticated) reasons.push(unauthenticated(state, c.now.ms))
  if (!flow.authenticated && !flow.unauthenticated) reasons.push(notFlowing(state))
  if (clockSuspect(state.resolvers)) {
    const message = 'Every resolver was refused for the dates in its certificate: the clock is probably wrong.'
    reasons.push({ code: 'clock-suspect', severity: 'bad', message, mend: 'Set the clock (date, NTP); verification is never skipped.' })
  }
  if (portalSuspect(state.resolvers)) {
    const message =
      'Somebody else answered in place of every resolver and was refused: a login page of this network does that, and so does interception.'
    const mend = 'If this network has a login page, open it by its address (often the gateway); nothing is sent in cleartext from here.'
    reasons.push({ code: 'portal-suspected', severity: 'warn', message, mend })
  }
  const bare = bareReplies(state)
  if (bare.length > 0) reasons.push(unpadded(bare))
  if (flow.authenticated) reasons.push(...proofOld(state, c.now.ms))
  if (state.setup.usageProfile === 'opportunistic') {
    const message = 'The usage profile is opportunistic: an unauthenticated resolver is put up with.'
    reasons.push({ code: 'profile-opportunistic', severity: 'info', message, mend: 'Set usageProfile to strict.' })
  }
  const untouched = state.resolvers.every((r) => r.lastAnswerAt === undefined && r.failing === undefined)
  if (untouched) return { state: 'unknown', reasons: worstFirst(reasons) }
  return { state: levelOf(reasons), reasons: worstFirst(reasons) }
}

function levelOf(reasons: readonly Reason[]): SignalState {
  if (reasons.some((r) => r.severity === 'bad')) return 'bad'
  return reasons.some((r) => r.severity === 'warn') ? 'warn' : 'ok'
}

function unauthenticated(state: State, nowMs: number): Reason {
  const who = state.resolvers.filter((r) => answersNow(r, nowMs) && r.lastProtection?.authenticated === false && !isOld(r, nowMs))
  const why = who.map((r) => `${r.setup.id} (${r.lastProtection?.authenticated === false ? r.lastProtection.why : ''})`).join(', ')
  const message = `Answers come from somebody who did not prove who it is: ${why}.`
  return { code: 'unauthenticated-answers', severity: 'bad', message, mend: 'Set usageProfile to strict, or mend the trusted set.' }
}

function notFlowing(state: State): Reason {
  const every = state.resolvers.every((r) => r.failing !== undefined)
  if (every) {
    const up = state.resolvers.some((r) => r.links.some((l) => l.is === 'up'))
    const message = `No resolver answers${up ? '; one can be reached again, but has not answered yet' : ''}. Queries fail closed.`
    return { code: 'all-failing', severity: 'bad', message, mend: 'Check the network and the clock; it is tried again by itself.' }
  }
  if (state.resolvers.some((r) => r.lastAnswerAt !== undefined || r.failing !== undefined)) {
    const message = 'The resolver in use fails, and no other has answered yet.'
    return { code: 'none-answering', severity: 'bad', message, mend: 'Nothing, if this passes in seconds; else check the network.' }
  }
  return {
    code: 'not-proven-yet',
    severity: 'info',
    message: 'No resolver has answered yet.',
    mend: 'Ask something: enigm-dns query example.com',
  }
}

function proofOld(state: State, nowMs: number): readonly Reason[] {
  const last = Math.max(...state.resolvers.map((r) => (r.lastProtection?.authenticated === true ? (r.lastAnswerAt?.ms ?? 0) : 0)))
  if (nowMs - last <= PROOF_OLD_MS) return []
  const minutes = Math.floor((nowMs - last) / 60_000)
  const message = `The last authenticated answer is ${minutes} min old; it stands only because a link is up or idle.`
  return [{ code: 'proof-old', severity: 'info', message, mend: 'Ask something to prove it again.' }]
}

/** Whether the service itself runs as it should. */
export function service(state: State, c: Circumstances): Omit<Signal, 'since'> {
  if (state.phase === 'starting') {
    return {
      state: 'unknown',
      reasons: [{ code: 'starting', severity: 'info', message: 'The service is starting.', mend: 'Wait a moment.' }],
    }
  }
  if (state.phase !== 'running') {
    const message = state.phase === 'stopped' ? 'The service was stopped.' : 'The service is stopping.'
    return { state: 'off', reasons: [{ code: state.phase, severity: 'bad', message, mend: 'Start it: enigm-dns run' }] }
  }
  const reasons: Reason[] = []
  const { unsigned, restarts, audit } = state.around
  if (audit !== undefined && (audit.state === 'unwritable' || audit.lost > 0)) reasons.push(auditGap(audit))
  if (unsigned !== undefined) {
    const message = `The status file is not signed: ${unsigned.why}.`
    const mend = 'Give the service a stateDir of its own (0700); take a damaged key away, and hand the new public key out.'
    reasons.push({ code: 'status-unsigned', severity: 'info', message, mend })
  }
  if (restarts !== undefined && !restarts.clean) {
    const message = `The run before this one did not end by itself; starts in this boot before this one: ${restarts.count}.`
    reasons.push({ code: 'restarted', severity: 'info', message, mend: 'See the log of the system for why (crash, memory, SIGKILL).' })
  }
  if (state.trace !== undefined) {
    const message = `What is asked is being shown to somebody with the rights of this service, until ${new Date(state.trace.untilWallMs).toISOString()} at most.`
    const mend = 'It ends with its time or with the command (enigm-dns trace); a reload ends it at once.'
    reasons.push({ code: 'query-trace', severity: 'warn', message, mend })
  }
  if (state.refusedReload !== undefined) {
    const message = `A reload was refused; the configuration before it is in force: ${state.refusedReload.message}`
    reasons.push({ code: 'reload-refused', severity: 'warn', message, mend: 'Correct the file (enigm-dns check), then reload.' })
  }
  if (state.waiting.length > 0) {
    const message = `These settings take effect at the next start: ${state.waiting.join(', ')}.`
    reasons.push({
      code: 'restart-needed',
      severity: 'warn',
      message,
      mend: 'Start the service again (enigm-dns stop), or take the change back.',
    })
  }
  if (state.lastFault !== undefined && c.now.ms - state.lastFault.at.ms <= PROOF_OLD_MS) {
    const message = `An internal fault was caught in ${state.lastFault.where}.`
    reasons.push({ code: 'internal-fault', severity: 'warn', message, mend: 'See the log, and report it.' })
  }
  if (c.heartbeatLateMs > ASLEEP_MS) {
    const message = `It was stopped or asleep for about ${Math.round(c.heartbeatLateMs / 1000)} s before this heartbeat.`
    reasons.push({ code: 'was-asleep', severity: 'info', message, mend: 'Nothing to mend.' })
  } else if (c.heartbeatLateMs > LATE_MS) {
    const message = `The event loop was busy: the heartbeat came ${Math.round(c.heartbeatLateMs)} ms late.`
    reasons.push({ code: 'event-loop-late', severity: 'warn', message, mend: 'Give it more CPU; report it if the machine was idle.' })
  }
  return { state: levelOf(reasons), reasons: worstFirst(reasons) }
}

/** Of the log of changes, whether it is required or not: an entry that is missing is missing for good. */
function auditGap({ state, lost }: NonNullable<State['around']['audit']>): Reason {
  if (state === 'unwritable') {
    const message = `The audit log cannot be written; events missing in it: ${lost}.`
    const mend = 'Make stateDir writable again (space, mode); it is tried again at each heartbeat.'
    return { code: 'audit-gap', severity: 'warn', message, mend }
  }
  const message = `Events missing in the audit log since the start: ${lost}; the gap is noted in it.`
  return { code: 'audit-gap', severity: 'info', message, mend: 'Nothing brings them back; see the log of the system for that time.' }
}

function notAssessed(message: string): Reason {
  return { code: 'not-assessed', severity: 'info', message, mend: 'Nothing to mend.' }
}
