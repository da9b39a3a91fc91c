import t from 'tap'
import { elapsedBetween } from '../../src/retention/saved-cache.ts'

const DAY_MS = 86_400_000
const at = (boot: string | undefined, bootMs: number, wallMs: number) => ({ boot, bootMs, wallMs })

t.test('within a boot boot time counts, for any wall clock', async (t) => {
  t.strictSame(elapsedBetween(at('a', 1000, 5 * DAY_MS), at('a', 4000, 0)), { ms: 3000, by: 'boot' })
  t.equal(elapsedBetween(at('a', 4000, 0), at('a', 1000, DAY_MS)), undefined, 'a machine put back to an earlier state')
})
t.test('across boots the wall clock counts', async (t) => {
  t.strictSame(elapsedBetween(at('a', 9000, DAY_MS), at('b', 1000, DAY_MS + 60_000)), { ms: 60_000, by: 'wall' })
  t.strictSame(elapsedBetween(at(undefined, 9000, DAY_MS), at(undefined, 1000, DAY_MS + 60_000)), { ms: 60_000, by: 'wall' })
})
t.test('a wall clock that went back, or is before this boot, is not trusted', async (t) => {
  t.equal(elapsedBetween(at('a', 9000, DAY_MS), at('b', 1000, DAY_MS - 1)), undefined)
  t.equal(elapsedBetween(at('a', 9000, DAY_MS), at('b', 60_000, DAY_MS + 59_999)), undefined)
})
