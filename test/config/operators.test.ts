import { join } from 'node:path'
import t, { type Test } from 'tap'
import { checkConfig } from '../../src/config/load.ts'
import { operatorCount, operatorKeys } from '../../src/config/operators.ts'
import { postureSetup } from '../../src/evidence.ts'
import { pathsReport } from '../../src/posture/path-report.ts'

const KEY = Buffer.alloc(32, 1).toString('base64')
const entry = (id: string, more: object = {}) => ({
  id,
  authenticationDomainName: `${id}.example`,
  addresses: ['192.0.2.1'],
  spkiPins: [],
  transports: {},
  ...more,
})
const at = (id: string, name: string, address: string, more: object = {}) =>
  entry(id, { authenticationDomainName: name, addresses: [address], ...more })
const dnscrypt = (id: string, providerName: string, address: string, publicKey = KEY) =>
  at(id, providerName, address, { transports: { dnscrypt: { providerName, publicKey } } })

t.test('entries without a named operator count as one if they share a name, an address or a key', (t) => {
  for (const [resolvers, count, why] of [
    [[at('a', 'dns.one.example', '192.0.2.1'), at('b', 'dns.one.example', '2001:db8::1')], 1, 'one certificate name'],
    [[at('a', 'dns.one.example', '192.0.2.1'), at('b', 'DNS2.One.Example.', '192.0.2.2')], 1, 'two names of one domain'],
    [[at('a', 'dns.one.test', '192.0.2.1'), at('b', 'dns.two.test', '192.0.2.2')], 2, 'nothing in common'],
    [[at('a', 'dns.one.test', '2001:DB8:0::1'), at('b', 'dns.two.test', '2001:db8::1')], 1, 'one address'],
    [[at('a', 'dns.one.test', '127.0.0.1'), at('b', 'dns.two.test', '127.0.0.1')], 2, 'an address of this host says nothing'],
    [[at('a', 'one.test', '192.0.2.1', { spkiPins: [KEY] }), at('b', 'two.test', '192.0.2.2', { spkiPins: [KEY] })], 1, 'one pin'],
    [[dnscrypt('a', '2.dnscrypt-cert.one.test', '192.0.2.1'), dnscrypt('b', '2.dnscrypt-cert.two.test', '192.0.2.2')], 1, 'one key'],
    [[dnscrypt('a', '2.dnscrypt-cert.one.test', '192.0.2.1'), at('b', 'dns.one.test', '192.0.2.2')], 1, 'provider and host'],
    [[at('a', '192.0.2.1', '192.0.2.1'), at('b', '2001:db8::1', '2001:db8::1')], 1, 'no name says who they are'],
    [[at('a', 'x.onion', 'x.onion'), dnscrypt('b', '2.dnscrypt-cert.local', '192.0.2.2')], 1, 'nor does one of an onion service'],
    [
      [at('a', 'one.test', '192.0.2.1'), at('b', 'two.test', '192.0.2.2'), at('c', 'one.test', '192.0.2.2')],
      1,
      'the third one joins the two others',
    ],
    [[at('a', 'one.test', '192.0.2.1', { operator: 'One' }), at('b', 'dns.one.test', '192.0.2.2')], 1, 'as the one that is named'],
    [[at('a', 'one.test', '192.0.2.1', { operator: 'A' }), at('b', 'one.test', '192.0.2.1', { operator: 'B' })], 2, 'named ones differ'],
    [[at('a', 'one.test', '192.0.2.1', { operator: 'A' }), at('b', 'two.test', '192.0.2.2', { operator: ' a ' })], 1, 'one name'],
    [[], 0, 'nobody'],
  ] as const) {
    t.equal(operatorCount(resolvers), count, why)
    t.equal(operatorCount(resolvers.toReversed()), count, `${why}, in another order`)
  }
  const two = [at('b', 'one.test', '192.0.2.1'), at('a', 'one.test', '192.0.2.2')]
  t.strictSame([...operatorKeys(two)].toSorted(), [...operatorKeys(two.toReversed())].toSorted(), 'order does not matter')
  t.end()
})

const RESOLVER = { addresses: ['192.0.2.1'], transports: { dot: {} }, authenticationDomainName: 'dns.one.example' }

async function checked(t: Test, config: object, resolvers: readonly object[], relays: readonly object[] = []) {
  const dir = t.testdir({
    'config.json': JSON.stringify({ resolvers: 'set.json', ...config }),
    'set.json': JSON.stringify({ version: 1, resolvers, relays }),
  })
  const { loaded, problems } = await checkConfig(join(dir, 'config.json'))
  return { loaded, problems: problems.map(({ path, message }) => `${path}: ${message}`).join('\n') }
}

t.test('one operator with an entry for each address is no two operators, in `use`, in the policy and in `split`', async (t) => {
  const both = [
    { ...RESOLVER, id: 'res-1', enabled: false },
    { ...RESOLVER, id: 'res-1-ipv6', enabled: false, addresses: ['2001:db8::1'] },
  ]
  const use = { operators: 2, disabled: true }
  t.match((await checked(t, { use }, both)).problems, /^use: 1 of 2 operators match; entries without "operator" that share a name/)
  const ids = ['res-1', 'res-1-ipv6']
  t.match(
    (await checked(t, { use: ids, policy: { minimumOperators: 2 } }, both)).problems,
    /^policy\.minimumOperators: requires 2 operators, but 1 is in use; .*name the "operator" of each in the trusted set/,
  )
  t.match((await checked(t, { use: ids, split: 'by-site', policy: { maxShareOfOperator: 0.5 } }, both)).problems, /an operator gets 1\.00/)
  const { loaded } = await checked(t, { use: ids, split: 'by-site' }, both)
  t.ok(loaded)
  if (loaded === undefined) return
  const setup = postureSetup(loaded)
  t.match(setup.resolvers, [
    { operator: 'res-1', unnamed: 'res-1' },
    { operator: 'res-1-ipv6', unnamed: 'res-1' },
  ])
  t.strictSame(
    pathsReport({ setup }, { inForce: 'no', reasons: [] } as never).map(({ share }) => share),
    [1, 1],
  )
})

t.test('an operator that nobody named is on no list of allowed operators, whatever the id of its entry', async (t) => {
  const policy = { operators: ['home'] }
  t.match(
    (await checked(t, { policy }, [{ ...RESOLVER, id: 'home' }])).problems,
    /^policy\.operators: allows only operators that are named, and "home" names none; name its "operator"/,
  )
  t.match((await checked(t, { policy }, [{ ...RESOLVER, id: 'home', operator: 'Home' }])).problems, /^$/)
})

t.test('an operator that nobody named meets neither `separation` nor `diversity`, as a relay, a proxy or a resolver', async (t) => {
  const place = { providerName: '2.dnscrypt-cert.one.example', publicKey: KEY, relay: 'between' }
  const resolver = (more: object) => ({ ...RESOLVER, id: 'home', transports: { dnscrypt: place }, ...more })
  const relay = (more: object) => ({ id: 'between', type: 'dnscrypt', addresses: ['198.51.100.7'], ...more })
  const config = { transports: ['dnscrypt'], allowDnscryptCertificates: true }
  const rules = { separation: 'required', diversity: 'operators' }
  const named = [resolver({ operator: 'Names Inc' })]
  for (const operator of [undefined, 'unknown (between)', 'unknown', ' Unknown (x-dcrelay)']) {
    const { problems } = await checked(t, { ...config, policy: rules }, named, [relay({ operator })])
    t.match(problems, /policy\.separation: .* but nothing says who runs relay between; name its "operator"/, `${operator}`)
    t.match(problems, /policy\.diversity: .* the operator of relay between is not configured/)
    const { loaded } = await checked(t, config, named, [relay({ operator })])
    t.ok(loaded)
    if (loaded === undefined) continue
    t.strictSame(pathsReport({ setup: postureSetup(loaded) }, { inForce: 'no', reasons: [] } as never)[0]?.route[0]?.operator, undefined)
  }
  const other = await checked(t, { ...config, policy: rules }, [resolver({})], [relay({ operator: 'Relays Ltd' })])
  t.match(other.problems, /policy\.separation: .* but nothing says who runs resolver home/)
  t.match(other.problems, /policy\.diversity: .* the operator of resolver home is not configured/)
  t.equal((await checked(t, { ...config, policy: rules }, named, [relay({ operator: 'Relays Ltd' })])).problems, '')
  const proxies = { p: { type: 'socks5', address: '192.0.2.9:1080', operator: 'unknown' } }
  const proxied = await checked(t, { proxies, via: ['p'], policy: rules }, [{ ...RESOLVER, id: 'home', operator: 'Names Inc' }])
  t.match(proxied.problems, /nothing says who runs proxy p/)
  const tor = { tor: { type: 'socks5', address: '127.0.0.1:9050', isolate: 'operator' } }
  const overTor = await checked(t, { proxies: tor, via: ['tor'], policy: { separation: 'required' } }, [{ ...RESOLVER, id: 'home' }])
  t.equal(overTor.problems, '', 'Tor consists of many operators')
})
