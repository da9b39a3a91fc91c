import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { readStamp, type Stamp, type StampProtocol, writeStamp } from '../../src/config/stamps.ts'

/** Stamps of public lists, and what they say. */
const VECTORS: readonly (readonly [string, Partial<Stamp>])[] = [
  [
    'sdns://AgMAAAAAAAAADjE2My40Ny4xMTcuMTc2oBGxAuax9j5SiYTWAl8ysTgkH8iLvXUZV01wyYMtU-HooFrvhD_88uxwVfUEoWLyKfg5HDcP86YWPS2z89YE1iK-IEROvWe7g_iAezkh6TiskXi4gr1QqtsRIx8ETPXwjffOEGFkbC5hZGZpbHRlci5uZXQKL2Rucy1xdWVyeQ',
    {
      protocol: 'doh',
      properties: { dnssec: true, noLogs: true, noFilter: false },
      address: '163.47.117.176',
      port: 443,
      hostname: 'adl.adfilter.net',
      path: '/dns-query',
      certHashes: [
        'EbEC5rH2PlKJhNYCXzKxOCQfyIu9dRlXTXDJgy1T4eg=',
        'Wu+EP/zy7HBV9QShYvIp+DkcNw/zphY9LbPz1gTWIr4=',
        'RE69Z7uD+IB7OSHpOKyReLiCvVCq2xEjHwRM9fCN984=',
      ],
    },
  ],
  [
    'sdns://AQMAAAAAAAAAGFsyYTEwOjUwYzA6OmFkMTpmZl06NTQ0MyDRK0fyUtzywrv4mRCG6vec5EldixbIoMQyLlLKPzkIcyIyLmRuc2NyeXB0LmRlZmF1bHQubnMxLmFkZ3VhcmQuY29t',
    {
      protocol: 'dnscrypt',
      address: '2a10:50c0::ad1:ff',
      port: 5443,
      publicKey: '0StH8lLc8sK7+JkQhur3nORJXYsWyKDEMi5Syj85CHM=',
      providerName: '2.dnscrypt.default.ns1.adguard.com',
    },
  ],
  [
    'sdns://AgcAAAAAAAAAFlsyNjA2OjQ3MDA6NDcwMDo6MTExMV0AIDFkb3QxZG90MWRvdDEuY2xvdWRmbGFyZS1kbnMuY29tCi9kbnMtcXVlcnk',
    { protocol: 'doh', address: '2606:4700:4700::1111', hostname: '1dot1dot1dot1.cloudflare-dns.com', certHashes: [] },
  ],
  [
    'sdns://AgcAAAAAAAAADDE5My43MC44NS4xMaARsQLmsfY-UomE1gJfMrE4JB_Ii711GVdNcMmDLVPh6KBa74Q__PLscFX1BKFi8in4ORw3D_OmFj0ts_PWBNYiviBETr1nu4P4gHs5Iek4rJF4uIK9UKrbESMfBEz18I33zhFkb2guYm9ydHptZXllci5mcgEv',
    { path: '/' },
  ],
  [
    'sdns://BQcAAAAAAAAAF29kb2guY2xvdWRmbGFyZS1kbnMuY29tCi9kbnMtcXVlcnk',
    { protocol: 'odoh-target', hostname: 'odoh.cloudflare-dns.com', path: '/dns-query', port: 443 },
  ],
  [
    'sdns://hQcAAAAAAAAAAAAab2RvaC1yZWxheS5lZGdlY29tcHV0ZS5hcHABLw',
    { protocol: 'odoh-relay', hostname: 'odoh-relay.edgecompute.app', path: '/', certHashes: [] },
  ],
]

t.test('stamps of public lists are read, and written back octet by octet', async (t) => {
  for (const [text, said] of VECTORS) {
    const { stamp } = readStamp(text)
    t.match(stamp, said)
    t.equal(stamp === undefined ? '' : writeStamp(stamp), text)
  }
})

const stampOf = (...octets: readonly (number | string)[]) =>
  `sdns://${Buffer.concat(octets.map((one) => (typeof one === 'number' ? Buffer.of(one) : Buffer.from(one, 'latin1')))).toString('base64url')}`
const PROPS = '\x07\0\0\0\0\0\0\0'
const lp = (text: string) => `${String.fromCharCode(text.length)}${text}`

t.test('DoT, DoQ and a DNSCrypt relay; a port in the address, in the name, or alone', async (t) => {
  const read = (...octets: readonly (number | string)[]) => readStamp(stampOf(...octets)).stamp
  t.match(read(3, PROPS, lp('9.9.9.9'), 0, lp('dns.quad9.net')), {
    protocol: 'dot',
    address: '9.9.9.9',
    port: 853,
    hostname: 'dns.quad9.net',
  })
  t.match(read(3, PROPS, lp('9.9.9.9:8853'), 0, lp('dns.quad9.net:1853')), { port: 8853 })
  t.match(read(3, PROPS, lp('9.9.9.9'), 0, lp('dns.quad9.net:1853')), { port: 1853 })
  const bare = read(3, PROPS, lp(':8853'), 0, lp('dns.quad9.net'))
  t.match(bare, { port: 8853 })
  t.notOk(bare !== undefined && 'address' in bare)
  t.match(read(4, PROPS, lp('[2620:FE::fe]:784'), 0, lp('dns.quad9.net')), { protocol: 'doq', address: '2620:fe::fe', port: 784 })
  for (const mapped of ['[::ffff:192.0.2.1]:8443', '::FFFF:c000:201'])
    t.match(read(1, PROPS, lp(mapped), lp('k'.repeat(32)), lp('2.dnscrypt-cert.a')), { address: '192.0.2.1' }, mapped)
  t.match(read(0x81, lp('192.0.2.1')), { protocol: 'dnscrypt-relay', address: '192.0.2.1', port: 443 })
  t.match(read(2, PROPS, lp(''), 0, lp('dns.quad9.net'), lp('/dns-query{?dns}'), lp('9.9.9.9')), { path: '/dns-query' })
})

t.test('what is refused, each with a clause', async (t) => {
  const cases: readonly (readonly [string, RegExp])[] = [
    [stampOf(0, PROPS, lp('9.9.9.9')), /plain DNS/],
    [stampOf(0), /plain DNS/],
    [stampOf(6, PROPS), /a protocol \(6\)/],
    [stampOf(3, PROPS, lp('9.9.9.9'), 0, lp('a.example'), 0, lp('more')), /octets after its end/],
    [stampOf(3, PROPS, lp('9.9.9.9'), lp('short'), lp('a.example')), /certificate hash of 5 octets/],
    [stampOf(3, PROPS, lp('9.9.9.9%eth0'), 0, lp('a.example')), /no IP address/],
    [stampOf(3, PROPS, lp('dns.example'), 0, lp('a.example')), /no IP address/],
    [stampOf(3, PROPS, lp('9.9.9.9:99999'), 0, lp('a.example')), /port 99999/],
    [stampOf(3, PROPS, lp('9.9.9.9'), 0, lp('a b')), /characters/],
    [stampOf(3, PROPS, lp('9.9.9.9'), 0, lp('')), /no host name/],
    [stampOf(2, PROPS, lp('9.9.9.9'), 0, lp('a.example'), lp('dns-query')), /absolute path/],
    [stampOf(1, PROPS, lp('9.9.9.9'), lp('key'), lp('2.dnscrypt-cert.a')), /public key of 3 octets/],
    [stampOf(1, PROPS, lp(':443'), lp('k'.repeat(32)), lp('2.dnscrypt-cert.a')), /no address/],
    [stampOf(3, '\x07\0'), /cut short/],
    ['sdns://', /cut short/],
    ['sdns://AgM!', /not a stamp/],
    ['https://dns.example/', /not a stamp/],
    ['sdns://AgMAA', /damaged/],
    [`sdns://${'A'.repeat(5000)}`, /longer than/],
    ['', /not a stamp/],
  ]
  for (const [text, clause] of cases) t.match(readStamp(text).fault, clause, text.slice(0, 60))
})

/** Without the prototypes that fast-check gives, and without absent keys. */
const plain = (stamp: Stamp | undefined) => JSON.parse(JSON.stringify(stamp)) as unknown

const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?$/)
const hostname = fc.array(label, { minLength: 2, maxLength: 4 }).map((labels) => labels.join('.'))
const port = fc.integer({ min: 1, max: 65_535 })
const address = fc.oneof(fc.ipV4(), fc.constantFrom('2001:db8::1', 'fd00::53', '::1', '2620:fe::fe'))
const hash = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((octets) => Buffer.from(octets).toString('base64'))
const certHashes = fc.uniqueArray(hash, { maxLength: 3 })
const path = fc.stringMatching(/^\/[a-z0-9/-]{0,20}$/)
const properties = fc.record({ dnssec: fc.boolean(), noLogs: fc.boolean(), noFilter: fc.boolean() })
const maybe = fc.option(address, { nil: undefined }).map((one) => (one === undefined ? {} : { address: one }))

const KINDS: Readonly<Record<StampProtocol, fc.Arbitrary<object>>> = {
  dot: fc.tuple(maybe, fc.record({ hostname, certHashes, properties })).map((parts) => Object.assign({}, ...parts)),
  doq: fc.tuple(maybe, fc.record({ hostname, certHashes, properties })).map((parts) => Object.assign({}, ...parts)),
  doh: fc.tuple(maybe, fc.record({ hostname, certHashes, path, properties })).map((parts) => Object.assign({}, ...parts)),
  'odoh-relay': fc.tuple(maybe, fc.record({ hostname, certHashes, path, properties })).map((parts) => Object.assign({}, ...parts)),
  'odoh-target': fc.record({ hostname, path, properties, certHashes: fc.constant([]) }),
  dnscrypt: fc.record({ address, properties, publicKey: hash, providerName: hostname, certHashes: fc.constant([]) }),
  'dnscrypt-relay': fc.record({ address, certHashes: fc.constant([]) }),
}
const anyStamp = fc
  .constantFrom(...(Object.keys(KINDS) as StampProtocol[]))
  .chain((protocol) => fc.tuple(KINDS[protocol], port).map(([rest, number]) => ({ protocol, port: number, ...rest }) as Stamp))

t.test('any stamp that is written is read back as equal', async () => {
  fc.assert(
    fc.property(anyStamp, (stamp) => isDeepStrictEqual(plain(readStamp(writeStamp(stamp)).stamp), plain(stamp))),
    { numRuns: 500 },
  )
})

t.test('a stamp that is cut, or of which an octet changed, never throws; what is read can be written', async () => {
  fc.assert(
    fc.property(anyStamp, fc.nat(400), fc.nat(255), (stamp, at, octet) => {
      const octets = Buffer.from(writeStamp(stamp).slice(7), 'base64url')
      octets[at % octets.length] = octet
      for (const changed of [octets, octets.subarray(0, at % octets.length)]) {
        const read = readStamp(`sdns://${changed.toString('base64url')}`).stamp
        if (read !== undefined && !isDeepStrictEqual(plain(readStamp(writeStamp(read)).stamp), plain(read))) return false
      }
      return true
    }),
    { numRuns: 1000 },
  )
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      (octets) => typeof readStamp(`sdns://${Buffer.from(octets).toString('base64url')}`) === 'object',
    ),
  )
})
