import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { checkConfig } from '../../src/config/load.ts'
import { missingQuic } from '../../src/quic.ts'
import { transportsOf } from '../../src/trusted-resolvers.ts'

const KEY = Buffer.alloc(32, 7)
const PLACE = { providerName: '2.dnscrypt-cert.example.com', publicKey: KEY.toString('base64') }

/** What comes of a configuration with one resolver. */
async function load(t: Test, config: object, transports: object, more: object = {}, relays: readonly object[] = []) {
  const dir = mkdtempSync(join(tmpdir(), 'enigm-dnscrypt-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  const write = (name: string, value: object) => writeFileSync(join(dir, name), JSON.stringify(value), { mode: 0o600 })
  write('set.json', { version: 1, resolvers: [{ id: 'one', addresses: ['192.0.2.1'], transports, ...more }], relays })
  write('config.json', { resolvers: 'set.json', ...config })
  const { loaded, problems } = await checkConfig(join(dir, 'config.json'))
  return { loaded, said: problems.map(({ path, message }) => `${path} ${message}`) }
}

t.test('a key in base64 or in hexadecimal digits, a default port, and no name of a certificate', async (t) => {
  const hex = KEY.toString('hex')
  const spellings = [KEY.toString('base64'), KEY.toString('base64url'), hex, hex.toUpperCase(), hex.match(/..../g)?.join(':') ?? '']
  for (const publicKey of spellings) {
    const { loaded, said } = await load(
      t,
      { transports: ['dnscrypt'], allowDnscryptCertificates: true },
      { dnscrypt: { ...PLACE, publicKey } },
    )
    t.strictSame(said, [])
    t.match(loaded?.resolvers[0]?.transports.dnscrypt, { publicKey: KEY.toString('base64'), port: 443 })
  }
  for (const publicKey of ['', 'x', hex.slice(2), `${hex}00`, Buffer.alloc(31).toString('base64')]) {
    const { said } = await load(t, { transports: ['dnscrypt'], allowDnscryptCertificates: true }, { dnscrypt: { ...PLACE, publicKey } })
    t.match(said, [/^resolvers\[0\]\.transports\.dnscrypt\.publicKey must be/], publicKey)
  }
  const { said } = await load(t, {}, { dnscrypt: PLACE, dot: {} })
  t.match(said, [/^resolvers\[0\]\.authenticationDomainName is required/])
})

t.test('strict refuses certificates in cleartext unless they are allowed by name', async (t) => {
  const { said } = await load(t, { transports: ['dot', 'dnscrypt'] }, { dnscrypt: PLACE })
  t.match(said, [/^transports\[1\] "dnscrypt" asks for the certificates .* in cleartext.* set "allowDnscryptCertificates": true/])
  t.strictSame((await load(t, { transports: ['dot', 'dnscrypt'], allowDnscryptCertificates: true }, { dnscrypt: PLACE })).said, [])
  t.strictSame((await load(t, { transports: ['dnscrypt'], usageProfile: 'opportunistic' }, { dnscrypt: PLACE })).said, [])
  const unused = await load(t, { transports: ['dot', 'dnscrypt'] }, { dot: {} }, { authenticationDomainName: 'dns.example' })
  t.strictSame(unused.said, [], 'no resolver in use offers it')
})

t.test('a profile that keeps a schedule is refused with the sentence', async (t) => {
  const config = { transports: ['dot', 'dnscrypt'], allowDnscryptCertificates: true }
  for (const profile of ['lite', 'balanced', 'always-on']) {
    const { said } = await load(t, { ...config, shaping: { profile } }, { dnscrypt: PLACE })
    t.match(said, [
      /^shaping\.profile "[a-z-]+" keeps a schedule, which DNSCrypt cannot; choose "jitter" or "off", or a transport other than "dnscrypt" for "one"/,
    ])
  }
  for (const profile of ['off', 'jitter']) t.strictSame((await load(t, { ...config, shaping: { profile } }, { dnscrypt: PLACE })).said, [])
  const both = await load(
    t,
    { ...config, shaping: { profile: 'balanced' } },
    { dnscrypt: PLACE, dot: {} },
    { authenticationDomainName: 'dns.example' },
  )
  t.strictSame(both.said, [], 'DoT keeps it')
})

t.test('a relay is named by its id, has the type dnscrypt, and belongs to another operator', async (t) => {
  const config = { transports: ['dnscrypt'], allowDnscryptCertificates: true }
  const relay = { id: 'anon', type: 'dnscrypt', addresses: ['198.51.100.7'] }
  const place = { dnscrypt: { ...PLACE, relay: 'anon' } }
  const { loaded, said } = await load(t, config, place, {}, [relay])
  t.strictSame(said, [])
  t.match(loaded?.resolvers[0]?.dnscryptRelay, { addresses: ['198.51.100.7'], port: 443 })
  t.match((await load(t, config, place)).said, [/dnscrypt\.relay "anon" is not in "relays"; add it to "relays" with the type "dnscrypt"/])
  const same = await load(t, config, place, { operator: 'One' }, [{ ...relay, operator: 'one' }])
  t.match(same.said, [/dnscrypt\.relay names "anon", but "one" runs both this relay and the resolver/])
  t.match((await load(t, config, place, {}, [{ ...relay, addresses: ['192.0.2.1'] }])).said, [/have the address 192\.0\.2\.1/])
  t.match((await load(t, config, place, {}, [{ ...relay, type: 'other' }])).said, [/^relays\[0\].* must be one of: odoh, dnscrypt/])
  t.match((await load(t, config, place, {}, [{ ...relay, path: '/' }])).said, [/^relays\[0\]\.path is not a known key/])
  const odoh = { id: 'anon', type: 'odoh', operator: 'Two', addresses: ['198.51.100.7'], authenticationDomainName: 'relay.example' }
  t.match((await load(t, config, place, {}, [odoh])).said, [/is not in "relays" with the type "dnscrypt"/])
})

t.test('a resolver with DoQ alone needs a Node with QUIC; a schedule is refused', async (t) => {
  const named = { authenticationDomainName: 'dns.example' }
  const { loaded, said } = await load(t, { transports: ['doq'] }, { doq: {} }, named)
  if (missingQuic() === undefined) t.match(loaded?.resolvers[0]?.transports.doq, { port: 853 })
  else t.match(said, [/^transports\[0\] "doq" is the only transport for "one" .*DNS over QUIC needs Node 24 or later.*; use a newer Node/])
  t.strictSame((await load(t, { transports: ['doq', 'dot'] }, { doq: { port: 8853 }, dot: {} }, named)).said, [])
  const paced = await load(t, { transports: ['doq'], shaping: { profile: 'lite' } }, { doq: {} }, named)
  t.match(paced.said.at(-1), /^shaping\.profile "lite" keeps a schedule, which DoQ cannot/)
})

t.test('datagrams do not go past proxies: such a route is refused, unless another transport is offered', async (t) => {
  const config = {
    transports: ['dnscrypt', 'dot'],
    allowDnscryptCertificates: true,
    proxies: { tor: { type: 'socks5', address: '127.0.0.1:9050' } },
    via: ['tor'],
  }
  const { said } = await load(t, config, { dnscrypt: PLACE })
  t.match(said, [/^via leads to "one" .*, whose only transport here is DNSCrypt: this program sends no datagrams through a proxy/])
  t.strictSame((await load(t, config, { dnscrypt: PLACE }, { via: [] })).said, [])
  const { loaded } = await load(t, config, { dnscrypt: PLACE, dot: {} }, { authenticationDomainName: 'dns.example' })
  const [resolver] = loaded?.resolvers ?? []
  t.strictSame(resolver === undefined || loaded === undefined ? [] : transportsOf(resolver, loaded.config), ['dot'])
})
