import t from 'tap'
import { ROOT_PROBE } from '../../src/dns/message.ts'
import type { Authenticated } from '../../src/resolve.ts'
import { probeOf } from '../../src/upstream/classification.ts'
import { ON_DEMAND } from '../../src/upstream/path-health.ts'
import { createSelection } from '../../src/upstream/selection.ts'
import { createUpstream } from '../../src/upstream/upstream.ts'
import { FakeClock, seededRandom } from '../support/fake-clock.ts'
import { answers, FakeLink, FakeUpstream, fails, MESSAGE, reached, reply, WatchedClock, watch } from './fakes.ts'

const NAMED = probeOf({ probe: { name: 'corp.example', type: 'SOA' } })

/** Two resolvers: the first is well and fast, and is probed with `probe`; the second answers. */
function pair(probe?: Uint8Array) {
  const clock = new FakeClock()
  const first = new FakeUpstream('a', clock, answers(5), probe)
  const second = new FakeUpstream('b', clock, answers(50))
  const o = { manner: ON_DEMAND, clock: new WatchedClock(clock), random: seededRandom(1), emit() {} }
  const selection = createSelection<Authenticated>({ ...o, upstreams: [first, second] })
  const ask = async () => {
    const seen = watch(clock, reached(selection, MESSAGE, true, { purpose: 'client', deadlineMs: clock.nowMs() + 4000 }))
    await clock.advance(4000)
    return seen.value?.upstream
  }
  return { clock, first, second, ask, selection }
}

t.test('a probe is the query that the set names, else a root query', async (t) => {
  t.equal(probeOf({}), ROOT_PROBE)
  t.equal(Buffer.from(NAMED.subarray(12)).toString('latin1'), '\x04corp\x07example\0\0\x06\0\x01')
  t.same([...probeOf({ probe: { name: '.', type: 'HTTPS' } }).subarray(12)], [0, 0, 65, 0, 1])
  t.same(probeOf({ probe: { name: 'corp.example.', type: 'SOA' } }), NAMED)
})
t.test('REFUSED for the root shows that the path is alive: a resolver that was away is back', async (t) => {
  for (const [probe, rcode, back] of [
    [undefined, 5, true],
    [undefined, 2, false],
    [undefined, 0, true],
    [NAMED, 5, false],
    [NAMED, 2, false],
    [NAMED, 3, true],
  ] as const) {
    const s = pair(probe)
    t.equal(await s.ask(), 'a')
    s.first.act = fails('connect-refused', 0)
    t.equal(await s.ask(), 'b')
    s.first.act = answers(5)
    s.first.probeAct = answers(5, reply({ rcode }))
    await s.clock.advance(60_000)
    t.equal(await s.ask(), back ? 'a' : 'b', `RCODE ${rcode}${probe === undefined ? '' : ' for the name'}`)
  }
})
t.test('a resolver that failed by its replies to real queries must show that it resolves', async (t) => {
  const s = pair()
  t.equal(await s.ask(), 'a')
  s.first.act = answers(5, reply({ rcode: 5 }))
  for (let i = 0; i < 4; i++) await s.ask()
  const asked = s.first.queries.length
  s.first.probeAct = answers(5, reply({ rcode: 5 }))
  await s.clock.advance(60_000)
  t.equal(await s.ask(), 'b')
  t.equal(s.first.queries.length, asked, 'no further name was told to it')
  s.first.probeAct = answers(5)
  s.first.act = answers(5)
  await s.clock.advance(120_000)
  t.equal(await s.ask(), 'a')
})
t.test('a failed transport is tried again with the probe of the set', async (t) => {
  const clock = new FakeClock()
  const dot = new FakeLink('dot', clock, fails('connect-refused', 0))
  const doh = new FakeLink('doh', clock, answers(5))
  const o = { manner: ON_DEMAND, id: 'r', links: [dot, doh], paddingBlock: 128, clock: new WatchedClock(clock), emit() {} }
  const upstream = createUpstream({ ...o, probe: NAMED })
  t.equal(upstream.probe, NAMED)
  for (let i = 0; i < 20; i++) {
    void reached(upstream, MESSAGE, true, { purpose: 'client', deadlineMs: clock.nowMs() + 4000 }).catch(() => {})
    await clock.advance(250)
  }
  const probes = dot.calls.filter(({ ask }) => ask.purpose === 'probe')
  t.ok(probes.length > 0)
  for (const { request } of probes) t.same(request.subarray(12, NAMED.length), NAMED.subarray(12))
})
