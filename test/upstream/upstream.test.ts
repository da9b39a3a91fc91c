import fc from 'fast-check'
import t from 'tap'
import { readOpt } from '../../src/dns/edns.ts'
import type { ErrorCode } from '../../src/errors.ts'
import type { Ask } from '../../src/resolve.ts'
import { ON_DEMAND, ON_SCHEDULE } from '../../src/upstream/path-health.ts'
import { createUpstream } from '../../src/upstream/upstream.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { type Act, AUTHENTICATED, answers, FakeLink, fails, MESSAGE, reached, recorder, reply, WatchedClock, watch } from './fakes.ts'

function setUp(dotAct: Act, dohAct: Act, paddingBlock = 128) {
  const clock = new FakeClock()
  const watched = new WatchedClock(clock)
  const dot = new FakeLink('dot', clock, dotAct)
  const doh = new FakeLink('doh', clock, dohAct)
  const { events, emit } = recorder()
  const upstream = createUpstream({ manner: ON_DEMAND, id: 'r', links: [dot, doh], paddingBlock, clock: watched, emit })
  const exchange = (budgetMs = 4000, message = MESSAGE, purpose: Ask['purpose'] = 'client') =>
    watch(clock, reached(upstream, message, true, { purpose, deadlineMs: clock.nowMs() + budgetMs }))
  return { clock, watched, dot, doh, events, upstream, exchange }
}

const options = (request: Uint8Array) => {
  const opt = readOpt(request)
  return { padded: opt?.padded, dnssecOk: opt?.dnssecOk, octets: request.length }
}
/** The option codes in the OPT, which stands last and starts after the question. */
const optionCodes = (request: Uint8Array, questionEnd: number) => {
  const codes: number[] = []
  for (let at = questionEnd + 11; at < request.length; ) {
    codes.push(request[at]! * 256 + request[at + 1]!)
    at += 4 + request[at + 2]! * 256 + request[at + 3]!
  }
  return codes
}

t.test('a query is sent padded, over the preferred transport, and its answer is returned unchanged', async (t) => {
  const wire = reply({ padded: true })
  const { clock, dot, doh, events, exchange, watched } = setUp(answers(20, wire), answers(20))
  const before = MESSAGE.slice()
  const seen = exchange()
  await clock.advance(20)
  t.same(seen.value, { wire, rttMs: 20, protection: AUTHENTICATED, transport: 'dot' })
  t.equal(seen.value?.wire, wire, 'not a copy')
  t.same(MESSAGE, before, 'message is not changed')
  t.same(options(dot.calls[0]!.request), { padded: true, dnssecOk: true, octets: 128 })
  t.equal(doh.calls.length, 0)
  t.same(events, [{ type: 'upstream.answered', resolver: 'r', transport: 'dot', rttMs: 20, protection: AUTHENTICATED, paddedReply: true }])
  t.equal(watched.set, 0, 'it has no timers of its own')
})

t.test('the keepalive option is sent on DoT and never on DoH', async (t) => {
  const { clock, dot, doh, exchange } = setUp(fails('connect-refused'), answers(1))
  exchange()
  await clock.advance(10)
  t.same(optionCodes(dot.calls[0]!.request, MESSAGE.length), [11, 12])
  t.same(optionCodes(doh.calls[0]!.request, MESSAGE.length), [12])
})

t.test('padding is exact for every size of query, on both transports', async (t) => {
  const { clock, dot, doh, exchange } = setUp(fails('connect-refused', 0), answers(0))
  for (let octets = 17; octets <= 512; octets++)
    exchange(
      4000,
      Uint8Array.from({ length: octets }, (_, i) => (i < 12 ? MESSAGE[i]! : 0)),
    )
  await clock.advance(0)
  await clock.advance(1)
  t.equal(dot.calls.length, 496)
  t.equal(doh.calls.length, 496)
  for (const { request } of [...dot.calls, ...doh.calls]) if (request.length % 128 !== 0) t.fail(`${request.length} octets`)
  const least = (bare: number) => Math.ceil(bare / 128) * 128
  dot.calls.forEach(({ request }, i) => {
    if (request.length !== least(17 + i + 11 + 4 + 4)) t.fail(`more than needed for ${17 + i}`)
  })
  doh.calls.forEach(({ request }, i) => {
    if (request.length !== least(17 + i + 11 + 4)) t.fail(`more than needed for ${17 + i}`)
  })
})

/** FORMERR to the keepalive option, or always. */
const formerr = reply({ rcode: 1 })

t.test('FORMERR over DoT: retried once on the same link with Padding alone, and always so afterwards', async (t) => {
  const { clock, dot, doh, events, exchange } = setUp(answers(10, formerr), answers(1))
  const always = exchange()
  await clock.advance(30)
  t.same(always.value?.wire, formerr, 'it was not the option')
  dot.act = { wire: formerr, afterMs: 10, next: answers(10) }
  const again = exchange()
  await clock.advance(30)
  t.equal(again.value?.wire[3], 0x80)
  t.same(
    dot.calls.map((call) => optionCodes(call.request, MESSAGE.length)),
    [[11, 12], [12], [11, 12], [12]],
  )
  t.ok(dot.calls.every(({ request }) => request.length === 128))
  exchange()
  await clock.advance(30)
  t.same(optionCodes(dot.calls.at(-1)!.request, MESSAGE.length), [12], 'remembered')
  t.equal(doh.calls.length, 0, 'no other transport is asked')
  t.same(
    events.map((e) => [e.type, 'code' in e && e.code]),
    [
      ['upstream.failed', 'reply-rcode'],
      ['upstream.answered', false],
      ['upstream.answered', false],
    ],
  )
})

t.test('FORMERR over DoH, with Padding alone, is not retried', async (t) => {
  const { clock, doh, exchange } = setUp(fails('connect-refused', 0), answers(1, formerr))
  const seen = exchange()
  await clock.advance(10)
  t.same(seen.value?.wire, formerr)
  t.equal(doh.calls.length, 1)
})

t.test('FORMERR, and the link ends during the retry: the first reply is returned', async (t) => {
  const { clock, dot, exchange } = setUp({ wire: formerr, afterMs: 10, next: { code: 'connection-lost', afterMs: 1 } }, answers(1))
  const seen = exchange()
  await clock.advance(20)
  t.same(seen.value?.wire, formerr)
  t.equal(dot.calls.length, 2)
})

t.test('FORMERR under a schedule: nothing is sent twice, and the next query omits the option', async (t) => {
  const clock = new FakeClock()
  const dot = new FakeLink('dot', clock, answers(10, formerr))
  const upstream = createUpstream({ id: 'r', links: [dot], paddingBlock: 128, clock, emit: () => {}, manner: ON_SCHEDULE })
  for (let i = 0; i < 2; i++) {
    const seen = watch(clock, reached(upstream, MESSAGE, false, { purpose: 'client', deadlineMs: clock.nowMs() + 4000 }))
    await clock.advance(20)
    t.same(seen.value?.wire, formerr)
  }
  t.same(
    dot.calls.map((call) => optionCodes(call.request, MESSAGE.length)),
    [[11, 12], [12]],
  )
})

t.test('block 0 sends an OPT and no padding', async (t) => {
  const { clock, dot, exchange } = setUp(answers(1), answers(1), 0)
  exchange()
  await clock.advance(1)
  t.same(options(dot.calls[0]!.request), { padded: false, dnssecOk: true, octets: MESSAGE.length + 15 })
})

t.test('a reply is passed up with any content', async (t) => {
  for (const o of [{ rcode: 2 }, { rcode: 5 }, { rcode: 3 }, { flags: 0x0200 }]) {
    const { clock, doh, exchange } = setUp(answers(1, reply(o)), answers(1))
    const seen = exchange()
    await clock.advance(1)
    t.same(seen.value?.wire, reply(o))
    t.equal(doh.calls.length, 0, 'no other transport is asked')
  }
})

t.test('a link failure moves to the next transport at once, and both are reported', async (t) => {
  const { clock, events, exchange } = setUp(fails('connect-refused', 3), answers(20))
  const seen = exchange()
  await clock.advance(23)
  t.equal(seen.value?.transport, 'doh')
  t.same(
    events.map((e) => [e.type, 'transport' in e && e.transport, 'code' in e && e.code, 'afterMs' in e && e.afterMs]),
    [
      ['upstream.failed', 'dot', 'connect-refused', 3],
      ['upstream.answered', 'doh', false, false],
    ],
  )
})

t.test('a blocked port costs the first query one second, and the next ones nothing', async (t) => {
  const { clock, dot, doh, exchange } = setUp('dark', answers(20))
  const first = exchange()
  await clock.advance(4000)
  t.equal(first.value?.transport, 'doh')
  t.equal(dot.calls[0]!.ask.deadlineMs - dot.calls[0]!.atMs, 1000)
  t.equal(doh.calls[0]!.atMs - dot.calls[0]!.atMs, 1000)
  for (let i = 0; i < 50; i++) {
    const seen = exchange()
    const atMs = clock.nowMs()
    await clock.advance(20)
    t.equal(seen.atMs, atMs + 20)
    await clock.advance(480)
  }
  t.equal(dot.count('client'), 1, 'no user query was spent on the dark one')
})

t.test('a transport that worked before gets half of the remaining time', async (t) => {
  const { clock, dot, doh, exchange } = setUp(answers(20), answers(20))
  exchange()
  await clock.advance(1000)
  dot.act = 'dark'
  const seen = exchange(3000)
  await clock.advance(3000)
  t.equal(dot.calls[1]!.ask.deadlineMs - dot.calls[1]!.atMs, 1500)
  t.equal(doh.calls[0]!.ask.deadlineMs, dot.calls[1]!.atMs + 3000, 'the last one gets all of it')
  t.equal(seen.value?.transport, 'doh')
})

t.test('the failed transport is retried alongside real traffic after 1, 2, 4 s and so on up to a minute', async (t) => {
  const { clock, dot, exchange } = setUp(fails('connect-refused', 0), answers(5))
  for (let i = 0; i < 1440; i++) {
    exchange()
    await clock.advance(250)
  }
  const probes = dot.calls.filter((call) => call.ask.purpose === 'probe').map((call) => call.atMs)
  const gaps = probes.map((atMs, i) => Math.round((atMs - (probes[i - 1] ?? dot.calls[0]!.atMs)) / 1000))
  t.same(gaps, [1, 2, 4, 8, 16, 32, 54, 54, 54, 54, 54])
  t.equal(dot.count('client'), 1)
})

t.test('one success restores the order of preference and the count', async (t) => {
  const { clock, dot, doh, exchange } = setUp(fails('tls-failed'), answers(5))
  for (let i = 0; i < 40; i++) {
    exchange()
    await clock.advance(100)
  }
  dot.act = answers(5)
  await clock.advance(60_000)
  const during = exchange()
  await clock.advance(100)
  t.equal(during.value?.transport, 'doh', 'the user does not wait for the trial')
  const after = exchange()
  await clock.advance(100)
  t.equal(after.value?.transport, 'dot')
  dot.act = fails('connection-lost')
  const dohCalls = doh.calls.length
  exchange()
  await clock.advance(900)
  const probes = dot.count('probe')
  exchange()
  await clock.advance(200)
  t.equal(doh.calls.length, dohCalls + 2)
  exchange()
  await clock.advance(200)
  t.equal(dot.count('probe'), probes + 1, 'the backoff began at 1 s again')
})

t.test('one trial at a time', async (t) => {
  const { clock, dot, exchange } = setUp(fails('connect-refused'), answers(5))
  exchange()
  await clock.advance(1200)
  dot.act = 'dark'
  for (let i = 0; i < 10; i++) exchange()
  await clock.advance(1000)
  t.equal(dot.count('probe'), 1)
})

t.test('a slow name does not demote a transport that answers others', async (t) => {
  const { clock, dot, doh, exchange } = setUp('dark', answers(5))
  exchange(4000)
  await clock.advance(500)
  dot.act = answers(5)
  exchange(4000)
  await clock.advance(1000)
  t.equal(doh.calls.length, 1, 'the slow one went on')
  const seen = exchange()
  await clock.advance(100)
  t.equal(seen.value?.transport, 'dot')
})

t.test('a deadline too short for evidence, a full queue and a shutdown demote nothing', async (t) => {
  for (const [act, budgetMs] of [
    ['dark', 200],
    [fails('overloaded'), 4000],
    [fails('closed'), 4000],
  ] as const) {
    const { clock, dot, exchange } = setUp(act, answers(5))
    const first = exchange(budgetMs)
    await clock.advance(200)
    t.equal(first.value?.transport, 'doh')
    dot.act = answers(5)
    const seen = exchange()
    await clock.advance(10)
    t.equal(seen.value?.transport, 'dot')
  }
})

t.test('a hundred exchanges that die together are one failure', async (t) => {
  const { clock, dot, exchange } = setUp(fails('connection-lost', 10), answers(5))
  for (let i = 0; i < 100; i++) exchange()
  await clock.advance(1050)
  exchange()
  await clock.advance(100)
  t.equal(dot.count('probe'), 1, 'the backoff was 1 s, not 2^100')
})

t.test('when every transport fails the error is the most informative one', async (t) => {
  const cases: [Act, Act, ErrorCode][] = [
    [fails('connect-refused'), fails('certificate-expired'), 'certificate-expired'],
    [fails('pin-mismatch'), 'dark', 'pin-mismatch'],
    [fails('connect-refused'), fails('connect-refused'), 'connect-refused'],
    [fails('connect-refused'), 'dark', 'deadline'],
    [fails('connect-refused'), fails('tls-failed'), 'no-upstream'],
  ]
  for (const [a, b, code] of cases) {
    const { clock, exchange } = setUp(a, b)
    const startMs = clock.nowMs()
    const seen = exchange()
    await clock.advance(4000)
    t.equal(seen.code, code)
    t.ok(seen.atMs! <= startMs + 4000)
  }
})

t.test('no second transport is asked when no time is left', async (t) => {
  const { clock, doh, exchange } = setUp(fails('connect-refused', 0), answers(5))
  const late = exchange(0)
  await clock.advance(10)
  t.equal(late.code, 'deadline')
  t.equal(doh.calls.length, 0)
})

t.test('an error that is not ours is reported as a fault and rejects as internal', async (t) => {
  const { emit, events } = recorder()
  const clock = new FakeClock()
  const broken = new FakeLink('dot', clock, 'dark')
  broken.send = () => {
    throw new TypeError('a bug')
  }
  const upstream = createUpstream({ manner: ON_DEMAND, id: 'r', links: [broken], paddingBlock: 128, clock, emit })
  await t.rejects(reached(upstream, MESSAGE, false, { purpose: 'client', deadlineMs: clock.nowMs() + 10 }), { code: 'internal' })
  t.same(events[0], { type: 'fault', where: 'upstream' })
})

t.test('the age of a reply from an HTTP cache is passed up', async (t) => {
  const { dot, exchange, clock } = setUp(answers(1), answers(1))
  dot.send = (_request, _ask, to) => to.carried({ wire: reply(), rttMs: 1, protection: AUTHENTICATED, ageS: 30 })
  const seen = exchange()
  await clock.advance(1)
  t.equal(seen.value?.ageS, 30)
})

t.test('without links there is nothing to ask', async (t) => {
  const clock = new FakeClock()
  const upstream = createUpstream({ manner: ON_DEMAND, id: 'r', links: [], paddingBlock: 128, clock, emit: () => {} })
  await t.rejects(reached(upstream, MESSAGE, false, { purpose: 'client', deadlineMs: clock.nowMs() + 10 }), { code: 'no-upstream' })
})

t.test('close closes every link, even if one of them fails to close, and later calls reject', async (t) => {
  const { dot, doh, upstream, exchange, clock } = setUp(answers(1), answers(1))
  dot.close = () => Promise.reject(new Error('it was gone'))
  await upstream.close()
  t.equal(doh.closed, 1)
  const seen = exchange()
  await clock.advance(1)
  t.equal(seen.code, 'closed')
  t.equal(dot.calls.length, 0)
})

t.test('property: it settles by the deadline, each transport is asked once, every request is whole blocks', async () => {
  const code = fc.constantFrom<ErrorCode>('connect-refused', 'connection-lost', 'tls-failed', 'certificate-name', 'overloaded', 'deadline')
  const act: fc.Arbitrary<Act> = fc.oneof(
    fc.constant<Act>('dark'),
    fc.record({ code, afterMs: fc.integer({ min: 0, max: 5000 }) }),
    fc.integer({ min: 0, max: 5000 }).map((afterMs) => answers(afterMs)),
  )
  const step = fc.record({ dot: act, doh: act, budgetMs: fc.integer({ min: 1, max: 5000 }), pauseMs: fc.integer({ min: 0, max: 3000 }) })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 6 }), async (steps) => {
      const { clock, dot, doh, exchange } = setUp('dark', 'dark')
      for (const s of steps) {
        dot.act = s.dot
        doh.act = s.doh
        const asked = [dot.count('client'), doh.count('client')] as const
        const dueMs = clock.nowMs() + s.budgetMs
        const seen = exchange(s.budgetMs)
        await clock.advance(s.budgetMs)
        if (seen.atMs === undefined || seen.atMs > dueMs) return false
        if (dot.count('client') > asked[0] + 1 || doh.count('client') > asked[1] + 1) return false
        await clock.advance(s.pauseMs)
      }
      return [...dot.calls, ...doh.calls].every((call) => call.request.length % 128 === 0)
    }),
    { numRuns: 150, seed: 7 },
  )
})
