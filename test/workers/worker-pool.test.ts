import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { remember } from '../../src/cache/memory.ts'
import { systemClock, systemRandom } from '../../src/clock.ts'
import type { Event } from '../../src/events.ts'
import { QueryRate } from '../../src/listen/query-rate.ts'
import { VIEW_OF_ALL } from '../../src/resolve.ts'
import { datagramCalls } from '../../src/system/datagram-calls.ts'
import type { WorkerSettings } from '../../src/workers/protocol.ts'
import { startWorkerPool, type WorkerPool, workersRefusal } from '../../src/workers/worker-pool.ts'
import { UdpClient } from '../listen/clients.ts'
import { pause, query, response, until } from '../listen/fake-responder.ts'
import { cacheOf } from '../support/caches.ts'
import { openGate } from '../support/rules.ts'
import { endsIn, type Resolve } from '../support/stages.ts'
import { CRASH_TIMEOUT_MS } from './crashing-worker.ts'

const DRAIN_MS = 300
const NONE = { entries: 0, bytes: 0, hits: 0, misses: 0, overloaded: 0, limited: 0 }
const EVERYBODY = ['127.0.0.0/8', '::1/128']

/** A port that is free for all addresses of loopback, most likely still in a moment. */
async function freePort(): Promise<number> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1')
  await once(socket, 'listening')
  const { port } = socket.address()
  socket.close()
  return port
}

async function stage(t: Test, o: { count?: number; answer?: Resolve; entry?: string; addresses?: readonly string[] } = {}) {
  const clock = systemClock()
  const cache = cacheOf(1 << 20)
  const events: Event[] = []
  const asked: string[] = []
  const ending = endsIn(async (q, ask) => {
    asked.push(Buffer.from(q.question.lower.subarray(1, 1 + (q.question.lower[0] ?? 0))).toString())
    return (o.answer ?? answers)(q, ask)
  })
  const port = await freePort()
  const settings: WorkerSettings = {
    endpoints: (o.addresses ?? ['127.0.0.1']).map((address) => ({ address, port })),
    allowFrom: EVERYBODY,
    views: [],
    clientQueriesPerS: 0,
    timeoutMs: 4000,
    prefetch: true,
  }
  const entry = o.entry === undefined ? {} : { entry: new URL(o.entry, import.meta.url) }
  const pool = await startWorkerPool(o.count ?? 2, settings, {
    gate: openGate(),
    cache,
    clock,
    emit: (event) => void events.push(event),
    current: () => ({ stages: [remember(cache, clock), ending], view: () => VIEW_OF_ALL }),
    queryRate: new QueryRate(systemRandom, () => {}),
    cacheMaxBytes: 1 << 20,
    drainMs: DRAIN_MS,
    ...entry,
  })
  t.teardown(() => pool.stop())
  return { pool, cache, events, asked, port, settings }
}

const answers: Resolve = async ({ question }) => {
  const head = Buffer.alloc(12)
  head[5] = 1
  return { wire: response(Buffer.concat([head, question.lower]), 100), rcode: 0, storeS: 300, from: { upstream: 'one', transport: 'dot' } }
}

function clients(t: Test, count: number, address = '127.0.0.1'): readonly UdpClient[] {
  const all = Array.from({ length: count }, () => new UdpClient(address))
  t.teardown(() => all.forEach((client) => void client.close()))
  return all
}

const faultsOf = (events: readonly Event[]) => events.flatMap((event) => (event.type === 'fault' ? [event.where] : []))
/** Asked again where the kernel gave the query to a thread that was just ending. */
async function answered(client: UdpClient, pool: WorkerPool, port: number): Promise<boolean> {
  client.send(query(1), port)
  const before = client.replies.length
  for (let i = 0; i < 40 && client.replies.length === before; i++) await pause(5)
  return client.replies.length > before && pool !== undefined
}

if (datagramCalls() === undefined) {
  if (process.platform === 'linux') t.fail('koffi does not load: workers are not tested')
  else t.comment('not Linux: workers are not tested')
} else {
  t.test('64 clients, IPv4 and IPv6: each answered, a name asked once, stored and served by both threads', async (t) => {
    const { pool, cache, asked, port } = await stage(t, { addresses: ['127.0.0.1', '::1'] })
    for (const address of ['127.0.0.1', '::1']) {
      for (const client of clients(t, 64, address))
        for (let id = 0; id < 5; id++) t.equal((await client.ask(query(id, 'one.test'), port)).wire.length, 100)
    }
    t.strictSame(asked, ['one'])
    t.equal(cache.entries, 1)
    const { entries, bytes, hits, misses } = pool.sums({
      entries: cache.entries,
      bytes: cache.bytes,
      hits: 0,
      misses: 0,
      overloaded: 0,
      limited: 0,
    })
    t.equal(entries, 3, 'both threads keep it, and the main one')
    t.equal(bytes, cache.bytes * 3)
    t.strictSame({ hits, misses }, { hits: 64 * 5 * 2 - 1, misses: 1 })
  })

  t.test('bursts of misses and hits: every query answered once', async (t) => {
    const { pool, port, asked } = await stage(t)
    const all = clients(t, 16)
    for (let id = 0; id < 20; id++) for (const client of all) client.send(query(id, `n${id}.test`), port)
    await until(() => all.every((client) => client.replies.length === 20))
    for (const client of all) t.equal(new Set(client.replies.map(({ wire }) => wire.readUInt16BE(0))).size, 20)
    t.equal(new Set(asked).size, 20)
    const { hits, misses } = pool.sums(NONE)
    t.equal(hits + misses, 16 * 20)
  })

  t.test('adopt: access, caches and listeners change in every thread before it resolves', async (t) => {
    const { pool, port, settings, asked } = await stage(t)
    const all = clients(t, 32)
    for (const client of all) await client.ask(query(1, 'one.test'), port)
    t.equal(pool.sums(NONE).entries, 2)

    const other = await freePort()
    const endpoints = [...settings.endpoints, { address: '127.0.0.1', port: other }]
    await pool.open(endpoints)
    for (const client of all) await client.ask(query(2, 'one.test'), other)
    await pool.adopt({ ...settings, endpoints: [{ address: '127.0.0.1', port: other }] })
    t.equal(pool.sums(NONE).entries, 0)
    t.equal(asked.length, 1)
    for (const client of all) await client.ask(query(3, 'two.test'), other)
    const before = createSocket('udp4').bind(port, '127.0.0.1')
    await once(before, 'listening')
    before.close()

    await pool.adopt({ ...settings, endpoints: [{ address: '127.0.0.1', port: other }], allowFrom: ['127.0.0.2/32'] })
    for (const client of all) client.replies.length = 0
    for (const client of all) client.send(query(4, 'two.test'), other)
    await pause(100)
    t.same(
      all.flatMap((client) => client.replies),
      [],
      'silence for who may not ask any more',
    )
  })

  t.test('open: one address that cannot be bound refuses all of them', async (t) => {
    const { pool, port } = await stage(t)
    const other = await freePort()
    await t.rejects(
      pool.open([
        { address: '127.0.0.1', port: other },
        { address: '192.0.2.1', port: other },
      ]),
      {
        code: 'listen',
        message: /192\.0\.2\.1 is on no interface/,
      },
    )
    const free = createSocket('udp4').bind(other, '127.0.0.1')
    await once(free, 'listening')
    free.close()
    for (const client of clients(t, 8)) t.ok(await answered(client, pool, port), 'the old one goes on')
  })

  t.test('a thread that dies is a fault, is restarted a second after its start, and the figures do not fall', async (t) => {
    const { pool, port, settings, events } = await stage(t, { entry: './crashing-worker.js' })
    const all = clients(t, 32)
    for (const client of all) await client.ask(query(1, 'one.test'), port)
    const before = pool.sums(NONE)
    const began = performance.now()
    await pool.adopt({ ...settings, timeoutMs: CRASH_TIMEOUT_MS })
    t.strictSame(faultsOf(events), ['worker: RangeError', 'worker: RangeError'])
    t.equal(pool.sums(NONE).entries, 0)
    t.equal(pool.sums(NONE).hits, before.hits)
    await pool.adopt(settings)
    const [first] = all
    while (first !== undefined && !(await answered(first, pool, port)))
      if (performance.now() - began > 15_000) t.bailout('no thread came back')
    t.ok(performance.now() - began < 5000, 'back about a second later, thread start on a busy machine included')
    for (const client of all)
      while (!(await answered(client, pool, port))) if (performance.now() - began > 20_000) t.bailout('one thread did not come back')
    t.equal(faultsOf(events).length, 2, 'and they stay')
    t.ok(pool.sums(NONE).hits >= before.hits)
  })

  t.test('stop answers queries in progress, and waits no longer than the drain', async (t) => {
    let release: () => void = () => {}
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    const { pool, port, asked } = await stage(t, {
      answer: async (q, ask) => {
        await (q.question.lower[1] === 0x6e /* never */ ? new Promise(() => {}) : held)
        return answers(q, ask)
      },
    })
    const all = clients(t, 32)
    all.forEach((client, id) => void client.send(query(id, `s${id}.test`), port))
    all[0]?.send(query(99, 'never.test'), port)
    await until(() => asked.length === 33)
    const began = performance.now()
    const stopping = pool.stop()
    await pause(50)
    release()
    await stopping
    const tookMs = performance.now() - began
    await until(() => all.every((client) => client.replies.length === 1))
    t.ok(tookMs >= DRAIN_MS - 20 && tookMs < DRAIN_MS + 2000, `the drain was the limit: ${tookMs.toFixed(0)} ms`)
    const free = createSocket('udp4').bind(port, '127.0.0.1')
    await once(free, 'listening')
    free.close()
  })

  t.test('a pool that cannot start is refused, and no thread is left', async (t) => {
    await t.rejects(stage(t, { addresses: ['127.0.0.1', '192.0.2.1'] }), { code: 'listen', message: /192\.0\.2\.1 is on no interface/ })
    await t.rejects(stage(t, { entry: './never-listening-worker.js' }), { code: 'listen', message: /worker thread ended at its start/ })
  })
}

t.test('one worker runs everywhere; more need batched sockets, and the sentence names the fix', (t) => {
  for (const udp of ['auto', 'dgram', 'batch'] as const)
    for (const batched of [true, false]) t.equal(workersRefusal(1, udp, batched), undefined)
  t.equal(workersRefusal(2, 'auto', true), undefined)
  t.equal(workersRefusal(64, 'batch', true), undefined)
  for (const batched of [true, false])
    t.match(workersRefusal(2, 'dgram', batched), { code: 'listen', message: /set udp to "auto", or set workers to 1/ })
  for (const udp of ['auto', 'batch'] as const)
    t.match(workersRefusal(3, udp, false), { code: 'listen', message: /workers is set to 3.*koffi: install it, or set workers to 1/ })
  t.end()
})
