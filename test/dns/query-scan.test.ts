import fc from 'fast-check'
import t from 'tap'
import { newScan, SOURCE_OPTION, scanQuery, VERDICT } from '../../src/dns/query-scan.ts'
import { bytes, optRecord, query, rr, soa, u16s } from '../support/messages.ts'

const verdictOf = (packet: Uint8Array) => scanQuery(packet, 0, packet.length, newScan())

t.test('a plain query is read in place', async (t) => {
  const packet = query({ name: 'WWW.Example.com', type: 28, id: 7 })
  const buffer = bytes([9, 9, 9], packet, [9, 9])
  const scan = newScan()
  t.equal(scanQuery(buffer, 3, 3 + packet.length, scan), VERDICT.ok)
  t.match(scan, { id: 7, type: 28, class: 1, questionAt: 15, hasOpt: false, udpSize: 512 })
  t.same([...buffer.subarray(scan.questionAt, scan.questionEnd)], [...packet.subarray(12)])
})

t.test('the OPT is read: size, DO, our option', async (t) => {
  const scan = newScan()
  const packet = query({ opt: { size: 4096, dnssecOk: true, options: u16s(SOURCE_OPTION, 0) } })
  t.equal(scanQuery(packet, 0, packet.length, scan), VERDICT.ok)
  t.match(scan, { hasOpt: true, udpSize: 4096, dnssecOk: true, wantsSource: true })
})

const two = bytes(u16s(1, 0x100, 1, 0, 0, 2), query().subarray(12), optRecord({}), optRecord({}))
const SOA = soa()
const TSIG = rr({ name: 'key.example', type: 250, class: 255, ttlS: 0, rdata: bytes(0, new Uint8Array(16)) })
/** A transfer with a record in the authority section, and perhaps one in the additional section. */
const ixfr = (authority: Uint8Array, additional = bytes()) =>
  bytes(u16s(1, 0x100, 1, 0, 1, additional.length === 0 ? 0 : 1), query({ type: 251 }).subarray(12), authority, additional)
const cases: [string, Uint8Array, number][] = [
  ['shorter than a header: silence', bytes(1, 2, 3), VERDICT.drop],
  ['QR=1: silence', query({ flags: 0x8100 }), VERDICT.drop],
  ['NOTIFY (RFC 1996)', query({ flags: 0x2000 }), VERDICT.notImp],
  ['UPDATE (RFC 2136)', query({ flags: 0x2800 }), VERDICT.notImp],
  ['no question', u16s(1, 0x100, 0, 0, 0, 0), VERDICT.formErr],
  ['two questions', bytes(u16s(1, 0x100, 2, 0, 0, 0), query().subarray(12), query().subarray(12)), VERDICT.formErr],
  ['an answer inside a query', bytes(u16s(1, 0x100, 1, 1, 0, 0), query().subarray(12)), VERDICT.formErr],
  ['a compressed question', bytes(u16s(1, 0x100, 1, 0, 0, 0), [0xc0, 12], u16s(1, 1)), VERDICT.formErr],
  [
    'a name of 256 octets',
    query({ name: bytes(...Array.from({ length: 4 }, () => bytes(63, new Uint8Array(63).fill(97))), 0) }),
    VERDICT.formErr,
  ],
  ['octets behind the message', bytes(query(), 1), VERDICT.formErr],
  ['class CH', query({ class: 3 }), VERDICT.refused],
  ['RD=0: no cache snooping', query({ flags: 0 }), VERDICT.refused],
  ['AXFR', query({ type: 252 }), VERDICT.refused],
  ['IXFR', query({ type: 251 }), VERDICT.refused],
  ['IXFR with the version that the client has (RFC 1995 section 3)', ixfr(SOA), VERDICT.refused],
  ['IXFR, its SOA compressed', ixfr(rr({ type: 6, rdata: bytes(0xc0, 12, 0xc0, 12, new Uint8Array(20)) })), VERDICT.refused],
  ['IXFR with an OPT behind the SOA', ixfr(SOA, optRecord({})), VERDICT.refused],
  ['IXFR with two SOAs', bytes(u16s(1, 0x100, 1, 0, 2, 0), query({ type: 251 }).subarray(12), SOA, SOA), VERDICT.formErr],
  ['IXFR with another record', ixfr(rr()), VERDICT.formErr],
  ['IXFR with a SOA that is cut off', ixfr(SOA.subarray(0, -1)), VERDICT.formErr],
  ['IXFR, and the owner of its SOA is cut off', ixfr(bytes(0xc0)), VERDICT.formErr],
  ['a SOA beside another question', bytes(u16s(1, 0x100, 1, 0, 1, 0), query().subarray(12), SOA), VERDICT.formErr],
  ['AXFR signed with TSIG', bytes(u16s(1, 0x100, 1, 0, 0, 1), query({ type: 252 }).subarray(12), TSIG), VERDICT.refused],
  ['NXNAME (RFC 9824 section 3.5)', query({ type: 128 }), VERDICT.badType],
  ...[0, 41, 129, 200, 248, 249, 250, 253, 254].map((type): [string, Uint8Array, number] => [
    `TYPE${type}, which is no data`,
    query({ type }),
    VERDICT.refused,
  ]),
  ...[1, 46, 127, 255, 256, 65_535].map((type): [string, Uint8Array, number] => [`TYPE${type}`, query({ type }), VERDICT.ok]),
  ...[0, 2, 4, 254, 255].map((cls): [string, Uint8Array, number] => [`class ${cls}`, query({ class: cls }), VERDICT.refused]),
  ['two OPTs (CVE-2026-42004)', two, VERDICT.formErr],
  ['EDNS version 1', query({ opt: { version: 1 } }), VERDICT.badVers],
  ['an option past its OPT', query({ opt: { options: u16s(10, 9) } }), VERDICT.formErr],
]
for (const [what, packet, verdict] of cases) t.test(what, async (t) => t.equal(verdictOf(packet), verdict))

t.test('any octets: a verdict, no throw, no read outside', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 600 }), fc.nat(20), (octets, pad) => {
      const buffer = bytes(new Uint8Array(pad).fill(0xff), octets, new Uint8Array(pad).fill(0xff))
      const scan = newScan()
      const verdict = scanQuery(buffer, pad, pad + octets.length, scan)
      if (verdict !== verdictOf(octets)) throw new Error('the surroundings changed the verdict')
      if (verdict === VERDICT.ok && scan.questionEnd > pad + octets.length) throw new Error('past the end')
    }),
    { numRuns: 5000 },
  )
})
