import t from 'tap'
import { remember } from '../../src/cache/memory.ts'
import { Prefetch } from '../../src/cache/prefetch.ts'
import { createResponder } from '../../src/responder.ts'
import { askedIn, cacheOf } from '../support/caches.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { query as packet } from '../support/messages.ts'
import { openGate, view } from '../support/rules.ts'
import { endsIn } from '../support/stages.ts'
import { ask, End, good, to } from './scene.ts'

const middle = { below: (limit: number) => Math.floor(limit / 2), bytes: (length: number) => new Uint8Array(length) }

function scene(o: { readonly prefetch?: boolean; readonly ttlS?: number } = {}) {
  const clock = new FakeClock()
  const cache = cacheOf(1 << 20)
  const end = new End()
  end.will = () => good(2, o.ttlS ?? 100)
  let renewed = 0
  const current = () => ({ stages: [remember(cache, clock), endsIn(end.resolve)], timeoutMs: 4000, prefetch: o.prefetch ?? true })
  const prefetch = new Prefetch({ clock, random: middle, current, renewed: () => renewed++ })
  const responder = createResponder({ gate: openGate(), cache, clock, emit() {}, current, counts: { hits: 0, misses: 0 }, prefetch })
  cache.put(askedIn(ask()), good(1, o.ttlS ?? 100), cache.epoch, clock.nowMs())
  const out = Buffer.alloc(1232)
  const hit = (name = 'www.example.com') => {
    const wire = packet({ name })
    return responder.now(wire, 0, wire.length, out, 0, 1232, view(0)) > 0
  }
  /** Hits that count: one every two seconds. */
  const hits = async (count: number) => {
    for (let i = 0; i < count; i++) {
      hit()
      await clock.advance(2000)
    }
  }
  return { clock, cache, end, prefetch, hit, hits, renewed: () => renewed }
}

t.test('asked three times and again in the last tenth: renewed once, with purpose renewal, before it expires', async (t) => {
  const s = scene()
  await s.hits(3)
  await s.clock.advance(83_000)
  t.ok(s.hit())
  t.equal(s.clock.timers, 0, 'not yet in the last tenth')
  await s.clock.advance(1000)
  for (let i = 0; i < 5; i++) t.ok(s.hit())
  t.equal(s.clock.timers, 1)
  t.same(s.end.asked, [], 'not at the moment of the hit')
  await s.clock.advance(4000)
  t.same(s.end.asked, ['refresh'])
  t.equal(s.renewed(), 1)
  await s.clock.advance(50_000)
  t.ok(s.hit(), 'still a hit half a minute after the old one would have expired')
})
t.test('a burst counts as one hit: it makes nothing popular', async (t) => {
  const s = scene()
  for (let i = 0; i < 10; i++) t.ok(s.hit())
  await s.clock.advance(95_000)
  t.ok(s.hit())
  t.equal(s.clock.timers, 0)
})
t.test('an answer that is rarely asked, or short-lived, or with prefetch off, expires', async (t) => {
  const seldom = scene()
  await seldom.clock.advance(95_000)
  t.ok(seldom.hit() && seldom.hit())
  t.equal(seldom.clock.timers, 0)
  const short = scene({ ttlS: 9 })
  await short.clock.advance(8500)
  for (let i = 0; i < 10; i++) short.hit()
  t.equal(short.clock.timers, 0)
  const off = scene({ prefetch: false })
  await off.clock.advance(95_000)
  for (let i = 0; i < 10; i++) off.hit()
  t.equal(off.clock.timers, 0)
})
t.test('network change: earlier hits do not count, and waiting renewals are dropped', async (t) => {
  const s = scene()
  await s.clock.advance(91_000)
  await s.hits(2)
  s.hit()
  t.equal(s.clock.timers, 1)
  s.cache.newNetwork()
  s.prefetch.forget()
  t.equal(s.clock.timers, 0)
  s.hit()
  s.hit()
  t.equal(s.clock.timers, 0)
  await s.clock.advance(9000)
  t.same(s.end.asked, [])
})
t.test('a failed renewal has no effect and is not retried; 64 at a time', async (t) => {
  const s = scene()
  s.end.will = () => 'deadline'
  await s.clock.advance(91_000)
  await s.hits(3)
  await s.clock.advance(1000)
  t.same(s.end.asked, ['refresh'])
  for (let i = 0; i < 5; i++) t.ok(s.hit())
  await s.clock.advance(1000)
  t.same(s.end.asked, ['refresh'])
  t.equal(s.renewed(), 0)

  const many = scene()
  for (let i = 0; i < 100; i++) {
    const query = ask(`n${i}.example`)
    many.cache.put(askedIn(query), to(query, good(1, 100)), many.cache.epoch, many.clock.nowMs())
  }
  await many.clock.advance(91_000)
  for (let i = 0; i < 300; i++) {
    many.hit(`n${i % 100}.example`)
    if (i === 99 || i === 199) await many.clock.advance(2000)
  }
  t.equal(many.clock.timers, 64)
})
