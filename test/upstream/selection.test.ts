import t from 'tap'
import { readReply } from '../../src/dns/response.ts'
import type { ErrorCode } from '../../src/errors.ts'
import type { Ask, Authenticated, Protection } from '../../src/resolve.ts'
import { verdictOn } from '../../src/upstream/classification.ts'
import { ON_DEMAND } from '../../src/upstream/path-health.ts'
import type { JudgedUpstream } from '../../src/upstream/resolver-health.ts'
import { createSelection } from '../../src/upstream/selection.ts'
import { FakeClock, seededRandom } from '../support/fake-clock.ts'
import { type Act, AUTHENTICATED, answers, FakeUpstream, fails, MESSAGE, reached, recorder, reply, WatchedClock, watch } from './fakes.ts'

function setUp(...acts: readonly Act[]) {
  const clock = new FakeClock()
  const watched = new WatchedClock(clock)
  const upstreams = acts.map((act, i) => new FakeUpstream('abcdef'[i]!, clock, act))
  const { events, emit } = recorder()
  const selection = createSelection<Authenticated>({ manner: ON_DEMAND, upstreams, clock: watched, random: seededRandom(1), emit })
  const exchange = (budgetMs = 4000, purpose: Ask['purpose'] = 'client') =>
    watch(clock, reached(selection, MESSAGE, true, { purpose, deadlineMs: clock.nowMs() + budgetMs }))
  /** One query, start to end; returns who answered it and after how long. */
  const one = async (budgetMs = 4000) => {
    const startMs = clock.nowMs()
    const seen = exchange(budgetMs)
    // Short steps first: the end is noted to the millisecond, the overshoot only passes time.
    const step = () => Math.max(10, (clock.nowMs() - startMs) / 4)
    while (seen.atMs === undefined && clock.nowMs() < startMs + budgetMs)
      await clock.advance(Math.min(step(), startMs + budgetMs - clock.nowMs()))
    return {
      by: seen.value?.upstream,
      code: seen.code,
      afterMs: (seen.atMs ?? Number.NaN) - startMs,
      rcode: (seen.value?.wire[3] ?? 0) & 15,
    }
  }
  return { clock, watched, upstreams, events, selection, exchange, one }
}
const [A, B, C] = [0, 1, 2]

t.test('one healthy resolver is asked, once, with one timer and none left', async (t) => {
  const { clock, watched, upstreams, exchange } = setUp(answers(20), answers(20))
  const seen = exchange()
  t.equal(watched.live, 1)
  await clock.advance(20)
  t.same(seen.value, { wire: reply(), rttMs: 20, protection: AUTHENTICATED, transport: 'dot', upstream: 'a' })
  t.equal(upstreams[B]!.queries.length, 0)
  t.equal(watched.live, 0)
  t.equal(watched.set, 1)
  t.equal(upstreams[A]!.queries[0]!.dnssecOk, true)
})

t.test('fields that the upstream adds to a carried reply are passed on', async (t) => {
  const { clock, upstreams, exchange } = setUp(answers(1))
  const carried = { wire: reply(), rttMs: 1, protection: AUTHENTICATED, ageS: 30 }
  upstreams[A]!.ask = (_message, _dnssecOk, _ask, to) => to.carried(carried, 'doh', verdictOn(readReply(carried.wire)))
  const seen = exchange()
  await clock.advance(1)
  t.equal(seen.value?.ageS, 30)
  t.equal(seen.value?.transport, 'doh')
})

t.test('strictness is part of the types', (t) => {
  const opportunistic: JudgedUpstream<Protection>[] = []
  const o = { manner: ON_DEMAND, clock: new FakeClock(), random: seededRandom(1), emit: () => {} }
  // @ts-expect-error an upstream that may be unauthenticated does not fit into a strict selection
  createSelection<Authenticated>({ ...o, upstreams: opportunistic })
  createSelection<Protection>({ ...o, upstreams: opportunistic })
  t.end()
})

t.test('the first is silent from the start: the first answer comes within 500 ms, the next ones at once', async (t) => {
  const { clock, upstreams, one } = setUp('dark', answers(20))
  const first = await one()
  t.same([first.by, first.afterMs], ['b', 320])
  for (let i = 0; i < 20; i++) {
    t.same(await one(), { by: 'b', code: undefined, afterMs: 20, rcode: 0 })
    await clock.advance(137)
  }
  t.equal(upstreams[A]!.queries.length, 1)
})

t.test(
  'a healthy resolver that becomes silent is checked with a root probe, then the second is asked: within 200 ms and one RTT',
  async (t) => {
    const { clock, upstreams, one } = setUp(answers(20), answers(20))
    for (let i = 0; i < 5; i++) await one()
    await clock.advance(1000)
    const probesBefore = upstreams[A]!.probes.length
    upstreams[A]!.act = 'dark'
    const startMs = clock.nowMs()
    const seen = await one()
    t.same([seen.by, seen.afterMs], ['b', 180])
    t.same(
      upstreams[A]!.probes.slice(probesBefore).map((p) => Math.floor(p.atMs - startMs)),
      [80],
    )
    t.same((await one()).afterMs, 20, 'and it stands behind')
  },
)

t.test('a slow name on a live path reaches no second operator for 1.5 s', async (t) => {
  const { clock, upstreams, one } = setUp(answers(20), answers(20))
  await one()
  await clock.advance(1000)
  upstreams[A]!.probeAct = answers(20)
  upstreams[A]!.act = answers(1400)
  t.same(await one(), { by: 'a', code: undefined, afterMs: 1400, rcode: 0 })
  t.equal(upstreams[B]!.queries.length, 0)
  upstreams[A]!.act = answers(3000)
  await clock.advance(1000)
  const { by, afterMs } = await one()
  t.equal(by, 'b')
  t.ok(afterMs !== undefined && afterMs >= 1520 && afterMs < 1522, 'to the next tick')
  upstreams[A]!.act = answers(20)
  t.equal((await one()).by, 'a', 'it is not behind for it')
})

t.test('many queries on a path that died cause one check', async (t) => {
  const { clock, upstreams, one, exchange } = setUp(answers(20), answers(20))
  await one()
  await clock.advance(1000)
  upstreams[A]!.act = 'dark'
  const seen = Array.from({ length: 10 }, () => exchange())
  await clock.advance(220)
  t.ok(seen.every(({ value }) => value?.upstream === 'b'))
  t.equal(upstreams[A]!.probes.length, 1)
})

t.test('answers to others show that the path is alive: no probe is needed', async (t) => {
  const { clock, upstreams, exchange } = setUp(answers(20), answers(20))
  exchange()
  await clock.advance(1000)
  const before = upstreams[A]!.probes.length
  upstreams[A]!.act = answers(1000)
  const slow = exchange()
  await clock.advance(50)
  upstreams[A]!.act = answers(20)
  exchange()
  await clock.advance(1000)
  t.equal(slow.value?.upstream, 'a')
  t.equal(upstreams[A]!.probes.length, before)
  t.equal(upstreams[B]!.queries.length, 0)
})

t.test('a suspect gets twice its usual time, at least 150 and at most 350 ms', async (t) => {
  for (const [usualMs, patienceMs] of [
    [10, 150],
    [100, 200],
    [400, 350],
  ] as const) {
    const { clock, upstreams, one, exchange } = setUp(answers(usualMs), answers(usualMs))
    await one()
    await clock.advance(2000)
    for (const u of upstreams) u.act = fails('connection-lost')
    await one()
    for (const u of upstreams) u.act = 'dark'
    const startMs = clock.nowMs()
    exchange()
    await clock.advance(600)
    const times = upstreams.flatMap((u) => u.queries.map((q) => Math.floor(q.atMs - startMs))).filter((atMs) => atMs >= 0)
    t.same(
      times.toSorted((a, b) => a - b),
      [0, patienceMs],
    )
  }
})

t.test('a slow first attempt continues alongside its retry, and wins if it answers first', async (t) => {
  const { upstreams, one, clock } = setUp(answers(500), answers(900))
  t.same(await one(), { by: 'a', code: undefined, afterMs: 500, rcode: 0 })
  t.equal(upstreams[B]!.queries.length, 1)
  await clock.advance(2000)
  t.equal((await one()).by, 'a', 'its answer took the failure back')
})

t.test('a failure moves to the next resolver at once', async (t) => {
  const { one, upstreams, watched, clock } = setUp(fails('connect-refused', 2), fails('tls-failed', 3), answers(20))
  t.same(await one(), { by: 'c', code: undefined, afterMs: 25, rcode: 0 })
  t.same(
    upstreams.map((u) => u.queries.length),
    [1, 1, 1],
  )
  await clock.advance(10)
  t.equal((await one()).by, 'c')
  t.equal(watched.live, 2, 'the probe timers of the two that failed')
})

t.test('a late failure of the first starts nothing while the second is in progress', async (t) => {
  const { one, upstreams } = setUp(fails('connect-timeout', 320), answers(200), answers(1))
  t.same(await one(), { by: 'b', code: undefined, afterMs: 500, rcode: 0 })
  t.equal(upstreams[C]!.queries.length, 0)
})

t.test('at most three resolvers learn a name, for any failures', async (t) => {
  for (const act of [fails('connection-lost'), 'dark', 'hangs'] as const) {
    const { one, upstreams } = setUp(act, act, act, act, act)
    const seen = await one()
    t.ok(seen.code)
    t.equal(
      upstreams.reduce((sum, u) => sum + u.queries.length, 0),
      3,
    )
  }
})

t.test('a failed dial reveals nothing: the next one is asked as long as there is time', async (t) => {
  const { one, upstreams } = setUp(...Array.from({ length: 5 }, () => fails('connect-refused', 100)), answers(20))
  t.same(await one(), { by: 'f', code: undefined, afterMs: 520, rcode: 0 })
  t.ok(upstreams.every((u) => u.queries.length === 1))
  const late = setUp(...Array.from({ length: 5 }, () => fails('connect-refused', 100)), answers(20))
  t.equal((await late.one(350)).code, 'deadline')
})

t.test('it settles at the deadline even if no upstream ever does, and leaves no timer', async (t) => {
  const { one, watched } = setUp('hangs', 'hangs')
  t.same(await one(700), { by: undefined, code: 'deadline', afterMs: 700, rcode: 0 })
  t.equal(watched.live, 0)
})

t.test('a query without time, and a set without resolvers, reject at once', async (t) => {
  const { clock, exchange, upstreams, watched } = setUp(answers(1))
  const seen = exchange(0)
  await clock.advance(0)
  t.equal(seen.code, 'deadline')
  t.equal(watched.set + upstreams[A]!.queries.length, 0)
  t.equal((await setUp().one()).code, 'no-upstream')
})

t.test('the error is the most informative one', async (t) => {
  const cases: [readonly Act[], ErrorCode][] = [
    [[fails('connect-refused'), fails('certificate-expired')], 'certificate-expired'],
    [['dark', fails('pin-mismatch')], 'pin-mismatch'],
    [['dark', fails('connect-refused')], 'deadline'],
    [[fails('connect-refused'), fails('connect-timeout')], 'no-upstream'],
    [[fails('connect-refused')], 'connect-refused'],
    [[fails('tls-failed'), fails('tls-failed')], 'tls-failed'],
  ]
  for (const [acts, code] of cases) t.equal((await setUp(...acts).one()).code, code)
})

t.test('the error names resolvers and codes, and nothing of the query', async (t) => {
  const { clock, exchange } = setUp(fails('connect-refused'), fails('connect-timeout'))
  const seen = exchange()
  await clock.advance(10)
  t.equal(seen.message, 'EnigmError: no resolver answered (a: connect-refused, b: connect-timeout)')
})

t.test('probes of a silent resolver back off from 1 to 60 s, by the clock alone', async (t) => {
  const { clock, upstreams, one } = setUp('dark', answers(20))
  const startMs = clock.nowMs()
  await one()
  await clock.advance(300_000)
  const times = upstreams[A]!.probes.map((p) => p.atMs)
  const gaps = times.map((atMs, i) => (atMs - (times[i - 1] ?? startMs + 300)) / 1000)
  // A probe takes 2 s to fail; the next waits its backoff and a sixteenth at most from there.
  const expected = [1, 2 + 2, 4 + 2, 8 + 2, 16 + 2, 32 + 2, 54 + 2, 54 + 2, 54 + 2]
  t.equal(gaps.length, expected.length)
  gaps.forEach((gap, i) => {
    t.ok(gap >= expected[i]! && gap <= Math.min(60, expected[i]! * (17 / 16) + 0.01), `gap ${gap}`)
  })
  t.ok(upstreams[A]!.probes.every((p) => p.ask.purpose === 'probe' && p.ask.deadlineMs === p.atMs + 2000))
})

t.test('one success resets the count, ends the timers and lets it be used again', async (t) => {
  const { clock, upstreams, one, watched } = setUp('dark', answers(50))
  await one()
  await clock.advance(20_000)
  upstreams[A]!.act = answers(5)
  await clock.advance(40_000)
  t.equal(watched.live, 0)
  t.equal((await one()).by, 'a', 'and it is clearly faster')
  await clock.advance(1000)
  upstreams[A]!.act = fails('connection-lost')
  const probes = upstreams[A]!.probes.length
  await one()
  await clock.advance(1100)
  t.equal(upstreams[A]!.probes.length, probes + 1, 'the backoff begins at 1 s again')
})

t.test('when all are down nothing is probed and no timer runs; the real queries are the probes', async (t) => {
  const { clock, upstreams, one, watched } = setUp('dark', 'dark')
  for (let i = 0; i < 5; i++) t.equal((await one()).code, 'deadline')
  await clock.advance(600_000)
  t.equal(upstreams[A]!.probes.length + upstreams[B]!.probes.length, 0)
  t.equal(watched.live, 0)
  upstreams[B]!.act = answers(20)
  const seen = await one()
  t.equal(seen.by, 'b')
  t.ok(seen.afterMs < 400)
  await clock.advance(1100)
  t.equal(upstreams[A]!.probes.length, 1, 'what failed while all failed is probed after 1 s again')
})

t.test('the last healthy one fails: the probes of the others stop, waiting or in progress', async (t) => {
  for (const pauseMs of [100, 1500]) {
    const { clock, upstreams, one, exchange, watched } = setUp('dark', answers(20))
    await one()
    await clock.advance(pauseMs)
    upstreams[B]!.act = fails('connection-lost')
    const before = upstreams[A]!.probes.length
    exchange(600)
    await clock.advance(600)
    t.equal(watched.live, 0)
    await clock.advance(300_000)
    t.equal(upstreams[A]!.probes.length, before)
    t.equal(before, pauseMs === 1500 ? 1 : 0)
  }
})

t.test('a probe that is no evidence about the path does not hurry the next one', async (t) => {
  for (const code of ['overloaded', 'internal'] as const) {
    const { clock, upstreams, one } = setUp(fails('connect-refused'), answers(20))
    await one()
    upstreams[A]!.act = fails(code)
    await clock.advance(20_000)
    const probes = upstreams[A]!.probes.length
    t.ok(probes > 10 && probes <= 20, `${probes} in 20 s`)
  }
})

t.test('when all five are down each gets its turn, so that any that returns is found', async (t) => {
  const { upstreams, one } = setUp('dark', 'dark', 'dark', 'dark', 'dark')
  await one()
  await one()
  t.ok(upstreams.every((u) => u.queries.length > 0))
  upstreams[4]!.act = answers(20)
  const codes = [await one(), await one()]
  t.ok(codes.some((seen) => seen.by === 'e'))
})

t.test('many exchanges that die together are one failure', async (t) => {
  const { clock, upstreams, exchange } = setUp(fails('connection-lost', 10), answers(20))
  for (let i = 0; i < 100; i++) exchange()
  await clock.advance(1200)
  t.equal(upstreams[A]!.probes.length, 1)
})

t.test('unknown resolvers are measured with root probes after the first answer, one per second, and never with a name', async (t) => {
  const { clock, upstreams, one } = setUp(answers(50), answers(200), answers(10))
  t.equal((await one()).by, 'a')
  for (let i = 0; i < 30; i++) {
    await clock.advance(100)
    await one()
  }
  t.same(
    upstreams.map((u) => u.probes.length),
    [0, 1, 1],
  )
  t.equal(upstreams[B]!.queries.length, 0)
  t.equal((await one()).by, 'c', 'the fastest is used once it is known')
  t.ok(upstreams[C]!.probes[0]!.atMs - upstreams[B]!.probes[0]!.atMs >= 1000)
})

t.test('the RTT of an unused resolver is measured again after ten minutes', async (t) => {
  const { clock, upstreams, one } = setUp(answers(50), answers(60))
  for (let i = 0; i < 14; i++) {
    await one()
    await clock.advance(60_000)
  }
  t.equal(upstreams[B]!.probes.length, 2)
  await clock.advance(3_600_000)
  t.equal(upstreams[B]!.probes.length, 2, 'no traffic, no measure')
})

t.test('the current resolver is left only for one that is clearly faster', async (t) => {
  for (const [otherMs, by] of [
    [46, 'a'],
    [20, 'b'],
  ] as const) {
    const { clock, one } = setUp(answers(50), answers(otherMs))
    for (let i = 0; i < 5; i++) {
      await one()
      await clock.advance(1000)
    }
    t.equal((await one()).by, by)
  }
})

t.test('slow names change the smoothed RTT little, a slow path changes it', async (t) => {
  const { clock, upstreams, one } = setUp(answers(20), answers(40))
  await one()
  await clock.advance(1000)
  for (let i = 0; i < 20; i++) {
    upstreams[A]!.act = answers(i % 5 === 0 ? 90 : 20)
    t.equal((await one()).by, 'a')
  }
  upstreams[A]!.act = answers(95)
  for (let i = 0; i < 20; i++) await one()
  t.equal((await one()).by, 'b')
})

t.test('probe sends every resolver a root query, even during backoff, and never rejects', async (t) => {
  const { clock, upstreams, one, selection } = setUp('dark', answers(20), fails('connect-refused'))
  await one()
  upstreams[A]!.act = answers(5)
  const probed = watch(clock, selection.probe())
  await clock.advance(30)
  t.ok(probed.atMs)
  t.equal(upstreams[A]!.probes.length, 1)
  t.equal((await one()).by, 'a')
})

t.test('close ends the probes and closes the upstreams; queries in flight end, later calls reject', async (t) => {
  const { clock, watched, upstreams, exchange, one, selection } = setUp('dark', answers(50))
  await one()
  const inFlight = exchange()
  await selection.close()
  const late = exchange()
  await clock.advance(4000)
  t.equal(inFlight.value?.upstream, 'b')
  t.equal(late.code, 'closed')
  t.ok(upstreams.every((u) => u.closed))
  t.equal(upstreams[A]!.probes.length, 0)
  t.equal(watched.live, 0)
})

t.test('an exception is a fault, and is no evidence against the resolver', async (t) => {
  const { upstreams, one, events, clock, watched } = setUp(answers(1), answers(1))
  upstreams[A]!.ask = () => {
    throw new TypeError('a bug')
  }
  t.equal((await one()).by, 'b')
  t.same(events[0], { type: 'fault', where: 'selection' })
  await clock.advance(60_000)
  t.equal(watched.live, 0, 'it is not put behind: a bug of ours is none of its')
})
