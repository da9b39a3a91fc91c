import fc from 'fast-check'
import t from 'tap'
import { coalesce } from '../../src/cache/coalesce.ts'
import { Failures } from '../../src/cache/failures.ts'
import { remember } from '../../src/cache/memory.ts'
import { serveStale } from '../../src/cache/serve-stale.ts'
import type { Answer, Ask, Query } from '../../src/resolve.ts'
import { createMissClient } from '../../src/workers/miss-client.ts'
import { encodeReplies } from '../../src/workers/miss-codec.ts'
import { askedIn, askedInPacket, cacheOf } from '../support/caches.ts'
import { FakeClock, seededRandom } from '../support/fake-clock.ts'
import { bytes, query as packet, response, rr } from '../support/messages.ts'
import { openGate } from '../support/rules.ts'
import { asked as askStages, through } from '../support/stages.ts'
import { ask, End, failing, good, lastOctet } from './scene.ts'

const nxdomain = (storeS: number | 'no'): Answer => ({ ...good(1), wire: response({ rcode: 3 }), rcode: 3, storeS })
const nodata = (storeS: number | 'no'): Answer => ({ ...good(1), wire: response(), storeS })
const truncated: Answer = { ...good(1), wire: response({ flags: 0x8380 }), storeS: 'no' }
const tooLarge: Answer = {
  ...good(1),
  wire: response({ answers: [rr({ type: 16, rdata: new Uint8Array(60_000) }), rr({ type: 16, rdata: new Uint8Array(5400) })] }),
}
const rebinding: Answer = { ...nodata('no'), ede: { code: 17, text: 'rebinding' }, from: 'policy' }

/** The same question, with DO or CD set. */
function flagged({ dnssecOk = false, checkingDisabled = false }): Query {
  return { ...ask(), checkingDisabled, edns: { udpSize: 1232, dnssecOk, wantsSource: false } }
}

function scene(cache = cacheOf(65_536, 86_400)) {
  const clock = new FakeClock()
  const end = new End()
  const stages = [
    serveStale({ cache, clock, served() {}, closed: () => false }),
    coalesce((asked) => cache.hashOf(asked), seededRandom(1), undefined),
    remember(cache, clock, new Failures(clock)),
  ]
  const resolve = through(stages, end.resolve)
  const say = (answer: Answer | 'deadline', query = ask(), purpose: Ask['purpose'] = 'client') => {
    end.will = () => answer
    return resolve(query, { purpose, deadlineMs: clock.nowMs() + 4000 })
  }
  return { clock, cache, end, resolve, say }
}

for (const [what, newer] of [
  ['an address with TTL 0', good(2, 0)],
  ['an address that may not be kept', { ...good(2), storeS: 'no' as const }],
  ['no such data, without SOA', nodata('no')],
  ['no such name, without SOA', nxdomain('no')],
  ['a truncated answer', truncated],
  ['an answer that is larger than the cache', tooLarge],
  ['one that pointed inside and was refused', rebinding],
] as const) {
  t.test(`${what} invalidates an older answer`, async (t) => {
    for (const older of [nxdomain(1), good(1, 1)]) {
      for (const purpose of ['client', 'refresh'] as const) {
        const s = scene()
        await s.say(older)
        await s.clock.advance(1500)
        t.equal((await s.say(newer, ask(), purpose)).from, newer.from)
        t.equal((await s.say(failing())).rcode, 2, 'a failure is a failure')
        await s.clock.advance(5000)
        await t.rejects(s.say('deadline'), { code: 'deadline' })
      }
    }
  })
  t.test(`${what} invalidates it in the background, too`, async (t) => {
    const s = scene()
    await s.say(nxdomain(1))
    await s.clock.advance(1500)
    t.equal((await s.say('deadline')).from, 'stale')
    await s.clock.advance(1500)
    t.equal((await s.say(newer)).from, 'stale', 'at once, and asked behind it')
    await s.clock.advance(0)
    t.equal(lastOctet(await s.say(good(9, 0))), 9, 'the next is asked for')
  })
  t.test(`${what} invalidates a fresh answer that it was to renew`, async (t) => {
    const s = scene()
    await s.say(good(1, 300))
    const asked = askedInPacket(packet())
    t.ok(s.cache.get(asked, s.clock.nowMs()))
    await s.say(newer, ask(), 'refresh')
    t.equal(s.cache.get(asked, s.clock.nowMs()), undefined)
  })
}

t.test('late, after a stale answer was served: the newer one counts', async (t) => {
  const s = scene()
  await s.say(nxdomain(1))
  await s.clock.advance(1500)
  let settle = (_: Answer) => {}
  s.end.will = () =>
    new Promise((resolve) => {
      settle = resolve
    })
  const first = s.resolve(ask(), { purpose: 'client', deadlineMs: s.clock.nowMs() + 4000 })
  await s.clock.advance(1800)
  t.equal((await first).from, 'stale')
  settle(good(2, 0))
  await s.clock.advance(0)
  t.equal((await s.say(failing())).rcode, 2)
})
t.test('a failed validation or a filter ends stale answers for the next client, whether late or in the background', async (t) => {
  for (const ede of [6, 9, 17]) {
    const s = scene()
    await s.say(good(1, 1))
    await s.clock.advance(1500)
    t.equal((await s.say('deadline')).from, 'stale')
    await s.clock.advance(1500)
    t.equal((await s.say(failing(2, { code: ede }))).from, 'stale', 'at once')
    await s.clock.advance(0)
    t.match(await s.say(failing(2, { code: ede })), { rcode: 2, ede: { code: ede } })
  }
})
t.test('an answer with DO covers the same data; one with CD does not contradict a validated one', async (t) => {
  const kinds = [{}, { dnssecOk: true }, { checkingDisabled: true }, { dnssecOk: true, checkingDisabled: true }]
  for (const older of kinds) {
    for (const newer of kinds) {
      for (const answer of [good(2, 0), good(2, 1)]) {
        const s = scene()
        await s.say(nxdomain(1), flagged(older))
        await s.clock.advance(1500)
        await s.say(answer, flagged(newer))
        await s.clock.advance(1500)
        const told = await s.say(failing(), flagged(older))
        const speaks = newer.checkingDisabled !== true || older.checkingDisabled === true
        const same = older === newer && answer.storeS !== 0
        t.equal(told.rcode, same ? 0 : speaks ? 2 : 3, `${JSON.stringify(older)}, then ${JSON.stringify(newer)}`)
      }
    }
  }
})
t.test('same data under other flags, signed or not: the older one may still be served stale', async (t) => {
  const signature = rr({ type: 46, rdata: new Uint8Array(20) })
  const record = (last: number) => rr({ rdata: bytes(192, 0, 2, last) })
  for (const [newer, rcode] of [
    [[record(2), record(1), signature], 0],
    [[record(1), signature], 2],
    [[record(1), record(3)], 2],
    [[], 2],
  ] as const) {
    const s = scene()
    await s.say({ ...good(1, 1), wire: response({ answers: [record(1), record(2)] }) })
    await s.clock.advance(1500)
    await s.say({ ...good(1, 0), wire: response({ answers: newer }) }, flagged({ dnssecOk: true }))
    t.equal((await s.say(failing())).rcode, rcode)
  }
})
t.test('a fresh one is served until it expires, but not stale if a newer one came under other flags', async (t) => {
  const s = scene()
  await s.say(nxdomain(60))
  await s.say(good(2, 0), flagged({ dnssecOk: true }))
  t.ok(s.cache.get(askedIn(ask()), s.clock.nowMs()), 'its time is not over')
  await s.clock.advance(61_000)
  t.equal((await s.say(failing())).rcode, 2)
})
t.test('saved answers do not replace later ones, stored or not', async (t) => {
  for (const answer of [good(2, 0), nxdomain('no'), tooLarge, good(2, 60)]) {
    for (const staleMaxS of [0, 86_400]) {
      const cache = cacheOf(65_536, staleMaxS)
      cache.awaitsSaved = true
      const s = scene(cache)
      await s.say(answer)
      await s.say(answer, flagged({ dnssecOk: true }))
      await s.clock.advance(100)
      t.equal(s.cache.get(askedIn(ask()), s.clock.nowMs()) !== undefined, answer.storeS === 60)
      for (const query of [ask(), flagged({ dnssecOk: true })])
        s.cache.restore(askedIn(query), good(1), -90_000, s.clock.nowMs() + 500, s.clock.nowMs())
      s.cache.awaitsSaved = false
      await s.clock.advance(70_000)
      t.equal((await s.say(failing())).rcode, answer.storeS === 60 && staleMaxS > 0 ? 0 : 2)
    }
  }
})
t.test('saved answers replace a failure', async (t) => {
  const s = scene()
  await s.say(failing())
  s.cache.restore(askedIn(ask()), good(7), -90_000, -30_000, s.clock.nowMs())
  t.equal(lastOctet(await s.say(failing())), 7)
})
t.test('a worker does not treat a stale answer as new', async (t) => {
  const clock = new FakeClock()
  const cache = cacheOf(65_536)
  const asks: Buffer[] = []
  const asker = createMissClient(cache, clock, openGate(), (message) => void asks.push(message))
  const key = askedIn(ask())
  const told = askStages([asker.stage], ask(), { purpose: 'client', deadlineMs: 4000 })
  await new Promise((done) => setImmediate(done))
  cache.put(key, good(2), cache.epoch, clock.nowMs())
  asker.settle(encodeReplies([{ id: asks[0]?.readUInt32LE(0) ?? 0, answer: { ...nxdomain('no'), from: 'stale' }, agedMs: 0 }]))
  t.equal((await told).from, 'stale')
  t.ok(cache.get(key, clock.nowMs()), 'the fresh one is there still')
})

/** What happens to one question, asked with flags or without. */
interface Step {
  readonly waitS: number
  readonly says: 'kept' | 'ttl0' | 'nxdomain' | 'no-soa' | 'fails' | 'deadline' | 'bogus'
  readonly query: Query
  readonly purpose: 'client' | 'refresh'
}
const step: fc.Arbitrary<Step> = fc.record({
  waitS: fc.integer({ min: 0, max: 40 }),
  says: fc.constantFrom('kept', 'ttl0', 'nxdomain', 'no-soa', 'fails', 'deadline', 'bogus'),
  query: fc.boolean().map((dnssecOk) => flagged({ dnssecOk })),
  purpose: fc.constantFrom('client', 'client', 'refresh'),
})

/** The answer with this serial, which its address carries whatever its RCODE is. */
function outcome(says: Step['says'], serial: number): Answer | 'deadline' {
  const told = (rcode: number, storeS: number | 'no'): Answer => {
    const rdata = bytes(10, 0, serial >> 8, serial & 255)
    return { ...good(), wire: response({ rcode, answers: [rr({ ttlS: 10, rdata })] }), rcode, storeS }
  }
  if (says === 'deadline') return 'deadline'
  if (says === 'fails') return failing()
  if (says === 'bogus') return failing(2, { code: 6 })
  if (says === 'kept') return told(0, 10)
  if (says === 'nxdomain') return told(3, 10)
  return says === 'ttl0' ? told(0, 0) : told(3, 'no')
}

t.test('for any history, the stale answer served is the newest one that came', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const s = scene()
      let newest = 0
      for (const [i, { waitS, says, query, purpose }] of steps.entries()) {
        await s.clock.advance(waitS * 1000)
        const key = askedIn(query)
        const fresh = s.cache.get(key, s.clock.nowMs()) !== undefined
        const told = fresh ? undefined : await s.say(outcome(says, i + 1), query, purpose).catch(() => undefined)
        const answered = s.end.asked.length > 0 && !['fails', 'deadline', 'bogus'].includes(says)
        s.end.asked.length = 0
        if (told?.from === 'stale') t.equal(told.wire[told.wire.length - 1], newest & 255, `step ${i}`)
        await s.clock.advance(0)
        if (answered) newest = i + 1
      }
    }),
    { numRuns: 300 },
  )
})
