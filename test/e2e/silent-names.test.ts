import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { type DohReply, startDoh } from '../support/doh-server.ts'
import { startDot } from '../support/dot-server.ts'
import { bareReply, FAULT_ZONE, nameIn, rightAnswer } from '../support/faults/answers.ts'
import { FAULT_SERVER_NAME } from '../support/faults/server.ts'
import { faultEntry } from '../support/faults/trusted.ts'
import { query } from '../support/messages.ts'
import { type RunningDaemon, startDaemon } from '../support/real/daemon.ts'
import { type DnsClient, rcodeOf, udpClient } from '../support/real/dns-client.ts'

t.setTimeout(240_000)
t.jobs = 5
const authority = await createAuthority()
const identity = await authority.issue({ name: FAULT_SERVER_NAME })

/**
 * The second resolver is further away, so that which one is asked first does not change with the
 * weather.
 */
const FAR_MS = 40

type Over = 'dot' | 'h2'
type Said = Uint8Array | DohReply | undefined
/** What a resolver says of a name whose own servers are silent. */
type Silence = (query: Uint8Array) => Said | Promise<Said>

const nothing: Silence = () => undefined
const servfailAfter =
  (ms: number): Silence =>
  (query) =>
    sleep(ms).then(() => bareReply(query, 0x8182))
const statusAfter =
  (ms: number): Silence =>
  () =>
    sleep(ms).then(() => ({ status: 502, headers: { 'content-type': 'text/plain' } }))

interface Resolver {
  readonly port: number
  /** Connections taken, and how often each silent name was asked. */
  readonly tcp: () => number
  readonly silent: Map<string, number>
  /** Nothing is answered any more, the root neither. */
  mute: boolean
  close(): Promise<void>
}

/** A resolver that is well, and names below it whose servers are not. */
async function resolver(over: Over, silence: Silence, farMs: number): Promise<Resolver> {
  const silent = new Map<string, number>()
  const it = { mute: false }
  const answer = (query: Uint8Array): Said | Promise<Said> => {
    const name = nameIn(query)
    if (name.startsWith('silent')) silent.set(name, (silent.get(name) ?? 0) + 1)
    if (it.mute) return undefined
    if (name.startsWith('silent')) return silence(query)
    return farMs === 0 ? rightAnswer(query) : sleep(farMs).then(() => rightAnswer(query))
  }
  const server =
    over === 'dot'
      ? await startDot({ identity, answer: async (query) => (await answer(query)) as Uint8Array | undefined })
      : await startDoh({ identity, answer })
  return Object.assign(it, { port: server.port, tcp: () => server.counts.tcp, silent, close: () => server.close() })
}

interface Scene {
  readonly daemon: RunningDaemon
  readonly client: DnsClient
  readonly resolvers: readonly Resolver[]
  readonly ask: (name: string) => Promise<number>
}

async function scene(
  t: Test,
  over: Over,
  o: { silence?: Silence; count?: number; profile?: string; claims?: object } = {},
): Promise<Scene> {
  const { silence = nothing, count = 1, profile = 'off', claims } = o
  const resolvers = await Promise.all(Array.from({ length: count }, (_, i) => resolver(over, silence, i * FAR_MS)))
  const entries = resolvers.map(({ port }, i) => ({
    ...faultEntry(`r${i}`, over === 'dot' ? 'dot' : 'h2', port),
    ...(claims ? { claims } : {}),
  }))
  const daemon = await startDaemon({
    resolvers: entries,
    ca: authority.certificate,
    config: { shaping: { profile }, cache: { staleMaxS: 0 } },
  })
  const client = await udpClient(daemon.port)
  t.teardown(async () => {
    client.close()
    await daemon.stop()
    await Promise.all(resolvers.map((server) => server.close()))
  })
  const ask = async (name: string) => rcodeOf(await client.ask(query({ name: `${name}.${FAULT_ZONE}` }), 6000))
  for (let i = 0; i < 10; i++) await ask(`warm${i}`)
  await daemon.until(claims === undefined ? 'protected' : 'degraded')
  return { daemon, client, resolvers, ask }
}

/**
 * So many silent names a second, and so many good ones, for `ms`: how the good ones went and what
 * the status said meanwhile.
 */
async function load(s: Scene, o: { silentEveryMs: number; goodEveryMs?: number; forMs: number; name?: (n: number) => string }) {
  const { silentEveryMs, goodEveryMs, forMs, name = (n) => `silent${n}` } = o
  const states = new Map<string, number>()
  const good: Promise<number>[] = []
  const bad: Promise<number>[] = []
  const beganMs = performance.now()
  let nextGoodMs = goodEveryMs === undefined ? Number.POSITIVE_INFINITY : 0
  let nextBadMs = 0
  for (let tick = 0; performance.now() - beganMs < forMs; tick++) {
    const atMs = performance.now() - beganMs
    if (atMs >= nextBadMs) {
      bad.push(s.ask(name(bad.length)))
      nextBadMs += silentEveryMs
    }
    if (atMs >= nextGoodMs) {
      good.push(s.ask(`good${good.length}`))
      nextGoodMs += goodEveryMs ?? 0
    }
    if (tick % 5 === 0) {
      const state = s.daemon.status()?.state ?? 'none'
      states.set(state, (states.get(state) ?? 0) + 1)
    }
    await sleep(20)
  }
  const goodRcodes = await Promise.all(good)
  const badRcodes = await Promise.all(bad)
  states.set(s.daemon.status()?.state ?? 'none', 1 + (states.get(s.daemon.status()?.state ?? 'none') ?? 0))
  return { states, goodFailed: goodRcodes.filter((rcode) => rcode !== 0).length, badRcodes: new Set(badRcodes) }
}

/** Nothing that silent names do looks like a dead path. */
function unmoved(t: Test, seen: Awaited<ReturnType<typeof load>>): void {
  t.equal(seen.goodFailed, 0, 'what else is asked is answered')
  t.same([...seen.states.keys()], ['protected'], 'no false alarm')
  t.same([...seen.badRcodes], [2], 'and they are SERVFAIL')
}

for (const over of ['dot', 'h2'] as const) {
  t.test(`five silent names per second among good ones: no new connections, and always protected (${over})`, async (t) => {
    const s = await scene(t, over)
    const before = s.resolvers[0]?.tcp() ?? 0
    unmoved(t, await load(s, { silentEveryMs: 200, goodEveryMs: 100, forMs: 10_000 }))
    const dialled = (s.resolvers[0]?.tcp() ?? 0) - before
    t.ok(dialled <= 3, `${dialled} new connections`)
  })

  t.test(`only five silent names per second (${over})`, async (t) => {
    const s = await scene(t, over)
    const before = s.resolvers[0]?.tcp() ?? 0
    unmoved(t, await load(s, { silentEveryMs: 200, forMs: 10_000 }))
    const dialled = (s.resolvers[0]?.tcp() ?? 0) - before
    t.ok(dialled <= 3, `${dialled} new connections`)
  })

  t.test(`a page of 60 silent names at once, three times (${over})`, async (t) => {
    const s = await scene(t, over)
    const before = s.resolvers[0]?.tcp() ?? 0
    for (let page = 0; page < 3; page++) {
      unmoved(t, await load(s, { silentEveryMs: 1, goodEveryMs: 50, forMs: 1200, name: (n) => `silent${page}-${n % 60}` }))
    }
    const dialled = (s.resolvers[0]?.tcp() ?? 0) - before
    t.ok(dialled <= 3, `${dialled} new connections`)
  })

  t.test(`one silent name, repeatedly (${over})`, async (t) => {
    const s = await scene(t, over)
    const before = s.resolvers[0]?.tcp() ?? 0
    unmoved(t, await load(s, { silentEveryMs: 500, forMs: 9000, name: () => 'silent' }))
    t.ok((s.resolvers[0]?.tcp() ?? 0) - before <= 2)
  })

  t.test(`names that are SERVFAIL after two seconds (${over})`, async (t) => {
    const s = await scene(t, over, { silence: servfailAfter(2000) })
    const before = s.resolvers[0]?.tcp() ?? 0
    unmoved(t, await load(s, { silentEveryMs: 200, goodEveryMs: 300, forMs: 7000 }))
    t.ok((s.resolvers[0]?.tcp() ?? 0) - before <= 3)
  })

  t.test(`two resolvers: a second operator learns few silent names (${over})`, async (t) => {
    const s = await scene(t, over, { count: 2 })
    const before = s.resolvers.map(({ tcp }) => tcp())
    const seen = await load(s, { silentEveryMs: 200, goodEveryMs: 150, forMs: 10_000 })
    unmoved(t, seen)
    const told = s.resolvers.map(({ silent }) => silent.size).toSorted((a, b) => a - b)
    t.ok((told[0] ?? 99) <= 5, `${told.join(' and ')} silent names`)
    const dialled = s.resolvers.map(({ tcp }, i) => tcp() - (before[i] ?? 0))
    t.ok(Math.max(...dialled) <= 3, `${dialled.join(' and ')} new connections`)
  })

  t.test(`two resolvers: the second operator learns one repeated silent name once or twice (${over})`, async (t) => {
    const s = await scene(t, over, { count: 2 })
    unmoved(t, await load(s, { silentEveryMs: 500, forMs: 16_000, name: () => 'silent' }))
    const told = s.resolvers.map(({ silent }) => [...silent.values()].reduce((a, b) => a + b, 0)).toSorted((a, b) => a - b)
    t.ok((told[0] ?? 99) <= 2, `asked ${told.join(' and ')} times`)
  })

  for (const claims of [undefined, { coverTraffic: false }])
    t.test(`under a schedule${claims ? ' without covers' : ''} no silent name causes a dial (${over})`, async (t) => {
      const s = await scene(t, over, { count: 2, profile: 'balanced', ...(claims ? { claims } : {}) })
      const state = s.daemon.status()?.state
      const before = s.resolvers.map(({ tcp }) => tcp())
      const seen = await load(s, { silentEveryMs: 200, goodEveryMs: 2500, forMs: 9000 })
      t.equal(seen.goodFailed, 0)
      t.same([...seen.states.keys()], [state])
      t.same(
        s.resolvers.map(({ tcp }) => tcp()),
        before,
        'no new connection',
      )
      t.equal(s.resolvers[1]?.silent.size, 0)
    })

  t.test(`under a schedule the second operator learns no name that is SERVFAIL after two seconds (${over})`, async (t) => {
    const s = await scene(t, over, { silence: servfailAfter(2000), count: 2, profile: 'balanced' })
    unmoved(t, await load(s, { silentEveryMs: 150, forMs: 7000 }))
    t.equal(s.resolvers[1]?.tcp(), 0)
  })

  t.test(`two resolvers: the second learns few names that are SERVFAIL after two seconds (${over})`, async (t) => {
    const s = await scene(t, over, { silence: servfailAfter(2000), count: 2 })
    unmoved(t, await load(s, { silentEveryMs: 200, goodEveryMs: 150, forMs: 7000 }))
    const told = s.resolvers.map(({ silent }) => silent.size).toSorted((a, b) => a - b)
    t.ok((told[0] ?? 99) <= 5, `${told.join(' and ')} silent names`)
  })

  for (const claims of [undefined, { coverTraffic: false }])
    t.test(
      `under a schedule${claims ? ' without covers' : ''} a resolver that becomes silent is offline, and is found again (${over})`,
      async (t) => {
        const s = await scene(t, over, { profile: 'balanced', ...(claims ? { claims } : {}) })
        const [only] = s.resolvers
        if (only === undefined) throw new Error('one')
        only.mute = true
        const asking = load(s, { silentEveryMs: 200, forMs: 8000, name: (n) => `lost${n}` })
        await s.daemon.until('offline', 8000)
        await asking
        only.mute = false
        const backMs = performance.now()
        for (let i = 0; (await s.ask(`back${i}`)) !== 0; i++) await sleep(20)
        t.ok(performance.now() - backMs < 6000, `${performance.now() - backMs} ms`)
      },
    )

  t.test(`a resolver that becomes silent, even for the root, is soon offline, and protected again when it answers (${over})`, async (t) => {
    const s = await scene(t, over)
    const [only] = s.resolvers
    if (only === undefined) throw new Error('one')
    only.mute = true
    const before = only.tcp()
    const asking = load(s, { silentEveryMs: 200, forMs: 6000, name: (n) => `lost${n}` })
    await s.daemon.until('offline', 6000)
    await asking
    t.ok(only.tcp() - before <= 12, `${only.tcp() - before} dials`)
    only.mute = false
    const backMs = performance.now()
    for (let i = 0; (await s.ask(`back${i}`)) !== 0; i++) await sleep(20)
    t.ok(performance.now() - backMs < 5000, `${performance.now() - backMs} ms`)
    await s.daemon.until('protected', 3000)
  })
}

t.test('names for which a DoH front end returns 502 after a second', async (t) => {
  const s = await scene(t, 'h2', { silence: statusAfter(1000) })
  const before = s.resolvers[0]?.tcp() ?? 0
  unmoved(t, await load(s, { silentEveryMs: 200, goodEveryMs: 1500, forMs: 7000 }))
  t.ok((s.resolvers[0]?.tcp() ?? 0) - before <= 3)
})

for (const profile of ['off', 'balanced'])
  t.test(`the same with a second resolver, which learns few of them (${profile})`, async (t) => {
    const s = await scene(t, 'h2', { silence: statusAfter(1000), count: 2, profile })
    unmoved(t, await load(s, { silentEveryMs: 200, goodEveryMs: 500, forMs: 7000 }))
    const told = s.resolvers.map(({ silent }) => silent.size).toSorted((a, b) => a - b)
    t.ok((told[0] ?? 99) <= (profile === 'off' ? 5 : 0), `${told.join(' and ')} silent names`)
  })
