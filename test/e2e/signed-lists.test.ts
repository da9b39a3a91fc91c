// The built program with a signed list and a signed policy, and the commands a person runs.
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { writeStamp } from '../../src/config/stamps.ts'
import { createAuthority } from '../../src/demo/authority.ts'
import { rcodeOf } from '../../src/dns/message.ts'
import type { StatusDocument } from '../../src/posture/document.ts'
import { startDot } from '../support/dot-server.ts'
import { query } from '../support/messages.ts'
import { cli, identityOf, RESOLVER_NAME, type RunningDaemon, startDaemon } from '../support/real/daemon.ts'
import { udpClient } from '../support/real/dns-client.ts'
import { addressRecord, replyTo } from '../support/replies.ts'

const authority = await createAuthority()
const identity = await identityOf(authority)

/** A directory with a key, and what signs a file in it. */
function signer(t: Test) {
  const dir = t.testdir({})
  const at = (name: string) => join(dir, name)
  execFileSync('minisign', ['-G', '-W', '-p', at('key.pub'), '-s', at('key.sec')], { stdio: 'ignore' })
  const minisignKey = readFileSync(at('key.pub'), 'utf8').split('\n')[1] ?? ''
  const publish = (name: string, text: string, time: number) => {
    writeFileSync(at(name), text, { mode: 0o600 })
    execFileSync('minisign', ['-S', '-s', at('key.sec'), '-m', at(name), '-t', `timestamp:${time}\tfile:${name}`], { stdio: 'ignore' })
  }
  return { at, minisignKey, publish }
}

async function until(daemon: RunningDaemon, what: string, is: (status: StatusDocument) => boolean): Promise<StatusDocument> {
  for (let waited = 0; waited < 20_000; waited += 100) {
    const status = daemon.status() as unknown as StatusDocument | undefined
    if (status !== undefined && is(status)) return status
    await sleep(100)
  }
  throw new Error(`never: ${what}; ${JSON.stringify(daemon.status())}`)
}

const codes = (status: StatusDocument) => status.signals.service.reasons.map(({ code }) => code)

t.test('a list that moves a resolver in use waits for `resolvers accept`; then the resolver is asked at its new address', async (t) => {
  const { at, minisignKey, publish } = signer(t)
  const answer = (last: number) => (q: Uint8Array) => replyTo(q, [addressRecord(last)])
  const old = await startDot({ identity, answer: answer(1) })
  const moved = await startDot({ identity, answer: answer(2), host: '127.0.0.2', port: old.port })
  const list = (address: string) =>
    `## home\n\n${writeStamp({ protocol: 'dot', properties: { dnssec: false, noLogs: true, noFilter: false }, address, port: old.port, hostname: RESOLVER_NAME, certHashes: [] })}\n`
  publish('list.md', list('127.0.0.1'), 1000)
  const entry = {
    id: 'home',
    authenticationDomainName: RESOLVER_NAME,
    addresses: ['127.0.0.1'],
    transports: { dot: { port: old.port } },
    caFile: 'ca.pem',
    claims: { logging: false },
  }
  const sources = [{ id: 'public', file: at('list.md'), minisignKey }]
  const daemon = await startDaemon({ resolvers: [entry], ca: authority.certificate, config: { sources } })
  const udp = await udpClient(daemon.port)
  t.teardown(async () => {
    udp.close()
    await daemon.stop()
    await Promise.all([old.close(), moved.close()])
  })
  const config = join(daemon.dir, 'config.json')
  const answered = async (name: string) => (await udp.ask(query({ name }))).at(-1)
  t.equal(await answered('a.example'), 1)
  const first = await until(daemon, 'the list is kept', ({ sources }) => sources?.[0]?.state === 'current')
  t.match(first.sources, [{ id: 'public', entries: 1, signedAt: '1970-01-01T00:16:40.000Z', changes: [] }])

  publish('list.md', list('127.0.0.2'), 2000)
  const waiting = await until(daemon, 'the change is shown', ({ sources }) => (sources?.[0]?.changes.length ?? 0) > 0)
  t.match(waiting.sources?.[0]?.changes, [
    { resolver: 'home', what: ['addresses'], from: '{"addresses":["127.0.0.1"]}', to: '{"addresses":["127.0.0.2"]}' },
  ])
  t.ok(codes(waiting).includes('list-changes'))
  t.equal(waiting.state, 'protected', 'nothing is less protected for it')
  t.equal(await answered('b.example'), 1, 'and the old address stays in force')
  t.match((await cli('status', '--file', daemon.statusFile)).stdout, /The list public would change home/)

  writeFileSync(at('list.md'), list('127.0.0.3'))
  const refused = await until(daemon, 'a tampered list is refused', ({ sources }) => sources?.[0]?.state === 'old')
  t.match(refused.sources?.[0]?.why, /is not what the key signed/)
  t.ok(codes(refused).includes('list-refused'))
  t.equal((await cli('resolvers', 'update', '--config', config)).code, 4)

  publish('list.md', list('127.0.0.2'), 3000)
  t.equal((await cli('resolvers', 'update', '--config', config)).code, 0)
  const accepted = await cli('resolvers', 'accept', '--config', config)
  t.equal(accepted.code, 0, accepted.stderr)
  t.match(accepted.stdout, /home: addresses: \{"addresses":\["127\.0\.0\.1"\]\} -> \{"addresses":\["127\.0\.0\.2"\]\}/)
  await until(daemon, 'the new address is in force', ({ sources }) => sources?.[0]?.changes.length === 0)
  t.equal(await answered('c.example'), 2)
})

t.test('a signed policy: a local edit that relaxes it is refused while the service runs, and at a start', async (t) => {
  const { at, minisignKey, publish } = signer(t)
  publish('policy.json', '{ "minimumUsageProfile": "strict", "minimumOperators": 1 }', 1000)
  const server = await startDot({ identity, answer: (q) => replyTo(q, [addressRecord()]) })
  const entry = {
    id: 'home',
    authenticationDomainName: RESOLVER_NAME,
    addresses: ['127.0.0.1'],
    transports: { dot: { port: server.port } },
    caFile: 'ca.pem',
  }
  const policyFrom = { file: at('policy.json'), minisignKey }
  const daemon = await startDaemon({ resolvers: [entry], ca: authority.certificate, config: { policyFrom } })
  const udp = await udpClient(daemon.port)
  t.teardown(async () => {
    udp.close()
    await daemon.stop()
    await server.close()
  })
  t.equal(rcodeOf(await udp.ask(query({ name: 'a.example' }))), 0)
  const rules = await until(daemon, 'the rules are judged', ({ policy }) => (policy?.rules.length ?? 0) >= 2)
  t.match(rules.policy?.rules, [{ rule: 'minimumUsageProfile', verdict: 'met' }])
  const file = join(daemon.dir, 'config.json')
  const config = JSON.parse(readFileSync(file, 'utf8'))
  const write = (more: object) => writeFileSync(file, JSON.stringify({ ...config, ...more }), { mode: 0o600 })
  for (const more of [{ usageProfile: 'opportunistic' }, { policy: { minimumUsageProfile: 'opportunistic' } }]) {
    write(more)
    const refused = await until(daemon, 'the edit is refused', (status) => codes(status).includes('reload-refused'))
    t.match(refused.policy?.rules, [{ rule: 'minimumUsageProfile', verdict: 'met' }], 'the policy stays in force')
    const check = await cli('check', '--offline', '--config', file)
    t.equal(check.code, 2)
    t.match(check.stderr, /minimumUsageProfile: (requires strict|is weaker than the signed policy)/)
    write({})
    await until(daemon, 'the old configuration is accepted again', (status) => !codes(status).includes('reload-refused'))
  }
  publish('policy.json', '{ "minimumOperators": 1 }', 900)
  await until(daemon, 'an older policy is refused', (status) => codes(status).includes('reload-refused'))
  t.match((await cli('check', '--offline', '--config', file)).stderr, /policy\.json: is older \(1970-01-01T00:15:00Z\)/)
})
