import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import * as v from 'valibot'
import { trustedSetSchema } from '../../src/config/trusted-set.ts'
import { type ImportSource, importFrom } from '../../src/importers/import-from.ts'
import { PROJECT_ROOT } from '../support/readme.ts'

const shipped = v.parse(trustedSetSchema, JSON.parse(readFileSync(join(PROJECT_ROOT, 'resolvers.json'), 'utf8'))).resolvers
const imported = (source: ImportSource, text: string) => importFrom(source, text, { shipped, withFiles: true, beside: () => undefined })

/** The configuration, and of each line its outcomes as `VERDICT: CLAUSE`. */
function read(source: ImportSource, lines: readonly string[]) {
  const { config, files, outcomes } = imported(source, `${lines.join('\n')}\n`)
  const of = (part: string) => {
    const line = lines.findIndex((one) => one.includes(part)) + 1
    return outcomes.filter((one) => one.line === line).map(({ verdict, says }) => `${verdict}: ${says}`)
  }
  return { config, files, of }
}
const unbound = (...lines: readonly string[]) => read('unbound', ['server:', ...lines])
const adguard = (...lines: readonly string[]) => read('adguardhome', ['dns:', ...lines.map((line) => `  ${line}`)])
const dnscrypt = (...lines: readonly string[]) => read('dnscrypt-proxy', lines)
const pihole = (...lines: readonly string[]) => read('pihole', lines)

t.test('Unbound: the smallest block of access-control decides, in any order', async (t) => {
  const one = unbound('access-control: 10.0.0.4/31 refuse', 'access-control: 10.0.0.0/29 allow', 'access-control: 10.0.0.5 allow_snoop')
  t.strictSame(one.config.allowFrom, ['10.0.0.0/30', '10.0.0.6/31', '10.0.0.5', '127.0.0.0/8', '::1/128'])
  t.match(one.of('10.0.0.4/31'), ['taken: allowFrom: 10.0.0.0/29 without 10.0.0.4/31'])
  const six = unbound('access-control: fd00::/8 allow', 'access-control: fd00::1 deny', 'access-control: 0.0.0.0/0 refuse')
  t.equal((six.config.allowFrom as readonly string[]).length, 120 + 2)
  t.ok((six.config.allowFrom as readonly string[]).includes('fd00::/128'))
  t.match(six.of('0.0.0.0/0'), [/^same: /])
  t.match(unbound('access-control: 127.0.0.0/8 refuse', 'access-control: 10.0.0.0/8 allow').config.allowFrom, ['10.0.0.0/8', '::1/128'])
  for (const [first, last, allowFrom] of [
    ['allow', 'refuse', ['127.0.0.0/8', '::1/128']],
    ['refuse', 'allow', ['10.0.0.0/8', '127.0.0.0/8', '::1/128']],
  ] as const) {
    const twice = unbound(`access-control: 10.0.0.0/8 ${first}`, `access-control: 10.0.0.0/8 ${last}`)
    t.strictSame(twice.config.allowFrom, allowFrom, 'of equal blocks, the last line counts')
    t.match(twice.of(`/8 ${first}`), ['same: 10.0.0.0/8: a later line about this block counts'])
  }
  t.match(unbound('access-control: 10.0.0.0/8 refuse_non_local').of('10.0.0.0/8'), [/^left out: .*local data/])
  t.match(unbound('access-control: 10.0.0.0/8 something').of('10.0.0.0/8'), [/^left out: .*something/])
})

t.test('very many lines about clients are left out, and open nothing', async (t) => {
  const lines = Array.from({ length: 20_000 }, (_, i) => `access-control: 10.${i >> 8}.${i & 255}.0/24 ${i % 2 === 0 ? 'allow' : 'refuse'}`)
  const beganMs = performance.now()
  const one = unbound('interface: 0.0.0.0', ...lines)
  t.strictSame(one.config.allowFrom, ['127.0.0.0/8', '::1/128'])
  t.match(one.of('10.1.0.0/24'), [/^left out: .*900/])
  const clients = Array.from({ length: 5000 }, (_, i) => `  - 10.0.${i >> 8}.${i & 255}`)
  t.strictSame(adguard('bind_hosts: [0.0.0.0]', 'disallowed_clients:', ...clients).config.allowFrom, ['127.0.0.0/8'])
  t.equal((adguard('allowed_clients:', ...clients).config.allowFrom as readonly string[]).length, 902)
  t.ok(performance.now() - beganMs < 15_000)
})

t.test('nobody answers the whole internet after an import', async (t) => {
  const all = unbound('interface: 0.0.0.0', 'access-control: 0.0.0.0/0 allow', 'access-control: 10.0.0.0/8 refuse')
  t.strictSame(all.config.allowFrom, ['127.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '::1/128'])
  t.match(all.of('0.0.0.0/0'), [/^left out: 0\.0\.0\.0\/0: .*private networks/])
  t.strictSame(unbound('interface: 0.0.0.0').config.allowFrom, ['127.0.0.0/8', '::1/128'], 'the default of Unbound')
  const own = adguard('bind_hosts: [0.0.0.0]', 'allowed_clients:', '  - ::/0', '  - 2000::/3', '  - 2001:db8::/32')
  t.strictSame(own.config.allowFrom, ['::1/128', 'fc00::/7', 'fe80::/10', '2001:db8::/32'])
  t.match(own.of('2000::/3'), [/^left out: /])
})

t.test('AdGuard Home: disallowed clients stay refused', async (t) => {
  const one = adguard(
    'bind_hosts: [0.0.0.0]',
    'disallowed_clients:',
    '  - 192.168.0.128/25',
    '  - 203.0.113.7',
    '  - a-client-id',
    'allowed_clients: []',
  )
  const allowed = one.config.allowFrom as readonly string[]
  t.ok(allowed.includes('192.168.0.0/25') && allowed.includes('192.168.128.0/17') && allowed.includes('10.0.0.0/8'))
  t.notOk(allowed.includes('192.168.0.0/16'))
  t.match(one.of('192.168.0.128/25'), ['taken: allowFrom: without 192.168.0.128/25'])
  t.match(one.of('203.0.113.7'), [/^same: /])
  t.match(one.of('a-client-id'), [/^left out: .*address/])
  const both = adguard('disallowed_clients: [192.168.0.7]', 'allowed_clients: [192.168.0.0/24]')
  t.strictSame(both.config.allowFrom, ['192.168.0.0/24'], 'as there: only the allowed clients count')
})

t.test('Unbound: exceptions from blocked zones, and data that a zone ignores', async (t) => {
  const one = unbound(
    'local-zone: "a.example" always_nxdomain',
    'local-zone: "good.a.example" always_transparent',
    'local-data: "www.a.example A 192.0.2.1"',
    'local-data: "www.good.a.example A 192.0.2.1"',
    'local-zone: "b.example" inform',
    'local-data: "b.example A 192.0.2.2"',
    'local-zone: "10.in-addr.arpa" nodefault',
    'local-zone: "c.example" typetransparent',
    'local-zone: "n.example" always_nodata',
    'local-zone: "good.n.example" transparent',
    'local-zone: "x.example" inform_deny',
    'local-zone: "y.example" something',
  )
  t.match(one.files.get('unbound-zones.txt'), '||a.example^\n@@||good.a.example^\n')
  t.match(one.files.get('unbound-nodata.txt'), /\ngood\.n\.example CNAME rpz-passthru\.\n\*\.good\.n\.example CNAME rpz-passthru\.\n/)
  t.match(one.of('"good.a.example"'), [/^taken: lists: good\.a\.example/])
  t.match(one.of('www.a.example'), [/^left out: .*always_nxdomain/])
  t.match(one.of('www.good.a.example'), [/^left out: .*always_transparent/])
  t.strictSame(one.config.answers, [{ name: 'b.example', type: 'A', data: '192.0.2.2' }])
  t.match(one.of('inform'), [/^left out: .*never recorded/])
  t.match(one.of('nodefault'), [/^left out: .*answered here.*"forward"/])
  t.match(one.of('typetransparent'), [/^left out: .*other types/])
  t.match(one.of('something'), ['left out: y.example: the type something cannot be imported'])
  const deep = unbound('local-zone: "a.example" static', 'local-zone: "b.a.example" transparent', 'local-zone: "c.b.a.example" static')
  t.match(deep.of('"b.a.example"'), [/^left out: /])
  t.match(unbound('local-zone: "d.example" inform_redirect', 'local-data: "d.example A 192.0.2.1"').config.answers, [
    { name: 'd.example' },
    { name: '*.d.example' },
  ])
})

t.test('Unbound: a setting that depends on another line, in any order', async (t) => {
  t.match(unbound('port: 5335').config.listen, ['127.0.0.1:5335', '[::1]:5335'])
  t.match(unbound('port: 5335', 'do-ip6: no').config.listen, ['127.0.0.1:5335'])
  const own = unbound('port: 5335', 'interface: 127.0.0.1@53', 'ip-address: 127.0.0.2', 'interface: 127.0.0.1@853')
  t.strictSame(own.config.listen, ['127.0.0.1:53', '127.0.0.2:5335'])
  t.match(own.of('@853'), [/^left out: .*UDP and TCP/])
  t.match(unbound('port: 0').of('port'), [/^left out: /])
  t.match(unbound('interface-automatic: yes').config.listen, ['0.0.0.0:53', '[::]:53'])
  t.match(unbound('interface: 127.0.0.1', 'port: 54', 'port: 55').config.listen, ['127.0.0.1:55'], 'the last one counts')

  for (const lines of [
    ['serve-expired: no', 'serve-expired-ttl: 600'],
    ['serve-expired-ttl: 600', 'serve-expired: no'],
  ]) {
    const off = unbound(...lines)
    t.strictSame(off.config.cache, { staleMaxS: 0 })
    t.match(off.of('-ttl'), [/^same: /])
  }
  t.strictSame(
    unbound('serve-expired: yes', 'serve-expired-ttl: 0').config.cache,
    { staleMaxS: 86_400 },
    '0 is no limit there, and never here',
  )
  t.match(unbound('serve-expired-reply-ttl: 30').of('reply'), [/^same/])
  t.match(unbound('serve-expired-reply-ttl: 5').of('reply'), [/^left out: .*30 s/])
  t.notOk(unbound('dns64-prefix: 64:ff9b::/96').config.dns64, 'the module dns64 is off')
  t.match(unbound('dns64-prefix: 2001:db8::/96', 'module-config: "dns64 iterator"').config.dns64, { prefix: '2001:db8::/96' })
  t.match(unbound('module-config: "dns64 validator iterator"').config.dns64, { prefix: '64:ff9b::/96' })
})

t.test('Unbound: a value that is not what this program does is left out', async (t) => {
  const leftOut: readonly (readonly [string, RegExp])[] = [
    ['do-ip6: no', /both families/],
    ['do-ip4: no', /both families/],
    ['do-udp: no', /UDP and TCP/],
    ['do-tcp: no', /UDP and TCP/],
    ['prefer-ip6: yes', /both families/],
    ['prefer-ip4: yes', /both families/],
    ['tls-cert-bundle: "/etc/unbound/own-ca.pem"', /"caFile"/],
    ['ssl-cert-bundle: /root/ca.pem', /"caFile"/],
    ['tls-system-cert: yes', /roots that come with Node/],
    ['do-not-query-localhost: no', /only servers of the trusted set/],
    ['max-udp-size: 4096', /1232/],
    ['edns-buffer-size: 512', /1232/],
    ['unwanted-reply-threshold: 10000', /not cleared/],
    ['pidfile: "/run/unbound.pid"', /process id/],
    ['ratelimit: 1000', /^ratelimit has no counterpart$/],
    ['wait-limit: 10', /^wait-limit has no counterpart$/],
    ['outgoing-interface: 192.0.2.1', /the system chooses/],
    ['deny-any: yes', /ANY/],
    ['rrset-roundrobin: yes', /order/],
    ['unblock-lan-zones: yes', /"forward"/],
    ['cache-max-negative-ttl: 60', /RFC 2308/],
    ['do-daemonize: yes', /foreground/],
    ['python-script: "x.py"', /^python-script has no counterpart$/],
    ['private-address: 203.0.113.0/24', /203\.0\.113\.0\/24 is not covered/],
    ['private-address: 10.0.0.0/7', /is not covered/],
    ['chroot: "/var/lib/unbound"', /systemd unit/],
    ['identity: "dns1"', /class CH/],
    ['log-local-actions: yes', /never logged/],
  ]
  for (const [line, says] of leftOut) {
    const [found = '', ...more] = unbound(line).of(line)
    t.match(found, /^left out: /, line)
    t.match(found.slice('left out: '.length), says, line)
    t.strictSame(more, [])
    t.strictSame(unbound(line).config, {}, line)
  }
  for (const line of [
    'do-ip6: yes',
    'do-udp: yes',
    'prefer-ip6: no',
    'tls-cert-bundle: "/etc/ssl/certs/ca-certificates.crt"',
    'max-udp-size: 1232',
  ])
    t.match(unbound(line).of(line), [/^same: /], line)
  for (const line of [
    'username: ""',
    'chroot: ""',
    'pidfile: ""',
    'deny-any: no',
    'do-daemonize: no',
    'log-servfail: no',
    'ip-ratelimit: 0',
  ])
    t.match(unbound(line).of(line), [/^same: /], line)
  t.strictSame(unbound('ip-ratelimit: 100').config, { clientQueriesPerS: 100 })
  t.match(unbound('private-address: 10.0.0.0/8').of('10.0.0.0'), [/^taken: rebinding\.protect: .*become empty; 10\.0\.0\.0\/8 is covered/])
})

t.test('Unbound: an empty value begins no section', async (t) => {
  const one = unbound('tls-cert-bundle: ""', 'identity: ""   # nothing', 'root-hints: ""', 'cache-min-ttl: 60')
  t.strictSame(one.config, { cache: { minTtlS: 60 } })
})

t.test('Unbound: TLS of forward zones comes from either setting, with its port; no TLS means none', async (t) => {
  const zone = (server: string, ...own: readonly string[]) => read('unbound', [server, 'forward-zone:', '  name: corp.example', ...own])
  const addr = '  forward-addr: 10.0.0.53'
  t.match(zone('server:', addr).config, { allowCleartext: ['corp.example'] })
  const all = zone('server:\n  tls-upstream: yes', addr).config
  t.match(all, { forward: [{ zone: 'corp.example', to: ['10-0-0-53'] }] })
  t.notOk('allowCleartext' in all)
  const port = imported('unbound', 'forward-zone:\n  name: corp.example\n  forward-tls-upstream: yes\n  forward-addr: 10.0.0.53@8853\n')
  t.match(port.resolvers, [{ id: '10-0-0-53', transports: { dot: { port: 8853 } } }])
  t.match(zone('server:', `${addr}@53#corp.example`).config, { forward: [{ zone: 'corp.example', cleartext: '10.0.0.53:53' }] })
  t.match(zone('server:', '  forward-tls-upstream: no', addr).of('forward-tls'), [/^same: .*cleartext/])
  const root = read('unbound', ['forward-zone:', '  name: .', '  forward-tls-upstream: no', '  forward-addr: 9.9.9.9'])
  t.match(root.of('forward-tls'), [/^left out: .*encrypted/])
  const nameless = read('unbound', ['forward-zone:', '  forward-addr: 9.9.9.9'])
  t.strictSame(nameless.config, {})
})

t.test('AdGuard Home: exceptions before their zone, no limits, and values that differ', async (t) => {
  const before = adguard('upstream_dns:', "  - '[/www.corp.example/]#'", "  - '[/corp.example/]10.0.0.53'")
  t.match(before.config.forward, [{ zone: 'corp.example', except: ['www.corp.example'] }])
  t.match(before.of('www.corp'), ['taken: forward: corp.example except www.corp.example'])
  t.strictSame(adguard('cache_optimistic: false', 'cache_optimistic_max_age: 12h').config.cache, { staleMaxS: 0 })
  t.strictSame(adguard('cache_optimistic_max_age: 12h', 'cache_optimistic: false').config.cache, { staleMaxS: 0 })
  t.strictSame(adguard('cache_ttl_max: 0').config.cache, { maxTtlS: 604_800 })
  t.match(adguard('cache_size: 0').of('cache_size'), [/^left out: .*always kept/])
  t.match(adguard('use_dns64: true', 'dns64_prefixes: []').config.dns64, { prefix: '64:ff9b::/96' })
  t.match(adguard('use_dns64: true').config.dns64, { prefix: '64:ff9b::/96' })
  const leftOut = ['upstream_mode: parallel', 'all_servers: true', 'fastest_addr: true', 'ratelimit_subnet_len_ipv4: 24']
  leftOut.push('ratelimit_subnet_len_ipv6: 56', 'cache_optimistic_answer_ttl: 5s', 'max_goroutines: 0', 'filters_update_interval: 0')
  leftOut.push('refuse_any: true')
  const same = ['upstream_mode: load_balance', 'all_servers: false', 'fastest_addr: false', 'ratelimit_subnet_len_ipv4: 32']
  same.push('ratelimit_subnet_len_ipv6: 64', 'cache_optimistic_answer_ttl: 30s', 'max_goroutines: 300', 'filters_update_interval: 24')
  same.push('refuse_any: false')
  for (const line of leftOut) t.match(adguard(line).of(line), [/^left out: /], line)
  for (const line of same) t.match(adguard(line).of(line), [/^same: /], line)
})

t.test('dnscrypt-proxy: values that differ are left out', async (t) => {
  const leftOut = ['ipv6_servers = false', 'hot_reload = false', 'enable_hot_reload = false', 'tls_disable_session_tickets = true']
  leftOut.push('cache_size = 4096', 'lb_estimator = false', "blocked_query_response = 'a:192.0.2.1,aaaa:2001:db8::1'")
  for (const line of leftOut) t.match(dnscrypt(line).of(line), [/^left out: /], line)
  const same = ['ipv6_servers = true', 'hot_reload = true', 'tls_disable_session_tickets = false', 'lb_estimator = true', "user_name = ''"]
  for (const line of same) t.match(dnscrypt(line).of(line), [/^same: /], line)
  t.notOk('user' in dnscrypt("user_name = ''").config)
  const stamp = 'sdns://AgcAAAAAAAAABzEuMC4wLjEAEmRucy5jbG91ZGZsYXJlLmNvbQovZG5zLXF1ZXJ5'
  const unnamed = dnscrypt("server_names = ['not-known']", "[static.'mine']", `stamp = '${stamp}'`)
  t.notOk('use' in unnamed.config, 'a resolver that server_names does not have is not used')
})

t.test('Pi-hole: values that differ are left out, in every kind of file', async (t) => {
  const vars = ['BLOCKING_ENABLED=false', 'DNS_FQDN_REQUIRED=false', 'DNS_BOGUS_PRIV=false', 'DNSSEC=true']
  for (const line of vars) t.match(pihole('PIHOLE_DNS_1=1.1.1.1', line).of(line), [/^left out: /], line)
  t.match(pihole('PIHOLE_DNS_1=1.1.1.1', 'QUERY_LOGGING=false').of('QUERY'), [/^same: /])
  const forward = ['REV_SERVER_DOMAIN=fritz.box', 'REV_SERVER_TARGET=192.168.1.1', 'REV_SERVER_CIDR=192.168.1.0/24']
  const both = { forward: [{ zone: 'fritz.box' }, { zone: '1.168.192.in-addr.arpa' }] }
  t.match(pihole('PIHOLE_DNS_1=1.1.1.1', ...forward, 'REV_SERVER=true').config, both, 'in any order')
  const off = pihole('PIHOLE_DNS_1=1.1.1.1', 'REV_SERVER=false', ...forward)
  t.notOk('forward' in off.config)
  t.match(off.of('DOMAIN'), [/^same: .*off/])

  const toml = (table: string, line: string) => pihole(`[${table}]`, line)
  t.strictSame(toml('dns.cache', 'optimizer = 3600').config.cache, { staleMaxS: 3600 })
  t.strictSame(toml('dns.cache', 'optimizer = 0').config.cache, { staleMaxS: 86_400 }, '0 is no limit there')
  t.strictSame(toml('dns.cache', 'optimizer = -1').config.cache, { staleMaxS: 0 })
  t.match(toml('dns.cache', 'upstreamBlockedTTL = 60').of('upstream'), [/^left out: /])
  t.match(toml('dns.specialDomains', 'mozillaCanary = false').of('moz'), [/^left out: /])
  t.match(toml('dns.specialDomains', 'mozillaCanary = true').of('moz'), [/^same: /])
  t.match(toml('dns.specialDomains', 'iCloudPrivateRelay = true').of('iCl'), [/^left out: /])
  t.match(toml('dns.specialDomains', 'iCloudPrivateRelay = false').of('iCl'), [/^same: /])
})

t.test('dnsmasq: options that were said to be the same', async (t) => {
  const forward = pihole('server=/www.corp.example/#', 'server=/corp.example/10.0.0.53', 'server=/only.example/')
  t.strictSame(forward.config.forward, [{ zone: 'corp.example', cleartext: '10.0.0.53:53', except: ['www.corp.example'] }])
  t.match(forward.of('only.example'), [/^left out: .*answers/])
  const rebinding = pihole('stop-dns-rebind', 'rebind-domain-ok=/lan.example/corp.example/')
  t.strictSame(rebinding.config.rebinding, { protect: true, allow: ['lan.example', 'corp.example'] })
  t.strictSame(pihole('max-cache-ttl=600', 'min-cache-ttl=60', 'user=dnsmasq').config, {
    cache: { maxTtlS: 600, minTtlS: 60 },
    user: 'dnsmasq',
  })
  for (const line of ['cache-size=0', 'all-servers', 'localise-queries']) t.match(pihole(line, 'no-resolv').of(line), [/^left out: /], line)
})

t.test('dnscrypt-proxy: what went through a proxy or relays never goes out directly after an import', async (t) => {
  const tor = dnscrypt("proxy = 'socks5://127.0.0.1:9050'", 'force_tcp = true', "server_names = ['cloudflare']")
  t.match(tor.config, { proxies: { proxy: { type: 'socks5', address: '127.0.0.1:9050' } }, via: ['proxy'] })
  t.match(tor.of('socks5'), [/^taken: via: proxy/])
  t.match(dnscrypt("proxy = 'socks5://localhost:9050'").config.proxies, { proxy: { address: '127.0.0.1:9050' } })
  t.match(dnscrypt("http_proxy = 'http://[2001:db8::1]:8888'").config.proxies, {
    proxy: { type: 'http-connect', address: '[2001:db8::1]:8888' },
  })
  const named = dnscrypt("proxy = 'socks5://user:secret@192.0.2.1:1080'")
  t.strictSame(named.config.via, ['proxy'])
  t.match(named.of('secret'), [/^taken/, /^left out: .*passwordFile/])
  t.notMatch(JSON.stringify(named), /"says":.*secret|"proxies".*secret/)
  for (const one of [
    dnscrypt("proxy = 'socks5://proxy.example:1080'"),
    dnscrypt("proxy = 'socks5://127.0.0.1'"),
    dnscrypt("proxy = 'x'"),
  ]) {
    t.match(one.config.policy, { separation: 'required' })
    t.match(one.of('proxy ='), [/^left out: .*a start is refused/])
  }
  const relayed = dnscrypt('[anonymized_dns]', "routes = [{ server_name = '*', via = ['anon-a'] }]")
  t.match(relayed.config.policy, { separation: 'required' })
  t.match(relayed.of('routes'), [/^left out: .*a start is refused/])
  const text = "forwarding_rules = 'f'\nproxy = 'socks5://127.0.0.1:9050'\n"
  const beside = () => 'corp.example 192.0.2.53\nsafe.example tls://1.1.1.1\n'
  const { config } = importFrom('dnscrypt-proxy', text, { shipped, withFiles: true, beside })
  t.match(config.forward, [{ zone: 'safe.example', to: ['cloudflare'] }])
  t.notOk('allowCleartext' in config)
  t.match(dnscrypt("proxy = ''").of('proxy'), ['same: no proxy'])
})

t.test('imports: names of no public zone, families, addresses to listen on, and lines of a hosts file', async (t) => {
  t.match(dnscrypt('block_undelegated = true').of('block'), [/^left out: .*\.lan/])
  t.match(dnscrypt('ipv6_servers = false').of('ipv6'), [/^left out/])
  const six = unbound('interface: ::0', 'interface: 192.0.2.1', 'do-ip6: no')
  t.strictSame(six.config.listen, ['192.0.2.1:53'])
  t.match(six.of('::0'), [/^left out: .*do-ip6 is off/])
  t.match(six.of('do-ip6'), [/^left out/])
  t.strictSame(unbound('do-ip4: no', 'interface: 192.0.2.1', 'interface: ::1').config.listen, ['[::1]:53'])
  const masq = pihole('listen-address=192.168.1.2,::1', 'port=5353', 'rebind-domain-ok=/corp.example/', 'stop-dns-rebind')
  t.match(masq.config, { listen: ['192.168.1.2:5353', '[::1]:5353'], rebinding: { protect: true, allow: ['corp.example'] } })
  t.match(masq.of('port='), ['taken: listen: port 5353'])
  t.match(masq.of('listen-address'), ['taken: listen: 192.168.1.2, port 5353', 'taken: listen: ::1, port 5353'])
  const rules = read('adguardhome', [
    'user_rules:',
    "  - '192.168.1.5 nas.home nas2.home'",
    "  - '0.0.0.0 ads.example'",
    "  - 'fd00::5 nas.home # six'",
  ])
  t.match(rules.config.answers, [
    { name: 'nas.home', type: 'A', data: '192.168.1.5' },
    { name: 'nas2.home', type: 'A', data: '192.168.1.5' },
    { name: 'nas.home', type: 'AAAA', data: 'fd00::5' },
  ])
  t.match(rules.of('0.0.0.0'), [/^taken: lists/])
  t.match(adguard('upstream_dns:', '  - quic://dns.example').of('quic'), [/^left out: .*"doq"/])
})
