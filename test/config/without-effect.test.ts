import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { checkConfig, loadConfig } from '../../src/config/load.ts'
import { settingsWithoutEffect } from '../../src/config/without-effect.ts'
import { missingQuic } from '../../src/quic.ts'

const dir = mkdtempSync(join(tmpdir(), 'enigm-without-effect-'))
t.teardown(() => rmSync(dir, { recursive: true }))
const write = (name: string, content: unknown) => writeFileSync(join(dir, name), JSON.stringify(content), { mode: 0o600 })

const RESOLVER = { authenticationDomainName: 'a.example', addresses: ['192.0.2.1'], transports: { dot: {} } }
const A = { ...RESOLVER, id: 'a', operator: 'A' }
const B = { ...RESOLVER, id: 'b', operator: 'B', addresses: ['192.0.2.2'] }
const A2 = { ...RESOLVER, id: 'a2', operator: 'a', addresses: ['192.0.2.3'] }
const TOR = { type: 'socks5', address: '127.0.0.1:9050' }
const RELAYS = [
  {
    ...{ id: 'r', operator: 'R', type: 'odoh', addresses: ['192.0.2.9'] },
    ...{ authenticationDomainName: 'r.example', port: 443, path: '/proxy{?targethost,targetpath}' },
  },
]
const ODOH = { odoh: { relay: 'r' } }

async function hints(config: object, resolvers: readonly object[] = [A, B], relays: readonly object[] = []) {
  write('set.json', { version: 1, resolvers, relays })
  write('config.json', { resolvers: 'set.json', ...config })
  return settingsWithoutEffect(await loadConfig(join(dir, 'config.json')))
}
const SOURCE = { id: 'public', url: 'https://lists.example/a.md', minisignKey: 'RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3' }
const list = (more: object) => {
  writeFileSync(join(dir, 'names.txt'), 'ads.example\n', { mode: 0o600 })
  return { id: 'mine', file: 'names.txt', ...more }
}

interface Case {
  readonly config: object
  readonly resolvers?: readonly object[]
  readonly relays?: readonly object[]
  readonly says: RegExp
  /** The same with its effect. */
  readonly mended: object
  readonly mendedResolvers?: readonly object[]
}

const CRYPT = {
  ...{ ...A, transports: { dnscrypt: { providerName: '2.dnscrypt-cert.a.example', publicKey: Buffer.alloc(32, 1).toString('base64') } } },
  spkiPins: [Buffer.alloc(32, 2).toString('base64')],
}

const CASES: Readonly<Record<string, Case>> = {
  'a proxy that no route names': {
    config: { proxies: { tor: TOR, far: TOR, own: TOR }, via: ['own'] },
    says: /^proxies: nothing goes through "tor", "far": write the name into "via", or remove the proxy\.$/,
    mended: { proxies: { tor: TOR }, via: ['tor'] },
  },
  'a route that every resolver replaces': {
    config: { proxies: { tor: TOR }, via: ['tor'] },
    resolvers: [{ ...A, via: [] }],
    says: /^via: every resolver in use has its own "via"/,
    mended: { proxies: { tor: TOR }, via: ['tor'] },
    mendedResolvers: [{ ...A, via: [] }, B],
  },
  'pins of a resolver that is asked over DNSCrypt alone': {
    config: { transports: ['dnscrypt'], allowDnscryptCertificates: true },
    resolvers: [CRYPT],
    says: /^resolvers: the spkiPins and certHashes of "a" in the trusted set are never compared/,
    mended: { transports: ['dot', 'dnscrypt'], allowDnscryptCertificates: true },
    mendedResolvers: [{ ...CRYPT, transports: { ...CRYPT.transports, dot: {} } }],
  },
  'exceptions from no protection': {
    config: { rebinding: { allow: ['corp.example'] } },
    says: /^rebinding\.allow: .*set "protect" to true/,
    mended: { rebinding: { protect: true, allow: ['corp.example'] } },
  },
  'addresses that are exceptions from no protection': {
    config: { rebinding: { allowAddresses: ['10.0.0.0/8'] } },
    says: /^rebinding\.allowAddresses: .*set "protect" to true/,
    mended: { rebinding: { protect: true, allowAddresses: ['10.0.0.0/8'] } },
  },
  'a zone that is not forwarded': {
    config: { allowCleartext: ['corp.example'] },
    says: /^allowCleartext: no rule of "forward" has "cleartext" for "corp\.example"/,
    mended: { allowCleartext: ['corp.example'], forward: [{ zone: 'corp.example', cleartext: '192.0.2.53:53' }] },
  },
  'a zone that is forwarded to a resolver': {
    config: { allowCleartext: ['corp.example'], forward: [{ zone: 'corp.example', to: ['b'] }] },
    says: /^allowCleartext: /,
    mended: {
      allowCleartext: ['corp.example'],
      views: [{ id: 'v', clients: ['127.0.0.1'], forward: [{ zone: 'corp.example', cleartext: 'link' }] }],
    },
  },
  'one operator': {
    config: { split: 'by-site', use: ['a'] },
    says: /^split: one operator gets all names/,
    mended: { split: 'by-site' },
  },
  'two resolvers of one operator': {
    config: { split: 'rotate' },
    resolvers: [A, A2],
    says: /^split: one operator gets all names/,
    mended: { split: 'rotate', use: ['a'], views: [{ id: 'v', clients: ['127.0.0.1'], use: ['a', 'b'] }] },
    mendedResolvers: [A, B],
  },
  'a transport that nobody offers': {
    config: { transports: ['dot', 'dnscrypt'] },
    says: /^transports: no resolver in use offers "dnscrypt": /,
    mended: { transports: ['dot', 'doh'] },
  },
  'a relay that is not used': {
    config: {},
    resolvers: [{ ...A, transports: { dot: {}, ...ODOH } }, B],
    relays: RELAYS,
    says: /^transports: the trusted set has a relay for "a", which is asked without it: write the transport of the relay first/,
    mended: { transports: ['odoh', 'dot'], odoh: { configFetch: 'direct' } },
    mendedResolvers: [{ ...A, transports: { dot: {}, ...ODOH } }, B],
  },
  'a relay that is used only when the direct way fails': {
    config: { transports: ['dot', 'odoh'], odoh: { configFetch: 'direct' } },
    resolvers: [{ ...A, transports: { dot: {}, ...ODOH } }, B],
    relays: RELAYS,
    says: /^transports: the trusted set has a relay for "a"/,
    mended: { transports: ['odoh', 'dot'], odoh: { configFetch: 'direct' } },
    mendedResolvers: [{ ...A, transports: { dot: {}, ...ODOH } }, B],
  },
  'a fetch of keys that nobody needs': {
    config: { odoh: { configFetch: 'direct' } },
    says: /^odoh\.configFetch: /,
    mended: { odoh: { configFetch: 'proxied' } },
  },
  'certificates of DNSCrypt without DNSCrypt': {
    config: { allowDnscryptCertificates: true },
    says: /^allowDnscryptCertificates: /,
    mended: { allowDnscryptCertificates: false },
  },
  'a jitter under another profile': {
    config: { shaping: { profile: 'lite', jitterMs: 50 } },
    says: /^shaping\.jitterMs: only the profile "jitter" uses it/,
    mended: { shaping: { jitterMs: 50 } },
  },
  'a jitter of 0': {
    config: { shaping: { jitterMs: 0 } },
    says: /^shaping\.profile: "jitter" with a "jitterMs" of 0/,
    mended: { shaping: { jitterMs: 1 } },
  },
  'a jitter for which there is no time': {
    config: { timeoutMs: 500 },
    says: /^shaping\.jitterMs: 500 ms of "timeoutMs" remain for the answer, so no delay is longer than 0 ms/,
    mended: { timeoutMs: 520 },
  },
  'a system that cannot ask here': {
    config: { system: { enabled: true }, listen: ['127.0.0.1:5353'] },
    says: /^system\.enabled: the system sends its queries to port 53/,
    mended: { system: { enabled: true }, listen: ['127.0.0.1:5353', '127.0.0.55:53'] },
  },
  'a saved cache that keeps nothing': {
    config: { cache: { persist: 'disk', maxTtlS: 0 } },
    says: /^cache\.persist: /,
    mended: { cache: { persist: 'disk' } },
  },
  'a list of which nothing is used': {
    config: { sources: [SOURCE] },
    says: /^sources: no resolver in use comes from the list "public"/,
    mended: { sources: [SOURCE] },
    mendedResolvers: [{ ...A, list: 'public' }, B],
  },
  'updates of no source': { config: { updates: 'apply' }, says: /^updates: there are no "sources"/, mended: { updates: 'ask' } },
  'lists that only allow': {
    config: { lists: [list({ action: 'allow' })] },
    says: /^lists: every list allows/,
    mended: { lists: [list({})] },
  },
  'a reply to what is allowed': {
    config: { lists: [list({}), list({ id: 'good', action: 'allow', reply: 'refused' })] },
    says: /^lists: the list "good" allows names, so its "reply" is never sent/,
    mended: { lists: [list({ reply: 'refused' }), list({ id: 'good', action: 'allow' })] },
  },
  'an address at which nobody may ask': {
    config: { listen: ['127.0.0.1:5300', '192.0.2.7:5300'], allowFrom: ['192.168.0.0/16', '::1'] },
    says: /^listen: only this host can ask at 127\.0\.0\.1:5300, and "allowFrom" does not have its address/,
    mended: { listen: ['[::1]:5300', '192.0.2.7:5300'], allowFrom: ['192.168.0.0/16', '::1'] },
  },
  'clients that cannot reach the service': {
    config: { allowFrom: ['127.0.0.0/8', '192.168.0.0/16'] },
    says: /^allowFrom: .*item 1 has no effect: add an address to "listen"/,
    mended: { allowFrom: ['0.0.0.0/0'] },
  },
  'a view with nothing of its own': {
    config: { views: [{ id: 'kids', clients: ['127.0.0.9'] }] },
    says: /^views: the view "kids" has no "use", "forward", "answers" or "lists"/,
    mended: { views: [{ id: 'kids', clients: ['127.0.0.9'], lists: [] }] },
  },
  'a view whose clients get no answers': {
    config: { views: [{ id: 'tv', clients: ['10.0.0.9', 'fd00::9'], use: ['a'] }] },
    says: /^views: "allowFrom" has no client of the view "tv"/,
    mended: { listen: ['10.0.0.1:53'], allowFrom: ['10.0.0.0/9'], views: [{ id: 'tv', clients: ['10.0.0.0/8', 'fd00::9'], use: ['a'] }] },
  },
}

for (const [what, { config, resolvers, relays, says, mended, mendedResolvers = resolvers }] of Object.entries(CASES))
  t.test(`${what}: one sentence, and none where it has an effect`, async (t) => {
    const found = await hints(config, resolvers, relays)
    t.equal(found.length, 1)
    t.match(found[0], says)
    t.match(found[0], /^[a-zA-Z.]+: [^\n]{20,200}\.$/, 'one line: the setting, what is wrong, and what to do')
    t.strictSame(await hints(mended, mendedResolvers, relays), [])
  })

t.test('a service that nobody can ask gets one sentence, not two', async (t) => {
  t.match(await hints({ allowFrom: ['192.168.0.0/16'] }), [/^listen: only this host can ask at 127\.0\.0\.53:53/])
})

t.test('sockets that systemd opens count too', async (t) => {
  write('set.json', { version: 1, resolvers: [A] })
  write('config.json', {
    ...{ resolvers: 'set.json', listen: ['127.0.0.1:5353'], allowFrom: ['127.0.0.0/8', '192.168.0.0/16'], system: { enabled: true } },
  })
  const loaded = await loadConfig(join(dir, 'config.json'))
  t.match(settingsWithoutEffect(loaded), [/^allowFrom: /, /^system\.enabled: /])
  t.strictSame(settingsWithoutEffect(loaded, [{ address: '192.168.1.2', port: 53 }]), [])
  t.strictSame(settingsWithoutEffect(loaded, 'unknown'), [], 'what may have an effect is not blamed')
})

t.test('QUIC that nobody offers', { skip: missingQuic() ?? false }, async (t) => {
  t.match(await hints({ transports: ['doq', 'dot'] }), [/^transports: no resolver in use offers "doq"/])
})

t.test('the defaults have an effect; many items are counted; many blocks are not compared', async (t) => {
  t.strictSame(
    settingsWithoutEffect(await loadConfig(undefined, {}, { configFile: join(dir, 'none.json'), resolversFile: join(dir, 'set.json') })),
    [],
  )
  const zones = Array.from({ length: 20 }, (_, i) => `z${i}.example`)
  t.match(await hints({ allowCleartext: zones }), [/"z7\.example" and 12 more: /])
  const clients = Array.from({ length: 1000 }, (_, i) => `10.0.${i >> 8}.${i & 255}`)
  const begunMs = performance.now()
  await hints({
    listen: ['192.0.2.1:53'],
    allowFrom: clients,
    views: [{ id: 'v', clients: clients.map((one) => one.replace('10.', '11.')), use: ['a'] }],
  })
  t.ok(performance.now() - begunMs < 2000)
})

t.test('a page at an address of listen is refused, and one beside it is not', async (t) => {
  const at = async (listen: string[], page: string, more: object = {}) => {
    write('set.json', { version: 1, resolvers: [A] })
    write('config.json', { resolvers: 'set.json', listen, allowFrom: ['127.0.0.0/8', '::1'], page: { listen: page }, ...more })
    return (await checkConfig(join(dir, 'config.json'))).problems.map(({ path, message }) => `${path}: ${message}`)
  }
  const same = await at(['127.0.0.1:5380'], '127.0.0.1:5380')
  t.strictSame(same, ['page.listen: "127.0.0.1:5380" is in use for queries ("listen"), so the page could not be opened; name another port'])
  t.equal((await at(['0.0.0.0:5380'], '127.0.0.1:5380')).length, 1)
  t.equal((await at(['[::]:5380'], '[::1]:5380')).length, 1)
  t.equal((await at(['[0:0::1]:5380'], '[::1]:5380')).length, 1)
  for (const [listen, page] of [
    ['127.0.0.1:53', '127.0.0.1:5380'],
    ['127.0.0.2:5380', '127.0.0.1:5380'],
    ['127.0.0.1:0', '127.0.0.1:0'],
    ['[::1]:5380', '127.0.0.1:5380'],
    ['127.0.0.1:5380', '/run/page'],
  ] as const)
    t.strictSame(await at([listen], page), [], `${listen} and ${page}`)
})
