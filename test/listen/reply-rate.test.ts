import fc from 'fast-check'
import t from 'tap'
import { readOpt } from '../../src/dns/edns.ts'
import { isLocal, ReplyRate, truncatedReply } from '../../src/listen/reply-rate.ts'
import { seededRandom } from '../support/fake-clock.ts'
import { query } from '../support/messages.ts'

const out = Buffer.alloc(1500)
const asked = query({ opt: { dnssecOk: true } })

/** What one after the other of `addresses` gets in `ms`, `perSecond` in all. */
function flood(rate: ReplyRate, addresses: readonly string[], perSecond: number, ms: number, fromMs = 1000) {
  const got = { answers: 0, empty: 0, nothing: 0 }
  for (let i = 0; i < (perSecond * ms) / 1000; i++) {
    const length = rate.limitedReply(addresses[i % addresses.length] ?? '', fromMs + (i * 1000) / perSecond, asked, out, 0)
    if (length === undefined) got.answers++
    else if (length > 0) got.empty++
    else got.nothing++
  }
  return got
}
const rateOf = () => {
  let limited = 0
  return { rate: new ReplyRate(seededRandom(1), () => limited++), limited: () => limited }
}

t.test('which clients are on this host', async (t) => {
  for (const address of ['127.0.0.1', '127.200.0.9', '::1', '0:0:0:0:0:0:0:1']) t.ok(isLocal(address), address)
  for (const address of ['192.168.1.1', '10.0.0.1', 'fe80::1', '::', '128.0.0.1', '1::1']) t.notOk(isLocal(address), address)
})
t.test('an ordinary client gets every answer; a flood gets 200 per second, a thousand empty ones, and then none', async (t) => {
  const { rate, limited } = rateOf()
  t.same(flood(rate, ['192.168.1.7'], 150, 10_000), { answers: 1500, empty: 0, nothing: 0 })
  t.equal(limited(), 0)
  const got = flood(rate, ['192.168.1.8'], 10_000, 10_000, 20_000)
  t.ok(got.answers >= 2000 && got.answers <= 2201, `${got.answers} answers in 10 s`)
  t.ok(got.empty >= 9000 && got.empty <= 11_001, `${got.empty} empty ones`)
  t.equal(got.answers + limited(), 100_000)
  t.same(flood(rate, ['192.168.1.9'], 150, 1000, 30_000), { answers: 150, empty: 0, nothing: 0 }, 'another one is none the worse')
  t.same(flood(rate, ['192.168.1.8'], 150, 1000, 33_000).nothing, 0, 'and it comes back')
})
t.test('one client: an address, or a /64; a network of them gets ten times as much', async (t) => {
  const { rate } = rateOf()
  const one = flood(
    rate,
    Array.from({ length: 500 }, (_, i) => `fd00:a::${i.toString(16)}`),
    10_000,
    1000,
  )
  t.ok(one.answers <= 401, `${one.answers}`)
  const network = flood(
    rate,
    Array.from({ length: 250 }, (_, i) => `10.0.0.${i}`),
    20_000,
    1000,
  )
  t.ok(network.answers >= 3000 && network.answers <= 4001, `${network.answers} of a /24`)
  const prefix = flood(
    rate,
    Array.from({ length: 250 }, (_, i) => `fd00:b:0:1${i.toString(16).padStart(2, '0')}::1`),
    20_000,
    1000,
  )
  t.ok(prefix.answers >= 3000 && prefix.answers <= 4001, `${prefix.answers} of a /56`)
  const far = flood(
    rate,
    Array.from({ length: 50 }, (_, i) => `172.16.${i}.1`),
    5000,
    1000,
  )
  t.equal(far.answers, 5000)
})
t.test('the empty reply means over TCP; it has the question, an OPT if the query had one, the same DO, and is never longer', async (t) => {
  for (const packet of [query(), asked, query({ opt: {} }), query({ name: '.', type: 255 })]) {
    const length = truncatedReply(packet, out, 3)
    const reply = out.subarray(3, 3 + length)
    t.ok(length > 12 && length <= packet.length)
    t.equal(reply.readUInt16BE(0), Buffer.from(packet).readUInt16BE(0))
    t.equal(reply.readUInt16BE(2), 0x8380, 'QR, TC, RD, RA')
    t.equal(readOpt(reply) !== undefined, readOpt(packet) !== undefined)
    if (readOpt(packet) !== undefined) t.equal(reply[length - 4], packet === asked ? 0x80 : 0)
  }
  t.equal(truncatedReply(query({ flags: 0x8180 }), out, 0), 0, 'a response')
  t.equal(truncatedReply(query({ flags: 0x2800 }), out, 0), 0, 'another opcode')
  t.equal(truncatedReply(new Uint8Array(12), out, 0), 0, 'no question')
})
t.test('any octets', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 600 }), (packet) => {
      const length = truncatedReply(packet, out, 0)
      return length === 0 || (length > 12 && length <= packet.length)
    }),
  )
})
