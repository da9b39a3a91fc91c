import { execFile } from 'node:child_process'
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { checkConfig, loadConfig } from '../../src/config/load.ts'
import { shippedResolversFile } from '../../src/config/paths.ts'
import { EnigmError } from '../../src/errors.ts'

const room = await mkdtemp(join(tmpdir(), 'enigm-set-'))
t.teardown(() => rm(room, { recursive: true }))
let count = 0

const good = { id: 'a', authenticationDomainName: 'a.example', addresses: ['192.0.2.1'], transports: { dot: {} } }

async function places(set: unknown) {
  const resolversFile = join(room, `set-${count++}.json`)
  await writeFile(resolversFile, typeof set === 'string' ? set : JSON.stringify(set))
  return { configFile: join(room, 'absent'), resolversFile }
}
const load = async (...resolvers: object[]) => (await loadConfig(undefined, {}, await places({ version: 1, resolvers }))).resolvers
const problemsOf = async (set: unknown) =>
  (await checkConfig(undefined, {}, await places(set))).problems.map(({ path, message }) => `${path}: ${message}`)

t.test('defaults', async (t) => {
  t.strictSame(await load({ ...good, transports: { dot: {}, doh: {} } }), [
    { ...good, enabled: true, spkiPins: [], claims: {}, transports: { dot: { port: 853 }, doh: { port: 443, path: '/dns-query' } } },
  ])
})

t.test('a URI template loses its variable; names are lower-cased; an IP address is a name too', async (t) => {
  const [first] = await load({ ...good, authenticationDomainName: 'DNS.Example', transports: { doh: { path: '/dns-query{?dns}' } } })
  t.equal(first?.transports.doh?.path, '/dns-query')
  t.equal(first?.authenticationDomainName, 'dns.example')
  const [second, third] = await load(
    { ...good, authenticationDomainName: '192.0.2.1' },
    { ...good, id: 'b', authenticationDomainName: '2001:db8::1' },
  )
  t.equal(second?.authenticationDomainName, '192.0.2.1')
  t.equal(third?.authenticationDomainName, '2001:db8::1')
})

t.test('the probe: a lower-cased name, and type A if none is named', async (t) => {
  for (const [probe, expected] of [
    [{ name: 'Corp.Example' }, { name: 'corp.example', type: 'A' }],
    [
      { name: '_dns.corp.example.', type: 'SVCB' },
      { name: '_dns.corp.example.', type: 'SVCB' },
    ],
    [
      { name: '.', type: 'NS' },
      { name: '.', type: 'NS' },
    ],
    [
      { name: `${'a'.repeat(63)}.example`, type: 'SOA' },
      { name: `${'a'.repeat(63)}.example`, type: 'SOA' },
    ],
  ] as const) {
    const [resolver] = await load({ ...good, probe })
    t.strictSame(resolver?.probe, expected)
  }
})

t.test('each fault of an entry', async (t) => {
  const pin = 'A'.repeat(43)
  const cases: readonly (readonly [change: object, expected: RegExp])[] = [
    [{ id: 'A' }, /^resolvers\[0\]\.id: must consist of a-z/],
    [{ id: '' }, /^resolvers\[0\]\.id: /],
    [{ id: '../x' }, /^resolvers\[0\]\.id: /],
    [{ extra: 1 }, /^resolvers\[0\]\.extra: is not a known key/],
    [{ probe: 'corp.example' }, /^resolvers\[0\]\.probe: must be an object/],
    [{ probe: {} }, /^resolvers\[0\]\.probe\.name: is required/],
    [{ probe: { name: '' } }, /^resolvers\[0\]\.probe\.name: must be a text/],
    [{ probe: { name: 'a..example' } }, /^resolvers\[0\]\.probe\.name: must be a domain name in ASCII/],
    [{ probe: { name: '.example' } }, /^resolvers\[0\]\.probe\.name: must be a domain name/],
    [{ probe: { name: '..' } }, /^resolvers\[0\]\.probe\.name: must be a domain name/],
    [{ probe: { name: 'büro.example' } }, /^resolvers\[0\]\.probe\.name: must be a domain name/],
    [{ probe: { name: '192.0.2.1' } }, /^resolvers\[0\]\.probe\.name: must be a domain name/],
    [{ probe: { name: '2001:db8::1' } }, /^resolvers\[0\]\.probe\.name: must be a domain name/],
    [{ probe: { name: `${'a'.repeat(64)}.example` } }, /^resolvers\[0\]\.probe\.name: must be a domain name/],
    [{ probe: { name: Array(127).fill('aa').join('.').slice(0, 254) } }, /^resolvers\[0\]\.probe\.name: must be a domain name/],
    [{ probe: { name: 'corp.example', type: 'AXFR' } }, /^resolvers\[0\]\.probe\.type: must be one of: A, AAAA,/],
    [{ probe: { name: 'corp.example', type: 1 } }, /^resolvers\[0\]\.probe\.type: must be one of/],
    [{ probe: { name: 'corp.example', port: 1 } }, /^resolvers\[0\]\.probe\.port: is not a known key/],
    [{ addresses: [] }, /^resolvers\[0\]\.addresses: must hold an address/],
    [{ addresses: ['dns.example'] }, /^resolvers\[0\]\.addresses\[0\]: must be an IPv4 or IPv6 address/],
    [{ addresses: ['192.0.2.1', '192.0.2.1'] }, /^resolvers\[0\]\.addresses: names an item twice/],
    [{ addresses: ['192.0.2.256'] }, /^resolvers\[0\]\.addresses\[0\]: /],
    [{ addresses: ['fe80::1%eth0'] }, /^resolvers\[0\]\.addresses\[0\]: /],
    [{ authenticationDomainName: 'a..example' }, /^resolvers\[0\]\.authenticationDomainName: must be a host name/],
    [{ authenticationDomainName: 'a.example.' }, /^resolvers\[0\]\.authenticationDomainName: /],
    [{ authenticationDomainName: '*.example' }, /^resolvers\[0\]\.authenticationDomainName: /],
    [{ authenticationDomainName: `${'a'.repeat(64)}.example` }, /^resolvers\[0\]\.authenticationDomainName: /],
    [{ transports: {} }, /^resolvers\[0\]\.transports: must offer dot or doh/],
    [{ transports: { dox: {} } }, /^resolvers\[0\]\.transports\.dox: is not a known key/],
    [{ transports: { dot: { port: 0 } } }, /^resolvers\[0\]\.transports\.dot\.port: must be a whole number from 1 to 65535/],
    [{ transports: { doh: { port: 65_536 } } }, /^resolvers\[0\]\.transports\.doh\.port: /],
    [{ transports: { doh: { path: 'dns-query' } } }, /^resolvers\[0\]\.transports\.doh\.path: must be an absolute path/],
    [{ transports: { doh: { path: '/a b' } } }, /^resolvers\[0\]\.transports\.doh\.path: /],
    [{ transports: { doh: { path: '/{dns}' } } }, /^resolvers\[0\]\.transports\.doh\.path: /],
    [{ transports: { doh: { path: '/a\r\nhost: b' } } }, /^resolvers\[0\]\.transports\.doh\.path: /],
    [{ spkiPins: [`${pin}`] }, /^resolvers\[0\]\.spkiPins\[0\]: must be the base64 of 32 octets/],
    [{ spkiPins: ['AAAA'] }, /^resolvers\[0\]\.spkiPins\[0\]: /],
    [{ spkiPins: [`${'A'.repeat(42)}B=`] }, /^resolvers\[0\]\.spkiPins\[0\]: /],
    [{ claims: { logging: 'no' } }, /^resolvers\[0\]\.claims\.logging: must be true, false or "unknown"/],
    [{ claims: { speed: 1 } }, /^resolvers\[0\]\.claims\.speed: is not a known key/],
    [{ claims: { filtering: '' } }, /^resolvers\[0\]\.claims\.filtering: /],
    [{ enabled: 'yes' }, /^resolvers\[0\]\.enabled: must be true or false/],
    [{ caFile: 'absent.pem' }, /^: cannot be read: there is no such file \(ENOENT\) \(caFile of "a" in /],
  ]
  for (const [change, expected] of cases)
    t.match(
      await problemsOf({
        version: 1,
        resolvers: [
          { ...good, ...change },
          { ...good, id: 'z' },
        ],
      }),
      [expected],
      JSON.stringify(change),
    )
  t.strictSame(await problemsOf({ version: 1, resolvers: [{ ...good, spkiPins: [`${pin}=`] }] }), [])
})

t.test('faults of the set as a whole', async (t) => {
  t.match(await problemsOf({ version: 1, resolvers: [good, good] }), [/^resolvers: contains an id twice/])
  t.match(await problemsOf({ version: 2, resolvers: [good] }), [/^version: must be 1/])
  t.match(await problemsOf({ resolvers: [good] }), [/^version: is required; add it/])
  t.match(await problemsOf({ version: 1 }), [/^resolvers: is required; add it/])
  t.match(
    await problemsOf({ version: 1, resolvers: [{}] }).then((list) => list.length),
    3,
    'each missing key; whether a name is needed depends on the transports',
  )
  t.match(await problemsOf('[]'), [/^: must be an object/])
  t.match(await problemsOf('{'), [/^: line 1, column 2: /])
})

t.test('a private CA is read relative to the set, and must hold certificates', async (t) => {
  const key = join(room, 'key.pem')
  const ca = join(room, 'ca.pem')
  await promisify(execFile)('openssl', [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-keyout',
    key,
    '-out',
    ca,
    '-days',
    '1',
    '-subj',
    '/CN=test',
  ])
  await chmod(ca, 0o644)
  const pem = await readFile(ca, 'utf8')
  const where = await places({ version: 1, resolvers: [{ ...good, caFile: 'ca.pem' }] })
  const { resolvers, files } = await loadConfig(undefined, {}, where)
  t.equal(resolvers[0]?.ca, pem)
  t.equal(resolvers[0]?.caFile, ca)
  t.strictSame(files, [where.resolversFile, ca])
  for (const [name, text] of [
    ['empty.pem', ''],
    ['key-only.pem', await readFile(key, 'utf8')],
    ['cut.pem', pem.slice(0, 200)],
    ['second-cut.pem', `${pem}${pem.slice(0, 200)}`],
    ['changed.pem', pem.replace(/\n[A-Za-z0-9+/]{64}\n/, '\nAAAA\n')],
  ] as const) {
    await writeFile(join(room, name), text, { mode: 0o644 })
    t.match(await problemsOf({ version: 1, resolvers: [{ ...good, caFile: name }] }), [/contains no certificate, or a damaged one/], name)
  }
})

t.test('the shipped set: valid, with sources, and no resolver enabled that logs or sends client subnets', async (t) => {
  const file = shippedResolversFile() ?? ''
  const ids = (JSON.parse(await readFile(file, 'utf8')) as { resolvers: { id: string }[] }).resolvers.map(({ id }) => id)
  t.ok(ids.length >= 6)
  t.notOk(ids.includes('mullvad'), 'its public service ended on 2026-11-02')
  const configFile = join(room, 'all.json')
  await writeFile(configFile, JSON.stringify({ use: ids }), { mode: 0o644 })
  const { resolvers } = await loadConfig(configFile)
  t.equal(resolvers.length, ids.length)
  for (const { id, source, addresses, claims, enabled } of resolvers) {
    t.match(source, /^https:\/\//, `${id} has a source`)
    t.ok(addresses.some((address) => isIP(address) === 4) && addresses.some((address) => isIP(address) === 6), `${id} has both families`)
    if (enabled) t.ok(claims.logging !== true && claims.ecs !== true, id)
  }
  t.ok(resolvers.filter(({ enabled }) => enabled).length >= 2, 'a second operator to fail over to')
})

t.test('property: random sets never crash', async () => {
  const where = await places('')
  const item = fc.record(
    {
      id: fc.oneof(fc.constant('a'), fc.string()),
      authenticationDomainName: fc.oneof(fc.domain(), fc.ipV6(), fc.string({ unit: 'binary' })),
      addresses: fc.oneof(fc.array(fc.oneof(fc.ipV4(), fc.ipV6(), fc.string())), fc.jsonValue()),
      transports: fc.oneof(fc.record({ dot: fc.jsonValue(), doh: fc.jsonValue() }, { requiredKeys: [] }), fc.jsonValue()),
      spkiPins: fc.oneof(fc.array(fc.base64String()), fc.jsonValue()),
      claims: fc.jsonValue(),
      caFile: fc.oneof(fc.string(), fc.constant('.')),
    },
    { requiredKeys: [] },
  )
  await fc.assert(
    fc.asyncProperty(
      fc.record({ version: fc.constantFrom(1, 1, 1, 2), resolvers: fc.oneof(fc.array(item), fc.jsonValue()) }),
      async (set) => {
        await writeFile(where.resolversFile, JSON.stringify(set))
        try {
          await loadConfig(undefined, {}, where)
        } catch (error) {
          if (!(error instanceof EnigmError) || error.code !== 'config' || error.message === '') throw error
        }
      },
    ),
    { numRuns: 200 },
  )
})
