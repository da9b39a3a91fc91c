import t from 'tap'
import { type Clock, systemClock } from '../src/clock.ts'

const clock: Clock = systemClock()
const at = (dueMs: number) =>
  new Promise<{ readonly preparedMs: number; readonly calledMs: number }>((resolve) => {
    let preparedMs = Number.NaN
    const prepare = () => {
      preparedMs = clock.nowMs()
    }
    clock.setExactTimer(dueMs, prepare, () => resolve({ preparedMs, calledMs: clock.nowMs() }))
  })
/** An exact timer does not keep the process alive. */
const alive = setInterval(() => {}, 1000)
t.teardown(() => clearInterval(alive))

t.test('an exact timer is never early, prepares before its time, and fires once', async (t) => {
  for (const waitMs of [0.2, 1.5, 3.3, 12.7, 40.1]) {
    const dueMs = clock.nowMs() + waitMs
    const { preparedMs, calledMs } = await at(dueMs)
    t.ok(calledMs >= dueMs, `${waitMs}: ${(calledMs - dueMs).toFixed(3)} ms late`)
    t.ok(preparedMs <= calledMs)
  }
})

t.test('a time in the past fires now', async (t) => {
  const { calledMs } = await at(clock.nowMs() - 10)
  t.ok(calledMs > 0)
})

t.test('cancelled, it calls nothing: before the turn ends and while it waits; after its preparation it cannot be cancelled', async (t) => {
  const called: string[] = []
  const set = (what: string, inMs: number) =>
    clock.setExactTimer(
      clock.nowMs() + inMs,
      () => {},
      () => called.push(what),
    )
  set('at once', 5).cancel()
  const later = set('later', 15)
  set('kept', 8)
  await at(clock.nowMs() + 3)
  later.cancel()
  later.cancel()
  await at(clock.nowMs() + 25)
  t.same(called, ['kept'])
})
