import { BlockList } from 'node:net'
import fc from 'fast-check'
import t from 'tap'
import { addressOctets } from '../../src/config/cidr.ts'
import { nameFromText } from '../../src/dns/name.ts'
import { ipv6Text } from '../../src/dns/rdata-text.ts'
import { someAddress } from '../../src/dns/records.ts'
import { isPrivate4, isPrivate6, type RebindingRules, refuseRebinding } from '../../src/local-names/rebinding.ts'
import type { Answer, Query, Source } from '../../src/resolve.ts'
import { bytes, response, rr, u16s } from '../support/messages.ts'
import { through as asking } from '../support/stages.ts'

t.test('IPv4: private blocks, to the last address of each', async () => {
  const inside = new BlockList()
  for (const [net, bits] of [
    ['0.0.0.0', 8],
    ['10.0.0.0', 8],
    ['100.64.0.0', 10],
    ['127.0.0.0', 8],
    ['169.254.0.0', 16],
    ['172.16.0.0', 12],
    ['192.168.0.0', 16],
    ['255.255.255.255', 32],
  ] as const)
    inside.addSubnet(net, bits, 'ipv4')
  const octet = fc.oneof(fc.constantFrom(0, 10, 15, 16, 31, 32, 63, 64, 100, 127, 128, 168, 169, 172, 192, 254, 255), fc.nat(255))
  fc.assert(
    fc.property(octet, octet, octet, octet, (...o) => isPrivate4(Uint8Array.from(o), 0) === inside.check(o.join('.'))),
    { numRuns: 5000 },
  )
})
t.test('IPv6', async (t) => {
  for (const text of [
    '::',
    '::1',
    '::ffff:808:808',
    '::ffff:a00:1',
    '::7f00:1',
    'fc00::1',
    'fdff::1',
    'fe80::1',
    'febf::1',
    'fec0::1',
    '2002:7f00:1::',
    '2002:c0a8:101::1',
    '64:ff9b::a00:1',
    '64:ff9b:1::c0a8:1',
  ])
    t.equal(isPrivate6(addressOctets(text), 0), true, text)
  for (const text of ['2620:fe::fe', '2001:db8::1', '::808:808', '2002:808:808::1', '64:ff9b::808:808', 'ff02::1', '1::1', '::1:0:0'])
    t.equal(isPrivate6(addressOctets(text), 0), false, text)
  t.equal(ipv6Text(addressOctets('64:ff9b::a00:1')), '64:ff9b::a00:1', 'the helper of this test reads what it should')
})

const hint = (key: number, ...addresses: Uint8Array[]) =>
  bytes(
    u16s(
      key,
      addresses.reduce((sum, a) => sum + a.length, 0),
    ),
    ...addresses,
  )
const https = (...params: Uint8Array[]) => rr({ type: 65, rdata: bytes(u16s(1), 0, ...params) })
const alpn = bytes(u16s(1, 3), 2, 0x68, 0x32)
const outside = addressOctets('192.0.2.1')

t.test('the places of addresses in a response', async (t) => {
  const found = (spec: Parameters<typeof response>[0]) =>
    someAddress(response(spec), (octets, at, length) => (length === 4 ? isPrivate4(octets, at) : isPrivate6(octets, at)))
  const inside = addressOctets('192.168.1.1')
  t.notOk(
    found({ answers: [rr({ rdata: outside }), rr({ type: 28, rdata: addressOctets('2001:db8::1') }), https(alpn, hint(4, outside))] }),
  )
  t.ok(found({ answers: [rr({ rdata: outside }), rr({ rdata: inside })] }), 'one of several')
  t.ok(
    found({ answers: [rr({ type: 5, rdata: nameFromText('other.example') }), rr({ name: 'other.example', rdata: inside })] }),
    'behind a CNAME',
  )
  t.ok(found({ type: 28, answers: [rr({ type: 28, rdata: addressOctets('::ffff:a00:1') })] }))
  t.ok(found({ type: 65, answers: [https(alpn, hint(4, outside, inside))] }), 'the second IPv4 hint')
  t.ok(found({ type: 65, answers: [https(hint(6, addressOctets('fd00::1')))] }), 'an IPv6 hint')
  t.ok(
    found({ type: 64, answers: [rr({ type: 64, rdata: bytes(u16s(1), nameFromText('t.example'), hint(4, inside)) })] }),
    'SVCB with a target',
  )
  t.ok(found({ type: 33, additional: [rr({ name: 'host.example', rdata: inside })] }), 'the additional section')
  t.notOk(found({ authority: [rr({ type: 2, rdata: nameFromText('ns.example') }), rr({ rdata: inside })] }), 'authority is for resolvers')
  t.notOk(found({ type: 16, answers: [rr({ type: 16, rdata: bytes(4, inside) })] }), 'text is no address')
})
t.test('never throws for any octets', async () => {
  const noise = fc.uint8Array({ maxLength: 80 })
  fc.assert(
    fc.property(noise, (rdata) => {
      someAddress(response({ type: 65, answers: [rr({ type: 65, rdata })] }), () => false)
      someAddress(rdata, () => false)
    }),
    { numRuns: 3000 },
  )
})

const UPSTREAM: Source = { upstream: 'u', transport: 'dot' }
async function through(rules: Partial<RebindingRules>, name: string, rdata: Uint8Array, from: Source = UPSTREAM) {
  let count = 0
  const answer: Answer = { wire: response({ name, answers: [rr({ rdata })] }), rcode: 0, storeS: 60, from }
  const wire = bytes(nameFromText(name), u16s(1, 1))
  const query = { id: 0, question: { wire, lower: wire, type: 1, class: 1 } } as unknown as Query
  const stage = refuseRebinding({ protect: true, allow: [], allowAddresses: [], ...rules }, () => count++)
  const told = await asking([stage], async () => answer)(query, { purpose: 'client', deadlineMs: 0 })
  if (told === answer) return { passed: true, count }
  return { passed: false, count, told }
}
t.test('the stage', async (t) => {
  const inside = addressOctets('10.0.0.5')
  t.match(await through({ protect: false }, 'evil.example', inside), { passed: true, count: 0 }, 'off')
  t.match(await through({}, 'good.example', outside), { passed: true, count: 0 })
  const refused = await through({}, 'evil.example', inside)
  t.match(refused, { passed: false, count: 1, told: { rcode: 0, storeS: 60, ede: { code: 17 }, from: 'policy' } })
  t.equal(refused.told?.wire[7], 0, 'no record is left')
  t.match(await through({}, 'localhost', inside, 'policy'), { passed: true }, 'what we answer ourselves is ours')
  const allow = ['Home.example', 'corp.example.']
  for (const name of ['home.example', 'nas.home.example', 'a.b.corp.example'])
    t.match(await through({ allow }, name, inside), { passed: true }, name)
  for (const name of ['xhome.example', 'example', 'home.example.evil.example'])
    t.match(await through({ allow }, name, inside), { passed: false }, name)
  t.match(await through({ allowAddresses: ['10.0.0.0/24'] }, 'evil.example', inside), { passed: true })
  t.match(await through({ allowAddresses: ['10.0.1.0/24'] }, 'evil.example', inside), { passed: false })
})
