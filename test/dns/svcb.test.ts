import fc from 'fast-check'
import t from 'tap'
import { nameFromText } from '../../src/dns/name.ts'
import { serviceBindings } from '../../src/dns/svcb.ts'
import { bestCpuMs } from '../support/cpu-time.ts'
import { response, rr } from '../support/messages.ts'

const OWNER = '_dns.dns.example'
const u16 = (n: number) => [n >> 8, n & 255]
const param = (key: number, value: readonly number[]) => [...u16(key), ...u16(value.length), ...value]
const alpn = (...ids: readonly string[]) =>
  param(
    1,
    ids.flatMap((id) => [id.length, ...Buffer.from(id)]),
  )
const rdata = (priority: number, target: string, ...params: readonly (readonly number[])[]) =>
  Uint8Array.from([...u16(priority), ...nameFromText(target), ...params.flat()])
const answer = (...records: readonly Uint8Array[]) =>
  response({ name: OWNER, type: 64, answers: records.map((data) => rr({ type: 64, rdata: data })) })
const read = (...records: readonly Uint8Array[]) => serviceBindings(answer(...records), OWNER)

t.test('bindings in the order of their priority, with ports, hints and paths', (t) => {
  const found = read(
    rdata(
      2,
      'DoH.Example',
      alpn('h2', 'h3'),
      param(4, [192, 0, 2, 1]),
      param(6, [0x20, 1, 0xd, 0xb8, ...Array<number>(11).fill(0), 1]),
      param(7, [...Buffer.from('/q{?dns}')]),
    ),
    rdata(1, '.', alpn('dot'), param(3, u16(8853))),
  )
  t.strictSame(found.ignored, [])
  t.strictSame(found.bindings, [
    { priority: 1, target: OWNER, alpn: ['dot'], port: 8853, hints: [], dohpath: undefined },
    { priority: 2, target: 'doh.example', alpn: ['h2', 'h3'], port: undefined, hints: ['192.0.2.1', '2001:db8::1'], dohpath: '/q' },
  ])
  t.end()
})

t.test('what is ignored, and why', (t) => {
  const many = Array.from({ length: 64 }, (_, i) => param(100 + i, []))
  const cases: readonly (readonly [Uint8Array, RegExp])[] = [
    [rdata(0, OWNER), /an alias is not followed/],
    [rdata(1, 'a.example'), /names no protocol/],
    [rdata(1, 'a.example', param(0, u16(65_000)), alpn('dot'), param(65_000, [])), /the key 65000 is mandatory and not supported here/],
    [rdata(1, 'a.example', param(0, u16(5)), alpn('dot'), param(5, [1, 2])), /the key 5 is mandatory and not supported here/],
    [rdata(1, 'a.example', param(0, u16(3)), alpn('dot')), /list of mandatory keys is malformed/],
    [rdata(1, 'a.example', param(0, [...u16(3), ...u16(1)]), alpn('dot'), param(3, u16(1))), /list of mandatory keys is malformed/],
    [rdata(1, 'a.example', param(0, u16(0)), alpn('dot')), /list of mandatory keys is malformed/],
    [rdata(1, 'a.example', alpn('dot'), ...many), /more than 32 parameters/],
    [rdata(1, 'a.example', param(3, u16(1)), alpn('dot')), /out of order/],
    [rdata(1, 'a.example', alpn('dot'), alpn('dot')), /out of order/],
    [rdata(1, 'a.example', alpn('dot'), param(3, u16(0))), /port is malformed/],
    [rdata(1, 'a.example', alpn('dot'), param(4, [1, 2, 3])), /hint is malformed/],
    [rdata(1, 'a.example', alpn('h2'), param(7, [...Buffer.from('no path')])), /path is malformed/],
    [rdata(1, 'a.example', param(1, [9, 1])), /list of protocols is malformed/],
    [rdata(1, 'a.example', [0, 1, 255, 255]), /malformed/],
    [Uint8Array.of(0), /malformed/],
    [rdata(1, 'a.example', alpn('dot'), param(9000, Array<number>(4000).fill(1))), /longer than 2048/],
  ]
  for (const [data, why] of cases) {
    const { bindings, ignored } = read(data)
    t.strictSame(bindings, [], String(why))
    t.match(ignored, [why])
  }
  const flood = read(...Array.from({ length: 40 }, () => rdata(1, 'a.example', alpn('dot'))))
  t.equal(flood.bindings.length, 16)
  t.match(flood.ignored, [/more than 16 records/])
  t.end()
})

t.test('a key that is not known and not mandatory does no harm', (t) => {
  t.equal(read(rdata(1, 'a.example', param(0, u16(1)), alpn('dot'), param(65_000, [1, 2]))).bindings.length, 1)
  t.equal(read(rdata(1, 'a.example', alpn('dot'), param(5, [1, 2]))).bindings.length, 1, 'ECH that is not mandatory')
  t.end()
})

t.test('any octets: never an error, bounded, and in little time', (t) => {
  const message = answer(rdata(1, 'a.example', param(0, u16(1)), alpn('dot', 'h2'), param(3, u16(853)), param(4, [1, 2, 3, 4])))
  const isBounded = (wire: Uint8Array) => {
    const { bindings, ignored } = serviceBindings(wire, OWNER)
    return (
      bindings.length <= 16 &&
      ignored.length <= 18 &&
      bindings.every((one) => one.alpn.length > 0 && one.alpn.length <= 16 && one.hints.length <= 32)
    )
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 600 }), isBounded), { numRuns: 2000 })
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(message.length - 1), fc.nat(255)), { maxLength: 6 }), (changes) => {
      const wire = Uint8Array.from(message)
      for (const [at, octet] of changes) wire[at] = octet
      return isBounded(wire)
    }),
    { numRuns: 5000 },
  )
  const large = answer(
    ...Array.from({ length: 30 }, () => rdata(1, 'a.example', alpn('dot'), ...Array.from({ length: 400 }, (_, i) => param(100 + i, [])))),
  )
  t.ok(bestCpuMs(() => serviceBindings(large, OWNER)) < 50)
  t.end()
})
