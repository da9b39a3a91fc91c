// The policy's gate across starts, reloads and changes of network, on the built daemon: what the
// status says is closed is closed, from the first packet on.
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { readOpt } from '../../src/dns/edns.ts'
import { datagramCalls } from '../../src/system/datagram-calls.ts'
import { type DotOptions, startDot } from '../support/dot-server.ts'
import { query } from '../support/messages.ts'
import { RESOLVER_NAME, type RunningDaemon, startDaemon } from '../support/real/daemon.ts'
import { rcodeOf, udpClient } from '../support/real/dns-client.ts'
import { insideNamespace } from '../support/real/namespace.ts'
import { addressRecord, replyTo } from '../support/replies.ts'

t.setTimeout(300_000)

type Settings = Readonly<Record<string, unknown>>

const SERVFAIL_BLOCKED = { rcode: 2, ede: 15 }
const ANSWERED = { rcode: 0, ede: undefined }
const ip = (...args: string[]) => execFileSync('ip', args, { stdio: 'pipe' })

if (insideNamespace(t, import.meta.url)) {
  execFileSync('mount', ['-t', 'sysfs', 'sysfs', '/sys'])
  // An interface that may count as VPN, one that does not, and a default route by which a network
  // is known.
  for (const [name, address] of [
    ['tunnel0', '10.9.0.1/32'],
    ['wan0', '10.7.0.2/24'],
  ] as const) {
    ip('link', 'add', name, 'type', 'veth', 'peer', 'name', `${name}far`)
    for (const end of [name, `${name}far`]) ip('link', 'set', end, 'up')
    ip('addr', 'add', address, 'dev', name)
  }
  ip('route', 'add', 'default', 'via', '10.7.0.1')
  ip('neigh', 'add', '10.7.0.1', 'lladdr', '02:00:00:00:00:01', 'dev', 'wan0')
}
const INSIDE = process.env.ENIGM_DNS_INSIDE_NAMESPACE !== undefined

const authority = await createAuthority()
const identity = await authority.issue({ name: RESOLVER_NAME })

async function resolver(t: Test, o: { readonly host?: string; readonly answer?: DotOptions['answer'] } = {}) {
  const server = await startDot({
    identity,
    ...(o.host === undefined ? {} : { host: o.host }),
    answer: o.answer ?? ((q) => replyTo(q, [addressRecord()])),
  })
  t.teardown(() => server.close())
  return server
}
type Server = Awaited<ReturnType<typeof resolver>>

const entry = ({ host, port }: Server, id = 'one') => ({
  ...{ id, authenticationDomainName: RESOLVER_NAME, addresses: [host], transports: { dot: { port } }, caFile: 'ca.pem' },
})

/** A daemon, and what a person does to it. */
async function scene(t: Test, servers: readonly Server[], config: Settings) {
  const d = await startDaemon({
    resolvers: servers.map((server, i) => entry(server, `r${i}`)),
    ca: authority.certificate,
    config: { timeoutMs: 1500, cache: { prefetch: false }, ...config },
  })
  t.teardown(() => d.stop())
  const client = await udpClient(d.port)
  t.teardown(() => client.close())
  return {
    d,
    async ask(name: string) {
      const reply = await client.ask(query({ name, opt: {} }))
      return { rcode: rcodeOf(reply), ede: readOpt(reply)?.ede?.code }
    },
    /** Saves other settings, and resolves when they are in force. */
    save: (more: Settings, others?: readonly Server[]) => save(d, more, others),
  }
}

const loads = (d: RunningDaemon) => d.log().split('the new configuration is in force').length
async function save(d: RunningDaemon, more: Settings, servers?: readonly Server[]) {
  const before = loads(d)
  if (servers !== undefined) {
    const set = { version: 1, resolvers: servers.map((server, i) => entry(server, `r${i}`)) }
    writeFileSync(join(d.dir, 'resolvers.json'), JSON.stringify(set), { mode: 0o600 })
  }
  const file = join(d.dir, 'config.json')
  const config = { ...JSON.parse(readFileSync(file, 'utf8')), ...more }
  writeFileSync(`${file}.new`, JSON.stringify(config), { mode: 0o600 })
  renameSync(`${file}.new`, file)
  d.kill('SIGHUP')
  for (let i = 0; i < 200 && loads(d) === before; i++) await sleep(20)
  if (loads(d) === before) throw new Error(`the reload did not come: ${d.log()}`)
}

const verdictOf = (d: RunningDaemon, rule: string) =>
  (d.status() as unknown as { policy?: { rules: { rule: string; verdict: string }[] } }).policy?.rules.find((r) => r.rule === rule)?.verdict

/** Ten names that were never asked before. */
const ten = (prefix: string) => Array.from({ length: 10 }, (_, i) => `${prefix}${i}.zone.example`)

async function preferredToRequired(t: Test) {
  const server = await resolver(t)
  const { d, ask, save } = await scene(t, [server], { policy: { vpn: 'preferred' } })
  await save({ policy: { vpn: 'required' } })
  for (const name of ten('a')) t.same(await ask(name), SERVFAIL_BLOCKED)
  t.equal(server.counts.tcp, 0, 'nothing was dialled')
  t.equal(d.status()?.state, 'offline')
  t.equal(verdictOf(d, 'vpn'), 'not-met')
  await save({ policy: { vpn: 'preferred' } })
  for (const name of ten('b')) t.same(await ask(name), ANSWERED)
  await save({ policy: { vpn: 'required' } })
  t.same(await ask('b0.zone.example'), SERVFAIL_BLOCKED, 'nor from memory')
  const dialled = server.counts.tcp
  for (const name of ten('c')) t.same(await ask(name), SERVFAIL_BLOCKED)
  t.equal(server.counts.tcp, dialled)
  t.equal(server.live.size, 0, 'the connection from before is closed')
  await save({ policy: undefined })
  t.same(await ask('c0.zone.example'), ANSWERED, 'no policy: nothing is asked for')
}

async function throughTheVpn(t: Test) {
  const [inside, outside] = [await resolver(t, { host: '10.9.0.1' }), await resolver(t)]
  const required = { vpn: 'required', vpnInterfaces: ['tunnel0'] }
  const { ask, save } = await scene(t, [outside], { policy: { vpn: 'preferred', vpnInterfaces: ['tunnel0'] } })
  t.same(await ask('a.zone.example'), ANSWERED)
  await save({ policy: required }, [inside])
  t.same(await ask('b.zone.example'), ANSWERED, 'looked at the new set, not at the old one')
  await save({ policy: required }, [inside, outside])
  t.same(await ask('c.zone.example'), SERVFAIL_BLOCKED, 'one of two goes past the VPN')
  await save({ policy: required }, [inside])
  t.same(await ask('d.zone.example'), ANSWERED)
  await save({ policy: { vpn: 'required' } }, [inside])
  t.same(await ask('e.zone.example'), SERVFAIL_BLOCKED, 'the interface does not count any more')
}

async function underWay(t: Test) {
  let let_go = () => {}
  const held = new Promise<void>((resolve) => {
    let_go = resolve
  })
  const slow = await resolver(t, {
    async answer(q) {
      await held
      return replyTo(q, [addressRecord()])
    },
  })
  const inside = await resolver(t, { host: '10.9.0.1' })
  const { ask, save } = await scene(t, [slow], { timeoutMs: 4000, policy: { vpn: 'preferred' } })
  const answer = ask('slow.zone.example')
  for (let i = 0; i < 100 && slow.counts.queries === 0; i++) await sleep(20)
  await save({ policy: { vpn: 'required', vpnInterfaces: ['tunnel0'] } }, [inside])
  const dialled = slow.counts.tcp
  let_go()
  t.same(await answer, SERVFAIL_BLOCKED, 'what was asked under the old policy is not told under the new one')
  t.equal(slow.counts.tcp, dialled, 'and nobody whom only the old configuration names is dialled again')
  t.same(await ask('slow.zone.example'), ANSWERED)
  t.equal(inside.counts.queries, 1, 'nor is it kept')
}

async function audited(t: Test) {
  const server = await resolver(t)
  const { d, ask, save } = await scene(t, [server], { policy: { audit: 'off' } })
  const log = join(d.dir, 'state', 'audit.jsonl')
  mkdirSync(log)
  await save({ policy: { audit: 'required' } })
  for (const name of ten('a')) t.same(await ask(name), SERVFAIL_BLOCKED)
  t.equal(server.counts.tcp, 0)
  t.equal(d.status()?.state, 'offline')
  t.equal(verdictOf(d, 'audit'), 'not-met')
  await save({ policy: { audit: 'on' } })
  t.same(await ask('b.zone.example'), ANSWERED)
  t.ok(JSON.stringify(d.status()?.signals.service).includes('audit-gap'), 'and the gap is told')
  await save({ policy: { audit: 'required' } })
  t.same(await ask('c.zone.example'), SERVFAIL_BLOCKED)
  rmSync(log, { recursive: true })
  for (let i = 0; i < 100 && verdictOf(d, 'audit') !== 'met'; i++) await sleep(50)
  t.same(await ask('d.zone.example'), ANSWERED, 'opens again once it can be written')
}

/** Becomes unwritable while nothing happens: only an attempt to write tells. */
async function auditedOnce(t: Test) {
  const [server, other] = [await resolver(t), await resolver(t)]
  const always = { shaping: { profile: 'always-on' } }
  const { d, ask, save } = await scene(t, [server], { ...always, policy: { audit: 'on' } })
  t.same(await ask('a.zone.example'), ANSWERED)
  await sleep(1500)
  const log = join(d.dir, 'state', 'audit.jsonl')
  rmSync(log)
  mkdirSync(log)
  await save({ ...always, policy: { audit: 'required' } }, [other])
  await sleep(500)
  t.equal(other.counts.tcp, 0, 'the log is tried before anybody is dialled')
  t.same(await ask('b.zone.example'), SERVFAIL_BLOCKED)
}

const SCHEDULED = ['lite', 'balanced', 'always-on'] as const

async function scheduled(t: Test) {
  for (const profile of SCHEDULED) {
    const [old, fresh, inside] = [await resolver(t), await resolver(t), await resolver(t, { host: '10.9.0.1' })]
    const shaping = { profile }
    const { ask, save } = await scene(t, [old], { shaping, policy: { vpn: 'preferred' } })
    t.same(await ask('a.zone.example'), ANSWERED, profile)
    await save({ policy: { vpn: 'required', vpnInterfaces: ['tunnel0'] } }, [fresh])
    t.same(await ask('b.zone.example'), SERVFAIL_BLOCKED, profile)
    await sleep(1500)
    t.equal(fresh.counts.tcp, 0, `${profile}: the new resolver is not dialled`)
    t.equal(old.live.size, 0, `${profile}: and the old one is left`)
    await save({ policy: { vpn: 'required', vpnInterfaces: ['tunnel0'] } }, [inside])
    t.same(await ask('c.zone.example'), ANSWERED, `${profile}: opens again, and is dialled`)
    if (profile === 'always-on') {
      await save({ policy: { vpn: 'required', vpnInterfaces: ['tunnel0'] } })
      const { queries } = inside.counts
      await sleep(1500)
      t.ok(inside.counts.queries > queries, 'always-on goes on by itself after a reload')
    }
  }
}

/**
 * A rule of a network by its name holds from the first moment on, when nobody has looked yet which
 * network this is.
 */
async function namedNetworks(t: Test) {
  const here = { name: 'cafe', match: { gateway: '10.7.0.1' }, vpn: 'required' }
  const elsewhere = { ...here, match: { gateway: '10.8.0.1' } }
  const always = { shaping: { profile: 'always-on' } }
  const server = await resolver(t)
  const started = await scene(t, [server], { ...always, policy: { networks: [here] } })
  await sleep(1000)
  t.equal(server.counts.tcp, 0, 'at the start')
  t.same(await started.ask('a.zone.example'), SERVFAIL_BLOCKED)
  await started.save({ ...always, policy: { networks: [elsewhere] } })
  t.same(await started.ask('b.zone.example'), ANSWERED, 'on another network nothing is asked for')
  const other = await resolver(t)
  await started.save({ ...always, policy: { networks: [here] } }, [other])
  await sleep(1000)
  t.equal(other.counts.tcp, 0, 'in a reload')
  t.same(await started.ask('c.zone.example'), SERVFAIL_BLOCKED)
}

/** From a network without the rule to one with it, and back. */
async function roaming(t: Test) {
  const server = await resolver(t)
  const { d, ask } = await scene(t, [server], { policy: { networks: [{ name: 'cafe', match: { gateway: '10.7.0.9' }, vpn: 'required' }] } })
  t.same(await ask('a.zone.example'), ANSWERED)
  ip('neigh', 'add', '10.7.0.9', 'lladdr', '02:00:00:00:00:09', 'dev', 'wan0')
  ip('route', 'replace', 'default', 'via', '10.7.0.9')
  for (let i = 0; i < 100 && verdictOf(d, 'vpn') === undefined; i++) await sleep(20)
  t.same(await ask('a.zone.example'), SERVFAIL_BLOCKED, 'nor from memory')
  t.same(await ask('b.zone.example'), SERVFAIL_BLOCKED)
  t.equal(server.live.size, 0)
  ip('route', 'replace', 'default', 'via', '10.7.0.1')
  for (let i = 0; i < 100 && d.status()?.state === 'offline'; i++) await ask('c.zone.example').then(() => sleep(20))
  t.same(await ask('d.zone.example'), ANSWERED)
}

async function workers(t: Test) {
  const server = await resolver(t)
  const { ask, save } = await scene(t, [server], { workers: 2, policy: { vpn: 'preferred' } })
  for (let i = 0; i < 12; i++) t.same(await ask('kept.zone.example'), ANSWERED)
  await save({ policy: { vpn: 'required' } })
  for (let i = 0; i < 12; i++) t.same(await ask('kept.zone.example'), SERVFAIL_BLOCKED)
  await save({ policy: { vpn: 'preferred' } })
  for (let i = 0; i < 12; i++) t.same(await ask('kept.zone.example'), ANSWERED)
}

async function saved(t: Test) {
  const server = await resolver(t)
  const { d, ask } = await scene(t, [server], { cache: { persist: 'disk' }, policy: { vpn: 'preferred' } })
  t.same(await ask('kept.zone.example'), ANSWERED)
  const again = async (policy: object) => {
    d.kill('SIGTERM')
    for (let i = 0; i < 100 && d.alive; i++) await sleep(50)
    const file = join(d.dir, 'config.json')
    writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), policy }), { mode: 0o600 })
    await d.revive()
    // It is read after the start.
    await sleep(500)
    const { queries } = server.counts
    t.same(await ask('kept.zone.example'), ANSWERED)
    return server.counts.queries - queries
  }
  t.equal(await again({ vpn: 'preferred' }), 0, 'the same policy: from the saved cache')
  t.equal(await again({ vpn: 'preferred', minimumOperators: 1 }), 1, 'what an earlier policy let in is not answered from')
}

if (INSIDE) {
  t.test('preferred becomes required before anything was asked, and back', preferredToRequired)
  t.test('required: the check uses the set and the interfaces of the new configuration', throughTheVpn)
  t.test('an answer in flight when the gate closes is neither delivered nor stored', underWay)
  t.test('a required audit log that cannot be written closes the gate in the reload, and opens it again', audited)
  t.test('a log that silently became unwritable is detected before any resolver is dialled', auditedOnce)
  t.test('scheduled profiles dial no resolver in a reload before the gate was set', { timeout: 100_000 }, scheduled)
  t.test('a rule of one network holds until the network is identified', namedNetworks)
  t.test('network change: other rules', roaming)
  if (datagramCalls() !== undefined) t.test('every worker heeds it', workers)
  t.test('a cache saved under another policy is not used', saved)
}
