import t from 'tap'
import { IdleWindow } from '../../src/link/silence-detector.ts'
import { upScene } from '../support/on-demand-scene.ts'

t.test('the time doubles while connections survive, up to 240 s', async (t) => {
  const window = new IdleWindow()
  t.equal(window.ms, 30_000)
  window.survived(14_000)
  t.equal(window.ms, 30_000)
  for (const [idleMs, ms] of [
    [20_000, 60_000],
    [50_000, 120_000],
    [100_000, 240_000],
    [200_000, 240_000],
  ] as const) {
    window.survived(idleMs)
    t.equal(window.ms, ms)
  }
})

t.test(
  'if a device on the path forgets a connection after a minute, the idle time is at most half of that; on another network it may be longer',
  async (t) => {
    const window = new IdleWindow()
    window.survived(20_000)
    window.survived(40_000)
    window.diedAfter(60_000)
    t.equal(window.ms, 30_000)
    window.survived(29_000)
    t.equal(window.ms, 30_000)
    window.diedAfter(1000)
    t.equal(window.ms, 30_000, 'a death after a second has nothing to do with idling')
    window.anotherPath()
    window.survived(20_000)
    t.equal(window.ms, 60_000)
  },
)

t.test('the idle time of the resolver is remembered on every network', async (t) => {
  const window = new IdleWindow()
  window.closedAfter(20_000)
  t.equal(window.ms, 18_000)
  window.anotherPath()
  t.equal(window.ms, 18_000)
})

t.test('a link: used again after 20 s it is kept for a minute; after a silent death at 50 s, for 25 s', async (t) => {
  const { ask, dial, clock, carrier } = await upScene()
  await clock.advance(20_000)
  const second = ask()
  carrier.answer()
  await second
  await clock.advance(50_000)
  t.notOk(carrier.destroyed)
  const third = ask()
  await clock.advance(300)
  const fresh = await dial(1).up()
  fresh.answer()
  t.equal(await third, 'answered')
  await clock.advance(1000)
  t.ok(carrier.destroyed)
  const fourth = ask()
  fresh.answer()
  await fourth
  await clock.advance(24_000)
  t.notOk(fresh.destroyed)
  await clock.advance(2000)
  t.ok(fresh.destroyed)
})

t.test('a link that its resolver closes at 20 s is closed by us before that the next time', async (t) => {
  const { ask, dial, clock, carrier } = await upScene()
  await clock.advance(20_000)
  carrier.die()
  const next = ask()
  const fresh = await dial(1).up()
  fresh.answer()
  await next
  await clock.advance(17_900)
  t.notOk(fresh.destroyed)
  await clock.advance(200)
  t.ok(fresh.destroyed)
})

t.test(
  'a link on a path that forgets connections early: the idle time that its resolver states does not prolong the learnt one',
  async (t) => {
    const { ask, dial, clock, carrier } = await upScene()
    carrier.idleMs = 20_000
    await clock.advance(10_000)
    const lost = ask()
    await clock.advance(300)
    const fresh = await dial(1).up()
    fresh.idleMs = 20_000
    fresh.answer()
    await lost
    await clock.advance(1000)
    const next = ask()
    fresh.answer()
    await next
    await clock.advance(4900)
    t.notOk(fresh.destroyed)
    await clock.advance(200)
    t.ok(fresh.destroyed, 'half of the 10 s that a connection did not survive')
  },
)

t.test('a link that learnt 60 s is closed after the 45 s that its resolver states', async (t) => {
  const { ask, clock, carrier } = await upScene()
  carrier.idleMs = 45_000
  await clock.advance(20_000)
  const second = ask()
  carrier.answer()
  await second
  await clock.advance(44_000)
  t.notOk(carrier.destroyed)
  await clock.advance(2000)
  t.ok(carrier.destroyed)
})
