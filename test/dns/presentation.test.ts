import dnsPacket from 'dns-packet'
import fc from 'fast-check'
import t from 'tap'
import { nameFromText } from '../../src/dns/name.ts'
import { encodeQuestion, presentMessage } from '../../src/dns/presentation.ts'
import { newScan, scanQuery, VERDICT } from '../../src/dns/query-scan.ts'
import { textFromType, typeFromText } from '../../src/dns/registries.ts'
import { record } from '../../src/dns/response.ts'
import { bestCpuMs } from '../support/cpu-time.ts'

t.test('types by mnemonic and by number', async (t) => {
  t.equal(typeFromText('A'), 1)
  t.equal(typeFromText('https'), 65)
  t.equal(typeFromText('TYPE65'), 65)
  t.equal(typeFromText('type65535'), 65535)
  t.equal(typeFromText('*'), 255)
  for (const text of ['', 'TYPE', 'TYPE65536', 'TYPE065', 'TYPE-1', 'TYPE1e3', 'constructor', '__proto__', 'NOPE'])
    t.equal(typeFromText(text), undefined, text)
  for (let type = 0; type < 65536; type++) if (typeFromText(textFromType(type)) !== type) t.fail(`type ${type}`)
  t.equal(textFromType(65), 'HTTPS')
  t.equal(textFromType(65280), 'TYPE65280')
})

t.test('a question passes the gate, and asks for the source', async (t) => {
  const wire = encodeQuestion('Www.Example.com', 'HTTPS', 0xbeef)
  const scan = newScan()
  t.equal(scanQuery(wire, 0, wire.length, scan), VERDICT.ok)
  t.match(scan, { id: 0xbeef, type: 65, class: 1, hasOpt: true, udpSize: 1232, dnssecOk: false, wantsSource: true, flags: 0x0120 })
  const message = dnsPacket.decode(Buffer.from(wire))
  t.match(message, { questions: [{ name: 'Www.Example.com', type: 'UNKNOWN_65' }] })
  t.throws(() => encodeQuestion('a..b', 'A', 1), { code: 'config' })
  t.throws(() => encodeQuestion('a.b', 'N\u001b', 1), { code: 'config', message: /N\\027/ })
})

/** A response with one answer of these octets, its owner `a.example.`. */
function withAnswer(type: number, rdata: readonly number[] | Uint8Array, rest: readonly Uint8Array[] = []): Uint8Array {
  const name = nameFromText('a.example')
  const header = [0, 1, 0x81, 0xa0, 0, 1, 0, 1, 0, 0, 0, rest.length]
  const answer = record(name, type, 300, Uint8Array.from(rdata))
  return Uint8Array.from([...header, ...name, type >> 8, type & 255, 0, 1, ...answer, ...rest.flatMap((r) => [...r])])
}

function dataOf(type: number, rdata: readonly number[] | Uint8Array): string | undefined {
  return presentMessage(withAnswer(type, rdata))?.answers[0]?.data
}

const bytes = (text: string): number[] => [...Buffer.from(text, 'latin1')]
const string = (text: string): number[] => [text.length, ...bytes(text)]
const wireName = (text: string): number[] => [...nameFromText(text)]

t.test('RDATA in the form of a master file', async (t) => {
  const cases: readonly (readonly [type: string, rdata: readonly number[], text: string])[] = [
    ['A', [192, 0, 2, 1], '192.0.2.1'],
    ['AAAA', [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], '2001:db8::1'],
    ['CNAME', wireName('B.example'), 'B.example.'],
    ['MX', [0, 10, ...wireName('mx.example')], '10 mx.example.'],
    ['SRV', [0, 1, 0, 2, 0x03, 0x55, ...wireName('s.example')], '1 2 853 s.example.'],
    [
      'SOA',
      [...wireName('ns.example'), ...wireName('a\\.b.example'), 0, 0, 0, 1, 0, 0, 14, 16, 0, 0, 4, 176, 0, 9, 58, 128, 0, 0, 42, 48],
      'ns.example. a\\.b.example. 1 3600 1200 604800 10800',
    ],
    ['TXT', [...string('v=spf1 -all'), ...string('a"b\\c')], '"v=spf1 -all" "a\\"b\\\\c"'],
    ['TXT', string('\x1b]0;own\x07\xff'), '"\\027]0;own\\007\\255"'],
    ['CAA', [0, 5, ...bytes('issue'), ...bytes('ca.example')], '0 issue "ca.example"'],
    ['DS', [0xec, 0x45, 13, 2, 0xab, 0xcd], '60485 13 2 ABCD'],
    ['DNSKEY', [1, 1, 3, 13, 1, 2, 3], '257 3 13 AQID'],
    ['SSHFP', [4, 2, 0xff], '4 2 FF'],
    ['TLSA', [3, 1, 1, 0xaa, 0xbb], '3 1 1 AABB'],
    ['NSEC', [...wireName('b.example'), 0, 6, 0x40, 1, 0, 0, 0, 3, 1, 1, 0x40], 'b.example. A MX RRSIG NSEC CAA'],
    [
      'RRSIG',
      [0, 1, 13, 2, 0, 0, 1, 44, 0x65, 0x92, 0, 0x80, 0, 0, 0, 0, 0x12, 0x34, ...wireName('example'), 1, 2, 3],
      'A 13 2 300 20240101000000 19700101000000 4660 example. AQID',
    ],
    [
      'NAPTR',
      [0, 1, 0, 2, ...string('s'), ...string('SIP+D2U'), ...string(''), ...wireName('x.example')],
      '1 2 "s" "SIP+D2U" "" x.example.',
    ],
    [
      'HTTPS',
      [
        0,
        1,
        0,
        0,
        1,
        0,
        6,
        2,
        ...bytes('h2'),
        2,
        ...bytes('h3'),
        0,
        3,
        0,
        2,
        1,
        187,
        0,
        4,
        0,
        8,
        192,
        0,
        2,
        1,
        192,
        0,
        2,
        2,
        0,
        5,
        0,
        2,
        0xfe,
        0x0d,
      ],
      '1 . alpn="h2,h3" port=443 ipv4hint=192.0.2.1,192.0.2.2 ech=/g0=',
    ],
    ['HTTPS', [0, 0, ...wireName('svc.example')], '0 svc.example.'],
    [
      'SVCB',
      [0, 1, 0, 0, 0, 0, 2, 0, 1, 0, 2, 0, 0, 0, 7, 0, 16, ...bytes('/dns-query{?dns}'), 0x02, 0x9b, 0, 1, 7],
      '1 . mandatory=alpn no-default-alpn dohpath="/dns-query{?dns}" key667="\\007"',
    ],
    ['SVCB', [0, 1, 0, 0, 1, 0, 6, 5, ...bytes('a,b"c')], '1 . alpn="a\\\\,b\\"c"'],
  ]
  for (const [type, rdata, text] of cases) t.equal(dataOf(typeFromText(type) ?? 0, rdata), text, `${type} ${text}`)
})

t.test('unknown types and broken RDATA are shown as octets (RFC 3597)', async (t) => {
  t.equal(dataOf(65280, [1, 2, 255]), '\\# 3 0102ff')
  t.equal(dataOf(65280, []), '\\# 0')
  t.equal(dataOf(1, [192, 0, 2]), '\\# 3 c00002', 'an A of three octets')
  t.equal(dataOf(1, [192, 0, 2, 1, 9]), '\\# 5 c000020109', 'an A of five')
  t.equal(dataOf(16, [9, 97]), '\\# 2 0961', 'a string past the end')
  t.equal(dataOf(16, []), '\\# 0')
  t.equal(dataOf(5, [3, 97, 98]), '\\# 3 036162', 'a name past the end')
  t.equal(dataOf(65, [0, 1, 0, 0, 1, 0, 9, 2]), '\\# 8 0001000001000902', 'a parameter past the end')
  t.equal(dataOf(65, [0, 1, 0, 0, 3, 0, 1, 7]), '1 . port="\\007"', 'a port of one octet')
  t.equal(dataOf(47, [0, 0, 9, 1]), '\\# 4 00000901')
})

t.test('compressed names are followed, in RDATA too', async (t) => {
  t.equal(dataOf(5, [1, 98, 0xc0, 14]), 'b.example.')
  t.equal(dataOf(5, [0xc0, 0xff]), '\\# 2 c0ff', 'a pointer forward')
})

t.test('flags, codes, EDE and source of a response', async (t) => {
  const option = (code: number, data: readonly number[]): number[] => [code >> 8, code & 255, 0, data.length, ...data]
  const opt = (...options: readonly number[][]): Uint8Array => {
    const rdata = options.flat()
    return Uint8Array.from([0, 0, 41, 4, 208, 1, 0, 0, 0, rdata.length >> 8, rdata.length & 255, ...rdata])
  }
  const wire = withAnswer(
    1,
    [127, 0, 0, 1],
    [
      opt(
        option(65280, bytes('quad9/dot')),
        option(15, [0, 22, ...bytes('late\x1b')]),
        option(15, [0, 29]),
        option(15, [255, 255]),
        option(12, [0, 0]),
      ),
    ],
  )
  const shown = presentMessage(wire)
  t.match(shown, {
    rcode: 16,
    status: 'BADVERS',
    flags: ['qr', 'rd', 'ra', 'ad'],
    question: { name: 'a.example.', type: 'A' },
    source: 'quad9/dot',
    answers: [{ name: 'a.example.', type: 'A', ttlS: 300, data: '127.0.0.1' }],
    malformed: false,
  })
  t.same(shown?.errors, [
    { code: 22, meaning: 'No Reachable Authority', text: 'late\\027' },
    { code: 29, meaning: 'Synthesized', text: undefined },
    { code: 65535, meaning: undefined, text: undefined },
  ])
  t.same(shown?.additional, [], 'the OPT is no record for people')
  t.equal(
    presentMessage(withAnswer(1, [1, 2, 3, 4], [opt(option(65280, []))]))?.source,
    undefined,
    'an empty option is a question, not an answer',
  )
})

t.test('a truncated message is shown up to its end', async (t) => {
  const whole = withAnswer(1, [1, 2, 3, 4])
  t.equal(presentMessage(whole.subarray(0, 11)), undefined)
  const cut = presentMessage(whole.subarray(0, whole.length - 1))
  t.match(cut, { malformed: true, answers: [], question: { name: 'a.example.' } })
})

t.test('dns-packet as an oracle: its encoded answers are read with the same result', async (t) => {
  // It cannot encode every spelling of an IPv6 address: eight groups it can.
  const groups = fc
    .array(fc.oneof(fc.constant(0), fc.nat(65535)), { minLength: 8, maxLength: 8 })
    .map((g) => g.map((n) => n.toString(16)).join(':'))
  fc.assert(
    fc.property(fc.ipV4(), groups, fc.nat(65535), fc.nat(2 ** 31 - 1), (v4, v6, preference, ttl) => {
      const wire = dnsPacket.encode({
        type: 'response',
        questions: [{ type: 'A', name: 'q.example' }],
        answers: [
          { type: 'A', name: 'q.example', ttl, data: v4 },
          { type: 'AAAA', name: 'q.example', ttl, data: v6 },
          { type: 'MX', name: 'q.example', ttl, data: { preference, exchange: 'mx.q.example' } },
        ],
      })
      const theirs = dnsPacket.decode(wire).answers ?? []
      const ours = presentMessage(wire)?.answers ?? []
      const v6Octets = (text: string | undefined): string => new URL(`http://[${text}]`).hostname
      return (
        ours.length === 3 &&
        ours.every((a, i) => a.ttlS === ttl && a.type === theirs[i]?.type) &&
        ours[0]?.data === v4 &&
        v6Octets(ours[1]?.data) === v6Octets(v6) &&
        ours[2]?.data === `${preference} mx.q.example.`
      )
    }),
  )
  t.pass()
})

t.test('any octets: never throws, and every text is printable ASCII', async (t) => {
  const types = [1, 2, 5, 6, 12, 15, 16, 28, 33, 35, 41, 43, 44, 46, 47, 48, 52, 64, 65, 256, 257, 4711]
  const isPrintable = (value: unknown): boolean =>
    typeof value === 'string'
      ? /^[ -~]*$/.test(value)
      : typeof value !== 'object' || value === null || Object.values(value).every(isPrintable)
  fc.assert(
    fc.property(fc.constantFrom(...types), fc.uint8Array({ maxLength: 120 }), (type, rdata) =>
      isPrintable(presentMessage(withAnswer(type, rdata))),
    ),
    { numRuns: 5000 },
  )
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 12, maxLength: 300 }), (octets) => isPrintable(presentMessage(octets))),
    { numRuns: 3000 },
  )
  t.pass()
})

t.test('64 KiB of anything is read in bounded time', async (t) => {
  const wire = new Uint8Array(65535)
  wire.set([0, 0, 0x81, 0x80, 0, 1, 255, 255, 255, 255, 255, 255])
  for (let at = 17; at + 12 <= wire.length; at += 12) wire.set([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 0, 0, 0], at)
  t.equal(presentMessage(wire)?.answers.length, 5459)
  t.ok(bestCpuMs(() => presentMessage(wire), 3) < 500)
})
