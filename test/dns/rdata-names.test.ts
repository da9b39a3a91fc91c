import fc from 'fast-check'
import t from 'tap'
import { nameFromText } from '../../src/dns/name.ts'
import { rdataNamesHold } from '../../src/dns/rdata-names.ts'
import { acceptReply } from '../../src/dns/response.ts'
import type { Question } from '../../src/resolve.ts'
import { bestCpuMs } from '../support/cpu-time.ts'
import { bytes, query, response, rr, u16s, u32s } from '../support/messages.ts'

const QUESTION: Question = { lower: query().subarray(12), type: 1, class: 1 }
const accept = (reply: Uint8Array) =>
  acceptReply(new Uint8Array(reply), QUESTION, { authenticated: true, ageS: 0, clamp: { minTtlS: 0, maxTtlS: 604_800 } })

/** A type as its RFC has it: what stands before its names, how many there are, and what follows. */
interface Shape {
  readonly type: number
  readonly before?: Uint8Array
  readonly names?: number
  readonly after?: Uint8Array
  /** What follows may be of any length. */
  readonly open?: boolean
}
const BITMAP = bytes(0, 1, 0x40)
const signed = bytes(u16s(1), 8, 2, u32s(300, 2, 1), u16s(7))
const preference = { before: u16s(10) }
const SHAPES: Readonly<Record<string, Shape>> = {
  NS: { type: 2 },
  MD: { type: 3 },
  MF: { type: 4 },
  CNAME: { type: 5 },
  SOA: { type: 6, names: 2, after: u32s(1, 2, 3, 4, 5) },
  MB: { type: 7 },
  MG: { type: 8 },
  MR: { type: 9 },
  PTR: { type: 12 },
  MINFO: { type: 14, names: 2 },
  MX: { type: 15, ...preference },
  RP: { type: 17, names: 2 },
  AFSDB: { type: 18, ...preference },
  RT: { type: 21, ...preference },
  'NSAP-PTR': { type: 23 },
  SIG: { type: 24, before: signed, after: bytes(1, 2, 3), open: true },
  PX: { type: 26, ...preference, names: 2 },
  NXT: { type: 30, after: BITMAP, open: true },
  SRV: { type: 33, before: u16s(1, 2, 443) },
  NAPTR: { type: 35, before: bytes(u16s(1, 2), 1, 117, 3, 115, 105, 112, 0) },
  KX: { type: 36, ...preference },
  A6: { type: 38, before: bytes(64, new Uint8Array(8)) },
  'A6, the whole address a prefix': { type: 38, before: bytes(128) },
  DNAME: { type: 39 },
  IPSECKEY: { type: 45, before: bytes(10, 3, 2), after: bytes(1, 2, 3), open: true },
  RRSIG: { type: 46, before: signed, after: bytes(1, 2, 3), open: true },
  NSEC: { type: 47, after: BITMAP, open: true },
  TALINK: { type: 58, names: 2 },
  SVCB: { type: 64, before: u16s(1), after: bytes(u16s(1, 3), 2, 104, 50), open: true },
  HTTPS: { type: 65, before: u16s(0), open: true },
  DSYNC: { type: 66, before: bytes(u16s(59), 1, u16s(53)) },
  LP: { type: 107, ...preference },
  AMTRELAY: { type: 260, before: bytes(10, 0x83) },
}

const NAME = nameFromText('a.example.net')
/** The question takes 33 octets with the header, the owner and the head of the first record 12. */
const RDATA_AT = 45
const pointer = (to: number) => u16s(0xc000 | to)

/** A reply whose first record is of that shape, its last name as given. */
function replyOf(
  { type, before = bytes(), names = 1, after = bytes() }: Shape,
  last: Uint8Array,
  behind: readonly Uint8Array[] = [],
): Uint8Array {
  const rdata = bytes(before, ...Array.from({ length: names - 1 }, () => NAME), last, after)
  return response({ answers: [rr({ type, rdata }), ...behind] })
}
const lastNameAt = ({ before = bytes(), names = 1 }: Shape) => RDATA_AT + before.length + (names - 1) * NAME.length

for (const [what, shape] of Object.entries(SHAPES)) {
  const malformed = (reply: Uint8Array, why: string) => t.throws(() => accept(reply), { code: 'reply-malformed' }, `${what}: ${why}`)
  t.test(`${what}: valid names pass, invalid ones are malformed`, async (t) => {
    const at = lastNameAt(shape)
    for (const name of [NAME, bytes(0), pointer(12), bytes(3, 120, 121, 122, pointer(16))])
      t.ok(accept(replyOf(shape, name)), `${what}: ${name.join(' ')}`)
    malformed(replyOf(shape, pointer(at)), 'a pointer to itself')
    malformed(replyOf(shape, bytes(1, 97, pointer(at))), 'a pointer into its own name')
    malformed(replyOf(shape, pointer(at + 2), [rr({ name: NAME })]), 'a pointer forward')
    malformed(replyOf(shape, pointer(0x3fff)), 'a pointer past the message')
    malformed(replyOf(shape, pointer(2)), 'a pointer into the header')
    malformed(replyOf(shape, bytes(0x40, 1)), 'a label of no known kind')
    // The RDATA ends inside the name: what follows are octets of the next record.
    const cut = replyOf({ ...shape, after: bytes() }, bytes(3, 97, 98), [rr()])
    malformed(cut, 'a name that is cut off')
    const bare = bytes(shape.before ?? bytes(), ...Array.from({ length: (shape.names ?? 1) - 1 }, () => NAME))
    malformed(response({ answers: [rr({ type: shape.type, rdata: bare }), rr()] }), 'no name')
    malformed(response({ answers: [rr({ type: shape.type, rdata: bytes() }), rr()] }), 'nothing')
    const longer = replyOf({ ...shape, after: bytes(shape.after ?? bytes(), 0) }, NAME)
    if (shape.open === true) t.ok(accept(longer))
    else malformed(longer, 'an octet too many')
  })
  t.test(`${what}: a name that runs through a TTL is malformed, because the TTL changes as the answer ages`, async () => {
    // The TTL of the first record stands at 39; its first octet is 0 at any age.
    malformed(replyOfSecond(shape, pointer(40)), 'a name in a TTL')
  })
}

/** A record before it, whose TTL stands at 39. */
function replyOfSecond({ type, before = bytes(), names = 1, after = bytes() }: Shape, last: Uint8Array): Uint8Array {
  const rdata = bytes(before, ...Array.from({ length: names - 1 }, () => NAME), last, after)
  return response({ answers: [rr(), rr({ type, rdata })] })
}

t.test('types whose RDATA may have no name, or many', async (t) => {
  const holds = (type: number, rdata: Uint8Array) => rdataNamesHold(bytes(new Uint8Array(12), rdata, NAME), type, 12, 12 + rdata.length)
  t.ok(holds(38, bytes(0, new Uint8Array(16))), 'A6 without a prefix')
  t.notOk(holds(38, bytes(0, new Uint8Array(17))), 'A6 without a prefix, and a name')
  t.notOk(holds(38, bytes(129, 0)), 'A6 with a prefix of 129 bits')
  t.ok(holds(45, bytes(10, 1, 2, 192, 0, 2, 1, 9, 9)), 'IPSECKEY with an address')
  t.ok(holds(45, bytes(10, 0, 2, 9, 9)), 'IPSECKEY without a gateway')
  t.ok(holds(260, bytes(10, 1, 192, 0, 2, 1)), 'AMTRELAY with an address')
  const hip = bytes(2, 1, u16s(3), [1, 2], [3, 4, 5])
  t.ok(holds(55, hip), 'HIP without a server')
  t.ok(holds(55, bytes(hip, NAME)), 'HIP with a server')
  t.ok(holds(55, bytes(hip, NAME, NAME, 0)), 'HIP with three')
  for (const [why, servers] of [
    ['cut off', bytes(NAME, 3, 97)],
    ['without an end', bytes(3, 97, 98, 99)],
    ['compressed', pointer(12)],
    ['of 256 octets', bytes(...Array.from({ length: 4 }, () => bytes(63, new Uint8Array(63).fill(97))), 0)],
  ] as const)
    t.notOk(holds(55, bytes(hip, servers)), `HIP with a server ${why}`)
  t.notOk(holds(55, hip.subarray(0, 5)), 'HIP that is cut off')
  for (const type of [16, 43, 48, 50, 99, 257, 65_535]) t.ok(holds(type, bytes(0xc0, 0xff, 1)), `TYPE${type} holds no names`)
})

t.test('any RDATA: an answer, and no read outside of the message', async (t) => {
  const types = fc.constantFrom(...Object.values(SHAPES).map(({ type }) => type), 55)
  fc.assert(
    fc.property(types, fc.uint8Array({ maxLength: 300 }), fc.nat(300), fc.nat(300), (type, octets, at, length) => {
      const from = Math.min(at, octets.length)
      const end = Math.min(octets.length, from + length)
      const verdict = rdataNamesHold(octets, type, from, end)
      // What stands behind the RDATA can be reached by no pointer, for they go backward.
      const other = bytes(octets.subarray(0, end), new Uint8Array(octets.length - end).fill(0xff))
      return verdict === rdataNamesHold(other, type, from, end)
    }),
    { numRuns: 20_000 },
  )
  t.end()
})

t.test('64 KiB of two names each at the end of the longest chains are walked in under 50 ms of a quiet core', async (t) => {
  const start = RDATA_AT
  const chain = new Uint8Array(250)
  for (let i = 0; i < chain.length; i += 2) chain.set(pointer(i === 0 ? 12 : start + i - 2), i)
  const last = pointer(start + chain.length - 2)
  const two = rr({ type: 14, name: last, rdata: bytes(last, last) })
  const many = Array.from({ length: Math.floor(64_000 / two.length) }, () => two)
  const reply = response({ answers: [rr({ type: 99, rdata: chain }), ...many] })
  t.ok(accept(reply))
  const hip = rr({ type: 55, rdata: bytes(0, 1, u16s(0), new Uint8Array(60_000)) })
  for (const worst of [reply, response({ answers: [hip] })]) {
    const cpuMs = bestCpuMs(() => accept(worst), 20)
    t.ok(cpuMs < 150, `${cpuMs} ms`)
  }
})
