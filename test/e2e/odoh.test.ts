import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { type Relay, startRelay, startTarget, type Target } from '../../src/demo/oblivious-pair.ts'
import { withPaddedOpt } from '../../src/dns/edns.ts'
import { query } from '../support/messages.ts'
import { startProxy } from '../support/proxies.ts'
import { startCapture } from '../support/real/capture.ts'
import { CLI, type RunningDaemon, startDaemon } from '../support/real/daemon.ts'
import { rcodeOf, udpClient } from '../support/real/dns-client.ts'
import { startNginx } from '../support/real/nginx.ts'
import { requireTool } from '../support/real/tools.ts'
import { addressRecord, replyTo } from '../support/replies.ts'

t.setTimeout(60_000)

/** Three hosts on loopback: this one is 127.0.0.1. */
const RELAY_HOST = '127.0.0.2'
const TARGET_HOST = '127.0.0.3'

interface Scene {
  readonly target: Target
  readonly relay: Relay
  readonly daemon: RunningDaemon
  ask(name: string): Promise<Uint8Array>
}

function trustedSet(target: Target, relay: { readonly host: string; readonly port: number | undefined }, odoh: object = {}) {
  return {
    relays: [
      {
        id: 'relay-1',
        operator: 'Relays Ltd',
        jurisdiction: 'SE',
        type: 'odoh',
        addresses: [relay.host],
        authenticationDomainName: 'relay.test',
        caFile: 'ca.pem',
        port: relay.port,
        path: '/proxy{?targethost,targetpath}',
      },
    ],
    resolvers: [
      {
        id: 'target',
        operator: 'Names Inc',
        jurisdiction: 'CH',
        authenticationDomainName: 'target.test',
        addresses: [TARGET_HOST],
        caFile: 'ca.pem',
        transports: { odoh: { port: target.port, path: '/dns-query', relay: 'relay-1', config: target.config(), ...odoh } },
      },
    ],
  }
}

async function scene(t: Test, config: object = {}, odoh: object = {}): Promise<Scene> {
  const authority = await createAuthority()
  const ca = authority.certificate
  const target = await startTarget({
    identity: await authority.issue({ name: 'target.test' }),
    host: TARGET_HOST,
    answer: (q) => withPaddedOpt(replyTo(q, [addressRecord()]), { dnssecOk: false, block: 468, keepalive: false }),
  })
  const relay = await startRelay({
    identity: await authority.issue({ name: 'relay.test' }),
    host: RELAY_HOST,
    targets: { [`target.test:${target.port}`]: { port: target.port, ca, host: TARGET_HOST, from: RELAY_HOST } },
  })
  const daemon = await startDaemon({
    ca,
    config: { transports: ['odoh'], ...config },
    ...trustedSet(target, { host: RELAY_HOST, port: relay.port }, odoh),
  })
  const client = await udpClient(daemon.port)
  t.teardown(async () => {
    client.close()
    await daemon.stop()
    await relay.close()
    await target.close()
  })
  return { target, relay, daemon, ask: (name) => client.ask(query({ name })) }
}

t.test('the daemon asks through the relay; neither party sees both, and the status says so', async (t) => {
  const { target, relay, daemon, ask } = await scene(t)
  t.equal(rcodeOf(await ask('very-secret.example')), 0)
  t.strictSame(new Set(target.log.map(({ from }) => from)), new Set([RELAY_HOST]), 'the target sees the relay alone')
  t.ok(target.log.some(({ query }) => Buffer.from(query).includes('very-secret')))
  t.strictSame(new Set(relay.log.map(({ from }) => from)), new Set(['127.0.0.1']))
  t.notOk(relay.log.some(({ body }) => body.includes('very-secret')))
  t.match(await daemon.until('protected'), { resolvers: [{ id: 'target', transport: 'odoh', authenticated: 'ca' }] })
  t.notMatch(daemon.log(), /very-secret/)
})

t.test('a target with another key: its key is fetched directly only if that is configured', async (t) => {
  const { target, daemon, ask } = await scene(t)
  await ask('one.example')
  target.rotate()
  t.equal(rcodeOf(await ask('two.example')), 2)
  t.equal(target.fetched(), 0)
  for (let i = 0; i < 50 && !JSON.stringify(daemon.status()).includes('target-key'); i++) await sleep(100)
  t.match(JSON.stringify(daemon.status()), /target-key/, 'the status names the cause')

  const direct = await scene(t, { odoh: { configFetch: 'direct' } }, { config: undefined })
  t.equal(rcodeOf(await direct.ask('one.example')), 0)
  direct.target.rotate()
  t.equal(rcodeOf(await direct.ask('two.example')), 2, 'it was fetched less than a minute ago')
  t.equal(direct.target.fetched(), 1)
})

t.test('over a proxy a key is fetched without a setting; relay and target are asked under different credentials', async (t) => {
  const proxy = await startProxy({ kind: 'socks5', anyLogin: true })
  t.teardown(() => proxy.close())
  const route = { proxies: { tor: { type: 'socks5', address: `127.0.0.1:${proxy.port}`, isolate: 'operator' } }, via: ['tor'] }
  const { target, relay, ask } = await scene(t, route, { config: undefined })
  t.equal(rcodeOf(await ask('one.example')), 0)
  t.equal(target.fetched(), 1)
  const loginsFor = (host: string) => new Set(proxy.requests.filter((r) => r.host === host).map(({ login }) => login?.username))
  const [toRelay, toTarget] = [loginsFor(RELAY_HOST), loginsFor(TARGET_HOST)]
  t.strictSame([toRelay.size, toTarget.size], [1, 1])
  t.notSame([...toRelay], [...toTarget])
  t.ok(relay.log.length > 0)
})

if (requireTool(t, 'tcpdump', 'tshark'))
  t.test('on a schedule: no packet to the target, and one record size to the relay', async (t) => {
    const { relay, target, ask, daemon } = await scene(t, { shaping: { profile: 'balanced' } })
    const toTarget = await startCapture(`host ${TARGET_HOST} and not host ${RELAY_HOST}`)
    const toRelay = await startCapture(`host ${RELAY_HOST} and port ${relay.port}`)
    t.teardown(() => toTarget.remove())
    t.teardown(() => toRelay.remove())
    await Promise.all(Array.from({ length: 20 }, (_, i) => ask(`${'n'.repeat(1 + (i % 9))}${i}.example`)))
    await sleep(1500)
    await toTarget.stop()
    await toRelay.stop()
    t.ok(target.log.length > 20, `${target.log.length} queries, covers among them`)
    t.equal(toTarget.count(`ip.addr == ${TARGET_HOST}`), 0)
    const out = toRelay.records(relay.port).flatMap(({ direction, octets }) => (direction === 'out' ? [octets] : []))
    // The client's Finished and the opening of HTTP/2 come before the first cell.
    t.equal(new Set(out.slice(2)).size, 1, [...new Set(out)].join(', '))
    t.match(daemon.status(), { shaping: { profile: 'balanced' } })
  })

if (requireTool(t, 'nginx'))
  t.test('nginx as the relay: answers, and a key that the target refuses', async (t) => {
    const authority = await createAuthority()
    const target = await startTarget({
      identity: await authority.issue({ name: 'target.test' }),
      host: TARGET_HOST,
      answer: (q) => replyTo(q, [addressRecord()]),
    })
    const place = `target.test%3A${target.port}|%2Fdns-query`
    const nginx = await startNginx(await authority.issue({ name: 'relay.test' }), {
      http2: true,
      http: `map "$arg_targethost|$arg_targetpath" $target { default ""; "${place}" "https://${TARGET_HOST}:${target.port}/dns-query"; }`,
      server: 'location = /proxy { proxy_pass $target; proxy_http_version 1.1; proxy_ssl_name target.test; proxy_ssl_server_name on; }',
    })
    const relay = { host: '127.0.0.1', port: nginx.dohPort }
    const daemon = await startDaemon({ ca: authority.certificate, config: { transports: ['odoh'] }, ...trustedSet(target, relay) })
    const client = await udpClient(daemon.port)
    t.teardown(async () => {
      client.close()
      for (const party of [daemon, nginx]) await party.stop()
      await target.close()
    })
    const ask = async (name: string) => rcodeOf(await client.ask(query({ name })))
    t.strictSame(await Promise.all(Array.from({ length: 50 }, (_, i) => ask(`n${i}.example`))), Array(50).fill(0))
    target.rotate()
    t.equal(await ask('rotated.example'), 2)
    for (let i = 0; i < 50 && !JSON.stringify(daemon.status()).includes('target-key'); i++) await sleep(100)
    t.match(JSON.stringify(daemon.status()), /target-key/, 'its status 401 comes through')
  })

t.test('check shows the relay and its certificate, and an answer of the target', async (t) => {
  const { daemon, relay } = await scene(t)
  const args = [CLI, 'check', '--json', '--config', join(daemon.dir, 'config.json')]
  const check = async () => {
    const stdout = await new Promise<string>((resolve) => execFile(process.execPath, args, (_error, stdout) => resolve(stdout)))
    const found = JSON.parse(stdout) as { findings?: readonly object[]; resolvers?: readonly object[] }
    return (found.findings ?? found.resolvers ?? [])[0]
  }
  const relayAs = (is: string) => [{ name: 'relay-1', kind: 'odoh-relay', address: `${RELAY_HOST}:${relay.port}`, is }]
  t.match(await check(), { resolver: 'target', transport: 'odoh', ok: true, address: RELAY_HOST, hops: relayAs('ok') })
  t.ok(relay.log.length > 0)
  await relay.close()
  t.match(await check(), { ok: false, fault: 'connect-refused', hops: relayAs('failed') })
})
