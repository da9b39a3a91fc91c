import fc from 'fast-check'
import t from 'tap'
import type { AnswerCache } from '../../src/cache/answer-cache.ts'
import { markOf } from '../../src/cache/key.ts'
import { lifetimeOf } from '../../src/cache/lifetime.ts'
import { heldAnswer } from '../../src/cache/memory.ts'
import type { AcceptedReply } from '../../src/dns/response.ts'
import type { Asked } from '../../src/job.ts'
import type { Answer } from '../../src/resolve.ts'
import { VIEW_OF_ALL } from '../../src/resolve.ts'
import { askedInPacket, cacheOf, peek } from '../support/caches.ts'
import { bytes, query, response } from '../support/messages.ts'

const SUFFIX = Buffer.from('\x07example\x00\x00\x01\x00\x01', 'latin1')
const HEADER = Buffer.from([0, 0, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0])
/** A question for A of a name below example. */
function asked(label: string): Asked {
  const octets = Buffer.concat([Buffer.of(label.length), Buffer.from(label), SUFFIX])
  return { octets, from: 0, end: octets.length, mark: markOf(octets.length, 0, false, false), hash: 0 }
}
/** An answer to it, with a TXT record of so many octets. */
function answer(label: string, storeS: number | 'no', octets = 4, fill = 0): Answer {
  const record = Buffer.alloc(12 + octets, fill)
  record.set([0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60, octets >> 8, octets & 255])
  return { wire: Buffer.concat([HEADER, asked(label).octets, record]), rcode: 0, storeS, from: 'policy' }
}
const put = (cache: AnswerCache, label: string, storeS: number | 'no', nowMs: number, octets?: number, fill?: number) =>
  cache.put(asked(label), answer(label, storeS, octets, fill), cache.epoch, nowMs)
const failure = (label: string): Answer => ({ ...answer(label, 5), rcode: 2 })
const octetsOf = ({ octets, at, length }: { readonly octets: Uint8Array; readonly at: number; readonly length: number }) =>
  Buffer.from(octets.subarray(at, at + length))

t.test('an answer is served for exactly its lifetime', async (t) => {
  const cache = cacheOf(65_536)
  put(cache, 'k', 10, 1000)
  t.ok(cache.get(asked('k'), 10_999))
  t.equal(cache.get(asked('k'), 11_000), undefined)
  t.equal(cache.entries, 0)
})
t.test('the sweep for expired answers finds only whole records, even after large answers made room', async (t) => {
  const cache = cacheOf(262_144)
  const fills = new Map<string, number>()
  for (let i = 0; i < 20_000; i++) {
    const label = `n${(i * 7919) % 1009}`
    const octets = i % 37 === 0 ? 18_000 + ((i * 31) % 20_000) : (i * 13) % 300
    put(cache, label, 1 + (i % 600), i * 10, octets, i & 255)
    fills.set(label, i & 255)
    const other = `n${(i * 104_729) % 1009}`
    const entry = cache.get(asked(other), i * 10)
    if (entry === undefined || entry.length === HEADER.length + asked(other).end + 12) continue
    const last = entry.octets[entry.at + entry.length - 1]
    if (last !== fills.get(other)) t.fail(`answer ${i} was changed`)
    if (cache.bytes > 262_144) t.fail('more than it may hold')
  }
})

t.test('a walk ends if everything is forgotten meanwhile', async (t) => {
  for (const after of [0, 1, 50]) {
    const cache = cacheOf(1 << 20)
    for (let i = 0; i < 100; i++) put(cache, `before${i}`, 60, 0)
    const walk = cache.walk()
    walk.next()
    cache.clear()
    for (let i = 0; i < after; i++) put(cache, `a${i}`, 60, 0, 1)
    let steps = 0
    while (walk.next().done !== true && steps < 200) steps++
    t.ok(steps <= after, `${steps} of ${after}`)
  }
})

t.test('TTL 0 and `no` are not kept', async (t) => {
  const cache = cacheOf(65_536)
  put(cache, 'k', 0, 0)
  put(cache, 'k', 'no', 0)
  t.equal(cache.entries, 0)
})
t.test('an answer requested in an older epoch is neither served nor stored', async (t) => {
  const cache = cacheOf(65_536)
  const before = cache.epoch
  cache.put(asked('old'), answer('old', 60), before, 0)
  cache.clear()
  cache.put(asked('late'), answer('late', 60), before, 0)
  t.equal(cache.get(asked('old'), 0), undefined)
  t.equal(cache.get(asked('late'), 0), undefined)
})
t.test('cleared answers are wiped from memory, and their room is free', async (t) => {
  const cache = cacheOf(65_536)
  for (let i = 0; i < 50; i++) put(cache, `k${i}`, 60, 0, 100 + i * 10)
  const octets = cache.get(asked('k7'), 0)?.octets
  t.ok(octets?.some((octet) => octet !== 0))
  cache.clear()
  t.notOk(octets?.some((octet) => octet !== 0))
  t.equal(cache.segmentBytes, 0)
  for (let i = 0; i < 50; i++) put(cache, `k${i}`, 60, 0, 100 + i * 10)
  t.equal(cache.entries, 50)
})
t.test('names compare without case; every other difference separates answers', async (t) => {
  const cache = cacheOf(65_536)
  const different = [
    query(),
    query({ type: 28 }),
    query({ opt: { dnssecOk: true } }),
    query({ flags: 0x0110 }),
    query({ name: bytes(1, 0xfe, 0) }),
    query({ name: bytes(1, 0xff, 0) }),
    query({ name: bytes(3, 97, 0x2e, 98, 0) }),
    query({ name: 'a.b' }),
    query({ type: 0x0141 }),
    query({ type: 0x0161 }),
  ]
  const questionOf = (packet: Uint8Array) => packet.subarray(12, askedInPacket(packet).end)
  const wireOf = (packet: Uint8Array, i: number) => bytes(0, 0, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0, questionOf(packet), i)
  const store = (packet: Uint8Array, i: number, view: number) =>
    cache.put(askedInPacket(packet, view), { wire: wireOf(packet, i), rcode: 0, storeS: 60, from: 'policy' }, cache.epoch, 0)
  different.forEach((packet, i) => {
    store(packet, i, 0)
    store(packet, i + 100, 1)
  })
  t.equal(cache.entries, 2 * different.length)
  const lastOf = (packet: Uint8Array, view = 0) => {
    const entry = cache.get(askedInPacket(packet, view), 1)
    return entry?.octets[entry.at + entry.length - 1]
  }
  different.forEach((packet, i) => {
    t.equal(lastOf(packet), i)
    t.equal(lastOf(packet, 1), i + 100)
  })
  t.equal(lastOf(query({ name: 'WWW.example.COM' })), 0)
  t.equal(lastOf(query({ opt: {} })), 0, 'an OPT without DO asks for the same answer')
})
t.test('the answer to a question in capitals is stored in lower case', async (t) => {
  const cache = cacheOf(65_536)
  cache.put(
    askedInPacket(query({ name: 'Www.EXAMPLE' })),
    { ...answer('WWW', 60), wire: response({ name: 'WWW.EXAMPLE' }) },
    cache.epoch,
    0,
  )
  const entry = cache.get(asked('www'), 0)
  t.match(entry && octetsOf(entry).toString('latin1'), /www.example/)
})
t.test('a flood of unique names stays inside the bound', async (t) => {
  const cache = cacheOf(1 << 20)
  for (let i = 0; i < 20_000; i++) put(cache, `name-${i}`, 60, i, (i % 90) * 10)
  t.ok(cache.bytes <= 1 << 20)
  t.ok(cache.segmentBytes <= 1 << 20)
  t.ok(cache.entries > 500)
})
t.test('memory is bounded even for answers of ever new sizes, and most of it is used', async (t) => {
  const cache = cacheOf(1 << 20)
  for (let octets = 20; octets < 16_000; octets = Math.ceil(octets * 1.18)) {
    for (let i = 0; i < 3000; i++) {
      put(cache, `${octets}-${i}`, 600, 0, octets)
      if (i % 20 === 0) for (let hot = 0; hot <= i; hot += 50) cache.get(asked(`${octets}-${hot}`), 0)
    }
    t.ok(cache.segmentBytes <= 1 << 20, `${octets} octets: ${cache.segmentBytes} in segments, ${cache.entries} entries`)
    t.ok(cache.bytes > 0.4 * (1 << 20), `${octets} octets: ${cache.bytes} used`)
  }
})
t.test('an expired answer stays as long as it may be served stale, and is evicted first', async (t) => {
  const cache = cacheOf(65_536, 100)
  put(cache, 'old', 10, 0)
  t.equal(cache.get(asked('old'), 10_000), undefined, 'never as a fresh one')
  t.ok(cache.stale(asked('old'), 10_000))
  t.equal(cache.stale(asked('old'), 9999), undefined, 'not while it is fresh')
  t.ok(cache.stale(asked('old'), 109_999))
  t.equal(cache.stale(asked('old'), 110_000), undefined)
  t.equal(cache.get(asked('old'), 110_000), undefined)
  t.equal(cache.entries, 0)
})
for (const order of ['short first', 'long first', 'mixed'] as const) {
  t.test(`when memory is used up, expired answers are evicted before fresh unused ones (${order})`, async (t) => {
    const cache = cacheOf(1 << 20, 3600)
    const long = Array.from({ length: 2000 }, (_, i) => `long-${i}`)
    const short = Array.from({ length: 3000 }, (_, i) => `short-${i}`)
    const mixed = short.flatMap((name, i) => [name, ...long.slice(Math.floor((i * 2) / 3), Math.floor(((i + 1) * 2) / 3))])
    const names = order === 'short first' ? [...short, ...long] : order === 'long first' ? [...long, ...short] : mixed
    for (const name of names) put(cache, name, name.startsWith('long') ? 600 : 1, 0, 40)
    for (let i = 0; i < 2500; i++) put(cache, `new-${i}`, 600, 5000 + i, 40)
    const kept = long.filter((name) => cache.get(asked(name), 9000) !== undefined).length
    t.ok(kept > 0.9 * long.length, `${kept} of ${long.length}`)
  })
}
t.test('used answers stay when many names pass that are asked once', async (t) => {
  const cache = cacheOf(1 << 20)
  const hot = Array.from({ length: 500 }, (_, i) => `hot-${i}`)
  for (const name of hot) put(cache, name, 86_400, 0, 40)
  for (let i = 0; i < 60_000; i++) {
    put(cache, `once-${i}`, 86_400, i, 40)
    const entry = cache.get(asked(hot[i % hot.length] ?? ''), i)
    if (entry !== undefined) cache.counts(entry, i)
  }
  const kept = hot.filter((name) => peek(cache, asked(name)) !== undefined).length
  t.equal(kept, hot.length)
})
t.test('a failure replaces only another failure', async (t) => {
  const cache = cacheOf(65_536, 100)
  const key = asked('k')
  put(cache, 'k', 10, 0)
  cache.put(key, failure('k'), cache.epoch, 5000)
  t.equal(cache.get(key, 6000)?.rcode, 0)
  cache.put(key, failure('k'), cache.epoch, 50_000)
  t.equal(cache.get(key, 51_000), undefined)
  t.equal(cache.stale(key, 51_000)?.rcode, 0)
  cache.put(key, failure('k'), cache.epoch, 110_000)
  t.equal(cache.get(key, 111_000)?.rcode, 2, 'nothing is left that could stand in')
  t.equal(cache.stale(key, 116_000), undefined, 'a failure does not stand in')
})
t.test('network change: failures are dropped, answers stay, popularity is reset', async (t) => {
  const cache = cacheOf(65_536, 100)
  put(cache, 'good', 60, 0)
  cache.put(asked('bad'), { ...failure('bad'), storeS: 60 }, cache.epoch, 0)
  const entry = cache.get(asked('good'), 0)
  if (entry !== undefined) entry.hits = 7
  cache.newNetwork()
  t.equal(cache.get(asked('good'), 1)?.hits, 0)
  t.equal(cache.get(asked('bad'), 1), undefined)
  t.equal(cache.entries, 1)
})
t.test('a use is counted once in two seconds, and once more when the last part of its life begins', async (t) => {
  const cache = cacheOf(65_536)
  put(cache, 'k', 100, 0)
  const counted = (nowMs: number) => {
    const entry = cache.get(asked('k'), nowMs)
    return entry !== undefined && cache.counts(entry, nowMs)
  }
  t.strictSame([0, 1, 1999, 2000, 2001].map(counted), [true, false, false, true, false])
  t.strictSame([89_500, 89_999, 90_000, 90_001].map(counted), [true, false, true, false])
  t.equal(counted(100_000), false)
})
t.test('extended errors come back as they were', async (t) => {
  const cache = cacheOf(65_536)
  for (const ede of [undefined, { code: 0 }, { code: 65_535 }, { code: 22, text: 'no answer in time' }, { code: 6, text: 'ä\u{1f600}' }]) {
    const wire = response({ name: 'k.example', rcode: 2 })
    cache.put(asked('k'), { wire, rcode: 0xf02, storeS: 10, from: 'policy', ...(ede === undefined ? {} : { ede }) }, cache.epoch, 0)
    const entry = cache.get(asked('k'), 1)
    t.strictSame(entry?.ede, ede)
    t.equal(entry?.rcode, 0xf02)
    t.ok(entry && octetsOf(entry).equals(wire))
  }
})
t.test('an answer larger than the cache is not kept; the largest there can be is, where there is room', async (t) => {
  const cache = cacheOf(65_536)
  put(cache, 'big', 60, 0, 65_000)
  put(cache, 'small', 60, 0)
  t.equal(cache.entries, 1)
  const roomy = cacheOf(300_000)
  for (let i = 0; i < 50; i++) put(roomy, `big-${i}`, 60, i, 65_400)
  t.ok(roomy.get(asked('big-49'), 60))
  t.ok(roomy.entries >= 3)
  put(roomy, 'small', 60, 60)
  t.ok(roomy.get(asked('small'), 60))
})

/** What a cache must do, as plainly as it can be said. */
interface Model {
  readonly octets: Buffer
  readonly storedAtMs: number
  readonly untilMs: number
}
const step = fc.record({
  what: fc.constantFrom('put', 'put', 'put', 'put', 'use', 'clear', 'network'),
  key: fc.nat(60),
  octets: fc.oneof(fc.nat(200), fc.nat(3000), fc.nat(20_000)),
  ttlS: fc.integer({ min: 1, max: 50 }),
  waitS: fc.nat(5),
})
t.test('reads return the last stored answer, for any order of puts, uses, expiries and evictions; counts are right', async () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 250 }), fc.constantFrom(65_536, 1 << 18), (steps, maxBytes) => {
      const cache = cacheOf(maxBytes, 20)
      const model = new Map<string, Model>()
      let nowMs = 0
      for (const { what, key, octets, ttlS, waitS } of steps) {
        nowMs += waitS * 1000
        if (what === 'put') {
          put(cache, `k${key}`, ttlS, nowMs, octets, key)
          model.set(`k${key}`, {
            octets: Buffer.from(answer(`k${key}`, ttlS, octets, key).wire),
            storedAtMs: nowMs,
            untilMs: nowMs + ttlS * 1000,
          })
        } else if (what === 'clear' && key < 4) {
          cache.clear()
          model.clear()
        } else if (what === 'network') cache.newNetwork()
        let found = 0
        for (const [name, expected] of model) {
          const fresh = nowMs < expected.untilMs
          const entry = fresh ? cache.get(asked(name), nowMs) : cache.stale(asked(name), nowMs)
          if (!fresh && cache.get(asked(name), nowMs) !== undefined) throw new Error('served after its time')
          if (entry === undefined) continue
          found++
          const again = fresh ? cache.get(asked(name), nowMs) : cache.stale(asked(name), nowMs)
          if (again === undefined || !octetsOf(again).equals(expected.octets)) throw new Error('octets differ')
          if (again.storedAtMs !== expected.storedAtMs || again.expiresAtMs !== expected.untilMs) throw new Error('times differ')
          if (what === 'use' && fresh) cache.counts(again, nowMs)
        }
        const walked = [...cache.walk()].length
        if (walked !== cache.entries || found > walked) throw new Error(`${walked} walked, ${cache.entries} counted, ${found} found`)
        if (cache.bytes > maxBytes || cache.segmentBytes > maxBytes) throw new Error('too large')
      }
    }),
    { numRuns: 150 },
  )
})

const accepted = (kind: AcceptedReply['kind'], ttlS?: number): AcceptedReply => ({
  wire: new Uint8Array(),
  rcode: 0,
  kind,
  ttlS,
  ede: undefined,
  ttlAts: [],
})
t.test('lifetimes', async (t) => {
  const clamp = { minTtlS: 10, maxTtlS: 100 }
  t.equal(lifetimeOf(accepted('positive', 5), clamp), 10)
  t.equal(lifetimeOf(accepted('positive', 500), clamp), 100)
  t.equal(lifetimeOf(accepted('positive', 0), clamp), 'no', 'TTL 0 serves waiters in flight only, whatever the minimum')
  t.equal(lifetimeOf(accepted('nodata'), clamp), 'no')
  t.equal(lifetimeOf(accepted('truncated', 50), clamp), 'no')
  const failing = lifetimeOf(accepted('failure'), clamp)
  t.ok(failing !== 'no' && failing >= 1 && failing <= 300, 'RFC 9520')
})
t.test('answers of an earlier run are restored with their own times, never over stored ones', async (t) => {
  const cache = cacheOf(65_536)
  put(cache, 'kept', 100, 5000)
  cache.restore(asked('kept'), answer('kept', 1), -90_000, 500_000, 5000)
  cache.restore(asked('old'), answer('old', 1), -90_000, 9000, 5000)
  t.equal(cache.get(asked('kept'), 6000)?.storedAtMs, 5000)
  t.match(peek(cache, asked('old')), { storedAtMs: -90_000, expiresAtMs: 9000 })
  t.ok(cache.get(asked('old'), 8999))
  t.equal(cache.get(asked('old'), 9000), undefined)
})
t.test('a walk returns stored answers, oldest first, and survives any change during it', async (t) => {
  const cache = cacheOf(1 << 18)
  for (let i = 0; i < 500; i++) put(cache, `k${i}`, 60, i)
  const stored = [...cache.walk()].map(({ storedAtMs }) => storedAtMs)
  t.strictSame(
    stored,
    [...stored].sort((a, b) => a - b),
  )
  const newest = [...cache.walk(20_000)].map(({ storedAtMs }) => storedAtMs)
  t.ok(newest.length < 400 && newest.at(-1) === 499 && newest.length > 10)
  let seen = 0
  for (const entry of cache.walk()) {
    t.ok(entry.length > 12)
    for (let i = 0; i < 20; i++) put(cache, `other${seen}-${i}`, 60, 1000)
    if (++seen === 100) cache.clear()
  }
  t.ok(seen >= 50 && seen <= 100)
})

t.test('what is kept for a question: the list that blocked its answer is named', (t) => {
  const cache = cacheOf(65_536)
  const held = () => heldAnswer(cache, asked('k').octets, VIEW_OF_ALL, 1000)
  t.equal(held(), undefined)
  cache.put(asked('k'), { ...answer('k', 10), rcode: 3, ede: { code: 15, text: 'list ads-1' } }, cache.epoch, 0)
  t.strictSame(held(), { leftS: 9, rcode: 3, list: 'ads-1' })
  cache.put(asked('k'), { ...answer('k', 20), ede: { code: 22, text: 'no answer in time' } }, cache.epoch, 0)
  t.strictSame(held(), { leftS: 19, rcode: 0 })
  t.end()
})
