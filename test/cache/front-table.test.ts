import fc from 'fast-check'
import t from 'tap'
import { AnswerCache } from '../../src/cache/answer-cache.ts'
import { keyOfScan } from '../../src/cache/key.ts'
import { newScan, scanQuery } from '../../src/dns/query-scan.ts'
import type { Answer } from '../../src/resolve.ts'
import { query, response, rr } from '../support/messages.ts'
import { view } from '../support/rules.ts'

/** Names of which several fall into one pair of records, in both cases, with and without DO. */
const SPECS = Array.from({ length: 24 }, (_, i) => ({
  name: i % 3 === 0 ? `N${i >> 2}.Example` : `n${i >> 2}.example`,
  ...(i % 2 === 0 ? {} : { opt: { dnssecOk: i % 4 === 1 } }),
}))
const scan = newScan()

function scanned(n: number): Uint8Array {
  const packet = query(SPECS[n])
  scanQuery(packet, 0, packet.length, scan)
  return packet
}

const wires = new Map<string, Uint8Array>()
function wireFor(n: number, octets: number): Uint8Array {
  const name = `n${n >> 2}.example`
  const made = wires.get(`${name} ${octets}`) ?? response({ name, answers: [rr({ type: 16, rdata: new Uint8Array(octets).fill(n) })] })
  wires.set(`${name} ${octets}`, made)
  return made
}
const answerTo = (n: number, octets: number, storeS: number): Answer => ({ wire: wireFor(n, octets), rcode: 0, storeS, from: 'policy' })

const octetsOf = (kept: { readonly page: Uint8Array; readonly at: number; readonly length: number }) =>
  Buffer.from(kept.page.subarray(kept.at, kept.at + kept.length)).toString('hex')

t.test('whatever is put, dropped, renewed and cleared: what is found quickly is what the index has, and of the same age', async (t) => {
  const step = fc.record({
    what: fc.constantFrom('put', 'put', 'ask', 'ask', 'ask', 'ask', 'clear', 'network', 'drop'),
    n: fc.nat(23),
    octets: fc.constantFrom(4, 40, 300, 5000),
    storeS: fc.constantFrom(1, 5, 300),
    passMs: fc.constantFrom(0, 0, 0, 1, 7, 400, 2000),
  })
  let quickly = 0
  fc.assert(
    fc.property(fc.array(step, { minLength: 50, maxLength: 200 }), fc.constantFrom(65_536, 1 << 20), (steps, maxBytes) => {
      const cache = new AnswerCache(maxBytes, 3600)
      let nowMs = 1_000_003.7
      for (const { what, n, octets, storeS, passMs } of steps) {
        nowMs += passMs
        const packet = scanned(n)
        const key = keyOfScan(packet, scan, view(0))
        if (what === 'put') cache.put(key, answerTo(n, octets, storeS), cache.epoch, nowMs)
        else if (what === 'clear' && n < 4) cache.clear()
        else if (what === 'network') cache.newNetwork()
        else if (what === 'drop') for (let i = 0; i < 20; i++) cache.put(`other${i}`, answerTo(0, 3000, 60), cache.epoch, nowMs)
        const quick = cache.quick(packet, scan, view(0), nowMs)
        const found = quick === undefined ? undefined : { octets: octetsOf(quick), elapsedS: quick.elapsedS, ttls: quick.ttlCount }
        const entry = cache.peek(key)
        if (found !== undefined) {
          quickly++
          if (entry === undefined || nowMs >= entry.expiresAtMs || octetsOf(entry) !== found.octets || entry.ttlCount !== found.ttls)
            return false
          if (found.elapsedS !== Math.floor((nowMs - entry.storedAtMs) / 1000)) return false
        }
        const slow = cache.find(packet, scan, view(0), nowMs)
        if ((slow === undefined) !== (entry === undefined || nowMs >= entry.expiresAtMs)) return false
      }
      return true
    }),
    { numRuns: 200 },
  )
  t.ok(quickly > 500, `${quickly} were found quickly`)
})

t.test('what was found is found quickly, for two seconds, and not beyond its time or the beginning of its last part', async (t) => {
  const cache = new AnswerCache(65_536)
  const packet = scanned(1)
  const key = keyOfScan(packet, scan, view(0))
  cache.put(key, answerTo(1, 4, 100), cache.epoch, 0)
  const quick = (nowMs: number) => cache.quick(packet, scan, view(0), nowMs) !== undefined
  t.notOk(quick(0), 'not before it was asked for')
  cache.find(packet, scan, view(0), 0)
  t.ok(quick(0) && quick(1990))
  t.notOk(quick(2000))
  cache.find(packet, scan, view(0), 89_500)
  t.ok(quick(89_900))
  t.notOk(quick(90_000), 'a hit in the last part must be seen')
  cache.find(packet, scan, view(0), 99_500)
  t.ok(quick(99_900))
  t.notOk(quick(100_000))
})

t.test('another view, DO, CD or type is another question', async (t) => {
  const cache = new AnswerCache(65_536)
  const packet = scanned(0)
  cache.put(keyOfScan(packet, scan, view(0)), answerTo(0, 4, 100), cache.epoch, 0)
  cache.find(packet, scan, view(0), 0)
  t.ok(cache.quick(packet, scan, view(0), 1))
  t.notOk(cache.quick(packet, scan, view(1), 1))
  t.notOk(cache.quick(packet, { ...scan, dnssecOk: true }, view(0), 1))
  t.notOk(cache.quick(packet, { ...scan, flags: scan.flags | 0x10 }, view(0), 1))
  const other = query({ ...SPECS[0], type: 0x41 })
  t.notOk(cache.quick(other, scan, view(0), 1))
  const small = query({ ...SPECS[0], type: 0x61 })
  cache.put(keyOfScan(other, scan, view(0)), { ...answerTo(0, 4, 100), wire: response({ name: 'n0.example', type: 0x41 }) }, cache.epoch, 0)
  cache.find(other, scan, view(0), 0)
  t.notOk(cache.quick(small, scan, view(0), 1), 'type 97 is not type 65 in small letters')
})

t.test('half a year on it still tells fresh from old', async (t) => {
  const cache = new AnswerCache(65_536)
  const packet = scanned(1)
  const DAY_MS = 86_400_000
  for (let nowMs = 0; nowMs < 800 * DAY_MS; nowMs += 30 * DAY_MS) {
    cache.put(keyOfScan(packet, scan, view(0)), answerTo(1, 4, 100), cache.epoch, nowMs)
    cache.find(packet, scan, view(0), nowMs)
    t.equal(cache.quick(packet, scan, view(0), nowMs + 10)?.elapsedS, 0)
    t.notOk(cache.quick(packet, scan, view(0), nowMs + 101_000))
  }
})
