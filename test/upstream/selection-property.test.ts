import fc from 'fast-check'
import t from 'tap'
import type { ErrorCode } from '../../src/errors.ts'
import type { Authenticated } from '../../src/resolve.ts'
import { ON_DEMAND } from '../../src/upstream/path-health.ts'
import { createSelection } from '../../src/upstream/selection.ts'
import { FakeClock, seededRandom } from '../support/fake-clock.ts'
import { type Act, answers, FakeUpstream, fails, MESSAGE, reached, reply, WatchedClock, watch } from './fakes.ts'

const code = fc.constantFrom<ErrorCode>(
  'connect-refused',
  'connect-timeout',
  'connection-lost',
  'certificate-expired',
  'pin-mismatch',
  'overloaded',
  'closed',
  'deadline',
  'internal',
)
const afterMs = fc.oneof(fc.integer({ min: 0, max: 60 }), fc.integer({ min: 0, max: 5000 }))
const act: fc.Arbitrary<Act> = fc.oneof(
  fc.constantFrom<Act>('dark', 'hangs'),
  fc.tuple(code, afterMs).map(([c, ms]) => fails(c, ms)),
  afterMs.map((ms) => answers(ms)),
  fc
    .tuple(afterMs, fc.constantFrom(2, 5, 4, 1), fc.constantFrom(undefined, 6, 17, 22))
    .map(([ms, rcode, ede]) => answers(ms, reply({ rcode, ...(ede === undefined ? {} : { ede }) }))),
)
const step = fc.record({
  acts: fc.array(act, { minLength: 5, maxLength: 5 }),
  queries: fc.integer({ min: 1, max: 4 }),
  budgetMs: fc.integer({ min: 1, max: 5000 }),
  pauseMs: fc.integer({ min: 0, max: 4000 }),
})

/** How often it was asked, where that told it anything. */
const toldBy = (u: FakeUpstream) => u.queries.filter((call) => call.told).length

t.test('for any behaviour of resolvers: at most 3 learn a name, it settles by the deadline, and no timer is left', async (t) => {
  let answered = 0
  let rejected = 0
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 5 }),
      fc.array(step, { minLength: 1, maxLength: 5 }),
      fc.integer(),
      async (count, steps, seed) => {
        const clock = new FakeClock()
        const watched = new WatchedClock(clock)
        const upstreams = [...'abcde'].slice(0, count).map((id) => new FakeUpstream(id, clock, 'dark'))
        const selection = createSelection<Authenticated>({
          manner: ON_DEMAND,
          upstreams,
          clock: watched,
          random: seededRandom(seed),
          emit: () => {},
        })
        for (const { acts, queries, budgetMs, pauseMs } of steps) {
          upstreams.forEach((u, i) => {
            u.act = acts[i]!
          })
          const deadlineMs = clock.nowMs() + budgetMs
          const before = upstreams.map(toldBy)
          const seen = Array.from({ length: queries }, () =>
            watch(clock, reached(selection, MESSAGE, false, { purpose: 'client', deadlineMs })),
          )
          await clock.advance(budgetMs)
          for (const { atMs, code, value } of seen) {
            if (atMs === undefined || atMs > deadlineMs) return false
            if (code?.startsWith('not ours')) return false
            if (value === undefined) rejected++
            else answered++
          }
          const asked = upstreams.map((u, i) => toldBy(u) - before[i]!)
          if (asked.some((n) => n > queries) || asked.reduce((a, b) => a + b, 0) > 3 * queries) return false
          // What is left can only be one probe timer for a resolver that failed, and none with a
          // single resolver.
          if (watched.live > count - 1) return false
          await clock.advance(pauseMs)
        }
        await selection.close()
        return watched.live === 0
      },
    ),
    { numRuns: 200, seed: 3 },
  )
  t.ok(answered > 100 && rejected > 100, `both ends were seen: ${answered} answered, ${rejected} rejected`)
})

t.test('with one healthy resolver among up to five that fail in any way, two of them silent, every query is answered', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(act, { minLength: 1, maxLength: 2 }), fc.nat(), fc.integer({ min: 1, max: 40 }), async (acts, at, rttMs) => {
      const clock = new FakeClock()
      const bad = acts.filter((a) => typeof a === 'string' || 'code' in a)
      const all: Act[] = [...bad]
      all.splice(at % (bad.length + 1), 0, answers(rttMs))
      const upstreams = all.map((a, i) => new FakeUpstream('abcde'[i]!, clock, a))
      const selection = createSelection<Authenticated>({ manner: ON_DEMAND, upstreams, clock, random: seededRandom(at), emit: () => {} })
      const first = watch(clock, reached(selection, MESSAGE, false, { purpose: 'client', deadlineMs: clock.nowMs() + 4000 }))
      await clock.advance(bad.length * 300 + rttMs)
      return first.value !== undefined
    }),
    { numRuns: 200, seed: 5 },
  )
  t.pass('answered')
})
