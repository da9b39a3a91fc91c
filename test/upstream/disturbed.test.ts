import t from 'tap'
import type { Authenticated } from '../../src/resolve.ts'
import { ON_DEMAND } from '../../src/upstream/path-health.ts'
import { createSelection } from '../../src/upstream/selection.ts'
import { FakeClock, seededRandom } from '../support/fake-clock.ts'
import { type Act, answers, FakeUpstream, fails, MESSAGE, reached, recorder, watch } from './fakes.ts'

function setUp(...acts: readonly Act[]) {
  const clock = new FakeClock()
  const upstreams = acts.map((act, i) => new FakeUpstream('abcdef'[i] ?? '', clock, act))
  const selection = createSelection<Authenticated>({ manner: ON_DEMAND, upstreams, clock, random: seededRandom(1), emit: recorder().emit })
  const ask = (budgetMs = 4000) =>
    watch(clock, reached(selection, MESSAGE, true, { purpose: 'client', deadlineMs: clock.nowMs() + budgetMs }))
  const [first, second] = upstreams
  if (first === undefined) throw new Error('no upstream')
  return { clock, selection, ask, first, second: second ?? first, upstreams }
}

t.test('while a network comes up, a query that all resolvers fail is retried until one answers', async (t) => {
  const { clock, selection, ask, first, second } = setUp(fails('connect-failed'), fails('connect-failed'))
  selection.disturbed()
  const startMs = clock.nowMs()
  const seen = ask()
  await clock.advance(1500)
  t.equal(seen.code, undefined, 'not failed yet')
  first.act = answers(20)
  await clock.advance(300)
  t.equal(seen.value?.upstream, 'a')
  t.ok((seen.atMs ?? Number.NaN) - startMs < 1500 + 200 + 30)
  t.ok(first.queries.length <= 9 && second.queries.length <= 9, 'five times a second at most')
})

t.test('a query that is retried while a network comes up is never learnt by more than three resolvers', async (t) => {
  const { clock, selection, ask, first, upstreams } = setUp(...Array.from({ length: 5 }, () => fails('connection-lost')))
  selection.disturbed()
  const seen = ask()
  const learnt = () => upstreams.filter(({ queries }) => queries.some(({ told }) => told)).map(({ id }) => id)
  await clock.advance(1500)
  t.equal(seen.code, undefined, 'not failed yet')
  t.same(learnt(), ['a', 'b', 'c'])
  first.act = answers(20)
  await clock.advance(500)
  t.equal(seen.value?.upstream, 'a', 'those that know it are asked again')
  t.same(learnt(), ['a', 'b', 'c'])
})

t.test('a refusal of the policy is not retried: a network change does not help', async (t) => {
  const { clock, selection, ask, first } = setUp(fails('policy-pending'))
  selection.disturbed()
  const seen = ask()
  await clock.advance(10)
  t.equal(seen.code, 'policy-pending')
  t.equal(first.queries.length, 1)
})

t.test('it fails at its deadline all the same, and a few seconds later at once', async (t) => {
  const { clock, selection, ask } = setUp(fails('connect-failed'))
  selection.disturbed()
  const startMs = clock.nowMs()
  const held = ask()
  await clock.advance(4000)
  t.equal(held.code, 'connect-failed')
  t.ok((held.atMs ?? Number.NaN) - startMs <= 4000)
  await clock.advance(10_000)
  const later = ask()
  await clock.advance(10)
  t.equal(later.code, 'connect-failed')
})

t.test('without a disturbance a failure is reported at once', async (t) => {
  const { clock, ask } = setUp(fails('connect-failed'))
  const seen = ask()
  await clock.advance(10)
  t.equal(seen.code, 'connect-failed')
})

t.test('waiting queries are released when everything closes', async (t) => {
  const { clock, selection, ask } = setUp(fails('connect-failed'))
  selection.disturbed()
  const seen = ask()
  await clock.advance(100)
  const closing = selection.close()
  await clock.advance(300)
  t.equal(seen.code, 'no-upstream')
  await closing
  await clock.advance(10_000)
  t.equal(clock.timers, 0)
})

t.test('a resolver that failed on the last network is asked first again on this one', async (t) => {
  const { clock, selection, ask, first } = setUp(answers(20), answers(60))
  ask()
  await clock.advance(100)
  first.act = fails('connect-refused')
  ask()
  await clock.advance(100)
  const behind = first.queries.length
  ask()
  await clock.advance(100)
  t.equal(first.queries.length, behind, 'it stands behind')
  selection.disturbed()
  first.act = answers(20)
  const seen = ask()
  await clock.advance(100)
  t.equal(seen.value?.upstream, 'a')
})

t.test('a clock change: failed resolvers are probed at once, and not after their backoff', async (t) => {
  const { clock, selection, ask, first } = setUp(answers(20), answers(60))
  ask()
  await clock.advance(100)
  first.act = fails('certificate-not-yet-valid')
  for (let i = 0; i < 60; i++) {
    ask()
    await clock.advance(1000)
  }
  first.act = answers(20)
  const before = first.probes.length
  await clock.advance(1000)
  t.equal(first.probes.length, before, 'its backoff is long by now')
  selection.reconsider()
  await clock.advance(4000)
  t.ok(first.probes.length > before)
  const seen = ask()
  await clock.advance(100)
  t.equal(seen.value?.upstream, 'a')
})

t.test(
  'when the current resolver is late the next one is prepared with a root query, unless it answered lately: no name is revealed',
  async (t) => {
    const { clock, ask, first, second } = setUp(answers(20), answers(60))
    ask()
    await clock.advance(40_000)
    const probes = second.probes.length
    first.act = answers(120)
    ask()
    await clock.advance(200)
    t.equal(second.probes.length, probes + 1)
    t.equal(second.queries.length, 0)
    ask()
    await clock.advance(200)
    t.equal(second.probes.length, probes + 1)
  },
)
