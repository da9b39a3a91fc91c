import t from 'tap'
import { reduce } from '../../src/posture/reduce.ts'
import { addRtt, initialState, RTT_WINDOW, repliesPadded, rttRing, summariseRtt } from '../../src/posture/state.ts'
import { after, answered, at, dial, down, failed, SETUP, started, up } from './evidence.ts'

t.test('an event makes a new state and leaves the old one', (t) => {
  const before = initialState(SETUP, at(0))
  const copy = structuredClone(before)
  const next = reduce(before, failed('a'), 1000, at(1000).wallMs)
  t.same(before, copy)
  t.not(next, before)
  t.equal(next.resolvers[1], before.resolvers[1], 'the other resolver is untouched')
  t.end()
})

t.test('an unknown resolver changes nothing', (t) => {
  const before = initialState(SETUP, at(0))
  for (const e of [answered('x'), failed('x'), up('x'), down('x'), dial('x', 'deadline')]) t.equal(reduce(before, e, 1, 1), before)
  t.end()
})

t.test('failures that a name may cause are counted, and fail no resolver until a probe has failed', (t) => {
  const unproven = { type: 'upstream.failed', resolver: 'a', transport: 'dot', code: 'deadline', afterMs: 4000, unproven: true } as const
  const before = after([up('a'), answered('a'), ...Array.from({ length: 20 }, () => unproven)])
  t.equal(before.state.resolvers[0]?.failing, undefined)
  t.equal(before.state.resolvers[0]?.failures.deadline, 20)
  const probed = after([up('a'), answered('a'), unproven, failed('a', 'deadline')])
  t.equal(probed.state.resolvers[0]?.failing?.code, 'deadline')
  t.end()
})

t.test('failures are counted by code', (t) => {
  const { state } = after([
    failed('a'),
    failed('a'),
    failed('a', 'overloaded'),
    dial('a', 'connect-refused'),
    { type: 'link.mismatch', resolver: 'a', transport: 'dot' },
    up('a'),
    down('a', 'dot', 'connection-lost'),
    up('a'),
    down('a', 'dot', 'closed'),
  ])
  t.same(state.resolvers[0]?.failures, { deadline: 2, overloaded: 1, 'connect-refused': 1, 'reply-mismatch': 1, 'connection-lost': 1 })
  t.end()
})

t.test('the shape stays the same for equal answers, and changes for others', (t) => {
  const { state } = after([started, up('a'), answered('a')])
  let next = state
  for (let i = 0; i < 50; i++) next = reduce(next, answered('a', { rttMs: i }), 10_000 + i, at(10_000 + i).wallMs)
  t.equal(next.shape, state.shape)
  t.equal(next.resolvers[0]?.lastAnswerAt?.ms, 10_049)
  t.not(reduce(next, answered('a', { plain: true }), 1, 1).shape, next.shape)
  t.not(reduce(next, answered('a', { bare: true }), 1, 1).shape, next.shape)
  t.not(reduce(next, failed('a'), 1, 1).shape, next.shape)
  t.end()
})

t.test('padding is judged over a window', (t) => {
  const of = (bits: string) => {
    const { state } = after([...bits].map((b) => answered('a', b === '1' ? {} : { bare: true })))
    const r = state.resolvers[0]
    return r === undefined ? 'none' : repliesPadded(r)
  }
  t.equal(of(''), 'unknown')
  t.equal(of('1'), 'yes')
  t.equal(of('0'), 'no')
  t.equal(of('10'), 'mixed')
  t.equal(of('1'.repeat(100)), 'yes')
  t.equal(of('0'.repeat(100)), 'no')
  t.equal(of(`0${'1'.repeat(30)}`), 'yes', 'what is long past is forgotten')
  t.equal(of(`0${'1'.repeat(29)}`), 'mixed')
  t.end()
})

t.test('round trips: percentiles over the latest 256', (t) => {
  const ring = rttRing()
  t.equal(summariseRtt(ring), undefined)
  for (const bad of [Number.NaN, -1, Number.POSITIVE_INFINITY]) addRtt(ring, bad)
  t.equal(summariseRtt(ring), undefined)
  for (let i = 1; i <= 100; i++) addRtt(ring, i)
  t.same(summariseRtt(ring), { p50: 50, p90: 90, p99: 99, samples: 100 })
  for (let i = 0; i < 1000; i++) addRtt(ring, 7)
  t.same(summariseRtt(ring), { p50: 7, p90: 7, p99: 7, samples: RTT_WINDOW })
  t.end()
})

t.test('an answer costs well under 5 us', (t) => {
  let { state } = after([started, up('a'), answered('a')])
  const event = answered('a')
  for (let i = 0; i < 20_000; i++) state = reduce(state, event, i, i)
  let bestUs = Number.POSITIVE_INFINITY
  for (let round = 0; round < 10; round++) {
    const t0 = performance.now()
    for (let i = 0; i < 20_000; i++) state = reduce(state, event, i, i)
    bestUs = Math.min(bestUs, ((performance.now() - t0) / 20_000) * 1000)
  }
  t.ok(bestUs < 5, `${bestUs.toFixed(3)} us`)
  t.comment(`${bestUs.toFixed(3)} us an answer`)
  t.end()
})
