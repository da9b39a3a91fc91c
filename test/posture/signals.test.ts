import t from 'tap'
import type { Event } from '../../src/events.ts'
import { reduce } from '../../src/posture/reduce.ts'
import { reconfigured } from '../../src/posture/state.ts'
import { PROOF_OLD_MS, type SignalName, type SignalState, type VerdictContext } from '../../src/posture/verdict.ts'
import { after, answered, at, failed, SETUP, started, stopping, verdictAfter, verdictOn } from './evidence.ts'

const late = PROOF_OLD_MS + 1000

t.test('the service signal', (t) => {
  const of = (events: readonly (Event | number)[], more: Partial<VerdictContext> = {}) => {
    const s = verdictAfter(events, SETUP, more).signals.service
    return [s.state, ...s.reasons.map((r) => r.code)]
  }
  t.same(of([]), ['unknown', 'starting'])
  t.same(of([started]), ['ok'])
  t.same(of([started, { type: 'reload.refused', message: 'x' }]), ['warn', 'reload-refused'])
  t.same(of([started, { type: 'reload.waiting', settings: ['workers', 'udp'] }]), ['warn', 'restart-needed'])
  t.same(of([started, { type: 'reload.waiting', settings: ['udp'] }, { type: 'reload.waiting', settings: [] }]), ['ok'])
  t.same(of([started, { type: 'fault', where: 'cache' }]), ['warn', 'internal-fault'])
  t.same(of([started, { type: 'fault', where: 'cache' }, late]), ['ok'], 'a fault is forgotten after a while')
  t.same(of([started], { heartbeatLateMs: 900 }), ['warn', 'event-loop-late'])
  t.same(of([started], { heartbeatLateMs: 30_000 }), ['ok', 'was-asleep'])
  const traced = { type: 'trace', untilWallMs: at(60_000).wallMs } as const
  t.same(of([started, traced]), ['warn', 'query-trace'])
  t.same(of([started, traced, { type: 'trace', untilWallMs: undefined }]), ['ok'])
  t.same(of([started, stopping]), ['off', 'stopping'])
  t.end()
})

t.test('a refused reload: one line, complete faults, and the number of the others', (t) => {
  const told = (message: string) => {
    const { reasons } = verdictAfter([started, { type: 'reload.refused', message }]).signals.service
    return reasons[0]?.message.replace(/^.* in force: /, '')
  }
  t.equal(told('/c: a: is wrong\n/c: b: is wrong'), '/c: a: is wrong; /c: b: is wrong')
  const long = 'x'.repeat(200)
  t.equal(told(`${long}\n${long}\nshort`), `${long}; and 2 more`)
  t.equal(told('y'.repeat(301)), `${'y'.repeat(297)}...`)
  t.end()
})

t.test('a signal that is not assessed says so', (t) => {
  const { signals } = verdictAfter([started, answered('a')])
  const expected: Partial<Record<SignalName, SignalState>> = { protectedNetwork: 'unknown', policyCompliance: 'off', vpn: 'off' }
  for (const name of ['protectedNetwork', 'policyCompliance', 'vpn'] as const) {
    t.equal(signals[name].state, expected[name])
    t.equal(signals[name].reasons[0]?.code, 'not-assessed')
  }
  t.end()
})

t.test('since is kept while the state is', (t) => {
  const { state } = after([started, answered('a')])
  const first = verdictOn(state, 5000)
  const second = verdictOn(state, 60_000, {}, first)
  t.equal(second.signals.service.since, '2026-01-01T00:00:05.000Z')
  const bad = reduce(reduce(state, failed('a'), 70_000, at(70_000).wallMs), failed('b'), 70_000, at(70_000).wallMs)
  const third = verdictOn(bad, 70_000, {}, second)
  t.equal(third.signals.secureNameResolution.since, '2026-01-01T00:01:10.000Z')
  t.equal(third.signals.service.since, '2026-01-01T00:00:05.000Z')
  t.end()
})

t.test('a reload keeps the evidence of unchanged resolvers', (t) => {
  const { state } = after([started, answered('a'), answered('b')])
  const next = reconfigured(
    state,
    {
      ...SETUP,
      resolvers: [SETUP.resolvers[0] ?? { id: '', operator: '', transports: [] }, { id: 'b', operator: 'Operator B', transports: ['doh'] }],
    },
    'hold',
  )
  t.ok(next.resolvers[0]?.lastAnswerAt)
  t.equal(next.resolvers[1]?.lastAnswerAt, undefined)
  t.end()
})
