import fc from 'fast-check'
import t from 'tap'
import { questionOf } from '../../src/dns/message.ts'
import { newScan, scanQuery } from '../../src/dns/query-scan.ts'
import { putTtlOffsets } from '../../src/dns/records.ts'
import { acceptReply, synthesise } from '../../src/dns/response.ts'
import type { Question } from '../../src/resolve.ts'
import { bestCpuMs } from '../support/cpu-time.ts'
import { bytes, optRecord, type QuerySpec, query, response, rr, soa, u16s } from '../support/messages.ts'

function question(spec: QuerySpec = {}): Question {
  const packet = query(spec)
  const scan = newScan()
  scanQuery(packet, 0, packet.length, scan)
  return questionOf(packet, scan)
}
const WIDE = { minTtlS: 0, maxTtlS: 7 * 86400 }
/** A copy is taken over: the replies of these tests are used more than once. */
const accept = (reply: Uint8Array, ageS = 0, authenticated = true, clamp = WIDE) =>
  acceptReply(new Uint8Array(reply), question(), { authenticated, ageS, clamp })

function firstTtlAt(wire: Uint8Array): number {
  const offsets = Buffer.alloc(64)
  t.ok(putTtlOffsets(wire, offsets, 0) > 0)
  return offsets.readUInt16BE(0)
}

t.test('a positive answer: lowest TTL of all records; AA cleared, RA set, ID 0', async (t) => {
  const got = accept(response({ id: 99, flags: 0x0400, answers: [rr({ ttlS: 300 }), rr({ ttlS: 60 })] }))
  t.match(got, { kind: 'positive', rcode: 0, ttlS: 60 })
  t.equal(got.wire[0], 0)
  t.equal(got.wire[2]! & 0x04, 0)
  t.equal(got.wire[3]! & 0x80, 0x80)
})
t.test('AD is kept only from an authenticated link', async (t) => {
  const reply = response({ flags: 0x20, answers: [rr()] })
  t.equal(accept(reply).wire[3]! & 0x20, 0x20)
  t.equal(accept(reply, 0, false).wire[3]! & 0x20, 0)
})
t.test('RFC 2308: negative TTL is the lowest of SOA TTL, MINIMUM and the chain, at most three hours', async (t) => {
  t.match(accept(response({ rcode: 3, authority: [soa({ ttlS: 3600, minimumS: 900 })] })), { kind: 'nxdomain', ttlS: 900 })
  t.match(accept(response({ rcode: 3, authority: [soa({ ttlS: 60, minimumS: 900 })] })), { ttlS: 60 })
  t.match(accept(response({ authority: [soa({ ttlS: 90000, minimumS: 90000 })] })), { kind: 'nodata', ttlS: 10800 })
  const cname = rr({ type: 5, ttlS: 30, rdata: bytes(0xc0, 12) })
  t.match(accept(response({ answers: [cname], authority: [soa()] })), { kind: 'nodata', ttlS: 30 })
})
t.test('RFC 2308 section 5: no lifetime without an SOA', async (t) => {
  t.match(accept(response({ rcode: 3 })), { kind: 'nxdomain', ttlS: undefined })
})
t.test('RFC 2308 section 5: the TTL of the SOA is that of the negative answer, so that it is not kept longer downstream', async (t) => {
  const { wire } = accept(response({ rcode: 3, authority: [soa({ ttlS: 3600, minimumS: 900 })] }))
  const at = firstTtlAt(wire)
  t.equal(Buffer.from(wire).readUInt32BE(at), 900)
})
t.test('RFC 8484: Age is subtracted, also in the wire form', async (t) => {
  const got = accept(response({ answers: [rr({ ttlS: 300 })] }), 100)
  t.equal(got.ttlS, 200)
  t.equal(Buffer.from(got.wire).readUInt32BE(firstTtlAt(got.wire)), 200)
})
t.test('RFC 8767: a TTL with the top bit set is capped', async (t) => {
  t.equal(accept(response({ answers: [rr({ ttlS: 0xffffffff })] })).ttlS, 7 * 86400)
})
t.test('the OPT and records after it are removed; records before it stay', async (t) => {
  const glue = rr({ name: 'ns.example.com' })
  const opt = optRecord({ options: u16s(12, 2, 0) })
  const last = accept(response({ answers: [rr()], additional: [glue, opt] })).wire
  const first = accept(response({ answers: [rr()], additional: [opt, glue] })).wire
  t.equal(Buffer.from(last).readUInt16BE(10), 1)
  t.equal(Buffer.from(first).readUInt16BE(10), 0)
  t.equal(last.length - first.length, glue.length)
})
const NO_NAME = Uint8Array.of(0)
/** Rdata as RFC 8945 section 4.2, RFC 2930 section 2 and RFC 2535 section 4.1 have it, in shape. */
const TSIG = rr({ name: 'key.example', type: 250, class: 255, ttlS: 0, rdata: bytes(NO_NAME, new Uint8Array(16)) })
const TKEY = rr({ name: 'key.example', type: 249, class: 255, ttlS: 0, rdata: bytes(NO_NAME, new Uint8Array(16)) })
const SIG0 = rr({ name: NO_NAME, type: 24, class: 255, ttlS: 0, rdata: bytes(u16s(0), new Uint8Array(16), NO_NAME, [1, 2, 3]) })
const OPT_EDE = bytes(0, u16s(41, 1232), 0, 0, u16s(0, 6), u16s(15, 2, 22))

for (const [what, hop] of [
  ['TSIG', TSIG],
  ['TKEY', TKEY],
  ['SIG(0)', SIG0],
] as const) {
  t.test(`${what} belongs to the hop: it is removed at any place, and the counts are right`, async (t) => {
    const glue = rr({ name: 'ns.example.com', ttlS: 200 })
    const bare = accept(response({ answers: [rr()] })).wire
    const withGlue = accept(response({ answers: [rr()], additional: [glue] })).wire
    const cases: readonly (readonly [additional: readonly Uint8Array[], left: Uint8Array, opt: boolean])[] = [
      [[hop], bare, false],
      [[hop, hop], bare, false],
      [[glue, hop], withGlue, false],
      [[hop, glue], bare, false],
      [[hop, OPT_EDE], bare, true],
      [[OPT_EDE, hop], bare, true],
      [[glue, hop, OPT_EDE], withGlue, true],
      [[glue, OPT_EDE, hop], withGlue, true],
      [[glue, hop, glue, OPT_EDE, glue], withGlue, true],
    ]
    for (const [additional, left, opt] of cases) {
      const got = accept(response({ answers: [rr()], additional }))
      t.same(got.wire, left)
      t.equal(got.ttlS, left === bare ? 300 : 200, 'its TTL of 0 is none of the answer')
      t.equal(got.ede?.code, opt ? 22 : undefined, 'the OPT is read wherever it stands')
    }
    for (const section of ['answers', 'authority'] as const)
      t.throws(() => accept(response({ [section]: [hop] })), { code: 'reply-malformed' }, `not in ${section}`)
  })
}
t.test('a SIG that covers a type is a record like any other', async (t) => {
  const sig = rr({ type: 24, ttlS: 60, rdata: bytes(u16s(1), new Uint8Array(16), NO_NAME, [1, 2, 3]) })
  const got = accept(response({ answers: [rr(), sig], additional: [sig] }))
  t.equal(got.ttlS, 60)
  t.equal(Buffer.from(got.wire).readUInt16BE(6), 2)
  t.equal(Buffer.from(got.wire).readUInt16BE(10), 1)
})
t.test('records cut off with the OPT do not affect the lifetime of the answer', async (t) => {
  t.equal(accept(response({ answers: [rr()], additional: [OPT_EDE, rr({ ttlS: 0 })] })).ttlS, 300)
})
t.test('extended RCODE and EDE come from the OPT', async (t) => {
  const opt = bytes(0, u16s(41, 1232), 1, 0, u16s(0, 8), u16s(15, 4, 6), [0x68, 0x69])
  t.match(accept(response({ rcode: 7, additional: [opt] })), { rcode: 23, kind: 'failure', ede: { code: 6, text: 'hi' } })
})
t.test('an error without a question is answered with the question', async (t) => {
  t.same(accept(u16s(0, 0x8182, 0, 0, 0, 0)).wire, synthesise(question(), { rcode: 2 }))
})
t.test('a bare header is an error without a question, whatever its counts', async (t) => {
  for (const questions of [0, 1]) {
    const got = accept(u16s(0, 0x8185, questions, 0, 0, 0))
    t.match(got, { rcode: 5, kind: 'failure', ttlS: undefined })
    t.same(got.wire, synthesise(question(), { rcode: 5 }))
  }
})
const broken: [string, Uint8Array][] = [
  ['more records than counted out', bytes(u16s(0, 0x8180, 1, 9, 0, 0), query().subarray(12), rr())],
  ['RDLENGTH past the end', bytes(u16s(0, 0x8180, 1, 1, 0, 0), query().subarray(12), rr().subarray(0, 12), [0xff, 0xff])],
  ['a pointer to itself', bytes(u16s(0, 0x8180, 1, 1, 0, 0), query().subarray(12), [0xc0, 33], u16s(1, 1, 0, 9, 4, 1, 1))],
  ['a CNAME target that loops', response({ answers: [rr({ type: 5, rdata: bytes(0xc0, 45) })] })],
  ['two OPTs', response({ additional: [optRecord({}), optRecord({})] })],
  ['a name in the header, which has another ID for every client', response({ answers: [rr({ name: bytes(0xc0, 0) })] })],
  // The question takes 33 octets with the header; the TTL of the first record is 6 octets behind
  // that, and its first octet stays 0.
  ['a name in a TTL, which falls', response({ answers: [rr(), rr({ name: bytes(0xc0, 33 + 7) })] })],
  ['an A of three octets', response({ answers: [rr({ rdata: bytes(1, 2, 3) })] })],
]
for (const [what, reply] of broken) t.test(`malformed: ${what}`, async (t) => t.throws(() => accept(reply), { code: 'reply-malformed' }))

t.test('any octets after a header: accepted or reply-malformed, nothing else', async () => {
  const head = response({}).subarray(4)
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 2000 }), fc.nat(5), (octets, count) => {
      const reply = bytes(u16s(0, 0x8180), u16s(1, count, 1, 1), head.subarray(8), octets)
      try {
        accept(reply)
      } catch (error) {
        if ((error as { code?: string }).code !== 'reply-malformed') throw error
      }
    }),
    { numRuns: 3000 },
  )
})
t.test('the worst 64 KiB is walked in under 50 ms of a quiet core', async (t) => {
  const chain: number[] = []
  for (let at = 33; at < 16000; at += 2) chain.push(0xc0 | ((at - 2 < 33 ? 12 : at - 2) >> 8), (at - 2 < 33 ? 12 : at - 2) & 0xff)
  const hops = rr({ name: Uint8Array.of(0), type: 99, rdata: Uint8Array.from(chain) })
  const tail = Array.from({ length: 3500 }, () => bytes([0xc0 | (15900 >> 8), 15900 & 0xff], u16s(99, 1, 0, 60, 0)))
  const reply = response({ answers: [hops, ...tail] })
  const cpuMs = bestCpuMs(() => {
    try {
      accept(reply)
    } catch {}
  })
  t.ok(cpuMs < 150, `${cpuMs} ms`)
})

t.test('8,000 chained pointers, and 4,125 names at the end of the chain, are walked in under 50 ms of a quiet core', async (t) => {
  const start = 12 + query().length - 12 + 11
  const chain = new Uint8Array(16_000)
  for (let i = 0; i < chain.length; i += 2) {
    const target = i === 0 ? 12 : start + i - 2
    chain[i] = 0xc0 | (target >> 8)
    chain[i + 1] = target & 0xff
  }
  const last = start + chain.length - 2
  const tail = Array.from({ length: 4125 }, () => bytes([0xc0 | (last >> 8), last & 0xff], u16s(99, 1, 0, 60, 0)))
  const reply = response({ answers: [rr({ name: Uint8Array.of(0), type: 99, rdata: chain }), ...tail] })
  const cpuMs = bestCpuMs(() => t.throws(() => accept(reply), { code: 'reply-malformed' }))
  t.ok(cpuMs < 150, `${cpuMs} ms`)
})

t.test('the 5,900 shortest records that fit are walked in under 50 ms of a quiet core', async (t) => {
  const shortest = Array.from({ length: 5_900 }, () => bytes([0], u16s(99, 1, 0, 60, 0)))
  const reply = response({ answers: shortest })
  t.equal(accept(reply).ttlAts.length, 5_900)
  const cpuMs = bestCpuMs(() => accept(reply))
  t.ok(cpuMs < 15, `${cpuMs} ms`)
})
