import { join } from 'node:path'
import t, { type Test } from 'tap'
import { parseJsonc } from '../../src/config/jsonc.ts'
import { checkConfig } from '../../src/config/load.ts'
import { newKeyPair } from '../../src/demo/oblivious-pair.ts'
import { readmeRecipe } from '../support/readme.ts'

const KEY = newKeyPair().configs.toString('base64')

const relay = (more: object = {}) => ({
  id: 'relay-1',
  operator: 'Relays Ltd',
  jurisdiction: 'SE',
  type: 'odoh',
  addresses: ['192.0.2.9'],
  authenticationDomainName: 'relay.example',
  port: 443,
  path: '/proxy{?targethost,targetpath}',
  ...more,
})
const target = (odoh: object = {}, more: object = {}) => ({
  id: 'target',
  operator: 'Names Inc',
  jurisdiction: 'CH',
  authenticationDomainName: 'target.example',
  addresses: ['192.0.2.1'],
  transports: { odoh: { path: '/dns-query', relay: 'relay-1', config: KEY, ...odoh } },
  ...more,
})

async function check(t: Test, resolvers: readonly object[], relays: unknown, config: object = { transports: ['odoh'] }) {
  const dir = t.testdir({
    'config.json': JSON.stringify({ resolvers: 'set.json', ...config }),
    'set.json': JSON.stringify({ version: 1, resolvers, ...(relays === undefined ? {} : { relays }) }),
    'ca.pem': 'not a certificate',
  })
  const { loaded, problems } = await checkConfig(join(dir, 'config.json'))
  return { loaded, problems: problems.map(({ path, message }) => `${path}: ${message}`) }
}

t.test('a target with its relay is loaded, and the relay stands with it', async (t) => {
  const { loaded, problems } = await check(t, [target()], [relay()])
  t.strictSame(problems, [])
  t.match(loaded?.resolvers[0], { id: 'target', relay: { id: 'relay-1', path: '/proxy', port: 443 }, transports: { odoh: { port: 443 } } })
})

t.test('one party for relay and target is refused, however it is spelt', async (t) => {
  const both =
    /resolvers\[0\]\.transports\.odoh\.relay: names "relay-1", but .* so it would see both who asks and what is asked; choose a relay of another operator/
  for (const [relays, resolvers, why] of [
    [[relay({ operator: 'Names Inc' })], [target()], 'operator'],
    [[relay({ operator: ' names  INC ' })], [target()], 'operator in another spelling'],
    [[relay({ operator: 'target' })], [target({}, { operator: undefined })], 'an operator that is named by its id'],
    [[relay({ addresses: ['192.0.2.7', '192.0.2.1'] })], [target()], 'address'],
    [[relay({ addresses: ['2001:db8::1'] })], [target({}, { addresses: ['2001:DB8:0::1'] })], 'address in another spelling'],
    [[relay({ authenticationDomainName: 'target.example' })], [target()], 'name'],
  ] as const)
    t.match((await check(t, resolvers, relays)).problems, [both], why)
  t.strictSame((await check(t, [target()], [relay({ jurisdiction: 'CH' })])).problems, [], 'one jurisdiction is a matter of policy')
})

t.test('what does not fit has its place and its fix', async (t) => {
  const cases: readonly (readonly [resolvers: readonly object[], relays: unknown, expected: RegExp])[] = [
    [[target({ relay: 'gone' })], [relay()], /^resolvers\[0\]\.transports\.odoh\.relay: "gone" is not in "relays"; name one of: relay-1/],
    [[target()], undefined, /^resolvers\[0\]\.transports\.odoh\.relay: "relay-1" is not in "relays"; add it/],
    [[target({ relay: undefined })], [relay()], /^resolvers\[0\]\.transports\.odoh\.relay: /],
    [[target({ config: '!' })], [relay()], /^resolvers\[0\]\.transports\.odoh\.config: must be base64/],
    [[target({ config: 'AAAA' })], [relay()], /odoh\.config: is not the ObliviousDoHConfigs of RFC 9230; copy what the target publishes/],
    [[target({ path: 'dns-query' })], [relay()], /odoh\.path: must be an absolute path/],
    [[target()], [relay(), relay()], /^relays: contains an id twice/],
    [[target()], [relay({ type: 'squid' })], /^relays\[0\]\.type: must be one of: odoh/],
    [[target()], [relay({ path: '/p?x=1' })], /^relays\[0\]\.path: must be an absolute path such as/],
    [[target()], [relay({ addresses: ['relay.example'] })], /^relays\[0\]\.addresses\[0\]: must be an IPv4 or IPv6 address/],
    [[target()], [relay({ operator: 7 })], /^relays\[0\]\.operator: /],
    [[target()], [relay({ caFile: 'ca.pem' })], /^: contains no certificate/],
    [[target()], {}, /^relays: must be a list/],
  ]
  for (const [resolvers, relays, expected] of cases) t.match((await check(t, resolvers, relays)).problems[0], expected, String(expected))
})

t.test('a key that is neither pinned nor may be fetched is an error, unless ODoH is not used', async (t) => {
  const unpinned = [{ ...target(), id: 'first', transports: { dot: {} } }, target({ config: undefined })]
  const relays = [relay()]
  const why = /^resolvers\[1\]\.transports\.odoh: has no "config".*"configFetch": "direct"/
  t.match((await check(t, unpinned, relays, { transports: ['odoh'], use: ['target'] })).problems, [why])
  t.strictSame((await check(t, unpinned, relays, { transports: ['odoh'], use: ['target'], odoh: { configFetch: 'direct' } })).problems, [])
  t.strictSame((await check(t, unpinned, relays, { transports: ['dot'] })).problems, [])
  const proxied = { transports: ['odoh'], use: ['target'], proxies: { p: { type: 'socks5', address: '127.0.0.1:1080' } }, via: ['p'] }
  t.strictSame((await check(t, unpinned, relays, proxied)).problems, [], 'over a proxy it is fetched')
  const direct = [unpinned[0] ?? {}, { ...unpinned[1], via: [] }]
  t.match((await check(t, direct, relays, proxied)).problems, [why], 'but not past it')
  const nameless = { ...target(), id: undefined }
  const found = (await check(t, [nameless, nameless, ...unpinned], relays, { transports: ['odoh'], use: ['target'] })).problems
  t.match(found.at(-1), /^resolvers\[3\]\.transports\.odoh: has no "config"/, 'entries without an id are counted too')
})

t.test('policy takes the transport by its name', async (t) => {
  const only = { transports: ['odoh'], policy: { transports: ['odoh'] } }
  t.strictSame((await check(t, [target()], [relay()], only)).problems, [])
  const both = { transports: ['odoh', 'dot'], policy: { transports: ['odoh'] } }
  t.match((await check(t, [target()], [relay()], both)).problems, [/^policy\.transports: does not allow dot/])
})

t.test('the set in docs/odoh.md is valid', async (t) => {
  const { value } = parseJsonc(readmeRecipe('odoh-set')) as { value: { resolvers: readonly object[]; relays: readonly object[] } }
  const { loaded, problems } = await check(t, value.resolvers, value.relays)
  t.strictSame(problems, [])
  t.equal(loaded?.resolvers[0]?.relay?.id, 'relay-1')
})
