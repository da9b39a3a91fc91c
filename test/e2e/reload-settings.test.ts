// Each setting of src/config/settings.ts, changed while the built service runs: in force at once,
// or only after the next start, as the table says.
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { EFFECTS } from '../../src/config/settings.ts'
import { createAuthority } from '../../src/demo/authority.ts'
import { datagramCalls } from '../../src/system/datagram-calls.ts'
import { startDot } from '../support/dot-server.ts'
import { query, rr } from '../support/messages.ts'
import { RESOLVER_NAME, startDaemon } from '../support/real/daemon.ts'
import { rcodeOf, udpClient } from '../support/real/dns-client.ts'
import { freePort } from '../support/real/server-process.ts'
import { replyTo } from '../support/replies.ts'

t.setTimeout(180_000)

/** More than a machine under load needs. */
const WITHIN_MS = 20_000
type Settings = Readonly<Record<string, unknown>>
type Scene = Awaited<ReturnType<typeof scene>>

async function scene(t: Test) {
  const authority = await createAuthority()
  const sizes: number[] = []
  const server = await startDot({
    identity: await authority.issue({ name: RESOLVER_NAME }),
    answer(message) {
      sizes.push(message.length)
      const text = Buffer.from(message).toString('latin1')
      if (text.includes('silent')) return undefined
      return replyTo(message, [rr({ ttlS: 100, rdata: Uint8Array.of(text.includes('inside') ? 10 : 192, 0, 2, 1) })])
    },
  })
  t.teardown(() => server.close())
  const resolver = (id: string) => ({
    ...{ id, operator: id, authenticationDomainName: RESOLVER_NAME, addresses: ['127.0.0.1'], caFile: 'ca.pem' },
    transports: { dot: { port: server.port } },
  })
  const resolvers = [resolver('one'), resolver('two')]
  const daemon = await startDaemon({ resolvers, ca: authority.certificate, config: { shaping: { profile: 'off' } } })
  t.teardown(() => daemon.stop())
  const file = join(daemon.dir, 'config.json')
  let written = JSON.parse(readFileSync(file, 'utf8')) as Settings
  const [freshPort, pagePort] = [await freePort(), await freePort()]
  let label = 0
  let statusFile = daemon.statusFile
  const s = {
    daemon,
    sizes,
    resolver,
    freshPort,
    pagePort,
    at: (name: string) => join(daemon.dir, name),
    /** Writes `changes` over what is written, and waits until they were read. */
    async save(changes: Settings) {
      written = { ...written, ...changes }
      writeFileSync(`${file}.new`, JSON.stringify(written), { mode: 0o600 })
      renameSync(`${file}.new`, file)
      const done = () => daemon.log().split('the new configuration is in force').length
      // A log that is silent says nothing of it.
      const waitMs = (written.log as Settings | undefined)?.level === 'silent' ? 2000 : WITHIN_MS
      for (const [before, endMs] = [done(), performance.now() + waitMs]; done() === before && performance.now() < endMs; ) await sleep(20)
    },
    written: (name: string) => written[name] as Settings,
    status: () => JSON.parse(readFileSync(statusFile, 'utf8')),
    /** The status is where the changed configuration says. */
    newStatus() {
      statusFile = join(daemon.dir, 'new/status.json')
    },
    ids: () => (s.status().resolvers as { id: string }[]).map(({ id }) => id).join(),
    async quietOnReload() {
      const from = daemon.log().length
      daemon.kill('SIGHUP')
      for (const endMs = performance.now() + 5000; daemon.log().length === from && performance.now() < endMs; ) await sleep(20)
      return daemon.log().length === from
    },
    async end() {
      daemon.kill('SIGTERM')
      while (daemon.alive) await sleep(20)
    },
    /** A reply to a name that nobody asked before. */
    async ask(name = '*.example', port = daemon.port, timeoutMs = 8000, type = 1) {
      const client = await udpClient(port)
      try {
        return Buffer.from(await client.ask(query({ name: name.replace('*', `n${label++}`), type }), timeoutMs))
      } finally {
        client.close()
      }
    },
  }
  return s
}

const opens = (port: number) =>
  new Promise<boolean>((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.on('connect', () => socket.destroy()).on('connect', () => resolve(true))
    socket.on('error', () => resolve(false))
  })

/**
 * The TTL of the one A record of a reply without an OPT: before RDLENGTH and four octets of
 * address.
 */
const ttlOf = (reply: Buffer) => reply.readUInt32BE(reply.length - 10)
const answersIn = (reply: Buffer) => reply.readUInt16BE(6)
const pathsOf = (effect: string) => Object.entries(EFFECTS).flatMap(([path, one]) => (one === effect ? [path] : []))

function udpSockets(port: number): number {
  const place = `:${port.toString(16).toUpperCase().padStart(4, '0')} `
  return readFileSync('/proc/net/udp', 'latin1').split(place).length - 1
}

/**
 * What shows that a new value is in force, for settings that wait for a start. Not seen from
 * outside: how UDP is read. Seen in user.test.ts: as whom it runs.
 */
const AT_START: Readonly<Record<string, (s: Scene) => boolean | Promise<boolean>>> = {
  'cache.maxBytes': (s) => s.status().cache.maxBytes === 2_000_000,
  workers: (s) => udpSockets(s.daemon.port) === 2,
  udp: () => true,
  heartbeatS: (s) => s.status().heartbeatS === 2,
  statusFile: (s) => existsSync(s.at('new/status.json')),
  stateDir: (s) => existsSync(s.at('new-state/status.key')),
  'page.listen': (s) => opens(s.pagePort),
}

/** Whether `is` becomes true in time. The status is written at the next heartbeat. */
async function comes(is: () => boolean | Promise<boolean>): Promise<boolean> {
  const endMs = performance.now() + WITHIN_MS
  let came = await is()
  for (; !came && performance.now() < endMs; came = await is()) await sleep(100)
  return came
}

t.test('settings that wait for a start are named and not in force until then', { timeout: 60_000 }, async (t) => {
  const s = await scene(t)
  const named = pathsOf('start').filter((path) => path !== 'user')
  t.strictSame(Object.keys(AT_START), named, 'every one of them')
  await s.save({
    ...{ cache: { maxTtlS: 200, maxBytes: 2_000_000 }, workers: 2, udp: 'batch', heartbeatS: 2, stateDir: 'new-state' },
    ...{ statusFile: 'new/status.json', page: { listen: `127.0.0.1:${s.pagePort}` } },
  })
  t.match(s.daemon.log(), `these settings take effect at the next start: ${named.join(', ')}"`)
  for (const [path, inForce] of Object.entries(AT_START)) if (path !== 'udp') t.notOk(await inForce(s), `${path}: not yet`)
  if (datagramCalls() === undefined) return t.comment('workers and udp "batch" need koffi')
  s.daemon.kill('SIGTERM')
  await s.daemon.revive()
  s.newStatus()
  for (const [path, inForce] of Object.entries(AT_START)) t.ok(await inForce(s), `${path}: now`)
})

/**
 * Seen by other tests: that they are put in force with the links, the memory and the set, all of
 * which a reload makes again; `system.enabled` with the setup of the posture (posture/takeover).
 * `system.vpnDns` is read by each run of `enigm-dns system` (e2e/system-enable). Lists have tests of
 * their reloads; routes, proxies, relays, certificates of DNSCrypt and divided names are made again
 * with the links. Signed lists and a signed policy: e2e/signed-lists and commands/signed-lists.
 */
const ELSEWHERE = [
  ...['transports', 'usageProfile', 'cache.staleMaxS', 'cache.prefetch', 'system.enabled', 'system.vpnDns'],
  ...['proxies', 'via', 'split', 'odoh.configFetch'],
  ...['allowDnscryptCertificates', 'sources', 'updates', 'policyFrom'],
]

t.test('all other settings are in force at once', { timeout: 120_000 }, async (t) => {
  const s = await scene(t)
  const seen = new Set<string>(ELSEWHERE)
  const changed = async (path: string, settings: Settings, inForce: () => boolean | Promise<boolean>) => {
    seen.add(path)
    t.notOk(await inForce(), `${path}: before`)
    await s.save(settings)
    t.ok(await comes(inForce), path)
  }
  await changed('listen', { listen: [`127.0.0.1:${s.daemon.port}`, `127.0.0.1:${s.freshPort}`] }, () =>
    s.ask('*.example', s.freshPort, 300).then(
      (reply) => rcodeOf(reply) === 0,
      () => false,
    ),
  )
  await changed('use', { use: ['two'] }, () => s.ids() === 'two')
  writeFileSync(s.at('other.json'), JSON.stringify({ version: 1, resolvers: [s.resolver('two'), s.resolver('three')] }), { mode: 0o600 })
  await changed('resolvers', { resolvers: 'other.json', use: ['three'] }, () => s.ids() === 'three')
  await changed('padding.queryBlock', { padding: { queryBlock: 256 } }, async () => {
    await s.ask()
    return s.sizes.at(-1) === 256
  })
  await changed('shaping.profile', { shaping: { profile: 'jitter', jitterMs: 20 } }, () => s.status().shaping.profile === 'jitter')
  await changed('shaping.jitterMs', { shaping: { profile: 'jitter', jitterMs: 3 } }, () => s.status().shaping.jitterMs === 3)
  await changed('cache.maxTtlS', { cache: { maxTtlS: 50 } }, async () => ttlOf(await s.ask()) === 50)
  await changed('cache.minTtlS', { cache: { minTtlS: 150 } }, async () => ttlOf(await s.ask()) === 150)
  await changed('rebinding.protect', { rebinding: { protect: true } }, async () => answersIn(await s.ask('*.inside.example')) === 0)
  const insideAnswers = async () => answersIn(await s.ask('*.inside.example')) === 1
  await changed('rebinding.allow', { rebinding: { protect: true, allow: ['inside.example'] } }, insideAnswers)
  await s.save({ rebinding: { protect: true } })
  await changed('rebinding.allowAddresses', { rebinding: { protect: true, allowAddresses: ['10.0.0.0/8'] } }, insideAnswers)
  const rdataOf = async (name: string) => [...(await s.ask(name)).subarray(-4)].join('.')
  await changed('answers', { answers: [{ name: '*.own.example', type: 'A', data: '192.0.2.77' }] }, async () => {
    return (await rdataOf('*.own.example')) === '192.0.2.77'
  })
  writeFileSync(s.at('hosts'), '192.0.2.78 printer\n', { mode: 0o600 })
  await changed('hosts', { hosts: ['hosts'] }, async () => (await rdataOf('printer')) === '192.0.2.78')
  await changed('dns64', { dns64: { prefix: '2001:db8:64::/96' } }, async () => {
    const reply = await s.ask('*.six.example', s.daemon.port, 8000, 28)
    return reply.subarray(-16).toString('hex') === '20010db80064000000000000c0000201'
  })
  const zone = { zone: 'corp.example', to: ['two'] }
  await changed('forward', { forward: [zone] }, () => s.ids() === 'three,two')
  const reasons = () => s.status().signals.secureNameResolution.reasons as { code: string }[]
  const plain = { forward: [{ zone: 'corp.example', cleartext: '127.0.0.1:9' }], allowCleartext: ['corp.example'] }
  await changed('allowCleartext', plain, () => reasons().some(({ code }) => code === 'split-dns'))
  const kids = { id: 'kids', clients: ['127.0.0.0/8'], answers: [{ name: '*.own.example', type: 'A', data: '192.0.2.79' }] }
  await changed('views', { views: [kids] }, async () => (await rdataOf('*.own.example')) === '192.0.2.79')
  await changed('clientQueriesPerS', { clientQueriesPerS: 1 }, async () => {
    await s.ask()
    return rcodeOf(await s.ask()) === 5
  })
  await s.save({ forward: [], allowCleartext: [], views: [], clientQueriesPerS: 0 })
  writeFileSync(s.at('ads'), 'ads.example\n', { mode: 0o600 })
  await changed('lists', { lists: [{ id: 'ads', file: 'ads' }] }, async () => (await rdataOf('*.ads.example')) === '0.0.0.0')
  await changed('timeoutMs', { timeoutMs: 600 }, async () => {
    const beganMs = performance.now()
    await s.ask('*.silent.example')
    return performance.now() - beganMs < 2500
  })
  await changed('policy', { policy: { minimumOperators: 1, audit: 'off' } }, () => s.status().signals.policyCompliance.state !== 'off')
  await changed('log.level', { log: { level: 'silent' } }, () => s.quietOnReload())
  await s.save({ log: { level: 'info' } })
  const heard = async () => !(await s.quietOnReload())
  t.ok(await comes(heard), 'log.level: and back')

  const audit = () => (existsSync(s.at('state/audit.jsonl')) ? readFileSync(s.at('state/audit.jsonl'), 'utf8').length : 0)
  await changed('policy.audit', { policy: { minimumOperators: 1, audit: 'on' } }, () => audit() > 0)
  await s.save({ policy: { minimumOperators: 1, audit: 'off' } })
  const named = () => s.daemon.log().includes('these settings take effect at the next start: policy.audit"')
  t.ok(await comes(named), 'a record that ends waits for the next start')
  const before = audit()
  await changed('allowFrom', { allowFrom: ['127.0.0.9/32'] }, () =>
    s.ask('*.example', s.daemon.port, 300).then(
      (reply) => rcodeOf(reply) === 5,
      () => true,
    ),
  )
  await changed('cache.persist', { cache: { persist: 'disk' }, allowFrom: ['127.0.0.0/8'] }, async () => {
    if (!seen.has('cache.persist') || s.written('cache').persist === undefined) return false
    await s.ask()
    await s.end()
    return existsSync(s.at('state/cache.sealed'))
  })
  t.ok(audit() > before, 'the record went on')
  t.strictSame([...seen].sort(), [...pathsOf('reload'), ...pathsOf('stop-at-start')].sort(), 'every one of them')
})
