import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import * as v from 'valibot'
import { configSchema } from '../../src/config/settings.ts'
import { writeStamp } from '../../src/config/stamps.ts'
import { trustedSetSchema } from '../../src/config/trusted-set.ts'
import { type ImportSource, importFrom } from '../../src/importers/import-from.ts'
import { PROJECT_ROOT } from '../support/readme.ts'

const SAMPLES = join(PROJECT_ROOT, 'test/importers/samples')
const shipped = v.parse(trustedSetSchema, JSON.parse(readFileSync(join(PROJECT_ROOT, 'resolvers.json'), 'utf8'))).resolvers

const read = (name: string) => readFileSync(join(SAMPLES, name), 'utf8')
function beside(path: string): string | undefined {
  try {
    return read(path)
  } catch {
    return undefined
  }
}
const imported = (source: ImportSource, text: string, withFiles = true) => importFrom(source, text, { shipped, withFiles, beside })

const FILES: readonly (readonly [ImportSource, string])[] = [
  ['dnscrypt-proxy', 'dnscrypt-proxy.toml'],
  ['adguardhome', 'AdGuardHome.yaml'],
  ['unbound', 'unbound.conf'],
  ['pihole', 'pihole.toml'],
  ['pihole', 'setupVars.conf'],
  ['pihole', 'adlists.list'],
  ['pihole', 'custom.list'],
  ['pihole', '05-pihole-custom-cname.conf'],
]

for (const [source, file] of FILES) {
  t.test(`${source}, ${file}: something is said of every line, and the new configuration is valid`, async (t) => {
    const text = read(file)
    const { outcomes, config, silent, resolvers } = imported(source, text)
    const content = text.split('\n').filter((line) => !/^\s*(#.*)?$/.test(line)).length
    t.ok(silent <= text.split('\n').length - content, 'only comments and empty lines are passed over')
    t.strictSame(
      outcomes.filter(({ says }) => says === 'it is not understood'),
      [],
    )
    const found = v.safeParse(configSchema, config)
    t.strictSame(found.issues?.map(({ message, path }) => `${path?.map(({ key }) => key).join('.')}: ${message}`) ?? [], [])
    t.ok(v.safeParse(trustedSetSchema, { version: 1, resolvers: [...shipped, ...resolvers] }).success)
  })

  t.test(`${source}, ${file}: a line that is removed or unknown changes nothing else`, async (t) => {
    const lines = read(file).split('\n')
    for (let at = 0; at < lines.length; at += 7) {
      const fewer = lines.filter((_, i) => i !== at).join('\n')
      try {
        imported(source, fewer)
      } catch (error) {
        t.match(error, { code: 'config' }, `line ${at + 1}`)
      }
    }
  })
}

const said = (source: ImportSource, file: string) => {
  const { outcomes, ...rest } = imported(source, read(file))
  const lines = read(file).split('\n')
  const of = (part: string) => {
    const at = lines.findIndex((line) => line.includes(part)) + 1
    return outcomes.filter(({ line }) => line === at).map(({ verdict, says }) => `${verdict}: ${says}`)
  }
  return { of, ...rest }
}

t.test('dnscrypt-proxy: what it becomes', async (t) => {
  const { config, files, of } = said('dnscrypt-proxy', 'dnscrypt-proxy.toml')
  t.match(config, {
    listen: ['127.0.0.1:53', '[::1]:53'],
    use: ['cloudflare', 'quad9'],
    user: 'nobody',
    timeoutMs: 5000,
    cache: { minTtlS: 2400, maxTtlS: 86_400 },
    dns64: { prefix: '64:ff9b::/96' },
    allowCleartext: ['corp.example', 'home.arpa'],
    forward: [
      { zone: 'corp.example', cleartext: '10.0.0.53:53' },
      { zone: 'home.arpa', cleartext: '192.168.1.1:53' },
    ],
    lists: [
      { id: 'blocked-names', file: 'blocked-names.txt', format: 'adblock', reply: 'refused' },
      { id: 'allowed-names', file: 'allowed-names.txt', format: 'adblock', action: 'allow' },
    ],
    answers: [
      { name: 'www.google.com', type: 'CNAME', data: 'forcesafesearch.google.com' },
      { name: 'www.google.de', type: 'CNAME', data: 'forcesafesearch.google.com' },
      { name: 'printer.lan', type: 'A', data: '192.168.1.40' },
      { name: '*.printer.lan', type: 'A', data: '192.168.1.40' },
      { name: '*.dev.lan', type: 'A', data: '192.168.1.50' },
      { name: 'nas.lan', type: 'AAAA', data: 'fd00::5' },
      { name: '*.nas.lan', type: 'AAAA', data: 'fd00::5' },
    ],
  })
  t.equal(files.get('blocked-names.txt'), '||ads.example^\n||tracker.example^\n|exact.example^\n')
  t.match(of('server_names')[2], /left out: scaleway-fr: it is not in the shipped trusted set/)
  t.match(of('a_key_of_tomorrow'), ['left out: a_key_of_tomorrow is not known'])
  t.match(of('block_ipv6'), ['left out: questions for IPv6'])
  t.match(of('[query_log]'), ['same: a section header; its lines follow'])
  t.match(of("file = 'query.log'"), ['left out: queries are never written to a file'])
  t.ok(of('blocked_names_file').some((one) => /left out: blocked-names\.txt, rule 5 \(\*sex\*\): a pattern/.test(one)))
  t.ok(of('blocked_names_file').some((one) => /rule 6 \(late\.example @time-to-sleep\): it applies only at certain times/.test(one)))
  t.ok(of('forwarding_rules').some((one) => /lan: \$DHCP is a server of the network/.test(one)))
  t.ok(of('forwarding_rules').some((one) => /10\.0\.0\.54: the zone \S+ already has its one cleartext server/.test(one)))
})

t.test('AdGuard Home: what it becomes', async (t) => {
  const { config, files, of, resolvers } = said('adguardhome', 'AdGuardHome.yaml')
  t.match(config, {
    listen: ['0.0.0.0:53', '[::]:53'],
    allowFrom: ['127.0.0.0/8', '::1/128', '10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7', 'fe80::/10'],
    use: ['quad9', 'cloudflare', 'google', '192-0-2-53'],
    hosts: ['/etc/hosts'],
    clientQueriesPerS: 20,
    views: [{ id: 'guest-wlan', clients: ['192.168.2.0/24'], use: ['quad9'] }],
    timeoutMs: 10_000,
    cache: { maxBytes: 4_194_304, minTtlS: 60 },
    dns64: { prefix: '2001:db8:64::/96' },
    forward: [
      { zone: 'corp.example', cleartext: '10.0.0.53:5353', except: ['www.corp.example'] },
      { zone: 'sub.lan', cleartext: '10.0.0.53:5353' },
      { zone: '168.192.in-addr.arpa', cleartext: '192.168.1.1:53' },
    ],
    lists: [
      { id: 'adguard-dns-filter', url: /filter_1/, reply: 'nxdomain' },
      { id: 'allowed', action: 'allow' },
      { id: 'user-rules', file: 'adguard-user-rules.txt', format: 'adblock' },
    ],
    answers: [
      { name: 'nas.lan', type: 'A', data: '192.168.1.5' },
      { name: '*.dev.lan', type: 'CNAME', data: 'nas.lan' },
      { name: 'six.lan', type: 'AAAA', data: 'fd00::6' },
    ],
  })
  t.match(resolvers, [{ id: '192-0-2-53', addresses: ['192.0.2.53'], transports: { dot: { port: 853 } } }])
  t.equal(files.get('adguard-user-rules.txt'), '||ads.example^\n@@||good.example^$important\n')
  t.match(of('dns.unknown.example'), ['left out: https://dns.unknown.example/dns-query: its address is missing'])
  t.match(of('quic://'), [/left out: quic:.*DNS over QUIC/])
  t.match(of('[//]192'), ['left out: single labels are never sent'])
  t.match(of('/banner'), [/left out: .*a regular expression/])
  t.match(of('dnsrewrite'), [/left out: .*this modifier/])
  t.match(of('querylog:'), ['left out: queries are never recorded'])
  t.match(of('statistics:'), ['same: it is off here too'])
  t.match(of('name: Guest'), [/taken: views: Guest WLAN/, /left out: Guest WLAN: blocked_services/, /left out: Guest WLAN: aa:bb/])
  t.match(of('name: kids'), ['left out: kids: write a view'])
})

t.test('Unbound: what it becomes', async (t) => {
  const { config, files, of, resolvers } = said('unbound', 'unbound.conf')
  t.match(config, {
    listen: ['127.0.0.1:53', '192.168.1.1:5353', '[::1]:53'],
    allowFrom: ['127.0.0.0/8', '192.168.1.0/24'],
    use: ['quad9', 'resolver-example'],
    user: 'unbound',
    rebinding: { protect: true, allow: ['lan'] },
    cache: { maxBytes: 50_331_648, minTtlS: 60, maxTtlS: 86_400, prefetch: true, staleMaxS: 3600 },
    forward: [{ zone: 'corp.example', cleartext: '10.0.0.53:53' }],
    allowCleartext: ['corp.example'],
    lists: [{ id: 'unbound-zones', file: 'unbound-zones.txt', format: 'adblock', reply: 'nxdomain' }],
    answers: [
      { name: 'nas.lan', type: 'A', data: '192.168.1.5', ttlS: 300 },
      { name: 'six.lan', type: 'AAAA', data: 'fd00::6' },
      { name: 'alias.lan', type: 'CNAME', data: 'nas.lan.' },
      { name: 'text.lan', type: 'TXT', data: '"a text"' },
      { name: 'dev.lan', type: 'A', data: '192.168.1.50' },
      { name: '*.dev.lan', type: 'A', data: '192.168.1.50' },
      { name: '5.1.168.192.in-addr.arpa', type: 'PTR', data: 'nas.lan' },
    ],
  })
  t.match(resolvers, [{ id: 'resolver-example', authenticationDomainName: 'resolver.example', addresses: ['192.0.2.53'] }])
  t.equal(files.get('unbound-zones.txt'), '||lan^\n||ads.example^\n', 'answers win over lists')
  t.match(of('include-toplevel'), [/left out: .*a separate file; import it too/])
  t.match(of('interface: eth0'), [/left out: eth0: it is not an address/])
  t.match(of('MX 10'), ['left out: records of the type MX'])
  t.match(of('something-new'), ['left out: something-new is not known'])
  t.match(of('10.0.0.54'), [/left out: .*already has its one cleartext server/])
  t.match(of('stub-addr'), [/left out/])
  t.match(of('log-queries'), [/same/])
})

t.test('Pi-hole: what it becomes', async (t) => {
  const { config, of } = said('pihole', 'pihole.toml')
  t.match(config, {
    use: ['cloudflare', 'quad9'],
    forward: [
      { zone: '1.168.192.in-addr.arpa', cleartext: '192.168.1.1:53' },
      { zone: 'fritz.box', cleartext: '192.168.1.1:53' },
      { zone: 'corp.example', cleartext: '10.0.0.53:53' },
    ],
    answers: [
      { name: 'nas.lan', type: 'A', data: '192.168.1.5' },
      { name: 'nas', type: 'A', data: '192.168.1.5' },
      { name: 'six.lan', type: 'AAAA', data: 'fd00::6' },
      { name: 'files.lan', type: 'CNAME', data: 'nas.lan' },
      { name: 'a.lan', type: 'CNAME', data: 'nas.lan', ttlS: 300 },
      { name: 'b.lan', type: 'CNAME', data: 'nas.lan', ttlS: 300 },
      { name: 'printer.lan', type: 'A', data: '192.168.1.40' },
      { name: '*.printer.lan', type: 'A', data: '192.168.1.40' },
    ],
  })
  t.ok(of('upstreams').some((one) => /left out: 192\.168\.1\.1: a server without encryption/.test(one)))
  const old = said('pihole', 'setupVars.conf')
  t.match(old.config, { use: ['cloudflare'], forward: [{ zone: '1.168.192.in-addr.arpa' }, { zone: 'fritz.box' }] })
  t.match(old.of('PIHOLE_DNS_2'), [/left out: 127\.0\.0\.1#5335: a server without encryption/])
  const lists = said('pihole', 'adlists.list')
  t.match(lists.config, { lists: [{ url: 'https://raw.githubusercontent.com/StevenBlack/hosts/master/hosts', format: 'auto' }] })
  t.match(lists.of('http://'), ['left out: lists are fetched over https only'])
  t.match(said('pihole', 'custom.list').config, { answers: [{ name: 'nas.lan' }, { name: 'printer.lan' }] })
  t.match(said('pihole', '05-pihole-custom-cname.conf').config, { answers: [{ name: 'files.lan' }, { name: 'web.lan', ttlS: 60 }] })
})

t.test('stamps: of a known resolver, of a new one, and damaged ones', async (t) => {
  const toml = (names: string, stamp: string) => `server_names = [${names}]\n[static]\n[static.'mine']\nstamp = '${stamp}'\n`
  const cloudflare = 'sdns://AgcAAAAAAAAABzEuMC4wLjEAEmRucy5jbG91ZGZsYXJlLmNvbQovZG5zLXF1ZXJ5'
  t.match(imported('dnscrypt-proxy', toml("'mine'", cloudflare)).config, { use: ['cloudflare'] })
  t.match(imported('dnscrypt-proxy', toml('', cloudflare)).config, { use: ['cloudflare'] })
  const own = writeStamp({ protocol: 'doh', address: '192.0.2.53', port: 443, hostname: 'doh.example', path: '/q', certHashes: [] })
  const made = imported('dnscrypt-proxy', toml("'mine'", own))
  t.match(made, {
    config: { use: ['doh-example'] },
    resolvers: [{ id: 'doh-example', addresses: ['192.0.2.53'], transports: { doh: { path: '/q' } } }],
  })
  t.notOk('use' in imported('dnscrypt-proxy', toml("'mine'", own), false).config)
  const damaged = imported('dnscrypt-proxy', toml("'mine'", own.slice(0, -4)))
  t.ok(damaged.outcomes.some(({ verdict, says }) => verdict === 'left out' && /the stamp is cut short/.test(says)))
  t.match(imported('adguardhome', `dns:\n  upstream_dns:\n    - ${cloudflare}\n`).config, { use: ['cloudflare'] })
})

t.test('without files beside it, what needs one is left out and named', async (t) => {
  const { config, outcomes, files } = imported('adguardhome', read('AdGuardHome.yaml'), false)
  t.equal(files.size, 0)
  t.notMatch(JSON.stringify(config), 'user-rules')
  t.ok(outcomes.some(({ says }) => /ads\.example.*use --out to write it/.test(says)))
})

t.test('a file without a setting, and a file of another program, are refused by every reader', async (t) => {
  const sources: readonly ImportSource[] = ['dnscrypt-proxy', 'adguardhome', 'pihole', 'unbound']
  for (const source of sources)
    for (const text of ['', '\n', '\uFEFF', '# only\r\n\n  # comments\n'])
      t.throws(() => imported(source, text), { code: 'config', message: 'the file has no setting' }, `${source} ${JSON.stringify(text)}`)
  const foreign: readonly (readonly [ImportSource, string, string])[] = [
    ['dnscrypt-proxy', read('pihole.toml'), 'dnscrypt-proxy'],
    ['dnscrypt-proxy', '[package]\nname = "x"\n', 'dnscrypt-proxy'],
    ['adguardhome', 'version: "3"\nservices:\n  web:\n    image: nginx\n', 'AdGuard Home'],
    ['adguardhome', read('unbound.conf'), 'AdGuard Home'],
    ['adguardhome', '{"a": 1, "b": {"c": 2}}', 'AdGuard Home'],
    ['unbound', read('AdGuardHome.yaml'), 'Unbound'],
    ['unbound', '[Interface]\nAddress = 10.0.0.1\n', 'Unbound'],
    ['unbound', 'just a text\n', 'Unbound'],
    ['pihole', '[package]\nname = "x"\n', 'Pi-hole'],
    ['pihole', read('unbound.conf'), 'Pi-hole'],
  ]
  for (const [source, text, name] of foreign)
    t.throws(
      () => imported(source, text),
      { code: 'config', message: new RegExp(`^(this does not look like a configuration of ${name}: |line \\d+ is not |it is not a conf)`) },
      `${source}: ${text.slice(0, 30)}`,
    )
  t.match(imported('dnscrypt-proxy', "proxy = 'x'\n").outcomes, [{ verdict: 'left out' }], 'a known setting that is left out is reported')
  t.match(imported('adguardhome', 'tomorrow: 1\ndns:\n  bind_hosts: [127.0.0.1]\n').config, { listen: [/127/] }, 'one unknown key')
})

t.test('the end of the last line is no empty line', async (t) => {
  for (const [end, silent] of [
    ['', 0],
    ['\n', 0],
    ['\r\n', 0],
    ['\n\n', 1],
    ['\n# x\n', 1],
  ] as const)
    t.equal(imported('unbound', `server:\n  interface: 127.0.0.1${end}`).silent, silent, JSON.stringify(end))
})

t.test('another form is refused with one sentence', async (t) => {
  t.throws(() => imported('dnscrypt-proxy', "a = 'x\nb = 1"), { code: 'config', message: /^line 1 is not TOML: a quote is not closed/ })
  t.throws(() => imported('dnscrypt-proxy', 'server:\n  x: 1\n'), { code: 'config', message: /^line 1 is not TOML/ })
  t.throws(() => imported('adguardhome', 'a: [1\nb: {'), { code: 'config', message: /is not YAML/ })
  t.throws(() => imported('adguardhome', 'just a text'), { code: 'config', message: /not a configuration of AdGuard Home/ })
  t.throws(() => imported('pihole', 'SQLite format 3\0x'), { code: 'config', message: /a database or an archive/ })
  t.throws(() => imported('dnscrypt-proxy', `a = ${'['.repeat(1000)}`), { code: 'config', message: /nested too deeply/ })
})

t.test('Unbound: local zones become one list for each reply', (t) => {
  const zones = 'static a\nrefuse b\nalways_null c\nalways_nodata d\ndeny e\nalways_refuse f'.split('\n').map((one) => one.split(' '))
  const text = `server:\n${zones.map(([type, name]) => `  local-zone: "${name}.example." ${type}`).join('\n')}\n`
  const { config, files, outcomes } = imported('unbound', text)
  t.match(config.lists, [
    { id: 'unbound-zones', format: 'adblock', reply: 'nxdomain' },
    { id: 'unbound-refused', format: 'adblock', reply: 'refused' },
    { id: 'unbound-null', format: 'adblock', reply: 'null-address' },
    { id: 'unbound-nodata', format: 'rpz' },
  ])
  t.strictSame(Object.fromEntries(files), {
    'unbound-zones.txt': '||a.example^\n||e.example^\n',
    'unbound-refused.txt': '||b.example^\n||f.example^\n',
    'unbound-null.txt': '||c.example^\n',
    'unbound-nodata.txt': 'd.example CNAME *.\n*.d.example CNAME *.\n',
  })
  t.match(outcomes.find(({ line }) => line === 6)?.says, /e\.example is blocked .* with NXDOMAIN instead of no reply/)
  t.end()
})

t.test('ten thousand records are read in a moment; more are left out; circles are left out at the end', (t) => {
  const record = (i: number) => `  local-data: "n${i}.example A 192.0.2.1"`
  const circle = '  local-data: "one.example CNAME two.example"\n  local-data: "two.example CNAME one.example"\n'
  const text = `server:\n${circle}${Array.from({ length: 12_000 }, (_, i) => record(i)).join('\n')}\n`
  const beganMs = performance.now()
  const { config, outcomes } = imported('unbound', text)
  t.ok(performance.now() - beganMs < 15_000)
  t.equal((config.answers as readonly unknown[]).length, 9999)
  t.match(
    outcomes.filter(({ line }) => line === 2 || line === 3).map(({ verdict, says }) => `${verdict} ${says}`),
    [/^left out the answer is circular/, /^taken/],
  )
  t.match(outcomes.at(-1), { verdict: 'left out', says: /there are already 10000 answers/ })
  t.end()
})
