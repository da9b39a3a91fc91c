import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { type Asker, newName } from '../../bench/chaos/asker.ts'
import { type Scene, startScene } from '../../bench/chaos/scene.ts'
import { judge, POISONED } from '../support/faults/answers.ts'
import { type FaultKind, isPossible, type Protocol } from '../support/faults/fault.ts'
import { bytes, query, u16s } from '../support/messages.ts'
import { udpClient } from '../support/real/dns-client.ts'

/**
 * What comes of a reply that is not what was asked for: the right answer, or SERVFAIL; never
 * another.
 */
const OUTCOMES: Partial<Record<FaultKind, (over: Protocol) => number>> = {
  'wrong-id': (over) => (over === 'dot' ? 0 : 2),
  'wrong-question': (over) => (over === 'dot' ? 0 : 2),
  'wrong-case': () => 0,
  'extra-records': () => 0,
  short: () => 2,
  servfail: () => 2,
  oversize: (over) => (over === 'dot' ? 0 : 2),
  'wrong-type': () => 2,
  redirect: () => 2,
  gzip: () => 2,
  status: () => 2,
  stall: () => 2,
}
const kinds = Object.keys(OUTCOMES).filter((kind): kind is FaultKind => kind in OUTCOMES)

/** A SERVFAIL of a resolver may be kept for a moment (RFC 9520 section 3.2: at least 1 s). */
const FAILURE_KEPT_MS = 10_000

async function rightWithin(asker: Asker, name: string, ms: number): Promise<boolean> {
  const untilMs = performance.now() + ms
  for (;;) {
    if ((await asker.ask(name)).right) return true
    if (performance.now() > untilMs) return false
    await sleep(200)
  }
}

async function sceneOver(t: Test, protocol: Protocol): Promise<Scene> {
  const scene = await startScene({ protocols: [protocol], config: { timeoutMs: 1500 } }, 1)
  t.teardown(() => scene.close())
  return scene
}

for (const protocol of ['dot', 'h2', 'h1'] as const)
  t.test(`${protocol}: replies of a hostile resolver are never used, never stored, and cost no other answer`, async (t) => {
    const { server, asker, daemon, unexpected } = await sceneOver(t, protocol)
    await asker.firstAnswer(10_000)
    for (const kind of kinds) {
      if (!isPossible(kind, protocol)) continue
      const name = newName(kind)
      server.begin({ kind })
      const { rcode, wrong } = await asker.ask(name)
      // Of 65,535 octets a UDP client gets TC=1 and no record.
      t.equal(rcode, OUTCOMES[kind]?.(protocol), kind)
      t.notOk(wrong, `${kind}: nothing wrong is told`)
      server.clear()
      await asker.firstAnswer(10_000)
      if (kind === 'oversize') continue // what the UDP client got was whole, and may be kept
      // That the question failed may be kept for a moment (RFC 9520); what the hostile one said is
      // not.
      t.ok(await rightWithin(asker, name, FAILURE_KEPT_MS), `${kind}: right when it is over, so nothing of it was kept`)
    }
    t.ok((await asker.ask(POISONED)).right, 'what stood beside an answer about another name was not taken (CVE-2025-40778)')
    t.equal(server.asked.get(POISONED), 1, 'it was asked for')
    t.equal(asker.counts.wrong, 0)
    t.ok(daemon.alive)
    t.strictSame(unexpected, [])
  })

t.test('a TC reply from upstream is passed on, and not stored', async (t) => {
  const { server, asker } = await sceneOver(t, 'dot')
  await asker.firstAnswer(10_000)
  server.begin({ kind: 'truncated' })
  const name = newName('tc')
  t.notOk((await asker.ask(name)).right)
  server.clear()
  t.ok((await asker.ask(name)).right)
})

t.test('a client subnet and a cookie of the client are not forwarded (CVE-2025-5994)', async (t) => {
  const { server, daemon, unexpected, asker } = await sceneOver(t, 'h2')
  await asker.firstAnswer(10_000)
  const client = await udpClient(daemon.port)
  t.teardown(() => client.close())
  const options = bytes(u16s(8, 7), [0, 1, 24, 0, 192, 0, 2], u16s(10, 8), [1, 2, 3, 4, 5, 6, 7, 8])
  const [subnet, plain] = [newName('Ecs'), newName('ecs')]
  for (const [name, opt] of [[subnet, { options }] as const, [plain, {}] as const])
    t.ok(judge(name, await client.ask(query({ name, opt }))).right)
  t.equal(server.asked.get(subnet.toLowerCase()), 1)
  t.strictSame(unexpected, [], 'the fault server says so if one comes, and if a capital letter does')
})
