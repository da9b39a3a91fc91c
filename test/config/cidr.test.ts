import fc from 'fast-check'
import t from 'tap'
import { allowList, isLoopback, parseCidr, unmapped } from '../../src/config/cidr.ts'

t.test('blocks and single addresses', async (t) => {
  t.strictSame(parseCidr('10.0.0.0/8'), { address: '10.0.0.0', prefix: 8, family: 'ipv4' })
  t.strictSame(parseCidr('192.0.2.1'), { address: '192.0.2.1', prefix: 32, family: 'ipv4' })
  t.strictSame(parseCidr('fd00::/8'), { address: 'fd00::', prefix: 8, family: 'ipv6' })
  t.strictSame(parseCidr('::/0'), { address: '::', prefix: 0, family: 'ipv6' })
  t.strictSame(parseCidr('::ffff:10.0.0.0/104'), { address: '10.0.0.0', prefix: 8, family: 'ipv4' })
})

t.test('invalid blocks', async (t) => {
  for (const text of [
    '',
    '/',
    '/8',
    '10.0.0.0/',
    '10.0.0.0/33',
    '10.0.0/8',
    '::1/129',
    '10.0.0.0/8/8',
    '10.0.0.0/08',
    '10.0.0.0/-1',
    '10.0.0.0/8 ',
    'localhost/8',
    'fe80::1%eth0/64',
    '010.0.0.0/8',
    '10.0.0.0/1e1',
  ]) {
    t.equal(parseCidr(text), undefined, JSON.stringify(text))
  }
})

t.test('allow list', async (t) => {
  const allowed = allowList(['127.0.0.0/8', '::1/128', '192.0.2.7', 'fe80::/10'])
  for (const address of [
    '127.0.0.1',
    '127.255.255.255',
    '::1',
    '0:0:0:0:0:0:0:1',
    '::ffff:127.0.0.1',
    '::ffff:7f00:1',
    '::FFFF:7F00:0001',
    '192.0.2.7',
    'fe80::1%eth0',
    '0:0::ffff:192.0.2.7',
  ]) {
    t.ok(allowed(address), address)
  }
  for (const address of [
    '128.0.0.1',
    '126.255.255.255',
    '::2',
    '::ffff:128.0.0.1',
    '192.0.2.8',
    'fec0::1',
    '::127.0.0.1',
    '',
    'localhost',
    '127.1',
    '127.0.0.1:53',
    '::ffff:127.0.0.1.1',
  ]) {
    t.notOk(allowed(address), JSON.stringify(address))
  }
})

t.test('a mapped block allows IPv4 in both spellings', async (t) => {
  const allowed = allowList(['::ffff:10.0.0.0/104'])
  t.ok(allowed('10.1.2.3'))
  t.ok(allowed('::ffff:10.1.2.3'))
  t.notOk(allowed('11.0.0.1'))
})

t.test('an empty list allows no client, and an invalid text adds none', async (t) => {
  t.notOk(allowList([])('127.0.0.1'))
  t.notOk(allowList(['0.0.0.0/99'])('127.0.0.1'))
})

t.test('loopback', async (t) => {
  for (const address of ['127.0.0.53', '::1', '::ffff:127.0.0.1']) t.ok(isLoopback(address), address)
  for (const address of ['0.0.0.0', '::', '10.0.0.1', '::ffff:0.0.0.0']) t.notOk(isLoopback(address), address)
})

t.test('property: agrees with arithmetic on the bits', async () => {
  const word = fc.nat({ max: 0xffffffff })
  const dotted = (n: number) => [24, 16, 8, 0].map((shift) => (n >>> shift) & 255).join('.')
  fc.assert(
    fc.property(word, fc.nat({ max: 32 }), word, fc.nat({ max: 32 }), (block, prefix, noise, kept) => {
      const mask = (bits: number) => (bits === 0 ? 0 : (0xffffffff << (32 - bits)) >>> 0)
      const address = ((block & mask(kept)) | (noise & ~mask(kept))) >>> 0
      const expected = ((block ^ address) & mask(prefix)) >>> 0 === 0
      const allowed = allowList([`${dotted(block)}/${prefix}`])
      const hex = `::ffff:${(address >>> 16).toString(16)}:${(address & 0xffff).toString(16)}`
      return (
        allowed(dotted(address)) === expected &&
        allowed(`::ffff:${dotted(address)}`) === expected &&
        allowed(hex) === expected &&
        unmapped(hex) === dotted(address)
      )
    }),
    { numRuns: 500 },
  )
})

t.test('property: never throws', async () => {
  const allowed = allowList(['::/0', '0.0.0.0/0'])
  fc.assert(
    fc.property(
      fc.oneof(fc.string(), fc.ipV6(), fc.ipV4()),
      (text) => typeof allowed(text) === 'boolean' && (parseCidr(text)?.prefix ?? 0) <= 128,
    ),
  )
  fc.assert(fc.property(fc.oneof(fc.ipV6(), fc.ipV4()), (address) => allowed(address)))
})
