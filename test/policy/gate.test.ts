import t from 'tap'
import { nameFromText } from '../../src/dns/name.ts'
import type { ErrorCode } from '../../src/errors.ts'
import { SelfCanary } from '../../src/local-names/self-canary.ts'
import { gatedLink, gateStage, PolicyGate, SetupGate } from '../../src/policy/gate.ts'
import type { Answer, Ask, Link, Protection, Query, Receiver } from '../../src/resolve.ts'
import { exchange } from '../support/links.ts'
import { openGate } from '../support/rules.ts'
import { type Resolve, through } from '../support/stages.ts'
import { AUTHENTICATED } from '../upstream/fakes.ts'

const ask: Ask = { purpose: 'client', deadlineMs: 0 }
const answer = { from: 'policy' } as unknown as Answer
function queryFor(name: string): Query {
  const wire = Buffer.concat([nameFromText(name), Buffer.from([0, 1, 0, 1])])
  return { question: { wire, lower: wire, type: 1, class: 1 }, client: { address: '127.0.0.1', transport: 'udp' } } as unknown as Query
}

t.test('one integer that threads share', (t) => {
  const gate = new PolicyGate()
  const other = new PolicyGate(gate.shared)
  t.ok(other.closed, 'until it is judged')
  t.equal(other.refusal()?.code, 'policy-pending')
  gate.set(undefined)
  t.equal(other.closed, false)
  t.equal(other.refusal(), undefined)
  gate.set('audit-required')
  t.ok(other.closed)
  t.equal(other.reason, 'audit-required')
  gate.set('deadline' as ErrorCode)
  t.ok(gate.closed, 'a reason that is none of its own closes, too')
  gate.set(undefined)
  t.notOk(other.closed)
  t.end()
})

t.test('closed: nothing passes, neither the pipeline nor a link', async (t) => {
  const gate = openGate()
  let passed = 0
  const next: Resolve = async () => {
    passed++
    return answer
  }
  const stage = through([gateStage(gate)], next)
  const link = gatedLink(
    {
      id: 'x',
      transport: 'dot',
      send: (request: Uint8Array, _ask: Ask, to: Receiver<Protection>) => {
        passed++
        to.carried({ wire: request, rttMs: 1, protection: AUTHENTICATED })
      },
      close: async () => {},
    } as unknown as Link,
    gate,
  )
  await stage(queryFor('a.example.'), ask)
  await exchange(link, new Uint8Array(), ask)
  t.equal(passed, 2)
  gate.set('vpn-required')
  await t.rejects(stage(queryFor('a.example.'), ask), { code: 'vpn-required' })
  await t.rejects(exchange(link, new Uint8Array(), ask), { code: 'vpn-required' })
  t.equal(passed, 2)
})

t.test('an answer that comes while it is closed is not delivered', async (t) => {
  const gate = openGate()
  let tell: (answer: Answer) => void = () => {}
  const stage = through(
    [gateStage(gate)],
    () =>
      new Promise((resolve) => {
        tell = resolve
      }),
  )
  const closed = stage(queryFor('a.example.'), ask)
  gate.set('vpn-required')
  tell(answer)
  await t.rejects(closed, { code: 'vpn-required' })
  gate.set(undefined)
  const open = stage(queryFor('a.example.'), ask)
  tell(answer)
  t.equal(await open, answer)
})

t.test('a revoked gate stays closed when the policy opens again', async (t) => {
  const policy = openGate()
  const [old, next] = [new SetupGate(policy), new SetupGate(policy)]
  t.notOk(old.closed)
  policy.set('vpn-required')
  t.ok(old.closed && next.closed)
  old.revoke()
  policy.set(undefined)
  t.ok(old.closed)
  t.equal(old.refusal()?.code, 'vpn-required')
  t.notOk(next.closed)
  t.equal(next.refusal(), undefined)
  next.revoke()
  t.ok(next.closed, 'also while the policy is open')
})

t.test('the canary: only its own latest name counts, and no name below its zone is forwarded', async (t) => {
  const canary = new SelfCanary()
  const beyond: string[] = []
  const stage = through([canary.stage()], async () => {
    beyond.push('x')
    return answer
  })
  const first = canary.name(Buffer.alloc(16, 1))
  t.match(first, /^[0-9a-f]{32}\.canary\.enigm-dns\.test\.$/)
  const second = canary.name(Buffer.alloc(16, 2))
  t.match(await stage(queryFor(first), ask), { rcode: 3, storeS: 'no' })
  t.notOk(canary.arrived, 'an earlier one')
  await stage(queryFor(second), ask)
  t.ok(canary.arrived)
  t.same(beyond, [])
  for (const name of ['canary.enigm-dns.test.', 'x.canary.enigm-dns.test.', 'example.com.']) await stage(queryFor(name), ask)
  t.equal(beyond.length, 3)
})
