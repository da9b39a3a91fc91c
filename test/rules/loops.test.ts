import t from 'tap'
import type { Random } from '../../src/clock.ts'
import { nameFromText } from '../../src/dns/name.ts'
import type { Event } from '../../src/events.ts'
import { Job, type SideAsker } from '../../src/job.ts'
import { Loops } from '../../src/rules/loops.ts'
import { questionFor } from '../../src/rules/own-answers.ts'
import { type KnownSide, sidesOf } from '../../src/rules/sides.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { view } from '../support/rules.ts'

const PHONE = '192.168.1.20'
const ROUTER = '192.168.1.1'
const random: Random = { bytes: (n) => new Uint8Array(n).fill(7), below: () => 0 }

/** A zone that is asked at a router, and a view whose clients have no zone. */
function scene(servers: readonly string[]) {
  const sides = sidesOf({
    use: ['quad'],
    forward: [{ zone: 'lan.example', cleartext: `${ROUTER}:53` }],
    views: [{ id: 'infrastructure', clients: [ROUTER], forward: [] }],
  })
  const events: Event[] = []
  const clock = new FakeClock()
  const asked: Job[] = []
  const asker: SideAsker = { ask: (job) => void asked.push(job) }
  const loops = new Loops({
    clock,
    random,
    emit: (event) => void events.push(event),
    askers: sides.all.map(() => asker),
    serversOf: ({ zone }: KnownSide) => (zone === undefined ? [] : servers),
  })
  const ask = (name: string, address: string, number = 0) => {
    const client = { address, transport: 'udp', view: view(number) } as const
    const question = questionFor(nameFromText(name), 1)
    return enter({ id: 0, question, authenticData: false, checkingDisabled: false, edns: undefined, client })
  }
  const enter = (query: Job['query']) => {
    const job = new Job([], query, { purpose: 'client', deadlineMs: 0 }, () => {})
    const side = sides.of(query.question.lower, query.client.view)
    const outcome = loops.begin(job, side)
    return { outcome, leave: () => loops.end(job, side) }
  }
  /** The test name comes back from the router. */
  const comeBack = (number = 0) => {
    const query = asked.at(-1)?.query
    return query === undefined ? undefined : enter({ ...query, client: { address: ROUTER, transport: 'udp', view: view(number) } })
  }
  return { ask, comeBack, asked, events, clock, loops }
}

for (const [what, servers, from] of [
  ['a server in the configuration', [ROUTER], ROUTER],
  ['a server in mapped form', [ROUTER], `::ffff:${ROUTER}`],
  ['one of several servers of the link', ['192.168.1.9', ROUTER], ROUTER],
] as const)
  t.test(`a zone whose server is another host that asks us is found: ${what}`, (t) => {
    const { ask, comeBack, asked, events } = scene(servers)
    t.equal(ask('nas.lan.example', PHONE).outcome, undefined)
    t.equal(ask('nas.lan.example', PHONE).outcome, undefined)
    t.equal(asked.length, 0, 'a second client that asks the same is no sign')
    ask('nas.lan.example', from)
    t.equal(asked.length, 1, 'a test name is asked')
    t.match(comeBack()?.outcome, { code: 'forward-loop' })
    t.match(events, [{ type: 'forward.loop', zone: 'lan.example', found: true }])
    t.match(ask('other.lan.example', PHONE).outcome, { code: 'forward-loop' })
    t.end()
  })

t.test('the same if the view of the server has no zone: its question goes nowhere else', (t) => {
  const { ask, comeBack, asked } = scene([ROUTER])
  const first = ask('nas.lan.example', PHONE)
  t.match(ask('nas.lan.example', ROUTER, 1).outcome, { code: 'forward-loop' })
  t.equal(asked.length, 1)
  t.match(comeBack(1)?.outcome, { code: 'forward-loop' })
  t.match(ask('other.lan.example', PHONE).outcome, { code: 'forward-loop' })
  first.leave()
  t.equal(ask('nas.lan.example', ROUTER, 1).outcome, undefined, 'its own question, which nobody else asks')
  t.end()
})

t.test('after close no test name is sent, whatever still enters or ends', (t) => {
  const { ask, comeBack, asked, clock, loops } = scene([ROUTER])
  ask('nas.lan.example', PHONE)
  loops.close()
  ask('nas.lan.example', ROUTER)
  t.equal(asked.length, 0, 'a suspicious question')
  const other = scene([ROUTER])
  other.ask('nas.lan.example', PHONE)
  other.ask('nas.lan.example', ROUTER)
  t.equal(other.asked.length, 1)
  other.loops.close()
  t.match(other.comeBack()?.outcome, { code: 'forward-loop' }, 'a test in progress still ends')
  t.equal(other.clock.timers, 0, 'and plans no other')
  t.equal(clock.timers, 0)
  t.equal(comeBack(), undefined)
  t.end()
})
