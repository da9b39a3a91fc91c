import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import dnsPacket from 'dns-packet'
import fc from 'fast-check'
import t from 'tap'
import { labelsOf, nameFromText } from '../../src/dns/name.ts'
import { specialNames } from '../../src/local-names/special-names.ts'
import { CANARY, REGISTRIES_AS_OF, RESERVED_NAMES, SPECIAL_ZONES } from '../../src/local-names/special-zones.ts'
import type { Answer, Ask, Query, Question } from '../../src/resolve.ts'
import { view } from '../support/rules.ts'
import { through } from '../support/stages.ts'

const TYPES = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  DS: 43,
  DNSKEY: 48,
  ZONEMD: 63,
  SVCB: 64,
  HTTPS: 65,
  ANY: 255,
}
type TypeName = keyof typeof TYPES

function questionOf(name: string | Uint8Array, type: number): Question {
  const wire = typeof name === 'string' ? nameFromText(name) : name
  const whole = Uint8Array.from([...wire, type >> 8, type & 255, 0, 1])
  const lower = Uint8Array.from(whole, (octet, i) => (i < wire.length && octet >= 65 && octet <= 90 ? octet + 32 : octet))
  return { lower, type, class: 1 }
}

const ASK: Ask = { purpose: 'client', deadlineMs: 0 }
const UPSTREAM: Answer = { wire: new Uint8Array(12), rcode: 0, storeS: 'no', from: { upstream: 'u', transport: 'dot' } }

const resolve = through([specialNames()], async () => UPSTREAM)

function ask(name: string | Uint8Array, type: number): Promise<Answer> {
  const query: Query = {
    id: 0,
    question: questionOf(name, type),
    authenticData: false,
    checkingDisabled: false,
    edns: undefined,
    client: { address: '127.0.0.1', transport: 'udp', view: view(0) },
  }
  return resolve(query, ASK)
}

type Expected = 'NXDOMAIN' | 'NODATA' | 'forwarded' | string

/** The answer in one word: what came from upstream is `forwarded`, data is its text. */
async function told(name: string, type: TypeName): Promise<Expected> {
  const answer = await ask(name, TYPES[type])
  if (answer === UPSTREAM) return 'forwarded'
  const message = dnsPacket.decode(Buffer.from(answer.wire))
  if (message.answers?.length)
    return message.answers.map((a) => ('data' in a ? (typeof a.data === 'string' ? a.data : 'SOA') : '')).join(' ')
  return answer.rcode === 3 ? 'NXDOMAIN' : answer.rcode === 0 ? 'NODATA' : `rcode ${answer.rcode}`
}

const ONE_V6 = `1.${'0.'.repeat(31)}ip6.arpa`
const ANY_V6 = `0.${'0.'.repeat(31)}ip6.arpa`

const CASES: Record<string, readonly (readonly [name: string, type: TypeName, expected: Expected])[]> = {
  'RFC 6761 6.3 localhost': [
    ['localhost', 'A', '127.0.0.1'],
    ['localhost', 'AAAA', '::1'],
    ['LocalHost.', 'A', '127.0.0.1'],
    ['www.dev.localhost', 'A', '127.0.0.1'],
    ['a.b.localhost', 'AAAA', '::1'],
    ['localhost', 'ANY', '127.0.0.1 ::1'],
    ['localhost', 'MX', 'NODATA'],
    ['localhost', 'HTTPS', 'NODATA'],
    ['localhost', 'NS', 'NODATA'],
    ['localhost', 'DS', 'NODATA'],
    ['app.localhost', 'TXT', 'NODATA'],
    ['notlocalhost.example', 'A', 'forwarded'],
    ['localhost.example', 'A', 'forwarded'],
    ['xlocalhost.org', 'A', 'forwarded'],
  ],
  'RFC 6761 6.4 invalid': [
    ['invalid', 'A', 'NXDOMAIN'],
    ['a.invalid', 'SOA', 'NXDOMAIN'],
    ['INVALID', 'DS', 'NXDOMAIN'],
    ['invalid.example', 'A', 'forwarded'],
  ],
  'RFC 6761 6.2 test': [
    ['test', 'A', 'NXDOMAIN'],
    ['test', 'NS', 'NXDOMAIN'],
    ['host.test', 'AAAA', 'NXDOMAIN'],
    ['test.example', 'A', 'forwarded'],
    ['www.xn--test', 'A', 'forwarded'],
    ['a.mytest', 'A', 'forwarded'],
  ],
  'RFC 7686 onion': [
    ['onion', 'A', 'NXDOMAIN'],
    ['expyuzz4wqqyqhjn.onion', 'A', 'NXDOMAIN'],
    ['a.b.ONION', 'HTTPS', 'NXDOMAIN'],
    ['onion', 'DNSKEY', 'NXDOMAIN'],
    ['onion.to', 'A', 'forwarded'],
  ],
  'RFC 9476 alt': [
    ['alt', 'A', 'NXDOMAIN'],
    ['x.alt', 'TXT', 'NXDOMAIN'],
    ['alt.org', 'A', 'forwarded'],
  ],
  internal: [
    ['vault.internal', 'A', 'NXDOMAIN'],
    ['internal', 'DS', 'NXDOMAIN'],
    ['internal.example', 'A', 'forwarded'],
  ],
  'RFC 6762 local and link-local': [
    ['printer.local', 'A', 'NXDOMAIN'],
    ['_http._tcp.local', 'PTR', 'NXDOMAIN'],
    ['local', 'SOA', 'NXDOMAIN'],
    ['local.example', 'A', 'forwarded'],
    ['4.3.254.169.in-addr.arpa', 'PTR', 'NXDOMAIN'],
    ['254.169.in-addr.arpa', 'SOA', 'SOA'],
    ['253.169.in-addr.arpa', 'PTR', 'forwarded'],
    ['1.8.e.f.ip6.arpa', 'PTR', 'NXDOMAIN'],
    ['9.e.f.ip6.arpa', 'PTR', 'NODATA'],
    ['1.a.e.f.ip6.arpa', 'PTR', 'NXDOMAIN'],
    ['1.B.E.F.ip6.arpa', 'PTR', 'NXDOMAIN'],
    ['1.c.e.f.ip6.arpa', 'PTR', 'forwarded'],
    ['7.e.f.ip6.arpa', 'PTR', 'forwarded'],
    ['e.f.ip6.arpa', 'PTR', 'forwarded'],
  ],
  'RFC 8375 home.arpa': [
    ['home.arpa', 'A', 'NODATA'],
    ['home.arpa', 'SOA', 'SOA'],
    ['home.arpa', 'NS', 'home.arpa'],
    ['nas.home.arpa', 'A', 'NXDOMAIN'],
    ['nas.home.arpa', 'DS', 'NXDOMAIN'],
    ['home.arpa', 'DS', 'forwarded'],
    ['Home.ARPA', 'DS', 'forwarded'],
    ['home.arpa', 'DNSKEY', 'NODATA'],
    ['myhome.arpa', 'A', 'forwarded'],
  ],
  'RFC 9462 resolver.arpa': [
    ['_dns.resolver.arpa', 'SVCB', 'NODATA'],
    ['resolver.arpa', 'SVCB', 'NODATA'],
    ['x.resolver.arpa', 'A', 'NODATA'],
    ['resolver.arpa', 'DS', 'forwarded'],
    ['_dns.resolver.arpa', 'DS', 'NODATA'],
    ['_dns.example.net', 'SVCB', 'forwarded'],
  ],
  'RFC 9665 service.arpa': [
    ['default.service.arpa', 'A', 'NXDOMAIN'],
    ['_ipps._tcp.default.service.arpa', 'PTR', 'NXDOMAIN'],
    ['printer._ipps._tcp.Default.Service.ARPA', 'SRV', 'NXDOMAIN'],
    ['service.arpa', 'SOA', 'SOA'],
    ['service.arpa', 'A', 'NODATA'],
    ['service.arpa', 'DS', 'forwarded'],
    ['default.service.arpa', 'DS', 'NXDOMAIN'],
    ['myservice.arpa', 'A', 'forwarded'],
  ],
  'names of other protocols below arpa': [
    ['6tisch.arpa', 'A', 'NXDOMAIN'],
    ['x.6tisch.arpa', 'A', 'NXDOMAIN'],
    ['portal.tls.eap.arpa', 'A', 'NXDOMAIN'],
    ['eap.arpa', 'SRV', 'NXDOMAIN'],
    ['eap.arpa', 'DS', 'forwarded'],
    ['eap-noob.arpa', 'AAAA', 'NXDOMAIN'],
    ['ipv4only.arpa', 'AAAA', 'forwarded'],
    ['170.0.0.192.in-addr.arpa', 'PTR', 'forwarded'],
    ['www.example', 'A', 'forwarded'],
    ['www.example.com', 'A', 'forwarded'],
  ],
  'addresses that were asked for as names': [
    ['192.168.1.1', 'A', 'NXDOMAIN'],
    ['192.168.1.1.', 'AAAA', 'NXDOMAIN'],
    ['10.0.0.1', 'DS', 'NXDOMAIN'],
    ['10.1', 'A', 'NXDOMAIN'],
    ['1', 'A', 'NXDOMAIN'],
    ['1', 'DS', 'NXDOMAIN'],
    ['0', 'NS', 'NXDOMAIN'],
    ['host.2130706433', 'A', 'NXDOMAIN'],
    ['0x7f.1', 'A', 'NXDOMAIN'],
    ['192.168.1.0xA', 'A', 'NXDOMAIN'],
    ['127.0x', 'A', 'NXDOMAIN'],
    ['fe80\\:\\:1%eth0.100', 'AAAA', 'NXDOMAIN'],
    ['1.2.3.4.example', 'A', 'forwarded'],
    ['10.in-addr.arpa.example', 'A', 'forwarded'],
    ['www.0xg', 'A', 'forwarded'],
    ['www.1a', 'A', 'forwarded'],
    ['www.3com', 'A', 'forwarded'],
    ['www.a1', 'A', 'forwarded'],
    ['www.x0', 'A', 'forwarded'],
  ],
  'RFC 6303 4.1 private IPv4': [
    ['10.in-addr.arpa', 'SOA', 'SOA'],
    ['10.in-addr.arpa', 'NS', '10.in-addr.arpa'],
    ['10.in-addr.arpa', 'PTR', 'NODATA'],
    ['10.in-addr.arpa', 'DS', 'forwarded'],
    ['1.0.0.10.in-addr.arpa', 'PTR', 'NXDOMAIN'],
    ['1.10.in-addr.arpa', 'DS', 'NXDOMAIN'],
    ['1.0.16.172.in-addr.arpa', 'PTR', 'NXDOMAIN'],
    ['1.0.31.172.in-addr.arpa', 'PTR', 'NXDOMAIN'],
    ['1.0.15.172.in-addr.arpa', 'PTR', 'forwarded'],
    ['1.0.32.172.in-addr.arpa', 'PTR', 'forwarded'],
    ['172.in-addr.arpa', 'PTR', 'forwarded'],
    ['1.1.168.192.in-addr.arpa', 'PTR', 'NXDOMAIN'],
    ['lb._dns-sd._udp.0.1.168.192.in-addr.arpa', 'PTR', 'NXDOMAIN'],
    ['1.1.169.192.in-addr.arpa', 'PTR', 'forwarded'],
    ['8.8.8.8.in-addr.arpa', 'PTR', 'forwarded'],
    ['1.10.in-addr.arpa.example', 'PTR', 'forwarded'],
    ['1.110.in-addr.arpa', 'PTR', 'forwarded'],
  ],
  'RFC 6303 4.2 special IPv4': [
    ['0.0.0.0.in-addr.arpa', 'PTR', 'NXDOMAIN'],
    ['1.0.0.127.in-addr.arpa', 'PTR', 'localhost'],
    ['1.0.0.127.in-addr.arpa', 'ANY', 'localhost'],
    ['1.0.0.127.in-addr.arpa', 'A', 'NODATA'],
    ['0.0.127.in-addr.arpa', 'PTR', 'NODATA'],
    ['127.in-addr.arpa', 'PTR', 'NODATA'],
    ['127.in-addr.arpa', 'DS', 'forwarded'],
    ['53.0.0.127.in-addr.arpa', 'PTR', 'NXDOMAIN'],
    ['1.2.0.192.in-addr.arpa', 'PTR', 'NXDOMAIN'],
    ['1.100.51.198.in-addr.arpa', 'PTR', 'NXDOMAIN'],
    ['1.113.0.203.in-addr.arpa', 'PTR', 'NXDOMAIN'],
    ['255.255.255.255.in-addr.arpa', 'PTR', 'NODATA'],
    ['254.255.255.255.in-addr.arpa', 'PTR', 'forwarded'],
    ['1.3.0.192.in-addr.arpa', 'PTR', 'forwarded'],
  ],
  'RFC 6303 4.3 to 4.6 IPv6': [
    [ONE_V6, 'PTR', 'localhost'],
    [ONE_V6, 'DS', 'forwarded'],
    [ONE_V6, 'A', 'NODATA'],
    [ANY_V6, 'PTR', 'NODATA'],
    [ANY_V6, 'SOA', 'SOA'],
    [`2.${'0.'.repeat(31)}ip6.arpa`, 'PTR', 'forwarded'],
    ['1.d.f.ip6.arpa', 'PTR', 'NXDOMAIN'],
    ['D.F.ip6.arpa', 'DS', 'forwarded'],
    ['1.c.f.ip6.arpa', 'PTR', 'forwarded'],
    ['1.8.b.d.0.1.0.0.2.ip6.arpa', 'PTR', 'NXDOMAIN'],
    ['1.9.b.d.0.1.0.0.2.ip6.arpa', 'PTR', 'forwarded'],
  ],
  'RFC 7793 shared address space': [
    ['1.0.64.100.in-addr.arpa', 'PTR', 'NXDOMAIN'],
    ['1.0.127.100.in-addr.arpa', 'PTR', 'NXDOMAIN'],
    ['64.100.in-addr.arpa', 'DS', 'forwarded'],
    ['1.0.63.100.in-addr.arpa', 'PTR', 'forwarded'],
    ['1.0.128.100.in-addr.arpa', 'PTR', 'forwarded'],
  ],
  'the canary of browsers': [
    ['use-application-dns.net', 'A', 'NXDOMAIN'],
    ['use-application-dns.net', 'AAAA', 'NXDOMAIN'],
    ['www.use-application-dns.net', 'A', 'NXDOMAIN'],
    ['use-application-dns.net', 'DS', 'forwarded'],
    ['application-dns.net', 'A', 'forwarded'],
    ['net.example', 'A', 'forwarded'],
  ],
  'single labels': [
    ['printer', 'A', 'NXDOMAIN'],
    ['PRINTER', 'AAAA', 'NXDOMAIN'],
    ['com', 'A', 'NXDOMAIN'],
    ['wpad', 'HTTPS', 'NXDOMAIN'],
    ['com', 'TXT', 'NXDOMAIN'],
    ['com', 'ANY', 'NXDOMAIN'],
    ['com', 'NS', 'forwarded'],
    ['com', 'SOA', 'forwarded'],
    ['com', 'DS', 'forwarded'],
    ['com', 'DNSKEY', 'forwarded'],
    ['com', 'ZONEMD', 'forwarded'],
    ['arpa', 'NS', 'forwarded'],
    ['local\\.host', 'A', 'NXDOMAIN'],
    ['printer.local\\.', 'A', 'forwarded'],
    ['.', 'NS', 'forwarded'],
    ['.', 'A', 'forwarded'],
    ['example.com', 'A', 'forwarded'],
  ],
}

for (const [group, cases] of Object.entries(CASES))
  t.test(group, async (t) => {
    for (const [name, type, expected] of cases) t.equal(await told(name, type), expected, `${name} ${type} -> ${expected}`)
  })

t.test('a negative answer is a complete cacheable response (RFC 2308), made by policy', async (t) => {
  for (const [name, rcode, zone] of [
    ['Nas.Home.arpa', 3, 'home.arpa'],
    ['home.arpa', 0, 'home.arpa'],
    ['printer', 3, 'printer'],
    ['5.168.192.in-addr.arpa', 3, '168.192.in-addr.arpa'],
    ['x.localhost', 0, 'localhost'],
  ] as const) {
    const answer = await ask(name, TYPES.MX)
    const message = dnsPacket.decode(Buffer.from(answer.wire))
    t.equal(answer.rcode, rcode)
    t.equal(answer.from, 'policy')
    t.same(answer.ede, { code: 29 })
    t.equal(message.id, 0)
    t.match(message, {
      flag_qr: true,
      flag_rd: true,
      flag_ra: true,
      flag_aa: false,
      flag_ad: false,
      rcode: rcode === 3 ? 'NXDOMAIN' : 'NOERROR',
    })
    t.equal(message.questions?.[0]?.name, name.toLowerCase())
    t.equal(message.additionals?.length, 0)
    t.match(message.authorities, [{ name: zone, type: 'SOA', ttl: 10800, data: { mname: zone, rname: 'nobody.invalid', minimum: 10800 } }])
    t.equal(answer.storeS, 10800, 'kept as long as the SOA says')
  }
})

t.test('a positive answer has the queried name', async (t) => {
  const answer = await ask('Www.LocalHost', TYPES.A)
  t.match(dnsPacket.decode(Buffer.from(answer.wire)).answers, [{ name: 'www.localhost', type: 'A', ttl: 10800, data: '127.0.0.1' }])
  t.equal(answer.storeS, 10800)
  t.equal(answer.ede, undefined)
})

t.test('docs/local-names.md names every zone and the day of the registries', async (t) => {
  let root: string = import.meta.dirname
  while (!existsSync(join(root, 'package.json'))) root = dirname(root)
  const text = readFileSync(join(root, 'docs', 'local-names.md'), 'utf8')
  for (const { zone } of [...RESERVED_NAMES, ...CANARY]) t.ok(text.includes(`\`${zone.slice(0, -1)}\``), zone)
  t.ok(text.includes(REGISTRIES_AS_OF))
})

const label = fc.uint8Array({ minLength: 1, maxLength: 9 })
const wireOf = (labels: readonly Uint8Array[], suffix: Uint8Array): Uint8Array =>
  Uint8Array.from([...labels.flatMap((l) => [l.length, ...l]), ...suffix])

t.test('no name below a special zone reaches upstream, for any octets, case and type', async (t) => {
  const zones = SPECIAL_ZONES.map((rule) => rule.zone)
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...zones),
      fc.array(label, { maxLength: 4 }),
      fc.nat(65535),
      fc.nat(),
      async (zone, labels, type, mask) => {
        const shouted = Array.from(zone, (c, i) => ((mask >> (i % 30)) & 1 ? c.toUpperCase() : c)).join('')
        const atApex = labels.length === 0
        const answer = await ask(wireOf(labels, nameFromText(shouted)), type)
        return answer !== UPSTREAM || (atApex && type === TYPES.DS && (zone.endsWith('arpa.') || zone === 'use-application-dns.net.'))
      },
    ),
    { numRuns: 3000 },
  )
  t.pass()
})

t.test('every name of two labels or more outside the special zones goes upstream', async (t) => {
  const suffixes = SPECIAL_ZONES.map((rule) => [...nameFromText(rule.zone)].join())
  const isSpecial = (wire: Uint8Array): boolean => {
    if (/^([0-9]+|0x[0-9a-f]*)$/i.test(labelsOf(wire).at(-1) ?? '')) return true
    for (let at = 0; wire[at]; at += (wire[at] ?? 0) + 1) {
      const rest = [...wire.subarray(at)].map((octet) => (octet >= 65 && octet <= 90 ? octet + 32 : octet)).join()
      if (suffixes.includes(rest)) return true
    }
    return false
  }
  // Labels of the zones themselves are mixed in, so that near misses are common.
  const familiar = fc
    .constantFrom(
      'localhost',
      'test',
      'arpa',
      'in-addr',
      'ip6',
      '10',
      '127',
      '0',
      '172',
      '16',
      'f',
      'd',
      'e',
      'net',
      'home',
      'use-application-dns',
      'service',
      'eap',
      '0x7f',
    )
    .map((text) => Uint8Array.from(Buffer.from(text)))
  let outside = 0
  await fc.assert(
    fc.asyncProperty(fc.array(fc.oneof(label, familiar), { minLength: 2, maxLength: 6 }), fc.nat(65535), async (labels, type) => {
      const wire = wireOf(labels, Uint8Array.of(0))
      const special = isSpecial(wire)
      if (!special) outside++
      const answer = await ask(wire, type)
      return special || answer === UPSTREAM
    }),
    { numRuns: 3000 },
  )
  t.ok(outside > 1000, `${outside} names were outside`)
})

t.test('a name of 127 labels is walked completely', async (t) => {
  const labels = Array.from({ length: 126 }, () => Uint8Array.of(97))
  t.equal((await ask(wireOf(labels, Uint8Array.of(1, 98, 0)), TYPES.A)) === UPSTREAM, true)
  const deep = Array.from({ length: 122 }, () => Uint8Array.of(97))
  t.equal((await ask(wireOf(deep, nameFromText('localhost')), TYPES.A)).from, 'policy')
})
