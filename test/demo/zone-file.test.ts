import fc from 'fast-check'
import t from 'tap'
import { DEMO_ZONE, parseZone } from '../../src/demo/zone.ts'
import { nameFromText, textFromName } from '../../src/dns/name.ts'
import { EnigmError } from '../../src/errors.ts'

const one = (line: string) => {
  const [record] = parseZone(`$ORIGIN o.example.\n$TTL 60\n${line}`)
  if (record === undefined) throw new Error('no record')
  return { ...record, name: textFromName(record.name), rdata: Buffer.from(record.rdata).toString('hex') }
}
const hexOf = (name: string) => Buffer.from(nameFromText(name)).toString('hex')

t.test('each type', (t) => {
  t.strictSame(one('a IN A 192.0.2.1'), { name: 'a.o.example.', ttlS: 60, type: 1, rdata: 'c0000201' })
  t.strictSame(one('@ 5 IN NS n'), { name: 'o.example.', ttlS: 5, type: 2, rdata: hexOf('n.o.example') })
  t.strictSame(one('a.b. CNAME c.d.'), { name: 'a.b.', ttlS: 60, type: 5, rdata: hexOf('c.d') })
  t.strictSame(one('a MX 258 m').rdata, `0102${hexOf('m.o.example')}`)
  t.strictSame(one('a TXT "b c" d').rdata, '0362206301' + '64')
  t.strictSame(
    one('a SOA n h 1 2 3 4 4294967295').rdata,
    `${hexOf('n.o.example')}${hexOf('h.o.example')}00000001000000020000000300000004ffffffff`,
  )
  t.strictSame(one('a TYPE65 \\# 3 0a0B 0c'), { name: 'a.o.example.', ttlS: 60, type: 65, rdata: '0a0b0c' })
  t.end()
})

t.test('IPv6 in every spelling', (t) => {
  const aaaa = (text: string) => one(`a AAAA ${text}`).rdata
  t.equal(aaaa('::'), '0'.repeat(32))
  t.equal(aaaa('::1'), `${'0'.repeat(31)}1`)
  t.equal(aaaa('2001:db8::'), `20010db8${'0'.repeat(24)}`)
  t.equal(aaaa('1:2:3:4:5:6:7:8'), '00010002000300040005000600070008')
  t.throws(() => aaaa('::ffff:192.0.2.1'))
  fc.assert(
    fc.property(
      fc.ipV6().filter((text) => !text.includes('.')),
      (text) => {
        const expected = new URL(`http://[${text}]/`).hostname
        const groups = aaaa(text).match(/.{4}/g) ?? []
        return new URL(`http://[${groups.join(':')}]/`).hostname === expected
      },
    ),
  )
  t.end()
})

t.test('owners are inherited, comments and blank lines are ignored', (t) => {
  const records = parseZone('$ORIGIN o.example.\n\n; a comment\na A 192.0.2.1 ; another\n  A 192.0.2.2\n\tTXT "; not a comment"\n')
  t.strictSame(
    records.map((r) => textFromName(r.name)),
    ['a.o.example.', 'a.o.example.', 'a.o.example.'],
  )
  t.equal(Buffer.from(records[2]?.rdata ?? []).toString('latin1'), '\x0f; not a comment')
  t.end()
})

t.test('errors name their line', (t) => {
  for (const line of [
    'a IN A 192.0.2.256',
    'a IN A',
    'a IN SRV 1 2 3 t.',
    'a IN TYPE65 \\# 2 00',
    'a IN MX x y',
    'a..b A 192.0.2.1',
    `a TXT ${'x'.repeat(256)}`,
  ]) {
    try {
      parseZone(`$ORIGIN o.example.\n${line}`)
      t.fail(line)
    } catch (error) {
      t.ok(error instanceof EnigmError && error.code === 'config' && error.message.startsWith('zone line 2: '), line)
    }
  }
  t.end()
})

t.test('the zone of the demo', (t) => {
  const records = parseZone(DEMO_ZONE)
  t.equal(records.filter((r) => r.type === 6).length, 1)
  t.ok(records.length > 10)
  t.end()
})
