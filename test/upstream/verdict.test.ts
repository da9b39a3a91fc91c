import t from 'tap'
import type { Authenticated } from '../../src/resolve.ts'
import { createSelection } from '../../src/upstream/selection.ts'
import { isFinal } from '../../src/upstream/verdict.ts'
import { FakeClock, seededRandom } from '../support/fake-clock.ts'
import { type Act, answers, FakeUpstream, fails, MESSAGE, reply, WatchedClock, watch } from './fakes.ts'

const ALL_EDE = [...Array(31).keys()]

t.test('a SERVFAIL with a DNSSEC error is final, and anything blocked or filtered; no other failure is', (t) => {
  t.same(
    ALL_EDE.filter((ede) => isFinal(reply({ rcode: 2, ede }))),
    [1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 15, 16, 17, 18],
  )
  for (const rcode of [1, 4, 5])
    t.same(
      ALL_EDE.filter((ede) => isFinal(reply({ rcode, ede }))),
      [15, 16, 17, 18],
    )
  t.same(
    [...Array(16).keys()].filter((rcode) => !isFinal(reply({ rcode }))),
    [1, 2, 4, 5],
  )
  t.ok(isFinal(reply({ flags: 0x0200 })), 'a truncated answer is the next layer’s business')
  t.end()
})

async function ask(...acts: readonly Act[]) {
  const clock = new FakeClock()
  const watched = new WatchedClock(clock)
  const upstreams = acts.map((act, i) => new FakeUpstream('abcdef'[i]!, clock, act))
  const selection = createSelection<Authenticated>({ upstreams, clock: watched, random: seededRandom(1), emit: () => {} })
  const startMs = clock.nowMs()
  const seen = watch(clock, selection.exchange(MESSAGE, false, { purpose: 'client', deadlineMs: startMs + 4000 }))
  await clock.advance(4000)
  const asked = upstreams.map((u) => u.queries.length)
  return { by: seen.value?.upstream, rcode: (seen.value?.wire[3] ?? 0) & 15, afterMs: seen.atMs! - startMs, asked, live: watched.live }
}
const servfail = (afterMs = 10, ede?: number) => answers(afterMs, reply({ rcode: 2, ...(ede === undefined ? {} : { ede }) }))
const refused = (afterMs = 10) => answers(afterMs, reply({ rcode: 5 }))

t.test('a failure without a reason is asked of the next operator, once', async (t) => {
  t.same(await ask(servfail(), answers(20)), { by: 'b', rcode: 0, afterMs: 30, asked: [1, 1], live: 0 })
  t.same(await ask(refused(), answers(20, reply({ rcode: 3 }))), { by: 'b', rcode: 3, afterMs: 30, asked: [1, 1], live: 0 })
  t.same(await ask(servfail(), refused(), answers(1)), { by: 'a', rcode: 2, afterMs: 20, asked: [1, 1, 0], live: 0 })
})

t.test('the first reply is kept when the second fails, is silent, or there is none', async (t) => {
  const failed = await ask(servfail(), fails('connect-refused', 5), answers(1))
  t.same([failed.by, failed.rcode, failed.afterMs, failed.asked], ['a', 2, 15, [1, 1, 0]])
  const silent = await ask(servfail(), 'dark')
  t.same([silent.by, silent.rcode, silent.afterMs], ['a', 2, 1510])
  t.same(await ask(servfail()), { by: 'a', rcode: 2, afterMs: 10, asked: [1], live: 0 })
})

t.test('a final failure is told to no second operator', async (t) => {
  t.same(await ask(servfail(10, 6), answers(1)), { by: 'a', rcode: 2, afterMs: 10, asked: [1, 0], live: 0 })
  t.same(await ask(answers(10, reply({ rcode: 5, ede: 17 })), answers(1)), { by: 'a', rcode: 5, afterMs: 10, asked: [1, 0], live: 0 })
})

t.test('a failure from the second waits for the slow first, and no third is asked', async (t) => {
  const seen = await ask(answers(900), servfail(), answers(1))
  t.same([seen.by, seen.rcode, seen.afterMs, seen.asked], ['a', 0, 900, [1, 1, 0]])
  const never = await ask('dark', servfail(), answers(1))
  t.same([never.by, never.rcode, never.afterMs, never.asked], ['b', 2, 1800, [1, 1, 0]])
})

t.test('a resolver that three times in a row had no answer where another had one stands behind', async (t) => {
  const clock = new FakeClock()
  const a = new FakeUpstream('a', clock, answers(10))
  const b = new FakeUpstream('b', clock, answers(30))
  const selection = createSelection<Authenticated>({ upstreams: [a, b], clock, random: seededRandom(1), emit: () => {} })
  const one = async () => {
    const seen = watch(clock, selection.exchange(MESSAGE, false, { purpose: 'client', deadlineMs: clock.nowMs() + 4000 }))
    await clock.advance(100)
    return seen.value?.upstream
  }
  await one()
  await clock.advance(1000)
  const goodQueries = a.queries.length
  a.act = servfail()
  for (let i = 0; i < 8; i++) t.equal(await one(), 'b')
  t.equal(a.queries.length, goodQueries + 3)
  await clock.advance(5000)
  t.ok(a.probes.length > 0 && a.probes.length < 4, 'probed for a good reply, less and less often')
  await one()
  t.equal(a.queries.length, goodQueries + 3, 'a SERVFAIL to the probe is none')
  a.act = answers(10)
  await clock.advance(20_000)
  t.equal(await one(), 'a')
})

t.test('a second operator that says why it failed too is heard, and does not speak against the first', async (t) => {
  const clock = new FakeClock()
  const a = new FakeUpstream('a', clock, answers(10))
  const b = new FakeUpstream('b', clock, answers(30))
  const selection = createSelection<Authenticated>({ upstreams: [a, b], clock, random: seededRandom(1), emit: () => {} })
  for (let i = 0; i < 8; i++) {
    const seen = watch(clock, selection.exchange(MESSAGE, false, { purpose: 'client', deadlineMs: clock.nowMs() + 4000 }))
    await clock.advance(1000)
    t.equal(seen.value?.upstream, i === 0 ? 'a' : 'b')
    a.act = servfail(10)
    b.act = servfail(30, 6)
  }
  t.equal(a.queries.length, 8)
})

t.test('names that no operator can resolve speak against nobody', async (t) => {
  const clock = new FakeClock()
  const watched = new WatchedClock(clock)
  const upstreams = ['a', 'b'].map((id) => new FakeUpstream(id, clock, servfail()))
  const selection = createSelection<Authenticated>({ upstreams, clock: watched, random: seededRandom(1), emit: () => {} })
  for (let i = 0; i < 10; i++) {
    const seen = watch(clock, selection.exchange(MESSAGE, false, { purpose: 'client', deadlineMs: clock.nowMs() + 4000 }))
    await clock.advance(50)
    t.equal(seen.value?.upstream, 'a')
  }
  t.equal(watched.live, 0)
})
