import t from 'tap'
import { play } from './play.ts'

/** Seeds that once failed, and what mended them; each is played again for ever. */
const ONCE_FAILED: readonly (readonly [number, string])[] = [[38, 'an address was read as an extended error, by the game itself']]
const SEEDS = 3

t.test('hours of traffic, faults, suspends and roaming: every promise is kept', { timeout: 100_000 }, async (t) => {
  for (let seed = 101; seed < 101 + SEEDS; seed++) {
    const outcome = await play(seed, 1)
    t.same(outcome.broken, [], `seed ${seed}`)
    t.ok(outcome.queries > 100, `seed ${seed} asked ${outcome.queries}`)
  }
  for (const [seed, why] of ONCE_FAILED) t.same((await play(seed, 1)).broken, [], `seed ${seed}: ${why}`)
})

t.test('the same seed gives the same run, another one another', async (t) => {
  const [one, again, other] = [await play(7, 0.5), await play(7, 0.5), await play(8, 0.5)]
  t.same(one, again)
  t.not(one.digest, other.digest)
})
