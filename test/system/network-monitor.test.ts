import t from 'tap'
import type { Event } from '../../src/events.ts'
import { startNetworkMonitor } from '../../src/system/network-monitor.ts'
import { FakeClock } from '../support/fake-clock.ts'

const BEAT_MS = 10_000

function scene() {
  const clock = new FakeClock()
  const events: Event[] = []
  const disturbed: string[] = []
  const network = { text: 'home', online: true }
  const monitor = startNetworkMonitor({
    clock,
    emit: (event) => void events.push(event),
    disturbed: (what, online) => void disturbed.push(`${what} ${online}`),
    read: () => ({ ...network }),
    listen: () => ({ close() {} }),
    beatMs: BEAT_MS,
  })
  return { clock, events, disturbed, network, monitor }
}

t.test('no reports without changes, however long', async (t) => {
  const { clock, events, monitor } = scene()
  for (let i = 0; i < 600; i++) {
    await clock.advance(500)
    monitor.notice()
  }
  t.strictSame(events, [])
  monitor.stop()
  t.equal(clock.timers, 0)
})

t.test('without notice calls there is no timer; with them there is one, which ends within 4 s', async (t) => {
  const { clock, events, monitor } = scene()
  t.equal(clock.timers, 0)
  monitor.notice()
  t.equal(clock.timers, 1)
  await clock.advance(1999)
  monitor.notice()
  await clock.advance(1)
  t.equal(clock.timers, 1)
  await clock.advance(2000)
  t.equal(clock.timers, 0)
  for (let i = 0; i < 60; i++) {
    await clock.advance(BEAT_MS)
    monitor.beat()
  }
  t.equal(clock.timers, 0)
  t.strictSame(events, [])
  monitor.stop()
})

t.test('after a suspend the first packet notices it before any timer, because timers stood still; it is reported once', async (t) => {
  const { clock, events, disturbed, monitor } = scene()
  await clock.advance(700)
  clock.suspend(30_000)
  t.strictSame(disturbed, [])
  monitor.notice()
  t.strictSame(disturbed, ['wake true'])
  t.match(events, [{ type: 'woke', awayMs: 30_000 }])
  monitor.notice()
  await clock.advance(10_000)
  t.equal(disturbed.length, 1)
  monitor.stop()
})

for (const [name, ms] of [
  ['five seconds', 5000],
  ['a day', 86_400_000],
] as const) {
  t.test(`a suspend of ${name} without queries: the heartbeat notices it; it is reported once`, async (t) => {
    const { clock, disturbed, monitor } = scene()
    await clock.advance(700)
    clock.suspend(ms)
    await clock.advance(BEAT_MS - 700)
    monitor.beat()
    t.strictSame(disturbed, ['wake true'])
    monitor.beat()
    await clock.advance(BEAT_MS)
    monitor.beat()
    t.equal(disturbed.length, 1)
    monitor.stop()
  })
}

t.test('SIGSTOP and SIGCONT: the timer is late by as much, and without one the heartbeat or the first packet notices', async (t) => {
  for (const seen of ['timer', 'heartbeat', 'packet'] as const) {
    const { clock, disturbed, monitor } = scene()
    await clock.advance(700)
    if (seen === 'timer') monitor.notice()
    clock.stopFor(30_000)
    if (seen === 'timer') await clock.advance(0)
    else if (seen === 'heartbeat') monitor.beat()
    else monitor.notice()
    t.strictSame(disturbed, ['wake true'], seen)
    monitor.stop()
  }
})

t.test('changes that the kernel did not report are noticed at the heartbeat', async (t) => {
  const { disturbed, network, monitor } = scene()
  network.text = 'cafe'
  monitor.beat()
  t.strictSame(disturbed, ['network true'])
  monitor.stop()
})

t.test('a loop that is busy for two seconds has not slept', async (t) => {
  const { clock, disturbed, monitor } = scene()
  for (let i = 0; i < 5; i++) {
    clock.stopFor(2000)
    monitor.notice()
    await clock.advance(100)
  }
  t.strictSame(disturbed, [])
  monitor.stop()
})

t.test('waking on another network is a change of network, reported once', async (t) => {
  const { clock, events, disturbed, network, monitor } = scene()
  await clock.advance(700)
  clock.suspend(30_000)
  network.text = 'cafe'
  network.online = false
  monitor.notice()
  t.strictSame(disturbed, ['network false'])
  t.match(events, [{ type: 'woke' }, { type: 'network.changed', online: false }])
  monitor.stop()
})

for (const [name, ms] of [
  ['a day', 86_400_000],
  ['ten years', 10 * 365.25 * 86_400_000],
] as const) {
  t.test(
    `the wall clock set by ${name}, in either direction: reported once within 2 s; it is no sleep, and needs no extra timer`,
    async (t) => {
      const { clock, events, disturbed, monitor } = scene()
      monitor.notice()
      const timers = clock.timers
      for (const byMs of [ms, -ms]) {
        disturbed.length = 0
        clock.jumpWall(byMs)
        monitor.notice()
        t.strictSame(disturbed, [])
        await clock.advance(2000)
        t.strictSame(disturbed, ['clock true'])
        t.match(events.at(-1), { type: 'clock.moved', byMs })
        for (let i = 0; i < 60; i++) {
          monitor.notice()
          await clock.advance(1000)
        }
        t.equal(disturbed.length, 1)
        t.equal(clock.timers, timers)
      }
      monitor.stop()
    },
  )
}

t.test('a clock that is slewed by 500 ppm for a day is not reported', async (t) => {
  const { clock, events, monitor } = scene()
  for (let i = 0; i < 1000; i++) {
    monitor.notice()
    await clock.advance(2000)
    clock.jumpWall(1)
  }
  t.strictSame(events, [])
  monitor.stop()
})
