import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { EnigmError } from '../../src/errors.ts'
import type { Authenticated, Carried, Link, Receiver } from '../../src/resolve.ts'
import { ON_DEMAND, ON_SCHEDULE } from '../../src/upstream/path-health.ts'
import { createSelection } from '../../src/upstream/selection.ts'
import { createUpstream } from '../../src/upstream/upstream.ts'
import { FakeClock, seededRandom } from '../support/fake-clock.ts'
import { PROJECT_ROOT } from '../support/readme.ts'
import { AUTHENTICATED, answers, FakeLink, fails, MESSAGE, reached, recorder, reply, watch } from './fakes.ts'

/**
 * What only the judge does: read a reply's verdict, classify a failure, change how something
 * stands, report either.
 */
const OF_THE_JUDGE: Readonly<Record<string, RegExp>> = {
  'works out a verdict': /\bverdictOn\(/,
  'classifies a failure': /\bspeaksAgainst\(/,
  'keeps a path health': /new PathHealth\(/,
  'changes a path health':
    /\.(lastReplyMs|lastTriedMs|retryAtMs|badReplies) = |\+\+\w*\.?pathHealth\.|pathHealth\.(answered|failed|postpone|reset|forgive)\(/,
  'reports how a resolver does': /type: 'upstream\.(answered|failed)'/,
  'sends a probe': /purpose(: | = )'probe'/,
}
/** The judge of the set and that of one resolver. */
const JUDGES = new Set(['health.ts', 'resolver-health.ts'])
/** Pure state, the verdict itself, and the form of a probe. */
const PARTS = new Set(['path-health.ts', 'classification.ts', 'asker.ts'])

t.test('two files judge resolvers and transports; the others report results to them', (t) => {
  const folder = join(PROJECT_ROOT, 'src', 'upstream')
  for (const file of readdirSync(folder)) {
    if (JUDGES.has(file) || PARTS.has(file)) continue
    const text = readFileSync(join(folder, file), 'utf8')
    for (const [what, pattern] of Object.entries(OF_THE_JUDGE)) t.notMatch(text, pattern, `${file} ${what}`)
  }
  t.end()
})

/** A set of one resolver with two transports, as the daemon joins them. */
function setUp(manner = ON_DEMAND) {
  const clock = new FakeClock()
  const links = [new FakeLink('dot', clock, answers(5)), new FakeLink('doh', clock, answers(5))] as const
  const { events, emit } = recorder()
  const upstream = createUpstream<Authenticated>({ manner, id: 'r', links, paddingBlock: 128, clock, emit })
  const selection = createSelection<Authenticated>({ manner, upstreams: [upstream], clock, random: seededRandom(1), emit })
  const ask = () => watch(clock, reached(selection, MESSAGE, false, { purpose: 'client', deadlineMs: clock.nowMs() + 4000 }))
  return { clock, links, events, upstream, selection, ask }
}

t.test('a reply is reported once, and counts for the transport and for the resolver', async (t) => {
  const { clock, links, events, upstream, ask } = setUp()
  for (const link of links) link.act = fails('connect-refused')
  ask()
  await clock.advance(10)
  const stands = () => [upstream.health.pathHealth, ...upstream.health.order(clock.nowMs()).map(({ pathHealth }) => pathHealth)]
  t.same(
    stands().map(({ healthy }) => healthy),
    [false, false, false],
  )
  for (const link of links) link.act = answers(5)
  events.length = 0
  const seen = ask()
  await clock.advance(5)
  t.equal(seen.value?.transport, 'dot')
  t.same(
    events.map(({ type }) => type),
    ['upstream.answered'],
  )
  t.ok(upstream.health.pathHealth.healthy)
  t.same(
    upstream.health.order(clock.nowMs()).map(({ link, pathHealth }) => [link.transport, pathHealth.healthy]),
    [
      ['dot', true],
      ['doh', false],
    ],
    'the other transport has still to show that it works',
  )
})

t.test('a resolver is as healthy as its best transport: one that fails does not make it fail', async (t) => {
  const { clock, links, upstream, ask } = setUp()
  links[0].act = fails('connect-refused')
  for (let i = 0; i < 10; i++) {
    const seen = ask()
    await clock.advance(100)
    t.equal(seen.value?.transport, 'doh')
  }
  t.equal(upstream.health.pathHealth.failures, 0)
})

t.test('a network change forgives both', async (t) => {
  const { clock, links, upstream, selection, ask } = setUp()
  for (const link of links) link.act = fails('connect-refused')
  ask()
  await clock.advance(10)
  selection.disturbed()
  t.ok(upstream.health.pathHealth.healthy)
  t.ok(upstream.health.order(clock.nowMs()).every(({ pathHealth }) => pathHealth.healthy))
})

type Told = Receiver<Authenticated, readonly unknown[]>
const carried = (): Carried<Authenticated> => ({ wire: reply(), rttMs: 1, protection: AUTHENTICATED })

/** A link that tells in the call, as one does that has refused already. */
function atOnce(tell: (to: Receiver<Authenticated>) => void): Link<Authenticated> {
  return { id: 'r', transport: 'doh', send: (_request, _ask, to) => tell(to), close: async () => {} }
}

function counting(fail: boolean): { readonly to: Told; readonly told: string[] } {
  const told: string[] = []
  const note = (what: string) => {
    told.push(what)
    if (fail) throw new TypeError('a bug of whoever asked')
  }
  return { told, to: { carried: () => note('carried'), failed: ({ code }) => note(code) } }
}

for (const manner of [ON_DEMAND, ON_SCHEDULE]) {
  const how = manner.asksAgain ? 'on demand' : 'on a schedule'
  for (const [what, tell] of [
    ['carried', (to: Receiver<Authenticated>) => to.carried(carried())],
    ['pin-mismatch', (to: Receiver<Authenticated>) => to.failed(new EnigmError('pin-mismatch', 'as the test asked'))],
  ] as const) {
    t.test(`${how}, an asker that throws at its result (${what}) gets no second result`, async (t) => {
      const clock = new FakeClock()
      const { events, emit } = recorder()
      const upstream = createUpstream<Authenticated>({ manner, id: 'r', links: [atOnce(tell)], paddingBlock: 128, clock, emit })
      const selection = createSelection<Authenticated>({ manner, upstreams: [upstream], clock, random: seededRandom(1), emit })
      for (const asked of [upstream, selection]) {
        const { to, told } = counting(true)
        asked.ask(MESSAGE, false, { purpose: 'client', deadlineMs: clock.nowMs() + 100 }, to)
        await clock.advance(200)
        t.same(told, [what])
      }
      t.same(
        events.filter(({ type }) => type === 'fault'),
        [
          { type: 'fault', where: 'upstream' },
          { type: 'fault', where: 'upstream' },
        ],
      )
      await selection.close()
    })
  }

  t.test(`${how}, only the first report of a link counts`, async (t) => {
    const clock = new FakeClock()
    const { events, emit } = recorder()
    const twice = atOnce((to) => {
      to.carried(carried())
      to.failed(new EnigmError('connection-lost', 'and once more'))
      to.carried(carried())
    })
    const upstream = createUpstream<Authenticated>({ manner, id: 'r', links: [twice], paddingBlock: 128, clock, emit })
    const { to, told } = counting(false)
    upstream.ask(MESSAGE, false, { purpose: 'client', deadlineMs: clock.nowMs() + 100 }, to)
    t.same(told, ['carried'])
    t.equal(events.length, 1)
  })
}
