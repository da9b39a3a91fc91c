import fc from 'fast-check'
import t from 'tap'
import type { ErrorCode } from '../../src/errors.ts'
import type { Event } from '../../src/events.ts'
import { reduce } from '../../src/posture/reduce.ts'
import { type Circumstances, judge, PROOF_OLD_MS, type SignalName, type SignalState, type TopState } from '../../src/posture/signals.ts'
import { initialState, type PostureSetup, reconfigured } from '../../src/posture/state.ts'
import { after, answered, at, dial, down, failed, SETUP, started, stopping, up, verdictAfter } from './evidence.ts'

interface Situation {
  readonly name: string
  readonly events: readonly (Event | number)[]
  readonly state: TopState
  readonly secure: SignalState
  /** Every reason of secureNameResolution, worst first. */
  readonly reasons: readonly string[]
  readonly setup?: Partial<PostureSetup>
  readonly more?: Partial<Circumstances>
}
const jitter = { profile: 'jitter', inForce: 'no' } as const
const late = PROOF_OLD_MS + 1000

const SITUATIONS: readonly Situation[] = [
  { name: 'just started', events: [started], state: 'offline', secure: 'unknown', reasons: ['not-proven-yet'] },
  { name: 'a handshake proves no answer', events: [started, up('a')], state: 'offline', secure: 'unknown', reasons: ['not-proven-yet'] },
  { name: 'a first authenticated answer', events: [started, up('a'), answered('a')], state: 'protected', secure: 'ok', reasons: [] },
  { name: 'answers before the listeners are bound', events: [up('a'), answered('a')], state: 'offline', secure: 'ok', reasons: [] },
  {
    name: 'one of two down',
    events: [started, answered('a'), failed('b')],
    state: 'protected',
    secure: 'warn',
    reasons: ['resolver-down'],
  },
  {
    name: 'one of two down, and both required',
    events: [started, answered('a'), failed('b')],
    setup: { requires: { everyResolver: true } },
    state: 'degraded',
    secure: 'warn',
    reasons: ['resolver-required', 'resolver-down'],
  },
  {
    name: 'the one in use fails, the other is untried',
    events: [started, answered('a'), failed('a')],
    state: 'offline',
    secure: 'bad',
    reasons: ['none-answering', 'resolver-down'],
  },
  {
    name: 'failover',
    events: [started, answered('a'), failed('a', 'connect-refused'), answered('b')],
    state: 'protected',
    secure: 'warn',
    reasons: ['resolver-down'],
  },
  {
    name: 'all down',
    events: [started, answered('a'), answered('b'), failed('a'), failed('b')],
    state: 'offline',
    secure: 'bad',
    reasons: ['all-failing', 'resolver-down', 'resolver-down'],
  },
  {
    name: 'all down, then one link up: not proven again by that',
    events: [started, answered('a'), failed('a'), failed('b'), up('a')],
    state: 'offline',
    secure: 'bad',
    reasons: ['all-failing', 'resolver-down', 'resolver-down'],
  },
  {
    name: 'all down, then recovery',
    events: [started, failed('a'), failed('b'), answered('a'), answered('b')],
    state: 'protected',
    secure: 'ok',
    reasons: [],
  },
  {
    name: 'our own overload says nothing about a resolver',
    events: [started, answered('a'), failed('a', 'overloaded'), failed('b', 'internal')],
    state: 'protected',
    secure: 'ok',
    reasons: [],
  },
  {
    name: 'one name runs out of time while others are answered',
    events: [started, answered('a'), failed('a', 'deadline', 4000)],
    state: 'protected',
    secure: 'ok',
    reasons: [],
  },
  {
    name: 'three in a row do count',
    events: [started, answered('a'), failed('a', 'deadline', 4000), failed('a', 'deadline', 4000), failed('a', 'deadline', 4000)],
    state: 'offline',
    secure: 'bad',
    reasons: ['none-answering', 'resolver-down'],
  },
  {
    name: 'a timeout that began after the last answer counts at once',
    events: [started, answered('a'), 5000, failed('a', 'deadline', 4000)],
    state: 'offline',
    secure: 'bad',
    reasons: ['none-answering', 'resolver-down'],
  },
  {
    name: 'a pin mismatch on one resolver',
    events: [started, answered('a'), dial('b', 'pin-mismatch')],
    state: 'protected',
    secure: 'warn',
    reasons: ['pin-mismatch'],
  },
  {
    name: 'a wrong name on one transport of two',
    events: [started, dial('a', 'certificate-name'), answered('a', { transport: 'doh' })],
    state: 'protected',
    secure: 'warn',
    reasons: ['certificate-name'],
  },
  {
    name: 'pins wrong everywhere: fails closed',
    events: [started, dial('a', 'pin-mismatch'), dial('a', 'pin-mismatch', 'doh'), dial('b', 'pin-mismatch')],
    state: 'offline',
    secure: 'bad',
    reasons: ['all-failing', 'pin-mismatch', 'pin-mismatch', 'pin-mismatch'],
  },
  {
    name: 'the clock is wrong',
    events: [started, failed('a', 'certificate-not-yet-valid'), failed('b', 'certificate-expired')],
    state: 'offline',
    secure: 'bad',
    reasons: ['all-failing', 'clock-suspect', 'certificate-not-yet-valid', 'certificate-expired'],
  },
  {
    name: 'one expired certificate is not the clock',
    events: [started, answered('a'), failed('b', 'certificate-expired')],
    state: 'protected',
    secure: 'warn',
    reasons: ['certificate-expired'],
  },
  {
    name: 'one failed dial is chance, two are not',
    events: [started, answered('a'), answered('b'), dial('b', 'connect-refused'), dial('b', 'connect-refused')],
    state: 'protected',
    secure: 'warn',
    reasons: ['resolver-down'],
  },
  {
    name: 'bare replies are a remark',
    events: [started, answered('a', { bare: true })],
    state: 'protected',
    secure: 'ok',
    reasons: ['replies-unpadded'],
  },
  {
    name: 'bare replies where padding is required',
    events: [started, answered('a'), answered('a', { bare: true })],
    setup: { requires: { paddedReplies: true } },
    state: 'degraded',
    secure: 'warn',
    reasons: ['replies-unpadded'],
  },
  {
    name: 'shaping not in force',
    events: [started, answered('a')],
    more: { shaping: jitter },
    state: 'degraded',
    secure: 'warn',
    reasons: ['shaping-not-in-force'],
  },
  {
    name: 'opportunistic, and nobody proved who it is',
    events: [started, answered('a', { plain: true })],
    setup: { usageProfile: 'opportunistic' },
    state: 'exposed',
    secure: 'bad',
    reasons: ['unauthenticated-answers', 'profile-opportunistic'],
  },
  {
    name: 'opportunistic, one proved and one not',
    events: [started, answered('a'), answered('b', { plain: true })],
    setup: { usageProfile: 'opportunistic' },
    state: 'exposed',
    secure: 'bad',
    reasons: ['unauthenticated-answers', 'profile-opportunistic'],
  },
  {
    name: 'something went out in cleartext',
    events: [started, answered('a'), { type: 'plaintext', cause: 'captive-portal' }],
    state: 'exposed',
    secure: 'bad',
    reasons: ['cleartext-sent'],
  },
  {
    name: 'an idle hour with the link closed',
    events: [started, up('a'), answered('a'), down('a'), late],
    state: 'protected',
    secure: 'ok',
    reasons: ['proof-old'],
  },
  {
    name: 'an old proof and a dead link',
    events: [started, answered('b'), late, dial('b', 'connect-timeout')],
    state: 'offline',
    secure: 'bad',
    reasons: ['none-answering'],
  },
  {
    name: 'a fresh proof and one failed dial',
    events: [started, answered('b'), dial('b', 'connect-timeout')],
    state: 'protected',
    secure: 'ok',
    reasons: [],
  },
  { name: 'stopping', events: [started, answered('a'), stopping], state: 'offline', secure: 'ok', reasons: [] },
]

t.test('situations', (t) => {
  for (const s of SITUATIONS) {
    const v = verdictAfter(s.events, { ...SETUP, ...s.setup }, s.more)
    const signal = v.signals.secureNameResolution
    t.equal(v.state, s.state, `${s.name}: state`)
    t.equal(signal.state, s.secure, `${s.name}: signal`)
    t.same(
      signal.reasons.map((r) => r.code),
      s.reasons,
      `${s.name}: reasons`,
    )
    for (const r of signal.reasons) t.ok(r.message.length > 10 && r.mend.length > 10, `${s.name}: ${r.code} says what and what to do`)
  }
  t.end()
})

t.test('the service signal', (t) => {
  const of = (events: readonly (Event | number)[], more: Partial<Circumstances> = {}) => {
    const s = verdictAfter(events, SETUP, more).signals.service
    return [s.state, ...s.reasons.map((r) => r.code)]
  }
  t.same(of([]), ['unknown', 'starting'])
  t.same(of([started]), ['ok'])
  t.same(of([started, { type: 'reload.refused', message: 'x' }]), ['warn', 'reload-refused'])
  t.same(of([started, { type: 'fault', where: 'cache' }]), ['warn', 'internal-fault'])
  t.same(of([started, { type: 'fault', where: 'cache' }, late]), ['ok'], 'a fault is forgotten after a while')
  t.same(of([started], { heartbeatLateMs: 900 }), ['warn', 'event-loop-late'])
  t.same(of([started], { heartbeatLateMs: 30_000 }), ['ok', 'was-asleep'])
  t.same(of([started, stopping]), ['off', 'stopping'])
  t.end()
})

t.test('what is not assessed says so', (t) => {
  const { signals } = verdictAfter([started, answered('a')])
  const expected: Partial<Record<SignalName, SignalState>> = { protectedNetwork: 'unknown', policyCompliance: 'off', vpn: 'off' }
  for (const name of ['protectedNetwork', 'policyCompliance', 'vpn'] as const) {
    t.equal(signals[name].state, expected[name])
    t.equal(signals[name].reasons[0]?.code, 'not-assessed')
  }
  t.end()
})

t.test('since holds while the state holds', (t) => {
  const { state } = after([started, answered('a')])
  const c = (ms: number) => ({ now: at(ms), shaping: { profile: 'off', inForce: 'unknown' }, heartbeatLateMs: 0 }) as const
  const first = judge(state, c(5000))
  const second = judge(state, c(60_000), first.signals)
  t.equal(second.signals.service.since, '2026-01-01T00:00:05.000Z')
  const bad = reduce(reduce(state, failed('a'), 70_000, at(70_000).wallMs), failed('b'), 70_000, at(70_000).wallMs)
  const third = judge(bad, c(70_000), second.signals)
  t.equal(third.signals.secureNameResolution.since, '2026-01-01T00:01:10.000Z')
  t.equal(third.signals.service.since, '2026-01-01T00:00:05.000Z')
  t.end()
})

t.test('a reload keeps the evidence of what stayed the same, and the cleartext count', (t) => {
  const { state } = after([started, answered('a'), answered('b'), { type: 'plaintext', cause: 'user-exception' }])
  const next = reconfigured(state, {
    ...SETUP,
    resolvers: [SETUP.resolvers[0] ?? { id: '', operator: '', transports: [] }, { id: 'b', operator: 'Operator B', transports: ['doh'] }],
  })
  t.ok(next.resolvers[0]?.lastAnswerAt)
  t.equal(next.resolvers[1]?.lastAnswerAt, undefined)
  t.equal(next.plaintext['user-exception'], 1)
  t.end()
})

const ids = fc.constantFrom('a', 'b', 'unknown')
const transports = fc.constantFrom('dot', 'doh')
const codes = fc.constantFrom<ErrorCode>(
  'deadline',
  'connect-refused',
  'pin-mismatch',
  'certificate-expired',
  'connection-lost',
  'overloaded',
  'closed',
)
const anyEvent: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .tuple(ids, transports, fc.boolean())
      .map(([r, transport, plain]) => answered(r, { transport, ...(plain ? { plain } : {}) })),
  },
  { weight: 4, arbitrary: fc.tuple(ids, codes).map(([r, c]) => failed(r, c)) },
  { weight: 2, arbitrary: fc.tuple(ids, transports).map(([r, transport]) => up(r, transport)) },
  { weight: 1, arbitrary: fc.tuple(ids, transports, codes).map(([r, transport, c]) => down(r, transport, c)) },
  { weight: 1, arbitrary: fc.tuple(ids, codes, transports).map(([r, c, transport]) => dial(r, c, transport)) },
  { weight: 1, arbitrary: fc.constantFrom<Event>(started, { type: 'fault', where: 'x' }, { type: 'reload.refused', message: 'x' }) },
)
const withPlaintext = fc.oneof(
  { weight: 60, arbitrary: anyEvent },
  { weight: 1, arbitrary: fc.constant<Event>({ type: 'plaintext', cause: 'captive-portal' }) },
)

t.test('property: never better than the truth', (t) => {
  const OURS: readonly ErrorCode[] = ['overloaded', 'closed']
  let protectedSeen = 0
  fc.assert(
    fc.property(fc.array(fc.tuple(withPlaintext, fc.integer({ min: 0, max: 400_000 })), { maxLength: 60 }), (steps) => {
      let state = reduce(initialState(SETUP, at(0)), started, 0, at(0).wallMs)
      // A model that is simpler than the reducer: the latest outcome of each resolver, and whether an answer came since all had failed.
      const latest = new Map<string, 'authenticated' | 'unauthenticated' | 'failed'>()
      let provenSinceAllFailed = false
      let plaintext = 0
      let nowMs = 0
      for (const [event, waitMs] of steps) {
        nowMs += waitMs
        state = reduce(state, event, nowMs, at(nowMs).wallMs)
        if (event.type === 'plaintext') plaintext++
        if (event.type === 'upstream.answered' && event.resolver !== 'unknown') {
          latest.set(event.resolver, event.protection.authenticated ? 'authenticated' : 'unauthenticated')
          if (event.protection.authenticated) provenSinceAllFailed = true
        }
        if (event.type === 'upstream.failed' && event.resolver !== 'unknown' && !OURS.includes(event.code))
          latest.set(event.resolver, 'failed')
        if (latest.get('a') === 'failed' && latest.get('b') === 'failed') provenSinceAllFailed = false
        const v = judge(state, { now: at(nowMs), shaping: { profile: 'off', inForce: 'unknown' }, heartbeatLateMs: 0 })
        if (v.state === 'protected') {
          protectedSeen++
          if (!provenSinceAllFailed || plaintext > 0 || ![...latest.values()].includes('authenticated')) return false
          if (v.signals.secureNameResolution.state === 'bad' || v.signals.secureNameResolution.state === 'unknown') return false
        }
        if (plaintext > 0 && v.state !== 'exposed') return false
      }
      return true
    }),
    { numRuns: 1500 },
  )
  t.ok(protectedSeen > 500, `the property was not vacuous: protected ${protectedSeen} times`)
  t.end()
})
