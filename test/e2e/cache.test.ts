import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { readOpt } from '../../src/dns/edns.ts'
import { RecordCursor } from '../../src/dns/records.ts'
import { startDot } from '../support/dot-server.ts'
import { query } from '../support/messages.ts'
import { identityOf, RESOLVER_NAME, startDaemon } from '../support/real/daemon.ts'
import { rcodeOf, tcpClient, udpClient } from '../support/real/dns-client.ts'
import { replyTo } from '../support/replies.ts'

/** An A record of the question's name with this TTL. */
const record = (ttlS: number, ...address: number[]) => Uint8Array.of(0xc0, 12, 0, 1, 0, 1, 0, 0, ttlS >> 8, ttlS & 255, 0, 4, ...address)

interface Cached {
  readonly stale: number
  readonly renewed: number
  readonly overloaded: number
  readonly rebinding: number
}

/**
 * A daemon and the resolver that it asks: names that begin with "s" live a second, others ten;
 * "inside" is 10.0.0.1; `silent` until told otherwise.
 */
async function stage(t: Test, config: Readonly<Record<string, unknown>> = {}) {
  const authority = await createAuthority()
  const state = { silent: false, broken: false, asked: new Map<string, number>() }
  const server = await startDot({
    identity: await identityOf(authority),
    answer(asked) {
      const name = Buffer.from(asked.subarray(13, 13 + (asked[12] ?? 0))).toString()
      state.asked.set(name, (state.asked.get(name) ?? 0) + 1)
      if (state.silent) return undefined
      if (state.broken) return replyTo(asked, [], 0x8182)
      return replyTo(asked, [name === 'inside' ? record(60, 10, 0, 0, 1) : record(name.startsWith('s') ? 1 : 10, 192, 0, 2, 1)])
    },
  })
  t.teardown(() => server.close())
  const transports = { dot: { port: server.port } }
  const resolver = { id: 'loop', authenticationDomainName: RESOLVER_NAME, addresses: ['127.0.0.1'], transports, caFile: 'ca.pem' }
  const daemon = await startDaemon({ resolvers: [resolver], ca: authority.certificate, config: { heartbeatS: 1, ...config } })
  t.teardown(() => daemon.stop())
  const client = await udpClient(daemon.port)
  t.teardown(() => client.close())
  const ask = async (name: string) => {
    const began = performance.now()
    const reply = await client.ask(query({ name: `${name}.cache.example`, opt: {} }))
    const cursor = new RecordCursor(reply)
    const ttlS = cursor.next() && cursor.type === 1 ? cursor.ttlS : undefined
    return { rcode: rcodeOf(reply), ede: readOpt(reply)?.ede?.code, ttlS, tookMs: performance.now() - began }
  }
  const cached = async () => {
    await sleep(1500)
    return (daemon.status() as unknown as { cache: Cached }).cache
  }
  return { state, daemon, client, ask, cached }
}

t.test('an expired answer is served while the resolver is silent, and replaced when it is back', async (t) => {
  const s = await stage(t)
  t.match(await s.ask('stale'), { rcode: 0, ttlS: 1 })
  await sleep(1100)
  s.state.silent = true
  const first = await s.ask('stale')
  t.match(first, { rcode: 0, ede: 3, ttlS: 30 })
  t.ok(first.tookMs > 1500 && first.tookMs < 3500, `the first waits its 1.8 s: ${first.tookMs.toFixed(0)} ms`)
  const second = await s.ask('stale')
  t.match(second, { rcode: 0, ede: 3, ttlS: 30 })
  t.ok(second.tookMs < 1000, `the next does not: ${second.tookMs.toFixed(0)} ms`)
  t.match(await s.ask('stranger'), { rcode: 2 }, 'what nobody knows is SERVFAIL')
  s.state.silent = false
  const back = performance.now()
  let fresh = await s.ask('stale')
  while (fresh.ede !== undefined && performance.now() - back < 10_000) {
    await sleep(50)
    fresh = await s.ask('stale')
  }
  t.match(fresh, { rcode: 0, ede: undefined, ttlS: 1 })
  t.comment(`fresh again ${(performance.now() - back).toFixed(0)} ms after the return`)
  t.ok((await s.cached()).stale >= 2, 'counted in the status')
})

t.test('a failure is asked again after one second at first, and its end is noticed', async (t) => {
  const s = await stage(t)
  s.state.broken = true
  const began = performance.now()
  for (let i = 0; i < 200; i++) t.equal((await s.ask('broken')).rcode, 2)
  const asked = s.state.asked.get('broken') ?? 0
  const seconds = (performance.now() - began) / 1000
  t.ok(asked <= 2 + Math.log2(1 + seconds) * 2, `200 queries in ${seconds.toFixed(1)} s, ${asked} of them asked upstream`)
  s.state.broken = false
  const until = performance.now() + 20_000
  while ((await s.ask('broken')).rcode !== 0 && performance.now() < until) await sleep(50)
  t.equal((await s.ask('broken')).rcode, 0, 'without a restart')
})

t.test('a name that is asked repeatedly is renewed before it expires', async (t) => {
  const s = await stage(t)
  const off = await stage(t, { cache: { prefetch: false } })
  for (const one of [s, off]) for (let i = 0; i < 4; i++) await one.ask('popular')
  for (const until = performance.now() + 11_000; performance.now() < until; await sleep(100)) {
    await Promise.all([s.ask('popular'), off.ask('popular')])
    if ((s.state.asked.get('popular') ?? 0) > 1) break
  }
  t.equal(s.state.asked.get('popular'), 2)
  t.ok((await s.ask('popular')).ttlS ?? 0 >= 8, 'a new one, while the old one had a second left')
  t.equal((await s.cached()).renewed, 1)
  t.equal((await off.cached()).renewed, 0)
})

t.test('overload: an answer for each query at once, with the reason, and hits as usual', async (t) => {
  const s = await stage(t, { timeoutMs: 3000 })
  await s.ask('hit')
  s.state.silent = true
  // Over TCP, where the test's own socket cannot lose any: as many as 50 connections may have in
  // flight.
  const clients = await Promise.all(Array.from({ length: 50 }, () => tcpClient(s.daemon.port)))
  t.teardown(() => {
    for (const client of clients) client.close()
  })
  const flood = clients.flatMap((client, i) =>
    Array.from({ length: 100 }, (_, k) => client.ask(query({ name: `flood${i}-${k}.cache.example`, opt: {} }), 20_000)),
  )
  await sleep(500)
  const hits = await Promise.all(Array.from({ length: 20 }, () => s.ask('hit')))
  t.ok(hits.every(({ rcode }) => rcode === 0))
  const all = await Promise.all(flood)
  t.equal(all.length, 5000, 'every query got its reply')
  t.ok(all.every((reply) => rcodeOf(reply) === 2))
  const turnedAway = all.filter((reply) => readOpt(reply)?.ede?.text === 'overloaded').length
  t.ok(turnedAway >= 900, `${turnedAway} turned away, and told why`)
  t.ok((await s.cached()).overloaded >= 900)
  s.state.silent = false
  t.equal((await s.ask('afterwards')).rcode, 0)
})

t.test('rebinding: refused if protection is on, with the reason, and counted', async (t) => {
  const s = await stage(t, { rebinding: { protect: true } })
  t.match(await s.ask('inside'), { rcode: 0, ede: 17, ttlS: undefined })
  t.match(await s.ask('outside'), { rcode: 0, ttlS: 10 })
  t.equal((await s.cached()).rebinding, 1)
  const open = await stage(t)
  t.match(await open.ask('inside'), { rcode: 0, ttlS: 60 }, 'off by default')
})
