import fc from 'fast-check'
import t from 'tap'
import { readOpt, withPaddedOpt } from '../../src/dns/edns.ts'
import { isReplyTo, upstreamQuery } from '../../src/dns/message.ts'
import { bytes, query, response, rr, u16s } from '../support/messages.ts'

t.test('RFC 8467: every padded query is a whole number of blocks, for any length', async (t) => {
  for (let length = 17; length <= 300; length++) {
    for (const keepalive of [true, false]) {
      const padded = withPaddedOpt(bytes(query().subarray(0, 12), new Uint8Array(length - 12)), { dnssecOk: false, block: 128, keepalive })
      t.equal(padded.length % 128, 0)
      t.ok(padded.length - length < 128 + 19)
    }
  }
})
t.test('the OPT that we send can be read back', async (t) => {
  const bare = upstreamQuery({ lower: query().slice(12), type: 1, class: 1 }, true)
  const opt = readOpt(withPaddedOpt(bare, { dnssecOk: true, block: 128, keepalive: true }))
  t.match(opt, { udpSize: 1232, dnssecOk: true, padded: true, version: 0 })
  t.equal(opt?.keepaliveMs, undefined, 'RFC 7828: a client sends the option empty')
  t.same([...bare.subarray(0, 12)], [0, 0, 0x01, 0x30, 0, 1, 0, 0, 0, 0, 0, 0])
  t.equal(readOpt(withPaddedOpt(bare, { dnssecOk: false, block: 0, keepalive: false }))?.padded, false)
})
t.test('RFC 7828: the timeout is in units of 100 ms', async (t) => {
  const opt = bytes(0, u16s(41, 1232, 0, 0, 6, 11, 2, 300))
  t.equal(readOpt(response({ additional: [opt] }))?.keepaliveMs, 30000)
})
t.test('any octets: readOpt never throws', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (octets) => {
      readOpt(octets)
      readOpt(bytes(response().subarray(0, 4), u16s(1, 0, 0, 3), response().subarray(12), octets))
    }),
    { numRuns: 3000 },
  )
})

const asked = query({ name: 'www.example.com' })
const matches: [string, Uint8Array, boolean][] = [
  ['the same question', response({ answers: [rr()] }), true],
  ['another case', response({ name: 'wWw.eXample.COM' }), true],
  ['another name', response({ name: 'www.example.org' }), false],
  ['another type', response({ type: 28 }), false],
  ['another class', response({ class: 3 }), false],
  ['another opcode', response({ flags: 0x2000 }), false],
  ['a query, not a response', asked, false],
  ['an error without a question', u16s(0, 0x8182, 0, 0, 0, 0), true],
  [
    'BADVERS without a question: the header alone would say NOERROR',
    bytes(u16s(0, 0x8180, 0, 0, 0, 1), 0, u16s(41, 1232), 1, 0, u16s(0, 0)),
    true,
  ],
  ['an OPT that says no error, without a question', bytes(u16s(0, 0x8180, 0, 0, 0, 1), 0, u16s(41, 1232), 0, 0, u16s(0, 0)), false],
  ['no error without a question', u16s(0, 0x8180, 0, 0, 0, 0), false],
  ['two questions', bytes(u16s(0, 0x8180, 2, 0, 0, 0), asked.subarray(12), asked.subarray(12)), false],
  ['cut inside the question', response().subarray(0, 20), false],
  ['a bit that only lowering hides: @ for `', response({ name: bytes(3, 0x77, 0x40, 0x77, 0) }), false],
]
for (const [what, reply, expected] of matches) t.test(`a reply matches? ${what}`, async (t) => t.equal(isReplyTo(asked, reply), expected))
t.test('0xFE and 0xFF are different names, and so are @ and `', async (t) => {
  const name = (octet: number) => query({ name: bytes(1, octet, 0) })
  const reply = (octet: number) => response({ name: bytes(1, octet, 0) })
  t.equal(isReplyTo(name(0xfe), reply(0xff)), false)
  t.equal(isReplyTo(name(0x40), reply(0x60)), false)
  t.equal(isReplyTo(name(0xfe), reply(0xfe)), true)
})
