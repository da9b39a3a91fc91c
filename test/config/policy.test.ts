import { join } from 'node:path'
import t, { type Test } from 'tap'
import * as v from 'valibot'
import { checkConfig } from '../../src/config/load.ts'
import { policySchema, rulesAt, tightened } from '../../src/config/policy.ts'
import { addedPolicy } from '../../src/config/policy-from.ts'

const entry = (id: string, more: object = {}) => ({
  id,
  operator: `Operator ${id}`,
  jurisdiction: 'CH',
  authenticationDomainName: `${id}.example`,
  addresses: ['192.0.2.1'],
  transports: { dot: {}, doh: {} },
  spkiPins: [Buffer.alloc(32, 1).toString('base64')],
  ...more,
})

/** The problems of a configuration with this policy, as `path: message`. */
async function problems(t: Test, policy: unknown, config: object = {}, resolvers: readonly object[] = [entry('a'), entry('b')]) {
  const dir = t.testdir({
    'config.json': JSON.stringify({ resolvers: 'set.json', ...config, policy }),
    'set.json': JSON.stringify({ version: 1, resolvers }),
  })
  const found = await checkConfig(join(dir, 'config.json'))
  return found.problems.map(({ path, message }) => `${path}: ${message}`)
}

const PROXIED = { proxies: { p: { type: 'socks5', address: '192.0.2.9:1080' } }, via: ['p'] }
const KNOWN = { ...PROXIED, proxies: { p: { ...PROXIED.proxies.p, operator: 'Proxy Ltd' } } }
const ISOLATED = { ...PROXIED, proxies: { p: { ...PROXIED.proxies.p, isolate: 'operator' } } }

const FITTING = {
  minimumUsageProfile: 'strict',
  transports: ['dot', 'doh'],
  padding: { queryBlock: 128, replies: 'required' },
  shaping: 'jitter',
  operators: ['Operator a', 'Operator b'],
  jurisdictions: ['CH'],
  minimumOperators: 2,
  pins: 'required',
  claims: { dnssec: true },
  vpn: 'preferred',
  vpnInterfaces: ['wg0'],
  systemResolver: 'required',
  audit: 'required',
  networks: [{ name: 'office', match: { gateway: '10.0.0.1', gatewayMac: '02:00:5E:10:00:01', subnet: '10.0.0.0/24' }, vpn: 'required' }],
}

t.test('a policy that the configuration meets is accepted', async (t) => {
  t.same(await problems(t, FITTING), [])
  t.same(await problems(t, {}), [], 'and an empty one')
  const apart = { separation: 'required', maxShareOfOperator: 1, allowedProxies: ['p'] }
  for (const known of [KNOWN, ISOLATED]) t.same(await problems(t, apart, known), [], 'and one about routes')
  const named = { ...PROXIED, proxies: { p: { ...PROXIED.proxies.p, operator: 'Proxy Ltd', jurisdiction: 'SE' } } }
  t.same(await problems(t, { ...apart, diversity: 'jurisdictions' }, named), [])
})

t.test('the key of a DNSCrypt provider counts as a pin, where no other transport is used', async (t) => {
  const dnscrypt = { providerName: '2.dnscrypt-cert.a.example', publicKey: Buffer.alloc(32, 1).toString('base64') }
  const bare = { spkiPins: [], transports: { dnscrypt, dot: {} } }
  const only = { transports: ['dnscrypt'], allowDnscryptCertificates: true }
  t.same(await problems(t, { pins: 'required' }, only, [entry('c', bare)]), [])
  const both = { ...only, transports: ['dnscrypt', 'dot'] }
  t.match(await problems(t, { pins: 'required' }, both, [entry('c', bare)]), [/requires pins, but "c" has none/])
})

t.test('a relay that is not allowed is taken out of the trusted set, and not of "via"', async (t) => {
  const place = { providerName: '2.dnscrypt-cert.a.example', publicKey: Buffer.alloc(32, 1).toString('base64'), relay: 'r' }
  const dir = t.testdir({
    'config.json': JSON.stringify({
      resolvers: 'set.json',
      transports: ['dnscrypt'],
      allowDnscryptCertificates: true,
      policy: { allowedProxies: [] },
    }),
    'set.json': JSON.stringify({
      version: 1,
      resolvers: [entry('a', { transports: { dnscrypt: place } })],
      relays: [{ id: 'r', type: 'dnscrypt', operator: 'R', addresses: ['192.0.2.9'], port: 443 }],
    }),
  })
  t.match((await checkConfig(join(dir, 'config.json'))).problems, [
    {
      path: 'policy.allowedProxies',
      message: /does not allow "r", .* take it out of the transports of the resolver \("relay"\) in the trusted set/,
    },
  ])
})

t.test('each contradiction is an error with its path and its fix', async (t) => {
  const cases: readonly [object, object, RegExp, (readonly object[])?][] = [
    [{ minimumUsageProfile: 'strict' }, { usageProfile: 'opportunistic' }, /^policy\.minimumUsageProfile: .*set usageProfile to strict/],
    [{ transports: ['dot'] }, {}, /^policy\.transports: does not allow doh.*remove it there/],
    [{ padding: { queryBlock: 256 } }, {}, /^policy\.padding\.queryBlock: requires 256, .* 128; raise/],
    [{ shaping: 'jitter' }, { shaping: { profile: 'off' } }, /^policy\.shaping: requires jitter/],
    [{ operators: ['Operator a'] }, {}, /^policy\.operators: does not allow "Operator b", the operator of "b"; leave it out/],
    [{ jurisdictions: ['SE'] }, { use: ['a'] }, /^policy\.jurisdictions: does not allow "CH"/],
    [
      { jurisdictions: ['CH'] },
      {},
      /^policy\.jurisdictions: does not allow an unknown jurisdiction, the jurisdiction of "c"/,
      [entry('c', { jurisdiction: undefined })],
    ],
    [{ minimumOperators: 2 }, { use: ['a'] }, /^policy\.minimumOperators: requires 2 operators, but 1 is in use/],
    [{ minimumOperators: 2 }, {}, /requires 2 operators, but 1/, [entry('a', { operator: 'One' }), entry('b', { operator: 'One' })]],
    [{ pins: 'required' }, {}, /^policy\.pins: requires pins, but "c" has none; add spkiPins/, [entry('c', { spkiPins: [] })]],
    [
      { claims: { logging: false } },
      {},
      /^policy\.claims\.logging: requires false, but "c" states true/,
      [entry('c', { claims: { logging: true } })],
    ],
    [
      { vpn: 'required', networks: [{ name: 'x', match: { gateway: '10.0.0.1' }, vpn: 'off' }] },
      {},
      /^policy\.networks\[0\]\.vpn: is weaker .*\(required\).*remove it/,
    ],
    [
      { minimumOperators: 2, networks: [{ name: 'x', match: { gateway: '10.0.0.1' }, minimumOperators: 1 }] },
      {},
      /^policy\.networks\[0\]\.minimumOperators: is weaker/,
    ],
    [
      { networks: [{ name: 'x', match: { gateway: '10.0.0.1' }, transports: ['doh'] }] },
      {},
      /^policy\.networks\[0\]\.transports: does not allow dot/,
    ],
    [
      { claims: { dnssec: true }, networks: [{ name: 'x', match: { gateway: '10.0.0.1' }, claims: { dnssec: false } }] },
      {},
      /^policy\.networks\[0\]\.claims\.dnssec: is weaker/,
    ],
    [{ separation: 'required' }, {}, /^policy\.separation: .* no hop on the route to a over DoT, DoH; b over DoT, DoH; put a hop/],
    [{ separation: 'required' }, { ...KNOWN, usageProfile: 'opportunistic' }, /^policy\.separation: .*usageProfile is opportunistic/],
    [{ separation: 'required' }, PROXIED, /^policy\.separation: .* but nothing says who runs proxy p; name its "operator"/],
    [
      { separation: 'required' },
      KNOWN,
      /^policy\.separation: .* but no hop on the route to b over DoT, DoH; put/,
      [entry('a'), entry('b', { via: [] })],
    ],
    [
      { separation: 'required' },
      { ...PROXIED, use: ['a'], proxies: { p: { ...PROXIED.proxies.p, operator: 'operator A' } } },
      /^policy\.separation: .* but operator A runs proxy p and resolver a; put/,
    ],
    [{ networks: [{ name: 'x', match: { gateway: '10.0.0.1' }, separation: 'required' }] }, {}, /^policy\.networks\[0\]\.separation: /],
    [{ separation: 'claimed' }, {}, /^policy\.separation: must be one of: required/],
    [{ allowedProxies: ['q'] }, PROXIED, /^policy\.allowedProxies: does not allow "p", .* take it out of "via"/],
    [{ allowedProxies: [] }, PROXIED, /^policy\.allowedProxies: does not allow "p"/],
    [{ diversity: 'operators' }, PROXIED, /^policy\.diversity: .* the operator of proxy p is not configured/],
    [
      { diversity: 'operators', networks: [{ name: 'x', match: { gateway: '10.0.0.1' }, allowedProxies: ['p'], diversity: 'operators' }] },
      { ...PROXIED, proxies: { p: { ...PROXIED.proxies.p, operator: 'Operator b' } } },
      /^policy\.diversity: requires different operators on each route, but proxy p and resolver b have the same operator/,
    ],
    [
      { maxShareOfOperator: 0.5 },
      {},
      /^policy\.maxShareOfOperator: is 0\.5, but with "split": "none" any operator may get every name; set split/,
    ],
    [
      { maxShareOfOperator: 0.5 },
      { split: 'by-site', use: ['a'], forward: [{ zone: 'zone.example', to: ['b'] }] },
      /^policy\.maxShareOfOperator: is 0\.5, but an operator gets 1\.00 of the sites/,
    ],
    [
      { maxShareOfOperator: 0.5 },
      { split: 'by-site', views: [{ id: 'kids', clients: ['192.0.2.7'], use: ['b'] }] },
      /^policy\.maxShareOfOperator: is 0\.5, but an operator gets 1\.00 of the sites/,
    ],
    [
      { minimumOperators: 2 },
      {},
      /^policy\.minimumOperators: requires 2 operators, but 1 is in use/,
      [entry('a'), entry('b', { operator: ' OPERATOR  a' })],
    ],
    [{ maxShareOfOperator: 50 }, {}, /^policy\.maxShareOfOperator: must be a share above 0 and at most 1, as in 0\.5/],
    [
      {
        diversity: 'jurisdictions',
        networks: [{ name: 'x', match: { gateway: '10.0.0.1' }, diversity: 'operators' }],
      },
      {},
      /^policy\.networks\[0\]\.diversity: is weaker .*\(jurisdictions\)/,
    ],
    [
      { allowedProxies: ['p'], networks: [{ name: 'x', match: { gateway: '10.0.0.1' }, allowedProxies: ['p', 'q'] }] },
      {},
      /^policy\.networks\[0\]\.allowedProxies: is weaker/,
    ],
    [{ networks: [{ name: 'x', match: {} }] }, {}, /^policy\.networks\[0\]\.match: must identify/],
    [{ networks: [{ name: 'x', match: { gateway: 'router' } }] }, {}, /match\.gateway: must be an IPv4 or IPv6/],
    [{ vpn: 'maybe' }, {}, /^policy\.vpn: must be one of: off, preferred, required/],
    [{ speed: 1 }, {}, /^policy\.speed: is not a known key/],
  ]
  for (const [policy, config, expected, resolvers] of cases) {
    const found = await problems(t, policy, config, resolvers)
    t.equal(found.length, 1, `${expected}: ${found.join(' | ')}`)
    t.match(found[0], expected)
  }
})

t.test('a network makes rules stricter and never weaker', async (t) => {
  const policy = v.parse(policySchema, FITTING)
  t.equal(rulesAt(policy, 'office').vpn, 'required')
  t.equal(rulesAt(policy, undefined).vpn, 'preferred')
  t.equal(rulesAt(policy, 'an unknown name').vpn, 'preferred')
  t.same(
    tightened(
      { transports: ['dot', 'doh'], vpn: 'required', minimumOperators: 3, shaping: 'jitter', padding: { queryBlock: 128 } },
      { transports: ['doh'], vpn: 'off', minimumOperators: 1, shaping: 'off', padding: { replies: 'required' }, pins: 'required' },
    ),
    {
      transports: ['doh'],
      vpn: 'required',
      minimumOperators: 3,
      shaping: 'jitter',
      padding: { queryBlock: 128, replies: 'required' },
      pins: 'required',
    },
  )
})

t.test('every rule of a signed policy survives a configuration that adds none, and one that adds its own', (t) => {
  const rule = { minimumUsageProfile: 'strict', vpn: 'required' }
  const signed = v.parse(policySchema, {
    ...rule,
    transports: ['dot'],
    padding: { queryBlock: 256, replies: 'required' },
    shaping: 'lite',
    operators: ['A', 'B'],
    jurisdictions: ['CH'],
    minimumOperators: 2,
    pins: 'required',
    claims: { logging: false, dnssec: true, ecs: false },
    separation: 'required',
    maxShareOfOperator: 0.5,
    allowedProxies: ['p'],
    diversity: 'operators',
    systemResolver: 'required',
    vpnInterfaces: ['wg0'],
    allowCleartext: ['lan', 'corp.example'],
    audit: 'required',
    networks: [{ name: 'office', match: { gateway: '10.0.0.1' }, ...rule }],
  })
  t.strictSame(Object.keys(signed).toSorted(), Object.keys(policySchema.entries).toSorted(), 'each rule of the schema is here')
  const found: string[] = []
  const added = (local: object) =>
    addedPolicy(signed, { ...v.parse(policySchema, local), audit: undefined }, (path, message) => void found.push(`${path} ${message}`))
  t.strictSame(added({}), signed)
  t.strictSame(found, [])
  t.strictSame(added({ allowCleartext: ['lan'] }).allowCleartext, ['lan'], 'a configuration may allow less')
  t.strictSame(added({ allowCleartext: ['lan', 'com'] }).allowCleartext, ['lan'])
  t.match(found.join('\n'), /^policy\.allowCleartext "com" may not be asked without encryption by the signed policy; remove it$/)
  t.end()
})
