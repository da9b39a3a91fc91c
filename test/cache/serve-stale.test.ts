import t from 'tap'
import { coalesce } from '../../src/cache/coalesce.ts'
import { Failures } from '../../src/cache/failures.ts'
import { remember } from '../../src/cache/memory.ts'
import { serveStale } from '../../src/cache/serve-stale.ts'
import type { Answer } from '../../src/resolve.ts'
import { askedIn } from '../support/caches.ts'
import { seededRandom } from '../support/fake-clock.ts'
import { through } from '../support/stages.ts'
import { ask, End, expired, failing, good, lastOctet } from './scene.ts'

function scene(ageS: number, o: Parameters<typeof expired>[1] = {}) {
  const { clock, cache } = expired(ageS, o)
  const end = new End()
  let served = 0
  let closed = false
  const failures = new Failures(clock)
  const resolve = through(
    [
      serveStale({ cache, clock, served: () => served++, closed: () => closed }),
      coalesce((asked) => cache.hashOf(asked), seededRandom(1), undefined),
      remember(cache, clock, failures),
    ],
    end.resolve,
  )
  const query = (purpose: 'client' | 'refresh' = 'client') => resolve(ask(), { purpose, deadlineMs: clock.nowMs() + 4000 })
  const close = () => {
    closed = true
  }
  return { clock, cache, end, query, served: () => served, close }
}
const never = () => new Promise<Answer>(() => {})

t.test('a fresh reply is served, however old the stored answer is', async (t) => {
  const s = scene(10)
  s.end.will = () => good(9)
  t.equal(lastOctet(await s.query()), 9)
  t.equal(s.served(), 0)
  t.equal(s.clock.timers, 0)
})
t.test('after 1.8 s without a reply: the stale answer, TTL 30, EDE 3, not stored again', async (t) => {
  const s = scene(10)
  s.end.will = never
  let told: Answer | undefined
  void s.query().then((answer) => {
    told = answer
  })
  await s.clock.advance(1799)
  t.equal(told, undefined)
  await s.clock.advance(1)
  t.match(told, { rcode: 0, storeS: 'no', ede: { code: 3 }, from: 'stale' })
  t.same(told?.wire.subarray(-10, -6), Uint8Array.of(0, 0, 0, 30), 'TTL')
  t.equal(told && lastOctet(told), 1)
  t.equal(s.served(), 1)
})
t.test('the query continues, and its answer is fresh for the next client', async (t) => {
  const s = scene(10)
  let done = (_: Answer) => {}
  s.end.will = () =>
    new Promise((resolve) => {
      done = resolve
    })
  const first = s.query()
  await s.clock.advance(1800)
  t.equal((await first).from, 'stale')
  done(good(7))
  await s.clock.advance(0)
  t.equal(s.cache.get(askedIn(ask()), s.clock.nowMs())?.hits, 0, 'in the cache')
  s.end.will = () => good(8)
  t.equal(lastOctet(await s.query()), 8, 'nothing stands in over a fresh answer')
})
t.test('a failure is answered at once with the stale answer, and for 30 s no client waits', async (t) => {
  const s = scene(10)
  for (const outcome of ['deadline', 'connect-refused', 'overloaded', 'no-upstream'] as const) {
    s.end.will = () => outcome
    t.equal((await s.query()).from, 'stale', outcome)
  }
  const asked = s.end.asked.length
  s.end.will = never
  await s.clock.advance(2000)
  t.equal((await s.query()).from, 'stale', 'at once')
  t.equal((await s.query()).from, 'stale', 'at once')
  t.equal(s.end.asked.length, asked + 1, 'and asked again in the background, once')
  t.equal(s.clock.timers, 0)
})
t.test('the next client notices the recovery: the background query brings the new answer', async (t) => {
  const s = scene(10)
  s.end.will = () => 'connect-refused'
  t.equal((await s.query()).from, 'stale')
  s.end.will = () => good(5)
  t.equal((await s.query()).from, 'stale')
  await s.clock.advance(0)
  const kept = s.cache.get(askedIn(ask()), s.clock.nowMs())
  t.equal(kept?.octets[kept.at + kept.length - 1], 5)
})
t.test('SERVFAIL and REFUSED: the stale answer; failed validation, filter, policy: their own answer', async (t) => {
  for (const rcode of [2, 5, 4]) {
    const s = scene(10)
    s.end.will = () => failing(rcode)
    t.equal((await s.query()).from, 'stale', `RCODE ${rcode}`)
  }
  for (const ede of [6, 9, 15, 17]) {
    const s = scene(10)
    s.end.will = () => failing(2, { code: ede })
    t.match(await s.query(), { rcode: 2, ede: { code: ede } })
  }
  const s = scene(10)
  s.end.will = () => 'closed'
  await t.rejects(s.query(), { code: 'closed' })
})
t.test('a stale NXDOMAIN has EDE 19; a kept failure is never served stale', async (t) => {
  const nx = scene(10, { answer: { ...good(1, 60), rcode: 3 } })
  nx.end.will = () => 'deadline'
  t.match(await nx.query(), { rcode: 3, ede: { code: 19 } })
  const bad = scene(10, { answer: { ...failing(), storeS: 60 } })
  bad.end.will = () => 'deadline'
  await t.rejects(bad.query(), { code: 'deadline' })
})
t.test('a policy that lets no query through: no stale answers, not even at once', async (t) => {
  const s = scene(10)
  s.end.will = () => 'deadline'
  t.equal((await s.query()).from, 'stale')
  s.close()
  await t.rejects(s.query(), { code: 'deadline' })
})
t.test('at most for staleMaxS, never at 0, and not for renewals', async (t) => {
  for (const [ageS, staleMaxS, from] of [
    [86_399, 86_400, 'stale'],
    [86_400, 86_400, undefined],
    [1, 0, undefined],
  ] as const) {
    const s = scene(ageS, { staleMaxS })
    s.end.will = () => 'deadline'
    t.equal(
      await s.query().then(
        (answer) => answer.from,
        () => undefined,
      ),
      from,
      `${ageS} s of ${staleMaxS}`,
    )
  }
  const s = scene(10)
  s.end.will = () => 'deadline'
  await t.rejects(s.query('refresh'), { code: 'deadline' })
})

t.test('the gate closes while a client waits: no stale answer, neither after 1.8 s nor at the failure', async (t) => {
  for (const end of [never, () => 'deadline' as const]) {
    const s = scene(10)
    s.end.will = end
    let told: Answer | undefined
    s.query().then(
      (answer) => {
        told = answer
      },
      () => {},
    )
    s.close()
    await s.clock.advance(4000)
    t.equal(told, undefined)
    t.equal(s.served(), 0)
  }
})
