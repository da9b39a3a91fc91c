import t from 'tap'
import type { Config } from '../src/config/settings.ts'
import { nameFromText } from '../src/dns/name.ts'
import type { Event } from '../src/events.ts'
import { Job } from '../src/job.ts'
import { questionFor } from '../src/rules/own-answers.ts'
import { sideAskers } from '../src/side-askers.ts'
import { FakeClock, seededRandom } from './support/fake-clock.ts'
import { openGate, view } from './support/rules.ts'

const PHONE = '192.168.1.20'
const FRONT = '192.168.1.1'

/** A zone whose encrypted server at `addresses` is asked; what is asked of it is kept. */
function scene(addresses: string[]) {
  const asked: Uint8Array[] = []
  const events: Event[] = []
  const trusted = { among: () => ({ ask: (message: Uint8Array) => void asked.push(message) }) }
  const config = { use: ['general'], forward: [{ zone: 'corp.example', to: ['corp'] }], views: [], cache: { minTtlS: 0, maxTtlS: 86_400 } }
  const { sides, loops } = sideAskers(config as unknown as Config, trusted as unknown as Parameters<typeof sideAskers>[1], {
    clock: new FakeClock(),
    random: seededRandom(1),
    emit: (event) => void events.push(event),
    gate: openGate(),
    resolvers: [
      { id: 'general', addresses: ['192.0.2.1'] },
      { id: 'corp', addresses },
    ],
    linkServers: async () => [],
  })
  const enter = (question: Job['query']['question'], address: string) => {
    const client = { address, transport: 'udp', view: view(0) } as const
    const query = { id: 0, question, authenticData: false, checkingDisabled: false, edns: undefined, client }
    const job = new Job([], query, { purpose: 'client', deadlineMs: 0 }, () => {})
    return loops.begin(job, sides.of(question.lower, view(0)))
  }
  return { asked, events, enter, ask: (name: string, address: string) => enter(questionFor(nameFromText(name), 1), address) }
}

for (const [what, addresses, from] of [
  ['its own address', [FRONT], FRONT],
  ['one of several addresses', ['2001:db8::1', FRONT], FRONT],
  ['an IPv6 address in another spelling', ['2001:DB8:0::1'], '2001:db8::1'],
] as [string, string[], string][])
  t.test(`an encrypted server of a zone that asks us in turn is found: ${what}`, async (t) => {
    const { asked, events, enter, ask } = scene(addresses)
    t.equal(ask('nas.corp.example', PHONE), undefined)
    t.equal(ask('nas.corp.example', PHONE), undefined)
    t.equal(asked.length, 0, 'a second client that asks the same is no sign')
    ask('nas.corp.example', from)
    t.equal(asked.length, 1, 'a test name is asked of the server')
    const lower = asked[0]?.slice(12) ?? new Uint8Array(0)
    t.match(enter({ lower, type: 1, class: 1 }, from), { code: 'forward-loop' })
    t.match(events, [{ type: 'forward.loop', zone: 'corp.example', found: true }])
    t.match(ask('other.corp.example', PHONE), { code: 'forward-loop' })
    t.equal(ask('www.example.net', PHONE), undefined, 'general names go on')
  })

t.test('another host that asks the same is no sign of a loop', async (t) => {
  const { asked, ask } = scene(['192.168.1.9'])
  ask('nas.corp.example', PHONE)
  ask('nas.corp.example', FRONT)
  t.equal(asked.length, 0)
})
