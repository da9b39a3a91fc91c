import t from 'tap'
import * as v from 'valibot'
import { HostsFile, hostsLines, hostsSummary } from '../../src/config/hosts-file.ts'
import { ownAnswersSchema } from '../../src/config/own-answers.ts'
import { problemsOf } from '../../src/config/problems.ts'
import { rdataFromText, WRITABLE_TYPES, type WritableType } from '../../src/config/record-data.ts'
import { textFromName } from '../../src/dns/name.ts'
import { rdataText } from '../../src/dns/rdata-text.ts'

const sentences = (answers: unknown) => {
  const found = v.safeParse(ownAnswersSchema, answers, { abortPipeEarly: true })
  return found.success ? [] : problemsOf('f', found.issues).map(({ path, message }) => `${path}: ${message}`)
}
const a = (name: string, data = '192.0.2.1') => ({ name, type: 'A', data })
const alias = (name: string, data: string) => ({ name, type: 'CNAME', data })

/** What somebody writes, and the one sentence about it: the place, what is wrong, and the fix. */
const SLIPS: readonly (readonly [what: string, answers: unknown, says: RegExp])[] = [
  ['no list', a('a.example'), /must be a list of answers/],
  ['no name', [{ type: 'A', data: '192.0.2.1' }], /name.*is required/],
  ['an unknown type', [{ name: 'a.example', type: 'MX', data: '1 b' }], /type.*must be one of: A, AAAA, CNAME, TXT, PTR, HTTPS/],
  ['an unknown key', [{ ...a('a.example'), ttl: 5 }], /ttl: is not a known key; did you mean "ttlS"/],
  ['a TTL that is none', [{ ...a('a.example'), ttlS: -1 }], /ttlS: must be a whole number from 0/],
  ['IPv6 for A', [a('a.example', '2001:db8::1')], /data: must be an IPv4 address.*AAAA/],
  ['IPv4 for AAAA', [{ ...a('a.example'), type: 'AAAA' }], /data: must be an IPv6 address.*type A/],
  ['an interface', [{ ...a('a.example', 'fe80::1%eth0'), type: 'AAAA' }], /data: must be an IPv6 address without an interface/],
  ['an address as an alias', [alias('a.example', '192.0.2.1')], /data: must be a domain name and not an address/],
  ['an empty label', [alias('a.example', 'b..example')], /data: must be a domain name.*empty label/],
  ['a name in Unicode', [a('b\u00fcro.example')], /name: must be in ASCII.*xn--bro-hoa\.example/],
  ['a star in the middle', [a('a.*.example')], /name: must be a name.*\* stands for whole labels/],
  ['a star alone', [a('*')], /name: must be a name/],
  ['a star for everything', [a('*.')], /name: must be a name/],
  ['the root', [a('.')], /name: must be a name.*every name/],
  ['a long label', [a(`${'a'.repeat(64)}.example`)], /name: must be a name.*63/],
  ['localhost', [a('localhost')], /name: is this host always \(RFC 6761/],
  ['below localhost', [a('a.localhost.')], /name: is this host always/],
  ['an open quote', [{ ...a('a.example', '"x'), type: 'TXT' }], /data: has a quote that is not closed/],
  ['a string of 256', [{ ...a('a.example', `"${'x'.repeat(256)}"`), type: 'TXT' }], /data: has a quoted string longer than 255/],
  ['a broken escape', [{ ...a('a.example', '"x\\9"'), type: 'TXT' }], /data: has a broken escape/],
  ['HTTPS without a priority', [{ ...a('a.example', 'alpn=h2'), type: 'HTTPS' }], /data: must begin with a priority and a target/],
  ['HTTPS with an unknown key', [{ ...a('a.example', '1 . foo=1'), type: 'HTTPS' }], /data: has a parameter that is not known/],
  [
    'HTTPS alias with parameters',
    [{ ...a('a.example', '0 b.example alpn=h2'), type: 'HTTPS' }],
    /data: has parameters although its priority is 0/,
  ],
  [
    'HTTPS with a wrong hint',
    [{ ...a('a.example', '1 . ipv4hint=::1'), type: 'HTTPS' }],
    /data: has an item in ipv4hint that is not an IPv4/,
  ],
  ['HTTPS with a key twice', [{ ...a('a.example', '1 . port=1 port=2'), type: 'HTTPS' }], /data: names port twice/],
  ['HTTPS with a missing mandatory key', [{ ...a('a.example', '1 . mandatory=alpn'), type: 'HTTPS' }], /data: has a value of mandatory/],
  [
    'HTTPS with no-default-alpn alone',
    [{ ...a('a.example', '1 . no-default-alpn'), type: 'HTTPS' }],
    /data: has no-default-alpn without alpn/,
  ],
  ['the same twice', [a('a.example'), a('A.example.')], /\[1\]: says the same as the answer 0/],
  ['an alias and an address', [a('a.example'), alias('a.example', 'b.example')], /\[1\]: .*a name with a CNAME has no other record/],
  ['two aliases', [alias('a.example', 'b.example'), alias('a.example', 'c.example')], /\[1\]: .*a name with a CNAME/],
  ['an alias of itself', [alias('a.example', 'A.example')], /\[0\]: is circular: "a\.example" is an alias of "a\.example"/],
  [
    'a circle of two',
    [a('x.example'), alias('a.example', 'b.example'), alias('b.example', 'a.example')],
    /\[1\]: is circular: "a\.example" is an alias of "b\.example" is an alias of "a\.example"/,
  ],
  [
    'a circle that is reached',
    [alias('z.example', 'a.example'), alias('a.example', 'b.example'), alias('b.example', 'a.example')],
    /\[0\]: is circular: "a\.example"/,
  ],
  ['a circle over a wildcard', [alias('*.a.example', 'x.a.example')], /\[0\]: is circular: "\*\.a\.example"/],
  ['a circle over two wildcards', [alias('*.a.example', 'x.b.example'), alias('*.b.example', 'y.a.example')], /\[0\]: is circular/],
  [
    'a long chain',
    Array.from({ length: 12 }, (_, i) => alias(`n${i}.example`, `n${i + 1}.example`)),
    /leads from "n0\.example" over more than 8 aliases/,
  ],
  ['101 addresses', Array.from({ length: 101 }, (_, i) => a('a.example', `192.0.2.${i}`)), /\[100\]: is one answer too many/],
]
for (const [what, answers, says] of SLIPS)
  t.test(`refused with one sentence: ${what}`, async (t) => {
    const found = sentences(answers)
    t.match(found[0], says)
    if (what !== 'a long chain') t.equal(found.length, 1, found.join('\n'))
  })

t.test('what is accepted', async (t) => {
  t.strictSame(
    sentences([
      a('a.example'),
      a('a.example', '192.0.2.2'),
      a('*.example'),
      a('_dns.x.example'),
      a('printer'),
      alias('b.example', 'a.example'),
      alias('*.c.example', 'a.c.example'),
      a('a.c.example'),
      { ...a('7.2.0.192.in-addr.arpa', 'nas.example'), type: 'PTR', ttlS: 0 },
    ]),
    [],
  )
})

const shown = (type: WritableType, text: string) => {
  const rdata = rdataFromText(type, text)
  return rdataText(rdata, WRITABLE_TYPES[type], 0, rdata.length)
}
t.test('data as in a master file', async (t) => {
  t.equal(shown('TXT', 'v=spf1 -all'), '"v=spf1 -all"')
  t.equal(shown('TXT', '"one" "two \\"x\\" \\044"'), '"one" "two \\"x\\" ,"')
  t.equal(shown('TXT', 'x'.repeat(300)), `"${'x'.repeat(255)}" "${'x'.repeat(45)}"`)
  t.equal(shown('TXT', '""'), '""')
  t.equal(shown('CNAME', 'A.Example'), 'a.example.')
  t.equal(shown('AAAA', '2001:DB8:0::1'), '2001:db8::1')
  t.equal(shown('HTTPS', '0 svc.example.'), '0 svc.example.')
  t.equal(
    shown(
      'HTTPS',
      '16 foo.example.org key667="hello" port=53 mandatory=ipv4hint,alpn alpn=h2,h3-19 ipv4hint=192.0.2.1,192.0.2.2 ipv6hint=2001:db8::1 ech=AEX+',
    ),
    '16 foo.example.org. mandatory=alpn,ipv4hint alpn="h2,h3-19" port=53 ipv4hint=192.0.2.1,192.0.2.2 ech=AEX+ ipv6hint=2001:db8::1 key667="hello"',
  )
})

t.test('a hosts file: what is understood, what is named, and no content in the sentence', async (t) => {
  const file = new HostsFile(
    '/etc/hosts',
    [
      '\uFEFF127.0.0.1 localhost',
      '192.0.2.1 a.example b.example # c.example',
      '\t2001:db8::1   A.Example',
      'fe80::1%lo0 localhost',
      'not-an-address secret.example',
      '192.0.2.2',
      '0.0.0.0 0.0.0.0',
      '192.0.2.3 *.secret.example ok.example',
      `192.0.2.4 ${'x'.repeat(5000)}`,
      '192.0.2.5 a\0b.example',
      '192.0.2.6 b\u00fccher.example',
      '192.0.2.7 last.example',
    ].join('\r\n'),
  )
  const lines = [...hostsLines(file)].map(({ line, address, names }) => `${line} ${address.length} ${names.map(textFromName).join(' ')}`)
  t.strictSame(lines, [
    '2 4 a.example. b.example.',
    '3 16 a.example.',
    '8 4 ok.example.',
    '11 4 xn--bcher-kva.example.',
    '12 4 last.example.',
  ])
  const { names, faultyLines, fault } = hostsSummary(file)
  t.equal(names, 6)
  t.equal(faultyLines, 6)
  t.match(fault, '/etc/hosts: line 4 has an address with an interface, and 5 more lines are not used completely')
  t.notMatch(JSON.stringify(file), 'example')
  t.equal(hostsSummary(new HostsFile('f', '127.0.0.1 localhost\n')).fault, undefined)
})
