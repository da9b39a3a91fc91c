import t from 'tap'
import { watchNetwork } from '../../src/system/network-monitor.ts'
import { FakeClock } from '../support/fake-clock.ts'

/** A network that is what the test says, with a kernel that tells of it or not. */
function scene(tells: boolean) {
  const clock = new FakeClock()
  const told: string[] = []
  const now = { text: 'home', online: true }
  let heard = () => {}
  let looks = 0
  const watch = watchNetwork({
    clock,
    changed: ({ text, online }) => void told.push(`${text} ${online}`),
    read: () => {
      looks++
      return { ...now }
    },
    listen: (fn) => {
      heard = fn
      return tells ? { close: () => {} } : undefined
    },
  })
  const become = (text: string, online = true) => {
    now.text = text
    now.online = online
    if (tells) heard()
  }
  return { clock, now, told, watch, become, hear: () => heard(), looks: () => looks }
}

t.test('changes reported by the kernel are passed on at once; a repeated one only once', async (t) => {
  const { clock, told, watch, become, hear } = scene(true)
  await clock.advance(1000)
  become('cafe')
  t.strictSame(told, ['cafe true'])
  hear()
  await clock.advance(1000)
  t.strictSame(told, ['cafe true'])
  t.equal(watch.how, 'kernel')
  become('', false)
  t.strictSame(told, ['cafe true', ' false'])
  t.notOk(watch.online)
  watch.stop()
  t.equal(clock.timers, 0)
})

t.test(
  'a network that comes up in twelve steps: reported at once, the last within half a second; one that never settles, twice a second',
  async (t) => {
    const { clock, told, watch, become } = scene(true)
    await clock.advance(1000)
    for (let step = 0; step < 12; step++) {
      become(`step ${step}`)
      if (step < 8) t.equal(told.at(-1), `step ${step} true`)
      await clock.advance(25)
    }
    await clock.advance(500)
    t.equal(told.at(-1), 'step 11 true')
    const before = told.length
    for (let step = 0; step < 1000; step++) {
      become(`flap ${step}`)
      await clock.advance(25)
    }
    t.ok(told.length - before <= 50 + 8, `told ${told.length - before} times in 25 s`)
    watch.stop()
  },
)

t.test('away and back between two reports is a change: the connections did not survive it', async (t) => {
  const { clock, told, watch, become } = scene(true)
  await clock.advance(1000)
  become('')
  await clock.advance(60)
  become('home')
  await clock.advance(60)
  t.strictSame(told, [' true', 'home true'])
  watch.stop()
})

t.test('a path after there was none is reported at once, however much was reported just before', async (t) => {
  const { clock, told, watch, become } = scene(true)
  await clock.advance(1000)
  become('', false)
  await clock.advance(21)
  become('address', false)
  await clock.advance(21)
  become('address, route')
  t.strictSame(told, [' false', 'address false', 'address, route true'])
  await clock.advance(5000)
  t.equal(told.length, 3)
  watch.stop()
})

t.test('a flood of messages without a change costs fifty checks per second', async (t) => {
  const { clock, told, watch, hear, looks } = scene(true)
  await clock.advance(100)
  const before = looks()
  for (let i = 0; i < 1000; i++) {
    hear()
    await clock.advance(1)
  }
  t.ok(looks() - before <= 51, `${looks() - before} looks`)
  t.equal(told.length, 0)
  watch.stop()
})

t.test('without kernel reports there is a check every 500 ms; with them only on a report', async (t) => {
  const silent = scene(false)
  t.equal(silent.watch.how, 'polling')
  silent.become('cafe')
  await silent.clock.advance(500)
  t.strictSame(silent.told, ['cafe true'])
  silent.watch.stop()

  const forgetful = scene(true)
  forgetful.now.text = 'cafe'
  t.equal(forgetful.clock.timers, 0)
  await forgetful.clock.advance(60_000)
  t.strictSame(forgetful.told, [])
  forgetful.watch.look()
  t.strictSame(forgetful.told, ['cafe true'])
  forgetful.watch.stop()
  forgetful.become('train')
  await forgetful.clock.advance(60_000)
  t.equal(forgetful.told.length, 1, 'nothing after stop')
})
