import t from 'tap'
import { readReply } from '../../src/dns/response.ts'
import type { Authenticated } from '../../src/resolve.ts'
import { verdictOn } from '../../src/upstream/classification.ts'
import { ON_DEMAND } from '../../src/upstream/path-health.ts'
import { createSelection } from '../../src/upstream/selection.ts'
import { FakeClock, seededRandom } from '../support/fake-clock.ts'
import { type Act, answers, FakeUpstream, fails, MESSAGE, reached, reply, WatchedClock, watch } from './fakes.ts'

const ALL_EDE = [...Array(31).keys()]
const isFinal = (wire: Uint8Array) => verdictOn(readReply(wire)).final

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
    [...Array(4096).keys()].filter((rcode) => isFinal(reply({ rcode }))),
    [0, 3, 6],
    'what speaks of the name is final, by all twelve bits',
  )
  t.ok(isFinal(reply({ flags: 0x0200 })), 'a truncated answer is the next layer’s business')
  t.end()
})

async function ask(...acts: readonly Act[]) {
  const clock = new FakeClock()
  const watched = new WatchedClock(clock)
  const upstreams = acts.map((act, i) => new FakeUpstream('abcdef'[i]!, clock, act))
  const selection = createSelection<Authenticated>({
    manner: ON_DEMAND,
    upstreams,
    clock: watched,
    random: seededRandom(1),
    emit: () => {},
  })
  const startMs = clock.nowMs()
  const seen = watch(clock, reached(selection, MESSAGE, false, { purpose: 'client', deadlineMs: startMs + 4000 }))
  await clock.advance(4000)
  const asked = upstreams.map((u) => u.queries.length)
  const rcode = (seen.value?.wire[3] ?? 0) & 15
  return {
    ...{ by: seen.value?.upstream, rcode, afterMs: seen.atMs! - startMs, asked, live: watched.live },
    ...(seen.code === undefined ? {} : { code: seen.code }),
  }
}
const servfail = (afterMs = 10, ede?: number) => answers(afterMs, reply({ rcode: 2, ...(ede === undefined ? {} : { ede }) }))
const refused = (afterMs = 10) => answers(afterMs, reply({ rcode: 5 }))

t.test('a failure without a reason is tried at the next operator, once', async (t) => {
  t.same(await ask(servfail(), answers(20)), { by: 'b', rcode: 0, afterMs: 30, asked: [1, 1], live: 0 })
  t.same(await ask(refused(), answers(20, reply({ rcode: 3 }))), { by: 'b', rcode: 3, afterMs: 30, asked: [1, 1], live: 0 })
  t.same(await ask(servfail(), refused(), answers(1)), { by: 'a', rcode: 2, afterMs: 20, asked: [1, 1, 0], live: 0 })
})

/**
 * FORMERR, NOTIMP, NOTAUTH (TSIG), DSOTYPENI, BADVERS, BADTRUNC, BADCOOKIE, and one that nobody has
 * given a meaning.
 */
const OF_HOP = [1, 4, 9, 11, 16, 22, 23, 3000]
const ofHop = (rcode: number, afterMs = 10) => answers(afterMs, reply({ rcode }))

t.test('a reply about the hop is never the outcome: the next one is asked, and the one after that', async (t) => {
  for (const rcode of OF_HOP) {
    t.same(await ask(ofHop(rcode), answers(20)), { by: 'b', rcode: 0, afterMs: 30, asked: [1, 1], live: 0 })
    t.same(await ask(ofHop(rcode), ofHop(16), answers(20)), { by: 'c', rcode: 0, afterMs: 40, asked: [1, 1, 1], live: 0 })
    t.same(await ask(ofHop(rcode), servfail(), servfail()), { by: 'b', rcode: 2, afterMs: 30, asked: [1, 1, 1], live: 0 })
    const alone = await ask(ofHop(rcode))
    t.same([alone.by, alone.code, alone.asked, alone.live], [undefined, 'reply-rcode', [1], 0])
    const all = await ask(ofHop(rcode), ofHop(rcode))
    t.same([all.by, all.code, all.asked, all.live], [undefined, 'reply-rcode', [1, 1], 0])
  }
  const slow = await ask(ofHop(16), answers(3000))
  t.same([slow.by, slow.afterMs], ['b', 3010], 'and is waited for until the deadline')
  const first = await ask(answers(3000), ofHop(16))
  t.same([first.by, first.afterMs], ['a', 3000], 'as is the first one')
})

t.test('a resolver with three replies about the hop is demoted, and not asked while another one answers', async (t) => {
  const clock = new FakeClock()
  const a = new FakeUpstream('a', clock, answers(10))
  const b = new FakeUpstream('b', clock, answers(30))
  const selection = createSelection<Authenticated>({ manner: ON_DEMAND, upstreams: [a, b], clock, random: seededRandom(1), emit: () => {} })
  const one = async () => {
    const seen = watch(clock, reached(selection, MESSAGE, false, { purpose: 'client', deadlineMs: clock.nowMs() + 4000 }))
    await clock.advance(100)
    return seen.value?.upstream
  }
  await one()
  a.act = ofHop(16)
  for (let i = 0; i < 10; i++) t.equal(await one(), 'b')
  t.equal(a.queries.length, 4)
  await clock.advance(120_000)
  await one()
  t.equal(a.queries.length, 4, 'BADVERS to the probe is no answer')
  a.act = answers(10)
  await clock.advance(60_000)
  t.equal(await one(), 'a')

  const c = new FakeUpstream('c', clock, ofHop(16))
  const d = new FakeUpstream('d', clock, answers(30))
  const started = createSelection<Authenticated>({ manner: ON_DEMAND, upstreams: [c, d], clock, random: seededRandom(1), emit: () => {} })
  const probing = started.probe()
  await clock.advance(100)
  await probing
  watch(clock, reached(started, MESSAGE, false, { purpose: 'client', deadlineMs: clock.nowMs() + 4000 }))
  await clock.advance(100)
  t.same([c.queries.length, d.queries.length], [0, 1], 'the probe at the start was enough')
})

t.test('the first reply is kept when the second fails, is silent, or there is none', async (t) => {
  const failed = await ask(servfail(), fails('connect-refused', 5), answers(1))
  t.same([failed.by, failed.rcode, failed.afterMs, failed.asked], ['a', 2, 15, [1, 1, 0]])
  const silent = await ask(servfail(), 'dark')
  t.same([silent.by, silent.rcode, silent.afterMs], ['a', 2, 1510])
  t.same(await ask(servfail()), { by: 'a', rcode: 2, afterMs: 10, asked: [1], live: 0 })
})

t.test('a final failure reaches no second operator', async (t) => {
  t.same(await ask(servfail(10, 6), answers(1)), { by: 'a', rcode: 2, afterMs: 10, asked: [1, 0], live: 0 })
  t.same(await ask(answers(10, reply({ rcode: 5, ede: 17 })), answers(1)), { by: 'a', rcode: 5, afterMs: 10, asked: [1, 0], live: 0 })
})

t.test('a failure from the second waits for the slow first, and no third is asked', async (t) => {
  const seen = await ask(answers(900), servfail(), answers(1))
  t.same([seen.by, seen.rcode, seen.afterMs, seen.asked], ['a', 0, 900, [1, 1, 0]])
  const never = await ask('dark', servfail(), answers(1))
  t.same([never.by, never.rcode, never.afterMs, never.asked], ['b', 2, 1800, [1, 1, 0]])
})

t.test('a resolver that three times in a row had no answer when another had one is demoted', async (t) => {
  const clock = new FakeClock()
  const a = new FakeUpstream('a', clock, answers(10))
  const b = new FakeUpstream('b', clock, answers(30))
  const selection = createSelection<Authenticated>({ manner: ON_DEMAND, upstreams: [a, b], clock, random: seededRandom(1), emit: () => {} })
  const one = async () => {
    const seen = watch(clock, reached(selection, MESSAGE, false, { purpose: 'client', deadlineMs: clock.nowMs() + 4000 }))
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

t.test('a second operator that states why it failed too is used, and does not count against the first', async (t) => {
  const clock = new FakeClock()
  const a = new FakeUpstream('a', clock, answers(10))
  const b = new FakeUpstream('b', clock, answers(30))
  const selection = createSelection<Authenticated>({ manner: ON_DEMAND, upstreams: [a, b], clock, random: seededRandom(1), emit: () => {} })
  for (let i = 0; i < 8; i++) {
    const seen = watch(clock, reached(selection, MESSAGE, false, { purpose: 'client', deadlineMs: clock.nowMs() + 4000 }))
    await clock.advance(1000)
    t.equal(seen.value?.upstream, i === 0 ? 'a' : 'b')
    a.act = servfail(10)
    b.act = servfail(30, 6)
  }
  t.equal(a.queries.length, 8)
})

t.test('names that no operator can resolve count against none', async (t) => {
  const clock = new FakeClock()
  const watched = new WatchedClock(clock)
  const upstreams = ['a', 'b'].map((id) => new FakeUpstream(id, clock, servfail()))
  const selection = createSelection<Authenticated>({
    manner: ON_DEMAND,
    upstreams,
    clock: watched,
    random: seededRandom(1),
    emit: () => {},
  })
  for (let i = 0; i < 10; i++) {
    const seen = watch(clock, reached(selection, MESSAGE, false, { purpose: 'client', deadlineMs: clock.nowMs() + 4000 }))
    await clock.advance(50)
    t.equal(seen.value?.upstream, 'a')
  }
  t.equal(watched.live, 0)
})
