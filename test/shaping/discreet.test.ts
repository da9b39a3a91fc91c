import t from 'tap'
import { redactedCounts } from '../../src/shaping/profiles.ts'

const cache = { entries: 37, bytes: 70_000, maxBytes: 100_000, hits: 5, misses: 12, stale: 1, renewed: 3 }

t.test('without a schedule all counts are reported', async (t) => {
  for (const profile of ['off', 'jitter']) t.strictSame(redactedCounts(profile, cache), cache)
})

t.test('with one, only sizes, to the next power of two and never above the limit', async (t) => {
  for (const profile of ['lite', 'balanced', 'always-on']) {
    t.strictSame(redactedCounts(profile, cache), { entries: 64, bytes: 100_000, maxBytes: 100_000 })
  }
  t.strictSame(redactedCounts('lite', { entries: 0, bytes: 0, maxBytes: 1 }), { entries: 0, bytes: 0, maxBytes: 1 })
})
