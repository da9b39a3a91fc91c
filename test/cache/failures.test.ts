import t from 'tap'
import { Failures } from '../../src/cache/failures.ts'
import { remember } from '../../src/cache/memory.ts'
import { EnigmError } from '../../src/errors.ts'
import { askedIn, cacheOf } from '../support/caches.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { through } from '../support/stages.ts'
import { ask, End, failing, good } from './scene.ts'

function scene() {
  const clock = new FakeClock()
  const cache = cacheOf(1 << 20, 86_400)
  const failures = new Failures(clock)
  const end = new End()
  const resolve = through([remember(cache, clock, failures)], end.resolve)
  const query = (name?: string) => resolve(ask(name), { purpose: 'client', deadlineMs: clock.nowMs() + 4000 })
  /** Whether `name` is asked now. */
  const asks = async (name?: string) => {
    const before = end.asked.length
    await query(name).catch(() => {})
    return end.asked.length > before
  }
  return { clock, cache, failures, end, query, asks }
}

t.test('a failure is kept 1 s, then twice as long each time, at most 5 minutes; an answer resets this', async (t) => {
  const s = scene()
  s.end.will = () => failing(2, { code: 22, text: 'why' })
  for (const keptS of [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]) {
    t.ok(await s.asks())
    t.match(await s.query(), { rcode: 2, ede: { code: 22, text: 'why' }, from: 'failure' }, 'the failure again')
    await s.clock.advance(keptS * 1000 - 1)
    t.notOk(await s.asks(), `not asked for ${keptS} s`)
    await s.clock.advance(1)
  }
  s.end.will = () => good()
  t.ok(await s.asks())
  s.end.will = () => failing()
  t.ok(await s.asks())
  await s.clock.advance(1000)
  t.ok(await s.asks(), 'a second again')
})
t.test('a question that failed long ago starts at one second again', async (t) => {
  const s = scene()
  s.end.will = () => failing()
  for (let i = 0; i < 4; i++) {
    await s.asks()
    await s.clock.advance(1000 * 2 ** i)
  }
  await s.clock.advance(200_000)
  t.ok(await s.asks())
  await s.clock.advance(1000)
  t.ok(await s.asks())
})
t.test('a kept failure is a hit, and never replaces an answer', async (t) => {
  const s = scene()
  s.end.will = () => failing()
  await s.asks('bad.example')
  t.equal(s.cache.get(askedIn(ask('bad.example')), s.clock.nowMs())?.rcode, 2)
  s.end.will = () => good(1, 60)
  await s.asks('good.example')
  await s.clock.advance(61_000)
  s.end.will = () => failing()
  t.ok(await s.asks('good.example'))
  t.equal(s.cache.stale(askedIn(ask('good.example')), s.clock.nowMs())?.rcode, 0, 'it can still stand in')
  t.notOk(await s.asks('good.example'), 'and the failure is kept all the same')
})
t.test('nothing is answered: one second for sent questions, nothing for others, and the first answer ends it', async (t) => {
  const s = scene()
  s.end.will = () => 'deadline'
  t.ok(await s.asks('a.example'))
  await t.rejects(s.query('a.example'), { code: 'deadline' })
  t.notOk(await s.asks('a.example'))
  t.ok(await s.asks('b.example'), 'another question is another question')
  await s.clock.advance(1000)
  t.ok(await s.asks('a.example'))
  await s.clock.advance(1000)
  t.ok(await s.asks('a.example'), 'no growth')
  t.ok(await s.asks('c.example'))
  s.end.will = () => good()
  t.ok(await s.asks('d.example'))
  t.ok(await s.asks('a.example'), 'the path is back')
  t.ok(await s.asks('c.example'))
  for (const code of ['connect-refused', 'tls-failed', 'no-upstream', 'overloaded', 'certificate-expired'] as const) {
    s.end.will = () => code
    t.ok(await s.asks('e.example'), code)
    t.ok(await s.asks('e.example'), `${code}: no question went out`)
  }
})
t.test('one question gets no answer while others do: its own failure time grows', async (t) => {
  const s = scene()
  for (const keptS of [1, 2, 4]) {
    // Asked, then another one is answered, then it times out.
    let timeOut = () => {}
    const silence = new Promise<void>((resolve) => {
      timeOut = resolve
    })
    s.end.will = () => silence.then(() => Promise.reject(new EnigmError('deadline', 'as the test wishes')))
    const tarred = s.query('tar.example').catch(() => {})
    await s.clock.advance(0)
    s.end.will = () => good()
    await s.query(`other${keptS}.example`)
    timeOut()
    await tarred
    await s.query(`another${keptS}.example`)
    await s.clock.advance(keptS * 1000 - 1)
    t.notOk(await s.asks('tar.example'), `not asked for ${keptS} s`)
    await s.clock.advance(1)
  }
})
t.test('network change: everything is asked again', async (t) => {
  const s = scene()
  s.end.will = () => failing()
  await s.asks('a.example')
  s.end.will = () => 'deadline'
  await s.asks('b.example')
  s.failures.clear()
  s.cache.newNetwork()
  t.equal(s.cache.get(askedIn(ask('a.example')), s.clock.nowMs()), undefined)
  t.ok(await s.asks('a.example'))
  t.ok(await s.asks('b.example'))
})
t.test('the number of kept failures is bounded', async (t) => {
  const s = scene()
  s.end.will = () => failing()
  for (let i = 0; i < 6000; i++) await s.query(`n${i}.example`)
  t.ok(s.failures.size <= 4096)
})

t.test('an answer requested before a clear is given to its client, and not stored', async (t) => {
  for (const outcome of ['deadline', 'servfail']) {
    const s = scene()
    let end = () => {}
    const held = new Promise<void>((resolve) => {
      end = resolve
    })
    s.end.will = async () => {
      await held
      if (outcome === 'servfail') return failing()
      throw new EnigmError('deadline', 'as the test wishes')
    }
    const before = s.query().then(
      ({ rcode }) => rcode,
      ({ code }) => code,
    )
    s.cache.clear()
    s.failures.clear()
    end()
    t.equal(await before, outcome === 'servfail' ? 2 : 'deadline')
    t.ok(await s.asks(), 'the new configuration asks for itself')
  }
})
