// What the status says about routes, of a real daemon; and the recipes of docs/paths.md, which must
// do what they say.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { parseJsonc } from '../../src/config/jsonc.ts'
import { type Authority, createAuthority } from '../../src/demo/authority.ts'
import { startRelay, startTarget } from '../../src/demo/oblivious-pair.ts'
import { readOpt } from '../../src/dns/edns.ts'
import type { StatusDocument } from '../../src/posture/document.ts'
import { type DotServer, startDot } from '../support/dot-server.ts'
import { query } from '../support/messages.ts'
import { type ProxySpec, type ScriptedProxy, startProxy } from '../support/proxies.ts'
import { readmeRecipe } from '../support/readme.ts'
import { cli, identityOf, RESOLVER_NAME, startDaemon } from '../support/real/daemon.ts'
import { rcodeOf, udpClient } from '../support/real/dns-client.ts'
import { addressRecord, replyTo } from '../support/replies.ts'

const entry = (server: DotServer, more: object = {}) => ({
  id: 'home',
  operator: 'Home Ltd',
  authenticationDomainName: RESOLVER_NAME,
  addresses: ['127.0.0.1'],
  transports: { dot: { port: server.port } },
  caFile: 'ca.pem',
  ...more,
})

async function resolver(t: Test): Promise<{ readonly server: DotServer; readonly authority: Authority }> {
  const authority = await createAuthority()
  const server = await startDot({ identity: await identityOf(authority), answer: (message) => replyTo(message, [addressRecord()]) })
  t.teardown(() => server.close())
  return { server, authority }
}

async function proxy(t: Test, spec: ProxySpec): Promise<ScriptedProxy> {
  const started = await startProxy(spec)
  t.teardown(() => started.close())
  return started
}

/** The RCODE and the extended error of one question. */
async function asked(t: Test, port: number): Promise<{ readonly rcode: number; readonly ede: string | undefined }> {
  const client = await udpClient(port)
  t.teardown(() => client.close())
  const reply = await client.ask(query({ opt: {} }))
  return { rcode: rcodeOf(reply), ede: readOpt(reply)?.ede?.text }
}

/** Runs a configuration of docs/paths.md against servers on loopback, whose ports `replace` gives. */
async function runsRecipe(t: Test, name: string, replace: (config: Recipe) => void, servers: Awaited<ReturnType<typeof resolver>>) {
  const { value: config } = parseJsonc(readmeRecipe(name)) as { value: Recipe }
  replace(config)
  const daemon = await startDaemon({ resolvers: [entry(servers.server)], ca: servers.authority.certificate, config: { ...config } })
  t.teardown(() => daemon.stop())
  t.same(await asked(t, daemon.port), { rcode: 0, ede: undefined }, name)
  return { daemon, status: daemon.status() as unknown as StatusDocument }
}
interface Recipe {
  proxies: Record<string, { address: string; tls?: object }>
}
const knows = ({ paths }: StatusDocument) => paths?.[0]?.knows.map(({ party, address, names }) => [party, address, names])

t.test('the recipe of a proxy: the way in the status, on its screen, and nobody who knows both', async (t) => {
  const servers = await resolver(t)
  const front = await proxy(t, { kind: 'http-connect', tls: await servers.authority.issue({ name: 'proxy.example' }) })
  const { daemon, status } = await runsRecipe(
    t,
    'paths-proxy',
    ({ proxies: { example: one } }) =>
      Object.assign(one ?? {}, { address: `127.0.0.1:${front.port}`, tls: { ...one?.tls, caFile: 'ca.pem' } }),
    servers,
  )
  t.match(front.requests, [{ host: '127.0.0.1', port: servers.server.port }])
  t.match(status.paths, [
    {
      resolver: 'home',
      over: ['dot'],
      route: [
        { name: 'example', type: 'http-connect', operator: 'Example Proxy Ltd', protectedBy: 'tls', authenticated: 'ca', onThisHost: true },
      ],
      seal: { by: 'tls', authenticated: 'ca' },
      share: 1,
    },
  ])
  t.same(knows(status), [
    ['this network', 'yes', 'no'],
    ['proxy example', 'yes', 'only together with resolver home'],
    ['resolver home', 'only together with proxy example', 'yes'],
  ])
  t.match(status.policy?.rules, [
    { rule: 'separation', verdict: 'met' },
    { rule: 'allowedProxies', verdict: 'met' },
    { rule: 'diversity', verdict: 'claimed' },
  ])
  const codes = status.signals.secureNameResolution.reasons.map(({ code }) => code)
  t.same(
    codes.filter((code) => code === 'separated' || code === 'hop-on-this-host'),
    ['separated', 'hop-on-this-host'],
  )
  const screen = await cli('status', '--paths', '--file', daemon.statusFile)
  t.match(screen.stdout, / {2}proxy example +yes +with resolver home +yes +yes\n/)
  t.match(
    screen.stdout.replace(/\s+/g, ' '),
    /hop 1, proxy example \(HTTP CONNECT\): TLS, proved by its certificate; run by Example Proxy Ltd/,
  )
  t.match((await cli('status', '--file', daemon.statusFile)).stdout, /routes home through example \(who can know what/)
})

t.test('the recipe of a chain: the later hop is asked by name, and knows neither by itself', async (t) => {
  const servers = await resolver(t)
  const far = await proxy(t, { kind: 'http-connect', tls: await servers.authority.issue({ name: 'far.example' }) })
  const near = await proxy(t, { kind: 'socks5', names: { 'far.example': far.port } })
  const { status } = await runsRecipe(
    t,
    'paths-chain',
    ({ proxies: { near: first, far: second } }) => {
      Object.assign(first ?? {}, { address: `127.0.0.1:${near.port}` })
      Object.assign(second ?? {}, { tls: { ...second?.tls, caFile: 'ca.pem' } })
    },
    servers,
  )
  t.same(
    near.requests.map(({ host, port }) => `${host}:${port}`),
    ['far.example:8443'],
  )
  t.same(
    far.requests.map(({ host, port }) => `${host}:${port}`),
    [`127.0.0.1:${servers.server.port}`],
  )
  t.same(knows(status)?.slice(1), [
    ['proxy near', 'yes', 'only together with resolver home'],
    ['proxy far', 'only together with proxy near', 'only together with resolver home'],
    ['resolver home', 'only together with proxy near', 'yes'],
  ])
})

/** Starts a relay, a target, and a daemon with this configuration. */
async function oblivious(t: Test, config: Record<string, unknown>): Promise<StatusDocument> {
  const authority = await createAuthority()
  const identity = (name: string) => authority.issue({ name })
  const target = await startTarget({ identity: await identity('target.test'), answer: (q) => replyTo(q, [addressRecord()]) })
  t.teardown(() => target.close())
  const targets = { [`target.test:${target.port}`]: { port: target.port, ca: authority.certificate } }
  const relay = await startRelay({ identity: await identity('relay.test'), targets })
  t.teardown(() => relay.close())
  const common = { caFile: 'ca.pem' }
  const at = { addresses: ['127.0.0.1'], port: relay.port, path: '/proxy', authenticationDomainName: 'relay.test' }
  const daemon = await startDaemon({
    ca: authority.certificate,
    relays: [{ id: 'relay-1', operator: 'Relays Ltd', type: 'odoh', ...at, ...common }],
    resolvers: [
      {
        ...{ id: 'target', operator: 'Names Inc', addresses: ['127.0.0.3'], authenticationDomainName: 'target.test', ...common },
        transports: { odoh: { port: target.port, relay: 'relay-1', config: target.config() } },
      },
    ],
    config,
  })
  t.teardown(() => daemon.stop())
  t.same(await asked(t, daemon.port), { rcode: 0, ede: undefined })
  return daemon.status() as unknown as StatusDocument
}

t.test('the recipe of ODoH: the relay an address, the target names; a key that is fetched directly is a claim', async (t) => {
  const { value } = parseJsonc(readmeRecipe('paths-odoh')) as { value: Record<string, unknown> }
  const status = await oblivious(t, value)
  t.match(status.paths, [
    {
      over: ['odoh'],
      route: [{ name: 'relay-1', type: 'odoh-relay', operator: 'Relays Ltd', protectedBy: 'tls', authenticated: 'ca' }],
      seal: { by: 'hpke', authenticated: 'key' },
    },
  ])
  t.same(knows(status), [
    ['this network', 'yes', 'no'],
    ['relay relay-1', 'yes', 'only together with resolver target'],
    ['resolver target', 'only together with relay relay-1', 'yes'],
  ])
  t.match(status.policy?.rules, [
    { rule: 'separation', verdict: 'met' },
    { rule: 'diversity', verdict: 'claimed' },
  ])
  const fetching = { ...value, odoh: { configFetch: 'direct' } }
  t.same(knows(await oblivious(t, { ...fetching, policy: {} }))?.at(-1), ['resolver target', 'claimed', 'yes'])
  await t.rejects(oblivious(t, fetching), { message: /policy\.separation: .* the key of target is fetched from it without a hop/ })
})

t.test('the recipe of divided names: each operator gets half of the sites', async (t) => {
  const { server, authority } = await resolver(t)
  const { value } = parseJsonc(readmeRecipe('paths-split')) as { value: Record<string, unknown> }
  const both = [entry(server), entry(server, { id: 'other', operator: 'Other Ltd' })]
  const start = (config: Record<string, unknown>) => startDaemon({ resolvers: both, ca: authority.certificate, config })
  const daemon = await start(value)
  t.teardown(() => daemon.stop())
  t.equal((await asked(t, daemon.port)).rcode, 0)
  const status = daemon.status() as unknown as StatusDocument
  t.match(status.paths, [{ share: 0.5 }, { share: 0.5 }])
  t.match(
    status.policy?.rules.find(({ rule }) => rule === 'maxShareOfOperator'),
    { verdict: 'met' },
  )
  await t.rejects(start({ ...value, split: 'rotate' }), {
    message: /policy\.maxShareOfOperator: .* in time every operator gets every site/,
  })
})

t.test('the recipe of Tor is a configuration that loads', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'enigm-dns-paths-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  writeFileSync(join(dir, 'config.json'), readmeRecipe('paths-tor'), { mode: 0o600 })
  const { loadConfig } = await import('../../src/config/load.ts')
  const { config } = await loadConfig(join(dir, 'config.json'))
  t.match(config, { via: ['tor'], proxies: { tor: { isolate: 'operator' } }, policy: { separation: 'required' } })
})

t.test('separation that is required and not there: refused at the start and at a reload, with the route', async (t) => {
  const { server, authority } = await resolver(t)
  const config = { policy: { separation: 'required' } }
  await t.rejects(startDaemon({ resolvers: [entry(server)], ca: authority.certificate, config }), {
    message: /ended \(2\)[\s\S]*policy\.separation: .* no hop on the route to home over DoT; put a hop of another operator/,
  })
  const socks = await proxy(t, { kind: 'socks5' })
  const proxies = { p: { type: 'socks5', address: `127.0.0.1:${socks.port}`, operator: 'Proxy Ltd' } }
  const daemon = await startDaemon({
    resolvers: [entry(server)],
    ca: authority.certificate,
    config: { ...config, proxies, via: ['p'] },
  })
  t.teardown(() => daemon.stop())
  t.equal((await asked(t, daemon.port)).rcode, 0)
  writeFileSync(join(daemon.dir, 'resolvers.json'), JSON.stringify({ version: 1, resolvers: [entry(server, { via: [] })] }), {
    mode: 0o600,
  })
  const { code, stdout, stderr } = await cli('reload', '--file', daemon.statusFile)
  t.not(code, 0, stdout + stderr)
  t.equal((await asked(t, daemon.port)).rcode, 0, 'the old routes stay in force')
  t.equal(socks.requests.length, server.counts.tcp, 'every connection to the resolver came through the proxy')
})

t.test('a required VPN is judged by the way to the first hop', async (t) => {
  const { server, authority } = await resolver(t)
  const socks = await proxy(t, { kind: 'socks5' })
  const proxies = { p: { type: 'socks5', address: `127.0.0.1:${socks.port}`, operator: 'Proxy Ltd' } }
  const start = (policy: object) =>
    startDaemon({ resolvers: [entry(server)], ca: authority.certificate, config: { proxies, via: ['p'], policy } })
  const without = await start({ vpn: 'required', separation: 'required' })
  t.teardown(() => without.stop())
  t.match(await asked(t, without.port), { rcode: 2, ede: 'vpn-required' }, 'a proxy is no VPN')
  const withVpn = await start({ vpn: 'required', vpnInterfaces: ['lo'] })
  t.teardown(() => withVpn.stop())
  t.equal((await asked(t, withVpn.port)).rcode, 0)
})
