import fc from 'fast-check'
import t from 'tap'
import { Deadlines } from '../src/deadlines.ts'
import { FakeClock } from './support/fake-clock.ts'

t.test('beyond the range of the wheel, and over a suspend: each once, in order, none early', async (t) => {
  const inMs = fc.oneof(fc.integer({ min: 0, max: 200 }), fc.integer({ min: 8_000, max: 300_000 }))
  await fc.assert(
    fc.asyncProperty(fc.array(inMs, { minLength: 1, maxLength: 12 }), fc.integer({ min: 7_000, max: 200_000 }), async (wishes, stepMs) => {
      const clock = new FakeClock()
      const startMs = clock.nowMs()
      const deadlines = new Deadlines(clock)
      const fired: { inMs: number; atMs: number }[] = []
      for (const inMs of wishes) deadlines.add(startMs + inMs, () => void fired.push({ inMs, atMs: clock.nowMs() - startMs }))
      for (let atMs = 0; atMs <= 300_100; atMs += stepMs) await clock.advance(stepMs)
      t.same(
        fired.map(({ inMs }) => inMs).sort((a, b) => a - b),
        [...wishes].sort((a, b) => a - b),
      )
      const ticks = fired.map(({ inMs }) => Math.ceil((startMs + inMs) / 8))
      t.same(
        ticks,
        [...ticks].sort((a, b) => a - b),
      )
      for (const { inMs, atMs } of fired) t.ok(atMs >= inMs)
      t.equal(clock.timers, 0)
    }),
    { numRuns: 30 },
  )
})

t.test('an error in one callback does not lose later ones', async (t) => {
  const clock = new FakeClock()
  const deadlines = new Deadlines(clock)
  const called: string[] = []
  deadlines.add(clock.nowMs() + 5, () => {
    throw new Error('a bug')
  })
  deadlines.add(clock.nowMs() + 5, () => called.push('second'))
  await t.rejects(clock.advance(10), { message: 'a bug' })
  await clock.advance(10)
  t.same(called, ['second'])
})

t.test('never early, at most a tick late, in order, with one timer; none is left', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ inMs: fc.integer({ min: 0, max: 5000 }), removed: fc.boolean() }), { maxLength: 30 }),
      async (wishes) => {
        const clock = new FakeClock()
        const startMs = clock.nowMs()
        const deadlines = new Deadlines(clock)
        const fired: { wish: number; atMs: number }[] = []
        const set = wishes.map(({ inMs }, wish) =>
          deadlines.add(startMs + inMs, () => void fired.push({ wish, atMs: clock.nowMs() - startMs })),
        )
        t.equal(clock.timers, wishes.length === 0 ? 0 : 1)
        wishes.forEach(({ removed }, i) => {
          const deadline = set[i]
          if (removed && deadline !== undefined) deadlines.remove(deadline)
        })
        await clock.advance(5100)
        const expected = wishes.map((wish, i) => ({ ...wish, i })).filter(({ removed }) => !removed)
        t.same(fired.map(({ wish }) => wish).sort(), expected.map(({ i }) => i).sort())
        for (const { wish, atMs } of fired) {
          const inMs = wishes[wish]?.inMs ?? 0
          t.ok(atMs >= inMs && atMs <= inMs + 8)
        }
        t.equal(clock.timers, 0)
      },
    ),
    { numRuns: 40 },
  )
})

t.test('the timer stops with the last deadline; one set while another fires is kept', async (t) => {
  const clock = new FakeClock()
  const deadlines = new Deadlines(clock)
  const one = deadlines.add(clock.nowMs() + 100, () => t.fail('removed'))
  deadlines.remove(one)
  deadlines.remove(one)
  t.equal(clock.timers, 0)
  let fired = 0
  deadlines.add(clock.nowMs() + 10, () => {
    fired++
    deadlines.add(clock.nowMs(), () => fired++)
  })
  await clock.advance(30)
  t.equal(fired, 2)
  t.equal(clock.timers, 0)
})
