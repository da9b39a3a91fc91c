import { deepStrictEqual } from 'node:assert'
import fc from 'fast-check'
import t from 'tap'
import type { Answer, Query, View } from '../../src/resolve.ts'
import { TRANSPORT_NAMES } from '../../src/transports.ts'
import { decodeAsks, decodeReplies, encodeAsks, encodeReplies, type ReplyRecord } from '../../src/workers/miss-codec.ts'

const octets = (minLength: number, maxLength: number) => fc.uint8Array({ minLength, maxLength }).map((a) => Uint8Array.from(a))
const u16 = fc.integer({ min: 0, max: 65_535 })
const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 })

const query = fc
  .record({
    lower: octets(5, 259),
    checkingDisabled: fc.boolean(),
    authenticData: fc.boolean(),
    dnssecOk: fc.constantFrom(undefined, true, false),
    address: fc.constantFrom('127.0.0.1', '::1', '2001:db8:ffff:ffff:ffff:ffff:ffff:ffff', '10.1.2.3'),
    view: u16,
  })
  .map(({ lower, dnssecOk, address, view, ...flags }): Query => {
    const tail = Buffer.from(lower.subarray(-4))
    return {
      id: 0,
      question: { lower, type: tail.readUInt16BE(0), class: tail.readUInt16BE(2) },
      edns: dnssecOk === undefined ? undefined : { udpSize: 1232, dnssecOk, wantsSource: false },
      client: { address, transport: 'udp', view: view as View },
      ...flags,
    }
  })

const ede = fc.oneof(fc.record({ code: u16 }), fc.record({ code: u16, text: fc.string({ unit: 'grapheme', maxLength: 40 }) }))
const answer = fc
  .record({
    wire: octets(12, 700),
    rcode: fc.integer({ min: 0, max: 4095 }),
    storeS: fc.oneof(fc.constant('no' as const), fc.double({ min: 0, max: 604_800, noNaN: true })),
    ede: fc.option(ede, { nil: undefined }),
    from: fc.constantFrom<Answer['from']>(
      'policy',
      'failure',
      'stale',
      'cache',
      ...TRANSPORT_NAMES.flatMap((transport) => ['quad9', 'a b'].map((upstream) => ({ upstream, transport }))),
    ),
  })
  .map(({ ede, ...rest }): Answer => ({ ...rest, ...(ede && { ede }) }))
const reply: fc.Arbitrary<ReplyRecord> = fc.oneof(
  fc.record({ id: u32, answer, agedMs: fc.integer({ min: 0, max: 999 }) }),
  fc.record({ id: u32, failed: fc.constantFrom('deadline' as const, 'no-upstream' as const, 'internal' as const) }),
)

/** As a MessagePort hands it over: a plain Uint8Array. */
const arrived = (message: Buffer) => structuredClone(new Uint8Array(message.buffer, message.byteOffset, message.length))
/** A clone makes a Buffer the Uint8Array that it is. */
const equal = (found: unknown, wanted: unknown) => deepStrictEqual(structuredClone(found), structuredClone(wanted))

t.test('asks come out as they went in', (t) => {
  const asks = fc.array(fc.record({ id: u32, query, remainingMs: u32, purpose: fc.constantFrom('client' as const, 'refresh' as const) }), {
    maxLength: 20,
  })
  fc.assert(fc.property(asks, (asks) => equal(decodeAsks(arrived(encodeAsks(asks))), asks)))
  t.end()
})

t.test('replies come out as they went in', (t) => {
  fc.assert(fc.property(fc.array(reply, { maxLength: 20 }), (replies) => equal(decodeReplies(arrived(encodeReplies(replies))), replies)))
  t.end()
})

t.test('expired time is 0, and a buffer may be transferred', (t) => {
  const [one] = fc.sample(query, 1)
  if (one === undefined) throw new Error('no sample')
  const message = encodeAsks([{ id: 1, query: one, remainingMs: -5.5, purpose: 'client' }])
  const moved = structuredClone(new Uint8Array(message.buffer as ArrayBuffer), { transfer: [message.buffer as ArrayBuffer] })
  t.equal(decodeAsks(moved)[0]?.remainingMs, 0)
  t.equal(message.length, 0, 'transferred, not copied')
  t.end()
})

t.test('an unknown transport is not taken for another', (t) => {
  const wire = new Uint8Array(12)
  const from = { upstream: 'quad9', transport: 'other' as 'dot' }
  const message = encodeReplies([{ id: 1, answer: { wire, rcode: 0, storeS: 1, from }, agedMs: 0 }])
  t.throws(() => decodeReplies(arrived(message)), { code: 'internal', message: /other/ })
  t.end()
})

t.test('an unknown error code or source is not taken for another', (t) => {
  const failed = encodeReplies([{ id: 1, failed: 'broken-pipe' as 'internal' }])
  t.throws(() => decodeReplies(arrived(failed)), { code: 'internal', message: /broken-pipe/ })
  for (const word of ['toString', 'upstream', '']) {
    const wire = new Uint8Array(12)
    const message = encodeReplies([{ id: 1, answer: { wire, rcode: 0, storeS: 1, from: word as 'cache' }, agedMs: 0 }])
    t.throws(() => decodeReplies(arrived(message)), { code: 'internal', message: /unknown source/ })
  }
  t.end()
})
