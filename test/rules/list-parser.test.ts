import fc from 'fast-check'
import t from 'tap'
import { textFromName } from '../../src/dns/name.ts'
import { ipv6Text } from '../../src/dns/rdata-text.ts'
import { EnigmError } from '../../src/errors.ts'
import type { ListFormat, RuleKind } from '../../src/rules/list-kinds.ts'
import { ListParser } from '../../src/rules/list-parser.ts'

const ipText = (octets: Uint8Array) => (octets.length === 4 ? octets.join('.') : ipv6Text(octets))

/** What a list says, one text for each rule, and what was not used. */
function parsed(text: string | Uint8Array, format: ListFormat = 'auto', step = 1 << 20) {
  const rules: string[] = []
  const skipped: string[] = []
  const taker = {
    name: (name: Uint8Array, scope: string, kind: RuleKind) => void rules.push(`${said(kind)}${scope} ${textFromName(name).slice(0, -1)}`),
    addresses: (octets: Uint8Array, prefix: number, kind: RuleKind) => void rules.push(`${said(kind)}${ipText(octets)}/${prefix}`),
    clients: (octets: Uint8Array, prefix: number, kind: RuleKind) => void rules.push(`${said(kind)}client ${ipText(octets)}/${prefix}`),
    skip: (reason: string, detail?: string) => void skipped.push(`${parser.line} ${reason}${detail === undefined ? '' : ` ${detail}`}`),
  }
  const parser = new ListParser(format, taker)
  const octets = typeof text === 'string' ? Buffer.from(text) : text
  for (let at = 0; at < octets.length; at += step) parser.feed(octets.subarray(at, at + step))
  parser.end()
  return { rules, skipped, format: parser.format }
}

function said({ allows, important, reply, except }: RuleKind): string {
  const names = except.map((name) => textFromName(name).slice(0, -1)).join('|')
  return [
    allows ? 'allow ' : '',
    important ? 'important ' : '',
    reply === undefined ? '' : `${reply} `,
    names === '' ? '' : `but ${names}: `,
  ].join('')
}

t.test('hosts files: a line blocks the names it holds, and nothing below them', (t) => {
  const text = `\ufeff# a comment\r
0.0.0.0 Ads.Example tracker.example. # why
127.0.0.1\tone.example\r
  :: six.example
::1 localhost ip6-loopback
0.0.0.0 0.0.0.0
255.255.255.255 broadcasthost
192.168.1.5 nas.example
0.0.0.0 bad..name under_score.example -dash.example
no-address.example
0.0.0.0
fe80::1%lo0 localhost
ff02::1 ip6-allnodes
`
  const expected = [
    'name ads.example',
    'name tracker.example',
    'name one.example',
    'name six.example',
    'name under_score.example',
    'name -dash.example',
  ]
  const { rules, skipped } = parsed(text, 'hosts')
  t.strictSame(rules, expected)
  t.strictSame(skipped, ['8 other-address', '9 not-a-name', '10 not-a-name', '11 not-a-name'])
  t.strictSame(parsed(text).rules, [...expected, 'tree no-address.example', '0.0.0.0/32'], 'auto')
  t.end()
})

t.test('hosts files: the address of a line is judged by itself, whatever the line before has', async (t) => {
  const addresses = ['0.0.0.0', '0.0.0.00', '0.0.0', '::', '::1', '::2', '127.0.0.1', '127.0.0.11', 'word', '192.168.1.5']
  const line = fc.constantFrom(...addresses).map((address) => `${address} n.example\n`)
  const alone = new Map(addresses.map((address) => [address, parsed(`${address} n.example\n`, 'hosts')]))
  fc.assert(
    fc.property(fc.array(line, { maxLength: 20 }), (lines) => {
      const { rules, skipped } = parsed(lines.join(''), 'hosts')
      const expected = lines.map((text) => alone.get(text.split(' ')[0] ?? ''))
      t.equal(rules.length, expected.filter((one) => one?.rules.length === 1).length)
      const reasons = expected.flatMap((one, i) => (one?.skipped ?? []).map((text) => `${i + 1} ${text.split(' ')[1]}`))
      t.strictSame(skipped, reasons)
    }),
  )
  const meant = (kind: (one: ReturnType<typeof parsed> | undefined) => boolean) => addresses.filter((address) => kind(alone.get(address)))
  t.strictSame(
    meant((one) => one?.rules.length === 1),
    ['0.0.0.0', '::', '::1', '127.0.0.1'],
  )
})

t.test('lists of names: a bare name, with or without *., covers all below it', (t) => {
  const text = `ads.example
*.wild.example
.dot.example
IDN-b\u00fccher.example
xn--bcher-kva.example # the same
203.0.113.0/24
2001:db8::/32
198.51.100.7
com
uk
a.com
exa mple.example
http://web.example/path
*.mid.*.example
10.0.0.0/7
localhost
`
  const { rules, skipped } = parsed(text, 'domains')
  t.strictSame(rules, [
    'tree ads.example',
    'tree wild.example',
    'tree dot.example',
    'tree xn--idn-bcher-u9a.example',
    'tree xn--bcher-kva.example',
    '203.0.113.0/24',
    '2001:db8::/32',
    '198.51.100.7/32',
    'tree a.com',
  ])
  t.strictSame(skipped, ['9 whole-domain', '10 whole-domain', '12 not-a-name', '13 not-a-name', '14 not-a-name', '15 whole-domain'])
  t.end()
})

t.test('Adblock: what concerns names is used, everything else is counted by its reason', (t) => {
  const text = `[Adblock Plus 2.0]
! Title: a list
||ads.example^
||plain.example
@@||good.example^
|exact.example^
||*.below.example^
||strong.example^$important
@@||stronger.example^$important
||wide.example^$denyallow=a.wide.example|b.wide.example
||web.example^$third-party
||mixed.example^$important,script
||all.example^$all
bare.example
0.0.0.0 hosts.example
||203.0.113.9^
example.com##.banner
##.everywhere
example.com#@#.ad
example.com$$script
/ads[0-9]+/
||example.com/path/
||exam*ple.com^
-ad-banner.
&adserver=
||com^
||ru^
||ru^$important
||com^$important
||zip^
`
  const { rules, skipped } = parsed(text, 'adblock')
  t.strictSame(rules, [
    'tree ads.example',
    'tree plain.example',
    'allow tree good.example',
    'name exact.example',
    'below below.example',
    'important tree strong.example',
    'allow important tree stronger.example',
    'but a.wide.example|b.wide.example: tree wide.example',
    'tree all.example',
    'tree bare.example',
    'name hosts.example',
    '203.0.113.9/32',
    'important tree ru',
    'tree zip',
  ])
  t.strictSame(skipped, [
    '11 modifier third-party',
    '12 modifier script',
    '17 cosmetic',
    '19 cosmetic',
    '20 cosmetic',
    '21 regexp',
    '22 pattern',
    '23 pattern',
    '24 pattern',
    '25 pattern',
    '26 whole-domain',
    '27 whole-domain',
    '29 whole-domain',
  ])
  t.strictSame(parsed(text).rules, rules, 'auto sees the same')
  t.end()
})

const ZONE = `$TTL 2h
@ IN SOA localhost. root.localhost. (
    1 ; serial
    2h 30m 30d 1h )
  IN NS localhost.
ads.example CNAME .
*.ads.example CNAME .
nodata.example 300 IN CNAME *.
good.example CNAME rpz-passthru.
self.example CNAME self.example.
drop.example CNAME rpz-drop.
tcp.example CNAME rpz-tcp-only.
null.example A 0.0.0.0
             AAAA ::
walled.example CNAME walled.garden.
text.example TXT "a ; b"
24.0.2.0.192.rpz-ip CNAME .
32.zz.db8.2001.rpz-ip CNAME .
128.1.zz.2.db8.2001.rpz-ip CNAME .
32.1.2.0.192.rpz-client-ip CNAME .
ns.example.rpz-nsdname CNAME .
32.1.2.0.192.rpz-nsip CNAME .
*.com CNAME .
33.1.2.0.192.rpz-ip CNAME .
`

t.test('RPZ: names and addresses of answers, with their own replies; what a stub cannot see is named', (t) => {
  const { rules, skipped, format } = parsed(ZONE)
  t.equal(format, 'rpz')
  t.strictSame(rules, [
    'nxdomain name ads.example',
    'nxdomain below ads.example',
    'nodata name nodata.example',
    'allow name good.example',
    'allow name self.example',
    'name drop.example',
    'null-address name null.example',
    'null-address name null.example',
    'nxdomain 192.0.2.0/24',
    'nxdomain 2001:db8::/32',
    'nxdomain 2001:db8:2::1/128',
    'nxdomain client 192.0.2.1/32',
  ])
  t.strictSame(skipped, [
    '12 rpz-tcp-only',
    '15 rpz-data',
    '16 rpz-data',
    '21 rpz-nsdname',
    '22 rpz-nsip',
    '23 whole-domain',
    '24 not-a-name',
  ])
  const absolute =
    '$ORIGIN rpz.test.\n@ SOA a. b. 1 2 3 4 5\nads.example.rpz.test. CNAME .\nrel.example CNAME .\nout.example. CNAME .\n$ORIGIN sub.rpz.test.\nx CNAME .\n'
  t.strictSame(parsed(absolute).rules, ['nxdomain name ads.example', 'nxdomain name rel.example', 'nxdomain name x.sub'])
  t.strictSame(parsed(absolute).skipped, ['5 rpz-outside'])
  t.end()
})

t.test('RPZ: clients by their addresses; a large block of them may be exempt, and not blocked', (t) => {
  const zone = `@ SOA a. b. 1 2 3 4 5
32.7.2.0.192.rpz-client-ip CNAME rpz-passthru.
24.0.2.0.192.rpz-client-ip CNAME rpz-drop.
64.zz.1.db8.2001.rpz-client-ip CNAME *.
4.0.0.0.10.rpz-client-ip CNAME rpz-passthru.
4.0.0.0.10.rpz-client-ip CNAME .
32.8.2.0.192.rpz-client-ip CNAME rpz-tcp-only.
32.9.2.0.192.rpz-client-ip A 192.0.2.80
32.9.2.0.rpz-client-ip CNAME .
`
  const { rules, skipped } = parsed(zone)
  t.strictSame(rules, ['allow client 192.0.2.7/32', 'client 192.0.2.0/24', 'nodata client 2001:db8:1::/64', 'allow client 10.0.0.0/4'])
  t.strictSame(skipped, ['6 whole-domain', '7 rpz-tcp-only', '8 rpz-data', '9 not-a-name'])
  t.end()
})

t.test('RPZ: the zone is the owner of the SOA, whatever the origin is', (t) => {
  const bind = `$ORIGIN .
$TTL 60
rpz.test IN SOA localhost. root.localhost. (
  1 3600 600 86400 60 )
  NS localhost.
$ORIGIN rpz.test.
ads.example CNAME .
$ORIGIN example.rpz.test.
*.ads CNAME .
$ORIGIN sub
x CNAME .
$ORIGIN .
other.example CNAME .
`
  t.strictSame(parsed(bind).rules, ['nxdomain name ads.example', 'nxdomain below ads.example', 'nxdomain name x.sub.example'])
  t.strictSame(parsed(bind).skipped, ['13 rpz-outside'])
  t.strictSame(parsed('$ORIGIN .\nads.example.rpz.test CNAME .\n').rules, [])
  const above = '$ORIGIN test.\nrpz SOA a. b. 1 2 3 4 5\nads.example.rpz CNAME .\n'
  t.strictSame(parsed(above).rules, ['nxdomain name ads.example'])
  const relative = 'rpz.test. SOA a. b. 1 2 3 4 5\nads.example CNAME .\n'
  t.strictSame(parsed(relative).rules, ['nxdomain name ads.example'])
  t.strictSame(parsed('@ SOA a. b. 1 2 3 4 5\nads.example CNAME .\n').rules, ['nxdomain name ads.example'])
  t.end()
})

t.test('Adblock: an anchored text without an end is the beginning of many names, and no name', (t) => {
  const { rules, skipped } = parsed(
    '||click.\n||app\n@@||ok.\n||ads$important\n|one\n||app^\n||click.^\n||name.example\n|app|\n',
    'adblock',
  )
  t.strictSame(rules, ['tree app', 'tree click', 'tree name.example', 'name app'])
  t.strictSame(skipped, ['1 pattern', '2 pattern', '3 pattern', '4 pattern', '5 pattern'])
  t.end()
})

t.test('what is certainly no list is refused in one clause', (t) => {
  const fault = (octets: string | Uint8Array, format?: ListFormat) => {
    try {
      parsed(octets, format)
    } catch (error) {
      return error instanceof EnigmError && error.code === 'source' ? error.message : String(error)
    }
    return 'accepted'
  }
  t.match(fault('\n  <!DOCTYPE html><html>'), 'web page')
  t.match(fault('ads.example\n\0\0\0'), 'NUL')
  t.match(fault(Uint8Array.of(0xff, 0xfe, 97, 0)), 'UTF-16')
  t.match(fault(Uint8Array.of(0x1f, 0x8b, 8, 0)), 'compressed')
  t.equal(fault(''), 'accepted')
  t.end()
})

t.test('a line of a megabyte is counted, and the next lines are read', (t) => {
  for (const step of [7, 65_536, 1 << 22]) {
    const { rules, skipped } = parsed(`a.example\n${'x'.repeat(1 << 20)}\nb.example`, 'domains', step === 7 ? 4099 : step)
    t.strictSame(rules, ['tree a.example', 'tree b.example'])
    t.strictSame(skipped, ['2 too-long'])
  }
  t.end()
})

t.test('the sizes of the parts change nothing, and no octets break it', (t) => {
  const whole = parsed(ZONE)
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 200 }), (step) => t.strictSame(parsed(ZONE, 'auto', step), whole) ?? true),
    { numRuns: 20 },
  )
  const piece = fc.oneof(
    fc.constantFrom(
      '||',
      '@@',
      '^',
      '$important',
      '$denyallow=',
      'a.example',
      '0.0.0.0 ',
      '::',
      '.',
      '*.',
      '\n',
      '\r',
      ' ',
      '#',
      'CNAME',
      '$ORIGIN',
      'rpz-ip',
      '(',
      '"',
      '/',
      '1.2.3.4/33',
      '\u00fc',
      'x'.repeat(64),
    ),
    fc.string(),
  )
  for (const format of ['auto', 'hosts', 'domains', 'adblock', 'rpz'] as const)
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        try {
          parsed(pieces.join(''), format)
        } catch (error) {
          return error instanceof EnigmError && error.code === 'source'
        }
        return true
      }),
      { numRuns: 300 },
    )
  t.end()
})
