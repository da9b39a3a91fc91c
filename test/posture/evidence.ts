import type { ErrorCode } from '../../src/errors.ts'
import type { Event } from '../../src/events.ts'
import { reduce } from '../../src/posture/reduce.ts'
import { judge } from '../../src/posture/signals.ts'
import { initialState, type PostureSetup, type State } from '../../src/posture/state.ts'
import { type Verdict, type VerdictContext, verdictInput } from '../../src/posture/verdict.ts'
import type { Authenticated, Transport, Unauthenticated } from '../../src/resolve.ts'
import { path } from '../support/paths.ts'

export const AUTHENTICATED: Authenticated = {
  authenticated: true,
  by: 'ca+spki',
  tlsVersion: 'TLSv1.3',
  cipher: 'TLS_AES_128_GCM_SHA256',
  resumed: false,
}
export const UNAUTHENTICATED: Unauthenticated = {
  authenticated: false,
  why: 'certificate-untrusted',
  tlsVersion: 'TLSv1.3',
  cipher: 'TLS_AES_128_GCM_SHA256',
  resumed: false,
}

/** Two resolvers with both transports each. */
export const SETUP: PostureSetup = {
  usageProfile: 'strict',
  queryBlock: 128,
  policy: undefined,
  shaping: { profile: 'off', jitterMs: 20 },
  paced: false,
  systemEnabled: false,
  splitDns: [],
  paths: [path([], { resolver: 'a', over: ['dot', 'doh'] }), path([], { resolver: 'b', operator: 'Operator B' })],
  generalSides: [['a', 'b']],
  split: 'none',
  resolvers: [
    { id: 'a', operator: 'Operator A', transports: ['dot', 'doh'] },
    { id: 'b', operator: 'Operator B', transports: ['dot'] },
  ],
}

type Answered = Extract<Event, { type: 'upstream.answered' }>

export const started: Event = { type: 'service.started' }
export const stopping: Event = { type: 'service.stopping' }
export const answered = (resolver: string, o: { transport?: Transport; plain?: true; bare?: true; rttMs?: number } = {}): Answered => ({
  type: 'upstream.answered',
  resolver,
  transport: o.transport ?? 'dot',
  rttMs: o.rttMs ?? 12,
  protection: o.plain === true ? UNAUTHENTICATED : AUTHENTICATED,
  paddedReply: o.bare !== true,
})
export const failed = (resolver: string, code: ErrorCode = 'deadline', afterMs?: number): Event => ({
  type: 'upstream.failed',
  resolver,
  transport: 'dot',
  code,
  ...(afterMs === undefined ? {} : { afterMs }),
})
export const up = (resolver: string, transport: Transport = 'dot'): Event => ({
  type: 'link.up',
  resolver,
  transport,
  address: '127.0.0.1',
  protection: AUTHENTICATED,
  handshakeMs: 9,
})
export const down = (resolver: string, transport: Transport = 'dot', code: ErrorCode = 'closed'): Event => ({
  type: 'link.down',
  resolver,
  transport,
  code,
})
export const dial = (resolver: string, code: ErrorCode, transport: Transport = 'dot', hop?: string): Event => ({
  type: 'link.failed',
  resolver,
  transport,
  code,
  detail: 'detail',
  ...(hop === undefined ? {} : { hop }),
})

/** A moment `ms` after the start; the start is boot time 0, 2026-01-01. */
export const at = (ms: number) => ({ ms, wallMs: Date.UTC(2026, 0, 1) + ms })

/** Reduces events one second apart, or after the given number of milliseconds. */
export function after(events: readonly (Event | number)[], setup: PostureSetup = SETUP): { readonly state: State; readonly nowMs: number } {
  let state = initialState(setup, at(0))
  let nowMs = 0
  for (const e of events) {
    if (typeof e === 'number') {
      nowMs += e
      continue
    }
    nowMs += 1000
    state = reduce(state, e, at(nowMs).ms, at(nowMs).wallMs)
  }
  return { state, nowMs }
}

/** SETUP under the profile that is the default. */
export const JITTER: PostureSetup = { ...SETUP, shaping: { profile: 'jitter', jitterMs: 20 } }
/** A setup whose profile keeps a schedule. */
export const PACED: PostureSetup = { ...SETUP, shaping: { profile: 'balanced', jitterMs: 20 }, paced: true }

/** Covers on the link of a resolver. */
export const covers = (resolver: string, are: Extract<Event, { type: 'shaping.covers' }>['covers']): Event => ({
  type: 'shaping.covers',
  resolver,
  transport: 'dot',
  covers: are,
})

/** The verdict on a state, with a punctual heartbeat unless told otherwise. */
export function verdictOn(state: State, nowMs: number, more: Partial<VerdictContext> = {}, previous?: Verdict): Verdict {
  return judge(verdictInput(state, nowMs), { now: at(nowMs), heartbeatLateMs: 0, ...more }, previous?.signals)
}

/** The verdict after events, with shaping off unless the setup says otherwise. */
export function verdictAfter(
  events: readonly (Event | number)[],
  setup: PostureSetup = SETUP,
  more: Partial<VerdictContext> = {},
): Verdict {
  const { state, nowMs } = after(events, setup)
  return verdictOn(state, nowMs, more)
}
