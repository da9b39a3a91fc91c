import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { importCommand } from '../../src/commands/import.ts'
import { checkConfig } from '../../src/config/load.ts'
import { shippedResolversFile } from '../../src/config/paths.ts'
import { readStamp, type Stamp, writeStamp } from '../../src/config/stamps.ts'
import { settingsWithoutEffect } from '../../src/config/without-effect.ts'
import { missingQuic } from '../../src/quic.ts'
import { PROJECT_ROOT } from '../support/readme.ts'

const SAMPLES = join(PROJECT_ROOT, 'test/importers/samples')
const room = mkdtempSync(join(tmpdir(), 'enigm-import-'))
t.teardown(() => rmSync(room, { recursive: true }))

/** The text of the report, and the new configuration as a start reads it. */
async function imported(source: string, file: string) {
  const dir = mkdtempSync(join(room, 'new-'))
  let report = ''
  const out = {
    write: (text: string) => {
      report += text
    },
  }
  await importCommand({ out, err: out, exit() {} }).parseAsync(['--from', source, file, '--out', join(dir, 'c.json')], { from: 'user' })
  const places = { configFile: join(room, 'absent.json'), resolversFile: shippedResolversFile() }
  const { loaded, problems } = await checkConfig(join(dir, 'c.json'), {}, places)
  const faults = problems.map(({ path, message }) => `${path}: ${message}`)
  const idle = loaded === undefined ? [] : settingsWithoutEffect(loaded)
  return {
    report,
    config: loaded?.config,
    faults,
    idle,
    raw: JSON.parse(readFileSync(join(dir, 'c.json'), 'utf8')) as Record<string, unknown>,
  }
}
function from(source: string, text: string) {
  const file = join(room, 'source')
  writeFileSync(file, text)
  return imported(source, file)
}
const stamp = (more: Partial<Stamp> & Pick<Stamp, 'protocol'>) =>
  writeStamp({ port: 443, certHashes: [], bootstraps: [], ...more } as Stamp)
const dnscryptStamp = stamp({
  protocol: 'dnscrypt',
  address: '192.0.2.53',
  providerName: '2.dnscrypt-cert.example',
  publicKey: Buffer.alloc(32, 7).toString('base64'),
})

t.test('a start accepts what is made of every sample', async (t) => {
  const sources: Readonly<Record<string, string>> = {
    'dnscrypt-proxy.toml': 'dnscrypt-proxy',
    'AdGuardHome.yaml': 'adguardhome',
    'unbound.conf': 'unbound',
  }
  const notAlone = ['allowed-names.txt', 'blocked-names.txt', 'cloaking-rules.txt', 'forwarding-rules.txt']
  for (const name of readdirSync(SAMPLES).filter((one) => !notAlone.includes(one))) {
    const { faults, config, report, idle } = await imported(sources[name] ?? 'pihole', join(SAMPLES, name))
    t.strictSame(faults, [], name)
    t.strictSame(idle, [], `${name}: every setting has an effect`)
    const last = report.trimEnd().split('\n').at(-1) ?? ''
    for (const id of config?.use ?? ['none']) t.match(last, id, `${name}: the last line names who will be asked`)
  }
})

t.test('resolvers of stamps have the transports that a start needs, or are left out with the reason', async (t) => {
  t.ok(readStamp(dnscryptStamp).stamp, 'the stamp of this test is valid')
  const alone = await from('dnscrypt-proxy', `server_names = ['own']\n[static.own]\nstamp = '${dnscryptStamp}'\n`)
  t.strictSame(alone.faults, [])
  t.match(alone.raw, { transports: ['dot', 'doh', 'dnscrypt'], allowDnscryptCertificates: true })
  t.match(alone.report, /taken .*over DNSCrypt; its certificate is asked for in cleartext \(allowDnscryptCertificates\)/)
  const forced = await from('dnscrypt-proxy', `force_tcp = true\nserver_names = ['own']\n[static.own]\nstamp = '${dnscryptStamp}'\n`)
  t.match(forced.report, /line 1 +left out .*DNSCrypt is over UDP/)
  t.match((await from('dnscrypt-proxy', 'force_tcp = true\n')).report, /line 1 +same /)
  const adguard = await from('adguardhome', `dns:\n  upstream_dns:\n    - ${dnscryptStamp}\n    - "[/corp.example/]${dnscryptStamp}"\n`)
  t.strictSame(adguard.faults, [])
  t.match(adguard.config?.forward, [{ zone: 'corp.example' }])
  const proxied = await from(
    'dnscrypt-proxy',
    `server_names = ['own', 'quad9-dnscrypt-ip4-filter-pri']\nproxy = 'socks5://127.0.0.1:9050'\n[static.own]\nstamp = '${dnscryptStamp}'\n`,
  )
  t.strictSame(proxied.faults, [])
  t.strictSame(proxied.config?.use, ['quad9'])
  t.match(proxied.report, /left out .*no datagrams through a proxy/)
  const unnamed = await from(
    'adguardhome',
    `dns:\n  upstream_dns: ['${stamp({ protocol: 'doh', hostname: 'dns.example', path: '/q' })}']\n`,
  )
  t.strictSame(unnamed.faults, [])
  t.match(unnamed.report, /left out .*the stamp has no address/)
  const target = await from(
    'adguardhome',
    `dns:\n  upstream_dns: ['${stamp({ protocol: 'odoh-target', hostname: 'odoh.example', path: '/q' })}']\n`,
  )
  t.strictSame(target.faults, [])
  t.match(target.report, /left out .*names no relay/)
  const quic = await from(
    'adguardhome',
    `dns:\n  upstream_dns: ['${stamp({ protocol: 'doq', hostname: 'dns.example', address: '192.0.2.53' })}']\n`,
  )
  t.match(quic.report, /taken .*needs Node 24/)
  if (missingQuic() === undefined) t.strictSame(quic.config?.transports, ['dot', 'doh', 'doq'])
  else t.match(quic.faults, [/"doq" is the only transport/])
})

t.test('where hops are missing, the report says that a start is refused, and what it lacks', async (t) => {
  const relays = "[anonymized_dns]\nroutes = [{ server_name='*', via=['a'] }]\n"
  const socks = "proxy = 'socks5://127.0.0.1:9050'\n"
  const cases: readonly (readonly [string, RegExp])[] = [
    [relays, /write the relays of the resolvers in a trusted set, or a proxy .*; until then a start is refused/],
    [`${socks}${relays}`, /write the proxy of "proxies" with its "operator", or for Tor with "isolate": "operator"; .* a start is refused/],
    [`http_proxy = 'http://127.0.0.1:3128'\n${relays}`, /write the proxy of "proxies" with its "operator"; .* a start is refused/],
    ["proxy = 'socks5://proxy.example:9050'\n", /write "proxies" \(with its "operator", .*\) and "via"; until then a start is refused/],
  ]
  for (const [text, said] of cases) {
    const { faults, report } = await from('dnscrypt-proxy', text)
    t.match(faults, [/^policy\.separation: /], text)
    t.match(report, said)
    t.notMatch(report, /lookups fail/)
  }
  const { raw } = await from('dnscrypt-proxy', `${socks}${relays}`)
  const { proxies } = raw as { readonly proxies: { readonly proxy: object } }
  for (const more of [{ operator: 'me' }, { isolate: 'operator' }]) {
    const file = join(room, 'mended.json')
    writeFileSync(file, JSON.stringify({ ...raw, proxies: { proxy: { ...proxies.proxy, ...more } } }), { mode: 0o600 })
    const { problems } = await checkConfig(file, {}, { configFile: join(room, 'absent.json'), resolversFile: shippedResolversFile() })
    t.strictSame(problems, [], 'what the report says to write is enough')
  }
  t.strictSame((await from('dnscrypt-proxy', socks)).faults, [])
})

t.test('without a resolver of the source, the last line says that those of the shipped set are asked', async (t) => {
  const nothing = await from('unbound', 'server:\n  interface: 127.0.0.1\n')
  t.notOk('use' in nothing.raw)
  t.match(
    nothing.report,
    /\nNo resolver of the file is in the new configuration, which asks those of the shipped trusted set: quad9 \(Quad9 Foundation\), .*\.\n$/,
  )
  const unknown = await from('adguardhome', 'dns:\n  upstream_dns: [https://dns.unknown.example/dns-query]\n')
  t.match(unknown.report, /left out .*\n.*\nNo resolver of the file is in the new configuration/)
  const known = await from('pihole', 'server=9.9.9.9\n')
  t.match(known.report, /\nThe new configuration asks: quad9 \(Quad9 Foundation\)\.\n$/)
  t.match(known.report, /; 0 comments and empty lines\n/)
})

t.test('a new resolver for a zone or a view gets no other names', async (t) => {
  const zone = await from('adguardhome', 'dns:\n  upstream_dns: ["[/corp.example/]tls://192.0.2.53"]\n')
  t.strictSame(zone.faults, [])
  t.notOk(zone.config?.use.includes('192-0-2-53'))
  const view = await from(
    'adguardhome',
    'clients:\n  persistent:\n    - name: tv\n      ids: [192.168.1.9]\n      upstreams: [tls://192.0.2.54]\n',
  )
  t.strictSame(view.faults, [])
  t.match(view.config?.views, [{ use: ['192-0-2-54'] }])
  t.notOk(view.config?.use.includes('192-0-2-54'), 'general names go to the shipped resolvers')
  t.match(view.report, /\nNo resolver of the file is in the new configuration/)
})

t.test('AdGuard Home: a fallback is asked only after all others, so no name goes to it here', async (t) => {
  const one = await from(
    'adguardhome',
    'dns:\n  upstream_dns: [9.9.9.9]\n  fallback_dns:\n    - 8.8.8.8\n    - "# old"\n    - "[/corp.example/]192.0.2.1"\n    - tls://192.0.2.53\n',
  )
  t.strictSame(one.config?.use, ['quad9'])
  t.strictSame(one.config?.forward, [])
  t.match(one.report, /line 4 +left out .*8\.8\.8\.8: no resolver waits until others fail; add it to "use" only if/)
  t.match(one.report, /line 6 +left out /)
  t.notMatch(one.report, /192-0-2-53/)
  const only = await from('adguardhome', 'dns:\n  fallback_dns: [1.1.1.1]\n')
  t.notOk('use' in only.raw)
  t.match((await from('adguardhome', 'dns:\n  fallback_dns: []\n')).report, /same .*it is empty/)
})

t.test('an order of resolvers has no counterpart, and is never called the same', async (t) => {
  t.match((await from('pihole', 'strict-order\nserver=9.9.9.9\nserver=1.1.1.1\n')).report, /left out .*no resolver waits until others fail/)
  const zone = (first: string) => `forward-zone:\n  name: "."\n  forward-addr: 9.9.9.9\n  forward-first: ${first}\n`
  t.match((await from('unbound', zone('yes'))).report, /left out .*forward-first/)
  t.match((await from('unbound', zone('no'))).report, /same .*forward-first/)
  const bootstrap = await from('dnscrypt-proxy', "bootstrap_resolvers = ['9.9.9.11:53']\nfallback_resolvers = ['8.8.8.8:53']\n")
  t.notOk('use' in bootstrap.raw, 'servers that only look up names of resolvers never get other names')
  t.match(bootstrap.report, /same .*bootstrap_resolvers.*never looked up/)
})
