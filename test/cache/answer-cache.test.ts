import fc from 'fast-check'
import t from 'tap'
import { AnswerCache } from '../../src/cache/answer-cache.ts'
import { keyOfScan } from '../../src/cache/key.ts'
import { lifetimeOf } from '../../src/cache/lifetime.ts'
import { newScan, scanQuery } from '../../src/dns/query-scan.ts'
import type { Accepted } from '../../src/dns/response.ts'
import type { Answer } from '../../src/resolve.ts'
import { bytes, query, response, rr } from '../support/messages.ts'
import { view } from '../support/rules.ts'

const answer = (storeS: number | 'no', octets = 4): Answer => ({
  wire: response({ answers: [rr({ type: 16, rdata: new Uint8Array(octets) })] }),
  rcode: 0,
  storeS,
  from: 'policy',
})
const keyOf = (packet: Uint8Array, of = 0) => {
  const scan = newScan()
  scanQuery(packet, 0, packet.length, scan)
  return keyOfScan(packet, scan, view(of))
}

t.test('an answer lives for its seconds and not a moment longer', async (t) => {
  const cache = new AnswerCache(65536)
  cache.put('k', answer(10), cache.epoch, 1000)
  t.ok(cache.get('k', 10_999))
  t.equal(cache.get('k', 11_000), undefined)
  t.equal(cache.entries, 0)
})
t.test('TTL 0 and `no` are not kept', async (t) => {
  const cache = new AnswerCache(65536)
  cache.put('k', answer(0), cache.epoch, 0)
  cache.put('k', answer('no'), cache.epoch, 0)
  t.equal(cache.entries, 0)
})
t.test('an answer asked for in an older epoch is neither served nor kept', async (t) => {
  const cache = new AnswerCache(65536)
  const before = cache.epoch
  cache.put('old', answer(60), before, 0)
  cache.clear()
  cache.put('late', answer(60), before, 0)
  t.equal(cache.get('old', 0), undefined)
  t.equal(cache.get('late', 0), undefined)
})
t.test('what is cleared is wiped, and there is room again', async (t) => {
  const cache = new AnswerCache(65536)
  for (let i = 0; i < 50; i++) cache.put(`k${i}`, answer(60, 100 + i * 10), cache.epoch, 0)
  const entry = cache.get('k7', 0)
  t.ok(entry?.page.some((octet) => octet !== 0))
  cache.clear()
  t.notOk(entry?.page.some((octet) => octet !== 0))
  t.equal(cache.pageBytes, 0)
  for (let i = 0; i < 50; i++) cache.put(`k${i}`, answer(60, 100 + i * 10), cache.epoch, 0)
  t.equal(cache.entries, 50)
})
t.test('keys: case folds, everything else tells apart', async (t) => {
  t.equal(keyOf(query({ name: 'WWW.example.COM' })), keyOf(query()))
  const different = [
    keyOf(query()),
    keyOf(query(), 1),
    keyOf(query({ type: 28 })),
    keyOf(query({ opt: { dnssecOk: true } })),
    keyOf(query({ flags: 0x0110 })),
    keyOf(query({ name: bytes(1, 0xfe, 0) })),
    keyOf(query({ name: bytes(1, 0xff, 0) })),
    keyOf(query({ name: bytes(3, 97, 0x2e, 98, 0) })),
    keyOf(query({ name: 'a.b' })),
    keyOf(query({ type: 0x0141 })),
    keyOf(query({ type: 0x0161 })),
  ]
  t.equal(new Set(different).size, different.length)
  t.equal(keyOf(query({ opt: {} })), keyOf(query()), 'an OPT without DO asks for the same answer')
})
t.test('a flood of unique names stays inside the bound', async (t) => {
  const cache = new AnswerCache(1 << 20)
  const answers = Array.from({ length: 90 }, (_, i) => answer(60, i * 10))
  for (let i = 0; i < 20_000; i++) cache.put(`name-${i}`, answers[i % 90] ?? answer(60), cache.epoch, i)
  t.ok(cache.bytes <= 1 << 20)
  t.ok(cache.entries > 500)
})
t.test('memory is bounded too when answers come in ever new sizes, each page held by one that is asked all the time', async (t) => {
  const cache = new AnswerCache(1 << 20)
  for (let octets = 20; octets < 16_000; octets = Math.ceil(octets * 1.18)) {
    const one = answer(600, octets)
    for (let i = 0; i < 4000; i++) {
      cache.put(`${octets}-${i}`, one, cache.epoch, 0)
      if (i % 20 === 0) for (let hot = 0; hot <= i; hot += 50) cache.get(`${octets}-${hot}`, 0)
    }
    const bookkeeping = cache.entries * 300
    t.ok(cache.pageBytes + bookkeeping <= 1.2 * (1 << 20), `${octets} octets: ${cache.pageBytes} in pages, ${cache.entries} entries`)
    t.ok(cache.bytes > 0.5 * (1 << 20), 'and most of it is used')
  }
})
t.test('an expired answer stays for a while where it may stand in, and is the first to go', async (t) => {
  const cache = new AnswerCache(65_536, 100)
  cache.put('old', answer(10), cache.epoch, 0)
  t.equal(cache.get('old', 10_000), undefined, 'never as a fresh one')
  t.ok(cache.stale('old', 10_000))
  t.equal(cache.stale('old', 9999), undefined, 'not while it is fresh')
  t.ok(cache.stale('old', 109_999))
  t.equal(cache.stale('old', 110_000), undefined)
  t.equal(cache.get('old', 110_000), undefined)
  t.equal(cache.entries, 0)
  for (let i = 0; i < 60; i++) cache.put(`short-${i}`, answer(1), cache.epoch, 0)
  for (let i = 0; i < 100; i++) cache.put(`long-${i}`, answer(600), cache.epoch, 2000)
  for (let i = 0; i < 100; i++) t.ok(cache.get(`long-${i}`, 3000))
})
t.test('a failure takes the place of a failure only', async (t) => {
  const cache = new AnswerCache(65_536, 100)
  const failure: Answer = { ...answer(5), rcode: 2 }
  cache.put('k', answer(10), cache.epoch, 0)
  cache.put('k', failure, cache.epoch, 5000)
  t.equal(cache.get('k', 6000)?.rcode, 0)
  cache.put('k', failure, cache.epoch, 50_000)
  t.equal(cache.get('k', 51_000), undefined)
  t.equal(cache.stale('k', 51_000)?.rcode, 0)
  cache.put('k', failure, cache.epoch, 110_000)
  t.equal(cache.get('k', 111_000)?.rcode, 2, 'nothing is left that could stand in')
  t.equal(cache.stale('k', 116_000), undefined, 'a failure does not stand in')
})
t.test('another network: failures go, answers stay, nothing is popular yet', async (t) => {
  const cache = new AnswerCache(65_536, 100)
  cache.put('good', answer(60), cache.epoch, 0)
  cache.put('bad', { ...answer(60), rcode: 2 }, cache.epoch, 0)
  const entry = cache.get('good', 0)
  if (entry !== undefined) entry.hits = 7
  cache.newNetwork()
  t.equal(cache.get('good', 1)?.hits, 0)
  t.equal(cache.get('bad', 1), undefined)
})
t.test('expired entries leave before fresh ones', async (t) => {
  const cache = new AnswerCache(220_000)
  for (let i = 0; i < 500; i++) cache.put(`short-${i}`, answer(1), cache.epoch, 0)
  for (let i = 0; i < 500; i++) cache.put(`long-${i}`, answer(600), cache.epoch, 2000)
  t.equal(cache.entries, 500)
})
t.test('an answer larger than the cache is not kept', async (t) => {
  const cache = new AnswerCache(65536)
  cache.put('big', answer(60, 65000), cache.epoch, 0)
  cache.put('small', answer(60), cache.epoch, 0)
  t.equal(cache.entries, 1)
})
t.test('what is read is what was kept, through any order of puts, expiries and evictions', async () => {
  const step = fc.record({ key: fc.nat(40), octets: fc.nat(3000), ttlS: fc.integer({ min: 1, max: 50 }), waitS: fc.nat(5) })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const cache = new AnswerCache(65536)
      const model = new Map<string, { octets: Uint8Array; untilMs: number }>()
      let nowMs = 0
      for (const { key, octets, ttlS, waitS } of steps) {
        nowMs += waitS * 1000
        const kept = { ...answer(ttlS, octets), wire: response({ id: key, answers: [rr({ rdata: new Uint8Array(octets).fill(key) })] }) }
        cache.put(`k${key}`, kept, cache.epoch, nowMs)
        model.set(`k${key}`, { octets: kept.wire, untilMs: nowMs + ttlS * 1000 })
        for (const [name, expected] of model) {
          const entry = cache.get(name, nowMs)
          if (entry === undefined) continue
          if (nowMs >= expected.untilMs) throw new Error('served after its time')
          if (Buffer.compare(entry.page.subarray(entry.at, entry.at + entry.length), expected.octets) !== 0)
            throw new Error('octets differ')
        }
      }
    }),
    { numRuns: 60 },
  )
})

const accepted = (kind: Accepted['kind'], ttlS?: number): Accepted => ({ wire: new Uint8Array(), rcode: 0, kind, ttlS, ede: undefined })
t.test('lifetimes', async (t) => {
  const clamp = { minTtlS: 10, maxTtlS: 100 }
  t.equal(lifetimeOf(accepted('positive', 5), clamp), 10)
  t.equal(lifetimeOf(accepted('positive', 500), clamp), 100)
  t.equal(lifetimeOf(accepted('positive', 0), clamp), 'no', 'TTL 0 serves waiters in flight only, whatever the minimum')
  t.equal(lifetimeOf(accepted('nodata'), clamp), 'no')
  t.equal(lifetimeOf(accepted('truncated', 50), clamp), 'no')
  const failure = lifetimeOf(accepted('failure'), clamp)
  t.ok(failure !== 'no' && failure >= 1 && failure <= 300, 'RFC 9520')
})
t.test('what an earlier run had comes back with its own times, never over what is kept, and in its order', async (t) => {
  const cache = new AnswerCache(65536)
  cache.put('kept', answer(100), cache.epoch, 5000)
  cache.restore('kept', answer(1), -90_000, 500_000, 5000)
  cache.restore('old', answer(1), -90_000, 9000, 5000)
  t.equal(cache.get('kept', 6000)?.storedAtMs, 5000)
  t.match(cache.get('old', 8999), { storedAtMs: -90_000, expiresAtMs: 9000 })
  t.strictSame(cache.keys(), ['kept', 'old'])
  t.ok(cache.peek('kept'))
  t.strictSame(cache.keys(), ['kept', 'old'], 'looking is no use')
  t.equal(cache.get('old', 9000), undefined)
})
