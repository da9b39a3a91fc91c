import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { FAULT_ZONE } from '../support/faults/answers.ts'
import { seeded } from '../support/faults/seeded.ts'
import { type FaultServer, startFaultServer } from '../support/faults/server.ts'
import { faultEntry } from '../support/faults/trusted.ts'
import { pause } from '../support/link-rig.ts'
import { trustedRig } from '../support/trusted-rig.ts'

t.setTimeout(120_000)
const authority = await createAuthority()
const name = (label: string) => `${label}.${FAULT_ZONE}`

/** What a resolver was asked, the root and covers apart. */
const namesAt = ({ asked }: FaultServer) => [...asked.keys()].filter((asked) => asked.endsWith(FAULT_ZONE))

interface Scene {
  readonly profile: string
  readonly first: FaultServer
  readonly second: FaultServer
  readonly rig: Awaited<ReturnType<typeof trustedRig>>
}

/**
 * What every link keeps, dialled on demand or driven by a schedule, over DoT and over DoH: with a
 * second resolver beside it, which must learn nothing.
 */
function forBoth(what: string, test: (t: Test, scene: Scene) => Promise<void>, resolvers = 2): void {
  for (const profile of ['off', 'balanced'] as const)
    for (const protocol of ['dot', 'h2'] as const)
      t.test(`${what} (${profile}, ${protocol})`, async (t) => {
        const [first, second] = await Promise.all(
          [1, 2].map((seed) => startFaultServer({ authority, protocol, chance: seeded(seed), usual: { rttMs: 4 } })),
        )
        if (first === undefined || second === undefined) throw new Error('two servers')
        t.teardown(() => Promise.all([first.close(), second.close()]))
        const entries = [first, second].map(({ port }, i) => faultEntry(`r${i}`, protocol, port)).slice(0, resolvers)
        const rig = await trustedRig(t, { resolvers: entries, ca: authority.certificate, config: { shaping: { profile } } })
        await test(t, { profile, first, second, rig })
        await rig.close()
      })
}

forBoth('renew: a network that changes during the first dial is no failure, and tells no second operator', async (t, scene) => {
  const { first, second, rig } = scene
  first.begin({ kind: 'blackhole' })
  const asked = rig.ask(name('early'))
  await pause(120)
  rig.trusted.react('network', true)
  first.clear()
  const beganMs = performance.now()
  t.equal(await asked, 'answered')
  t.ok(performance.now() - beganMs < 500, 'no backoff')
  t.equal(rig.count('link.failed'), 0)
  t.same(namesAt(second), [])
})

forBoth('renew: the same for a dial that follows another one, and for several changes in a row', async (t, scene) => {
  const { profile, first, second, rig } = scene
  t.equal(await rig.ask(name('before')), 'answered')
  rig.trusted.react('network', true)
  first.begin({ kind: 'blackhole' })
  const asked = Array.from({ length: 5 }, (_, i) => rig.ask(name(`during${i}`)))
  for (let change = 0; change < 4; change++) {
    await pause(25)
    rig.trusted.react(change % 2 === 0 ? 'wake' : 'network', true)
  }
  first.clear()
  t.same(new Set(await Promise.all(asked)), new Set(['answered']))
  t.equal(rig.count('link.failed'), 0)
  // Without a schedule a silence of 160 ms is reason enough to ask another, whatever it comes from.
  if (profile !== 'off') t.same(namesAt(second), [])
})

forBoth('renew: what is under way when the network changes is asked again of the same operator', async (t, scene) => {
  const { profile, first, second, rig } = scene
  t.equal(await rig.ask(name('before')), 'answered')
  first.begin({ kind: 'slow', ms: 60 })
  const asked = Array.from({ length: 5 }, (_, i) => rig.ask(name(`under${i}`)))
  await pause(75)
  rig.trusted.react('network', true)
  t.same(new Set(await Promise.all(asked)), new Set(['answered']))
  t.equal(rig.count('link.failed'), 0)
  if (profile !== 'off') t.same(namesAt(second), [])
})

forBoth('renew: a connection that had not answered yet arms no backoff on the next network', async (t, { first, rig }) => {
  first.begin({ kind: 'stall' })
  const asked = rig.ask(name('stalled'))
  while (first.counts.queries === 0) await pause(5)
  first.clear()
  rig.trusted.react('network', true)
  const beganMs = performance.now()
  t.equal(await asked, 'answered')
  t.ok(performance.now() - beganMs < 500)
})

forBoth('refuse: a resolver that refuses connections is a failed link, and the next one is asked', async (t, scene) => {
  const { first, rig } = scene
  first.begin({ kind: 'away' })
  t.equal(await rig.ask(name('refused')), 'answered')
  t.match(
    rig.events.find((event) => event.type === 'link.failed'),
    { resolver: 'r0', code: 'connect-refused' },
  )
})

forBoth(
  'backoff: of a resolver that is away one dial a second, and it is found within a second of its return',
  async (t, { first, rig }) => {
    t.equal(await rig.ask(name('before')), 'answered')
    first.begin({ kind: 'away' })
    const codes = new Set<string>()
    const before = rig.count('link.failed')
    const untilMs = performance.now() + 2000
    for (let i = 0; performance.now() < untilMs; i++) {
      void rig.ask(name(`away${i}`)).then((code) => codes.add(code))
      await pause(50)
    }
    const failed = rig.count('link.failed') - before
    t.ok(failed >= 2 && failed <= 7, `${failed} dials in 2 s`)
    t.notOk(codes.has('answered'))
    first.clear()
    const backMs = performance.now()
    for (let i = 0; (await rig.ask(name(`back${i}`))) !== 'answered'; i++) await pause(20)
    t.ok(performance.now() - backMs < 1100, `${performance.now() - backMs} ms`)
  },
  1,
)

forBoth(
  'deadline: kept while dialling and while in flight, and what ran out of time is not written',
  async (t, { first, rig }) => {
    const within = async (label: string, ms: number) => {
      const beganMs = performance.now()
      const code = await rig.ask(name(label), ms)
      const tookMs = performance.now() - beganMs
      t.not(code, 'answered')
      t.ok(tookMs >= ms - 2 && tookMs < ms + 150, `${tookMs} ms of ${ms}`)
    }
    first.begin({ kind: 'blackhole' })
    await within('dialling', 400)
    first.clear()
    t.equal(await rig.ask(name('up')), 'answered')
    t.notOk(first.asked.has(name('dialling')))
    first.begin({ kind: 'stall' })
    await within('flying', 400)
    first.begin({ kind: 'cut' }) // covers are under way still
  },
  1,
)

forBoth(
  'close: what is in flight may finish; a dial that nobody waits for ends, and nothing is dialled later',
  async (t, { first, rig }) => {
    t.equal(await rig.ask(name('before')), 'answered')
    first.begin({ kind: 'slow', ms: 150 })
    const asked = rig.ask(name('slow'))
    await pause(60)
    const closing = rig.close()
    t.equal(await rig.ask(name('late')), 'closed')
    t.equal(await asked, 'answered')
    await closing
    const { connections } = first.path.counts
    await pause(300)
    t.equal(first.path.counts.connections, connections)
  },
  1,
)

forBoth(
  'close: while dialling',
  async (t, { first, rig }) => {
    first.begin({ kind: 'blackhole' })
    const asked = rig.ask(name('never'), 300)
    await pause(50)
    await rig.close()
    t.not(await asked, 'answered')
    first.clear()
    await pause(100)
    t.equal(first.path.live, 0)
    t.equal(first.counts.handshakes, 0)
    t.equal(rig.count('link.failed'), 0)
  },
  1,
)

t.test('renew: late in a dial under a schedule, the new dial has its full time', async (t) => {
  const servers = await Promise.all([1, 2].map((seed) => startFaultServer({ authority, protocol: 'dot', chance: seeded(seed) })))
  t.teardown(() => Promise.all(servers.map((server) => server.close())))
  const resolvers = servers.map(({ port }, i) => faultEntry(`r${i}`, 'dot', port))
  const rig = await trustedRig(t, { resolvers, ca: authority.certificate, config: { shaping: { profile: 'balanced' } } })
  servers[0]?.begin({ kind: 'blackhole' })
  const asked = rig.ask(name('late'))
  await pause(1200)
  rig.trusted.react('network', true)
  await pause(900)
  servers[0]?.clear()
  t.equal(await asked, 'answered')
  t.equal(servers[1]?.path.counts.connections, 0)
  t.equal(rig.count('link.failed'), 0)
})
