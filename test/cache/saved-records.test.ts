import fc from 'fast-check'
import t from 'tap'
import { putSaved, readSaved, type SavedEntry } from '../../src/cache/saved-records.ts'
import type { Answer } from '../../src/resolve.ts'
import { askedInPacket, cacheOf } from '../support/caches.ts'
import { query, response, rr } from '../support/messages.ts'

function kept(name: string, more: Partial<Answer> = {}) {
  const asked = askedInPacket(query({ name, opt: { dnssecOk: true } }))
  const wire = response({ name, answers: [rr({ ttlS: 60 })] })
  return { asked, answer: { wire, rcode: 0, storeS: 60, from: { upstream: 'a', transport: 'dot' }, ...more } as Answer }
}

function saved(entries: readonly ReturnType<typeof kept>[], storedAtMs: number, nowMs: number): Buffer {
  const cache = cacheOf(1 << 20)
  for (const { asked, answer } of entries) cache.put(asked, answer, cache.epoch, storedAtMs)
  const out = Buffer.alloc(1 << 16)
  let at = 0
  for (const entry of cache.walk()) at = putSaved(out, at, entry, nowMs)
  return out.subarray(0, at)
}

/** As it comes back: its question lies in the answer. */
const askedIn = ({ asked, answer }: ReturnType<typeof kept>) => ({
  octets: answer.wire,
  from: 12,
  end: 12 + asked.end - asked.from,
  mark: asked.mark,
  hash: 0,
})

function readAll(chunk: Buffer): SavedEntry[] | false {
  const entries: SavedEntry[] = []
  return readSaved(chunk, (entry) => entries.push(entry)) && entries
}

t.test('written records are read back, without the text of an extended error', async (t) => {
  const plain = kept('www.example.com')
  const failed = kept('a.example', { rcode: 2, ede: { code: 22, text: 'for who asked' } })
  const chunk = saved([plain, failed], 1000, 11_000)
  t.strictSame(readAll(chunk), [
    { asked: askedIn(plain), wire: plain.answer.wire, rcode: 0, ageMs: 10_000, leftMs: 50_000 },
    { asked: askedIn(failed), wire: failed.answer.wire, rcode: 2, ageMs: 10_000, leftMs: 50_000, ede: { code: 22 } },
  ])
  t.notOk(chunk.includes('for who asked'))
})

t.test('an invalid record is refused', async (t) => {
  const good = saved([kept('www.example.com')], 0, 0)
  const changed = (change: (copy: Buffer) => void) => {
    const copy = Buffer.from(good)
    change(copy)
    return readAll(copy)
  }
  t.equal(
    changed((copy) => copy.writeDoubleBE(Number.NaN, 12)),
    false,
    'an age that is no number',
  )
  t.equal(
    changed((copy) => copy.writeDoubleBE(-1, 12)),
    false,
    'an answer from the future',
  )
  t.equal(
    changed((copy) => copy.writeDoubleBE(1e12, 20)),
    false,
    'an answer for thirty years',
  )
  t.equal(
    changed((copy) => copy.write('X', 28 + 3 + 1, 'latin1')),
    false,
    'the key of another question',
  )
  t.equal(readAll(good.subarray(0, -1)), false, 'one that is cut off')
  t.ok(changed(() => {}))
})

t.test('any octets: no more entries than fit, and each answers its key', async () => {
  const good = saved([kept('www.example.com'), kept('b.example')], 0, 0)
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 4 }), fc.nat(good.length), (changes, cut) => {
      const copy = Buffer.from(good.subarray(0, cut))
      for (const [at, value] of changes) if (at < copy.length) copy[at] = value
      const entries: SavedEntry[] = []
      readSaved(copy, (entry) => entries.push(entry))
      return entries.every(({ asked, wire }) => asked.octets === wire && asked.mark >>> 18 === asked.end - asked.from)
    }),
    { numRuns: 2000 },
  )
})
