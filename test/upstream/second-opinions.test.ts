import t from 'tap'
import { SecondOpinions } from '../../src/upstream/second-opinions.ts'
import { FakeClock, seededRandom } from '../support/fake-clock.ts'
import { query } from '../support/messages.ts'

const name = (n: number) => query({ name: `n${n}.example` })

t.test('three at once, then three per minute; one that had an answer does not count', async (t) => {
  const clock = new FakeClock()
  const opinions = new SecondOpinions(clock, seededRandom(1))
  const taken = (count: number) => Array.from({ length: count }, (_, i) => opinions.take(name(i))).filter(Boolean).length
  t.equal(taken(50), 3)
  await clock.advance(60_000)
  t.equal(taken(50), 3)
  await clock.advance(20_000)
  for (let i = 0; i < 20; i++) {
    t.ok(opinions.take(name(i)))
    opinions.helped()
  }
  t.equal(taken(50), 1)
})

t.test('a name without an answer there either is not asked there again for five minutes, on this network', async (t) => {
  const clock = new FakeClock()
  const opinions = new SecondOpinions(clock, seededRandom(1))
  t.ok(opinions.take(name(1)))
  opinions.inVain(name(1))
  await clock.advance(290_000)
  t.notOk(opinions.take(name(1)))
  t.ok(opinions.take(name(2)))
  await clock.advance(20_000)
  t.ok(opinions.take(name(1)))
  opinions.inVain(name(1))
  opinions.clear()
  t.ok(opinions.take(name(1)))
})

t.test('bounded: of 5,000 names without an answer the last thousand are known', async (t) => {
  const clock = new FakeClock()
  const opinions = new SecondOpinions(clock, seededRandom(1))
  for (let i = 0; i < 5000; i++) opinions.inVain(name(i))
  t.notOk(opinions.take(name(4999)))
  t.ok(opinions.take(name(0)))
})
