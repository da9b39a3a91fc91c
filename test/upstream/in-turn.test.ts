import t from 'tap'
import type { Link, Transport } from '../../src/resolve.ts'
import { ALWAYS_ON, ON_SCHEDULE } from '../../src/upstream/path-health.ts'
import { createSelection } from '../../src/upstream/selection.ts'
import { createUpstream } from '../../src/upstream/upstream.ts'
import { FakeClock, seededRandom } from '../support/fake-clock.ts'
import { answers, FakeLink, FakeUpstream, fails, MESSAGE, reached, reply } from './fakes.ts'

function scene(...ids: readonly string[]) {
  const clock = new FakeClock()
  const upstreams = ids.map((id) => new FakeUpstream(id, clock, answers(10)))
  const selection = createSelection({ upstreams, clock, random: seededRandom(1), emit: () => {}, manner: ON_SCHEDULE })
  const ask = () => {
    const asked = reached(selection, MESSAGE, false, { purpose: 'client', deadlineMs: clock.nowMs() + 4000 })
      .then(({ upstream }) => upstream)
      .catch((error: { code?: string }) => error.code ?? 'other')
    return asked
  }
  return { clock, upstreams, ask }
}

t.test('a slow answer is no reason to ask a second operator, nor to probe the first', async (t) => {
  const { clock, upstreams, ask } = scene('a', 'b')
  const [a, b] = upstreams
  if (a === undefined || b === undefined) throw new Error('two')
  a.act = answers(3000)
  const asked = ask()
  await clock.advance(3500)
  t.equal(await asked, 'a')
  t.equal(a.queries.length, 1)
  t.equal(a.probes.length, 0)
  t.equal(b.queries.length, 0)
})

t.test('a reply that settles nothing is returned: the fate of a query must not open a session elsewhere', async (t) => {
  const { clock, upstreams, ask } = scene('a', 'b')
  const [a, b] = upstreams
  if (a === undefined || b === undefined) throw new Error('two')
  a.act = answers(10, reply({ rcode: 2 }))
  for (let i = 0; i < 8; i++) {
    const asked = ask()
    await clock.advance(20)
    t.equal(await asked, 'a')
  }
  t.equal(b.queries.length, 0)
  const next = ask()
  await clock.advance(500)
  t.equal(await next, 'b', 'eight in a row, and it is sick')
})

t.test('the network failed it: the next one is asked; the first again after its backoff, by a real query', async (t) => {
  const { clock, upstreams, ask } = scene('a', 'b')
  const [a, b] = upstreams
  if (a === undefined || b === undefined) throw new Error('two')
  a.act = fails('connection-lost')
  b.act = answers(10)
  const first = ask()
  await clock.advance(100)
  t.equal(await first, 'b')
  const second = ask()
  await clock.advance(100)
  t.equal(await second, 'b')
  t.equal(a.queries.length, 1, 'backing off')
  await clock.advance(60_000)
  t.equal(a.queries.length + a.probes.length, 1, 'no probe')
  t.equal(b.queries.length, 2)
})

t.test('our own full queue is no reason to ask elsewhere', async (t) => {
  const { clock, upstreams, ask } = scene('a', 'b')
  const [a, b] = upstreams
  if (a === undefined || b === undefined) throw new Error('two')
  a.act = fails('overloaded')
  const asked = ask()
  await clock.advance(100)
  t.equal(await asked, 'overloaded')
  t.equal(b.queries.length, 0)
})

t.test('a resolver that cannot read the query is skipped, the next one in order is asked', async (t) => {
  for (const rcode of [1, 4, 9, 16, 23]) {
    const { clock, upstreams, ask } = scene('a', 'b')
    const [a, b] = upstreams
    if (a === undefined || b === undefined) throw new Error('two')
    a.act = answers(10, reply({ rcode }))
    const asked = ask()
    await clock.advance(30)
    t.equal(await asked, 'b')
    t.same([a.queries.length, b.queries.length], [1, 1])
    b.act = answers(10, reply({ rcode }))
    const nobody = ask()
    await clock.advance(30)
    t.equal(await nobody, 'reply-rcode')
    t.same([a.queries.length, b.queries.length], [2, 2], 'once each')
  }
})

t.test('no more than three learn a query that none of them can read', async (t) => {
  const { clock, upstreams, ask } = scene('a', 'b', 'c', 'd', 'e')
  for (const upstream of upstreams) upstream.act = answers(10, reply({ rcode: 4 }))
  const asked = ask()
  await clock.advance(200)
  t.equal(await asked, 'reply-rcode')
  t.same(
    upstreams.map(({ queries }) => queries.length),
    [1, 1, 1, 0, 0],
  )
})

t.test('always-on: the links decide who is asked, in the order of the set, for any delay and any fate of a name', async (t) => {
  const clock = new FakeClock()
  type State = NonNullable<Link['state']>
  const link = (transport: Transport, state: State) => Object.assign(new FakeLink(transport, clock, answers(10)), { state })
  const [aDot, aDoh, bDot] = [link('dot', 'serving'), link('doh', 'standby'), link('dot', 'standby')]
  const o = { clock, emit: () => {}, manner: ALWAYS_ON, paddingBlock: 128 }
  const upstreams = [createUpstream({ ...o, id: 'a', links: [aDot, aDoh] }), createUpstream({ ...o, id: 'b', links: [bDot] })]
  const selection = createSelection({ upstreams, clock, random: seededRandom(1), emit: () => {}, manner: ALWAYS_ON })
  const asked = async (name: string) => {
    const outcome = reached(selection, MESSAGE, false, { purpose: 'client', deadlineMs: clock.nowMs() + 4000 }).then(
      ({ upstream, transport }) => `${upstream}/${transport}`,
      (error: { code?: string }) => error.code ?? 'other',
    )
    await clock.advance(5000)
    return `${name}: ${await outcome}`
  }
  aDot.act = answers(10, reply({ rcode: 2 }))
  for (let i = 0; i < 10; i++) t.equal(await asked('SERVFAIL'), 'SERVFAIL: a/dot')
  aDot.act = answers(10, reply({ rcode: 1 }))
  for (let i = 0; i < 5; i++) t.equal(await asked('FORMERR'), 'FORMERR: reply-rcode')
  aDot.act = fails('deadline', 4000)
  for (let i = 0; i < 3; i++) t.equal(await asked('silence'), 'silence: deadline')
  aDot.act = answers(10)
  t.equal(await asked('well'), 'well: a/dot')
  aDot.state = 'failing'
  aDot.act = fails('connect-refused')
  bDot.state = 'serving'
  bDot.act = answers(1)
  aDoh.act = answers(500)
  t.equal(await asked('the next one'), 'the next one: b/dot')
  aDoh.state = 'serving'
  t.equal(await asked('another transport of the first comes before'), 'another transport of the first comes before: a/doh')
  aDot.state = 'serving'
  aDot.act = answers(1000)
  t.equal(await asked('back, though slower'), 'back, though slower: a/dot')
})

t.test('replies that settle nothing bring a probe only once nothing has been settled for 3 s', async (t) => {
  const { clock, upstreams, ask } = scene('a')
  const [a] = upstreams
  if (a === undefined) throw new Error('one')
  const batch = async () => {
    for (let i = 0; i < 9; i++) {
      const asked = ask()
      await clock.advance(20)
      await asked
    }
  }
  await Promise.all([ask(), clock.advance(20)])
  a.act = answers(10, reply({ rcode: 2 }))
  await batch()
  t.equal(a.probes.length, 0, 'no cover found a slot meanwhile')
  await clock.advance(3000)
  await batch()
  t.ok(a.probes.length > 0)
})
