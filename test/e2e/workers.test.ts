import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { startDot } from '../support/dot-server.ts'
import { query } from '../support/messages.ts'
import { RESOLVER_NAME, type RunningDaemon, startDaemon } from '../support/real/daemon.ts'
import { type DnsClient, rcodeOf, tcpClient, udpClient } from '../support/real/dns-client.ts'
import { pathOf } from '../support/real/tools.ts'
import { addressRecord, replyTo } from '../support/replies.ts'

const run = promisify(execFile)
/** With two sockets the kernel gives all of them to one in one of 2^63 runs. */
const CLIENTS = 64

interface Scene {
  readonly daemon: RunningDaemon
  /** Questions that reached the resolver. */
  asked(): number
  clients(count: number, address?: string): Promise<readonly DnsClient[]>
}

async function stage(t: Test, o: { config?: Readonly<Record<string, unknown>>; answerAfterMs?: number } = {}): Promise<Scene> {
  const authority = await createAuthority()
  let asked = 0
  const server = await startDot({
    identity: await authority.issue({ name: RESOLVER_NAME }),
    async answer(message) {
      asked++
      if (o.answerAfterMs !== undefined) await sleep(o.answerAfterMs)
      return replyTo(message, [addressRecord()])
    },
  })
  t.teardown(() => server.close())
  const resolver = {
    id: 'one',
    authenticationDomainName: RESOLVER_NAME,
    addresses: ['127.0.0.1'],
    transports: { dot: { port: server.port } },
    caFile: 'ca.pem',
  }
  const daemon = await startDaemon({ resolvers: [resolver], ca: authority.certificate, config: { workers: 2, ...o.config } })
  t.teardown(() => daemon.stop())
  const clients = async (count: number, address = '127.0.0.1') => {
    const all = await Promise.all(Array.from({ length: count }, () => udpClient(daemon.port, address)))
    t.teardown(() => all.forEach((client) => void client.close()))
    return all
  }
  return { daemon, asked: () => asked, clients }
}

interface CacheFacts {
  readonly entries: number
  readonly bytes: number
  readonly maxBytes: number
  readonly hits: number
  readonly misses: number
}

const cacheOf = (daemon: RunningDaemon) => (daemon.status() as unknown as { readonly cache: CacheFacts }).cache

async function untilCache(daemon: RunningDaemon, holds: (cache: CacheFacts) => boolean): Promise<CacheFacts> {
  for (const until = performance.now() + 5000; performance.now() < until; await sleep(20))
    if (holds(cacheOf(daemon))) return cacheOf(daemon)
  return cacheOf(daemon)
}

function reconfigure(daemon: RunningDaemon, change: Readonly<Record<string, unknown>>): void {
  const file = join(dirname(daemon.statusFile), 'config.json')
  const config = JSON.parse(readFileSync(file, 'utf8')) as object
  writeFileSync(file, JSON.stringify({ ...config, ...change }), { mode: 0o600 })
  daemon.kill('SIGHUP')
}

async function logged(daemon: RunningDaemon, what: string): Promise<void> {
  for (let i = 0; i < 200 && !daemon.log().includes(what); i++) await sleep(20)
  if (!daemon.log().includes(what)) throw new Error(`not logged: ${what}\n${daemon.log()}`)
}

async function oneName(t: Test): Promise<void> {
  const { daemon, asked, clients } = await stage(t)
  for (const client of await clients(CLIENTS))
    for (let i = 0; i < 5; i++) t.equal(rcodeOf(await client.ask(query({ name: 'www.example' }))), 0)
  t.equal(asked(), 1, 'asked upstream once, whichever thread was asked')
  const tcp = await tcpClient(daemon.port)
  t.teardown(() => tcp.close())
  t.equal(rcodeOf(await tcp.ask(query({ name: 'www.example' }))), 0, 'TCP')
  const wanted = CLIENTS * 5 + 1
  const cache = await untilCache(daemon, ({ hits, misses }) => hits + misses === wanted)
  t.equal(cache.entries, 2, 'both threads keep it')
  t.strictSame({ hits: cache.hits, misses: cache.misses }, { hits: wanted - 1, misses: 1 }, 'one document, with the sums')
  t.equal(cache.maxBytes, 33_554_432)
  if (pathOf('dig') !== undefined) {
    const digs = Array.from({ length: 8 }, () => run('dig', ['@127.0.0.1', '-p', String(daemon.port), 'www.example', '+short', '+tries=1']))
    for (const { stdout } of await Promise.all(digs)) t.equal(stdout, '192.0.2.1\n', 'dig')
  }
  t.equal(await daemon.stop(), 0)
}

async function manyNames(t: Test): Promise<void> {
  const { daemon, asked, clients } = await stage(t)
  const all = await clients(CLIENTS)
  const rcodes = await Promise.all(
    all.flatMap((client) => Array.from({ length: 50 }, (_, i) => client.ask(query({ name: `n${i}.example` })).then(rcodeOf))),
  )
  t.equal(rcodes.filter((rcode) => rcode === 0).length, CLIENTS * 50)
  t.equal(asked(), 50, 'identical questions of both threads are one')
  t.equal((await untilCache(daemon, ({ hits, misses }) => hits + misses === CLIENTS * 50)).entries, 100)
}

async function reload(t: Test): Promise<void> {
  const { daemon, asked, clients } = await stage(t, { config: { allowFrom: ['127.0.0.1/32'] } })
  const all = await clients(CLIENTS)
  for (const client of all) await client.ask(query({ name: 'www.example' }))
  reconfigure(daemon, { allowFrom: ['127.0.0.9/32'] })
  await logged(daemon, 'the new configuration is in force')
  const silent = await Promise.allSettled(all.map((client) => client.ask(query({ name: 'www.example' }), 300)))
  t.equal(silent.filter(({ status }) => status === 'rejected').length, CLIENTS, 'allowFrom holds in both threads')
  reconfigure(daemon, { allowFrom: ['127.0.0.0/8'], workers: 3 })
  await logged(daemon, 'take effect at the next start: workers')
  await sleep(200)
  t.equal((await untilCache(daemon, ({ entries }) => entries === 0)).entries, 0, 'a reload empties both caches')
  for (const client of all) t.equal(rcodeOf(await client.ask(query({ name: 'www.example' }))), 0)
  t.equal(asked(), 2)
  t.equal(await daemon.stop(), 0)
}

async function sigterm(t: Test): Promise<void> {
  const { daemon, clients } = await stage(t, { answerAfterMs: 100 })
  const all = await clients(CLIENTS)
  t.equal(rcodeOf(await (all[0] as DnsClient).ask(query({ name: 'kept.example' }))), 0)
  const tcp = await tcpClient(daemon.port)
  t.teardown(() => tcp.close())
  const asking = all.flatMap((client, c) =>
    Array.from({ length: 12 }, (_, i) => client.ask(query({ name: i % 3 === 0 ? 'kept.example' : `s${c}-${i}.example` }))),
  )
  asking.push(...Array.from({ length: 20 }, (_, i) => tcp.ask(query({ name: `t${i}.example` }))))
  await Promise.race(asking)
  const began = performance.now()
  const code = daemon.stop()
  const settled = await Promise.allSettled(asking)
  t.equal(
    settled.filter((s) => s.status === 'fulfilled' && rcodeOf(s.value) === 0).length,
    asking.length,
    'every question asked before SIGTERM is answered',
  )
  t.equal(await code, 0, 'exit 0')
  t.ok(performance.now() - began < 2500, `ended after ${(performance.now() - began).toFixed(0)} ms`)
  t.equal(daemon.log().includes('fault'), false)
}

async function refusals(t: Test): Promise<void> {
  await t.rejects(stage(t, { config: { udp: 'dgram' } }), { message: /workers is set to 2, which needs batched UDP: set udp to "auto"/ })
  const { daemon } = await stage(t)
  const second = startDaemon({
    resolvers: [{ id: 'one', authenticationDomainName: RESOLVER_NAME, addresses: ['127.0.0.1'], transports: { dot: { port: 853 } } }],
    listen: `127.0.0.1:${daemon.port}`,
    config: { workers: 2 },
  })
  await t.rejects(
    second,
    { message: new RegExp(`127\\.0\\.0\\.1:${daemon.port} is taken by .*pid ${daemon.pid}`) },
    'a second one does not share the port of the first',
  )
}

if (process.platform === 'linux') {
  t.test('one name from 64 clients', (t) => oneName(t))
  t.test('many names at once', (t) => manyNames(t))
  t.test('reload', (t) => reload(t))
  t.test('SIGTERM under load', (t) => sigterm(t))
  t.test('refused settings', (t) => refusals(t))
} else t.comment('not Linux: workers are not tested')
