import t from 'tap'
import * as v from 'valibot'
import { policySchema } from '../../src/config/policy.ts'
import type { Event } from '../../src/events.ts'
import type { StatusDocument } from '../../src/posture/document.ts'
import { createMonitor } from '../../src/posture/monitor.ts'
import type { PostureSetup } from '../../src/posture/state.ts'
import { PROOF_OLD_MS } from '../../src/posture/verdict.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { AUTHENTICATED, answered, failed, SETUP, started, up } from './evidence.ts'

function rig(counts: { hits?: number; misses?: number } = { hits: 0, misses: 0 }, setup: PostureSetup = SETUP) {
  const clock = new FakeClock()
  const disk: { writes: StatusDocument[]; withdrawn: number; broken: boolean } = { writes: [], withdrawn: 0, broken: false }
  const monitor = createMonitor({
    setup,
    writer: { version: '0.1.0', pid: 42, heartbeatS: 10 },
    clock,
    gate() {},
    counts: () => ({ entries: 0, bytes: 0, maxBytes: 1, ...counts }),
    file: {
      replace(text) {
        if (!disk.broken) disk.writes.push(JSON.parse(text))
        return !disk.broken
      },
      withdraw: () => void disk.withdrawn++,
    },
  })
  return { clock, disk, monitor, states: () => disk.writes.map((d) => d.state) }
}

/** A rig that has started and has had an answer of each resolver. */
async function proven() {
  const r = rig()
  r.monitor.start()
  for (const e of [started, up('a'), answered('a'), answered('b')]) r.monitor.emit(e)
  await r.clock.advance(0)
  r.disk.writes.length = 0
  return r
}

t.test(
  'a change for the worse is written when emit returns, one for the better at the end of the turn; an equal answer writes nothing',
  async (t) => {
    const { monitor, states, disk, clock } = rig()
    monitor.start()
    t.same(states(), ['offline'])
    monitor.emit(started)
    monitor.emit(up('a'))
    monitor.emit(answered('a'))
    t.equal(states().at(-1), 'offline', 'the first answer does not wait for the disk')
    await clock.advance(0)
    t.equal(states().at(-1), 'protected')
    const before = disk.writes.length
    for (let i = 0; i < 1000; i++) monitor.emit(answered('a'))
    await clock.advance(0)
    t.equal(disk.writes.length, before)
    monitor.emit(failed('a'))
    t.equal(states().at(-1), 'offline')
    monitor.emit(answered('a'))
    monitor.emit(failed('a'))
    await clock.advance(0)
    t.equal(states().at(-1), 'offline', 'what was better for less than a turn is never told')
    monitor.emit(answered('a'))
    await clock.advance(0)
    t.equal(states().at(-1), 'protected')
    monitor.stop()
  },
)

t.test('the heartbeat writes at its own interval, for any queries', async (t) => {
  const { monitor, clock, disk } = await proven()
  await clock.advance(35_000)
  t.equal(disk.writes.length, 3)
  t.same(
    disk.writes.map((d) => Date.parse(d.updatedAt) % 10_000),
    disk.writes.map(() => Date.parse(disk.writes[0]?.updatedAt ?? '') % 10_000),
  )
  t.equal(clock.timers, 1)
  monitor.stop()
  t.equal(clock.timers, 0)
})

t.test('the trend of the median round trip: recorded at heartbeats, bounded, and without times', async (t) => {
  const { monitor, clock, disk } = await proven()
  const medians = () => disk.writes.at(-1)?.resolvers.map(({ rttMs }) => rttMs?.medians)
  await clock.advance(10_000)
  t.same(medians(), [[12], [12]])
  await clock.advance(600_000)
  t.same(medians(), [[12], [12]], 'ten minutes in which nobody asks leave no trace')
  for (let i = 0; i < 9; i++) monitor.emit(answered('a', { rttMs: 30.4 }))
  t.same(medians(), [[12], [12]], 'and no answer does before the heartbeat')
  await clock.advance(10_000)
  t.same(medians(), [[12, 30], [12]])
  for (let beat = 0; beat < 40; beat++) {
    for (let i = 0; i < 256; i++) monitor.emit(answered('a', { rttMs: 40 + beat }))
    await clock.advance(10_000)
  }
  t.same(
    medians()?.[0],
    Array.from({ length: 20 }, (_, i) => 60 + i),
  )
  monitor.stop()

  const discreet = rig({})
  discreet.monitor.start()
  for (const e of [started, up('a'), answered('a')]) discreet.monitor.emit(e)
  await discreet.clock.advance(10_000)
  t.match(discreet.disk.writes.at(-1)?.resolvers[0]?.rttMs, { p50: 12 })
  t.notHas(discreet.disk.writes.at(-1)?.resolvers[0]?.rttMs, { medians: [] }, 'not where misses are not told')
  discreet.monitor.stop()
})

t.test('a late heartbeat is distinguished from a sleep', async (t) => {
  const { monitor, clock, disk } = await proven()
  const setTimer = clock.setTimer.bind(clock)
  clock.setTimer = (delayMs, fn) => setTimer(delayMs + 700, fn)
  await clock.advance(10_000)
  await clock.advance(10_700)
  t.match(disk.writes.at(-1)?.signals.service, { state: 'warn', reasons: [{ code: 'event-loop-late' }] })
  clock.setTimer = (delayMs, fn) => setTimer(delayMs + 50_000, fn)
  await clock.advance(10_700)
  await clock.advance(60_000)
  t.match(disk.writes.at(-1)?.signals.service, { state: 'ok', reasons: [{ code: 'was-asleep' }] })
  monitor.stop()
})

t.test('flapping: changes for the worse are written at once, those for the better at most five times per heartbeat', async (t) => {
  const { monitor, clock, disk, states } = await proven()
  for (let i = 0; i < 200; i++) {
    monitor.emit(failed('a'))
    monitor.emit(failed('b'))
    t.equal(states().at(-1), 'offline', 'never better than the truth')
    monitor.emit(answered('a'))
    monitor.emit(answered('b'))
    await clock.advance(0)
  }
  t.ok(disk.writes.length <= 25, `${disk.writes.length} writes`)
  await clock.advance(10_000)
  t.equal(states().at(-1), 'protected')
  monitor.stop()
})

t.test('a failing disk keeps no false file, and recovers with the heartbeat', async (t) => {
  const { monitor, clock, disk, states } = await proven()
  disk.broken = true
  await clock.advance(10_000)
  t.equal(disk.withdrawn, 0, 'what is on file is still true')
  monitor.emit(failed('a'))
  monitor.emit(failed('b'))
  t.equal(disk.withdrawn, 1)
  disk.broken = false
  await clock.advance(10_000)
  t.same(states(), ['offline'])
  monitor.stop()
})

t.test('the last document has the reason stopped, and nothing comes after it', async (t) => {
  const { monitor, clock, disk } = await proven()
  monitor.emit({ type: 'service.stopping' })
  monitor.stop()
  t.match(disk.writes.at(-1), { state: 'offline', signals: { service: { state: 'off', reasons: [{ code: 'stopped' }] } } })
  const count = disk.writes.length
  for (const e of [started, answered('a')] satisfies Event[]) monitor.emit(e)
  await clock.advance(60_000)
  t.equal(disk.writes.length, count)
})

t.test('an accepted reload clears the refusal and starts new resolvers unproven', async (t) => {
  const { monitor, disk } = await proven()
  monitor.emit({ type: 'reload.refused', message: 'listen[0]: not an address' })
  t.match(disk.writes.at(-1), { state: 'protected', signals: { service: { state: 'warn', reasons: [{ code: 'reload-refused' }] } } })
  monitor.reconfigure({ ...SETUP, resolvers: [{ id: 'c', operator: 'C', transports: ['doh'] }] }, 'gone')
  t.match(disk.writes.at(-1), { state: 'offline', signals: { service: { state: 'ok' } }, resolvers: [{ id: 'c', state: 'untried' }] })
  t.equal(monitor.document().state, 'offline')
  monitor.stop()
})

t.test('everything that a verdict reads is written when emit returns: the signer, and events after a long silence', async (t) => {
  const policy = v.parse(policySchema, { pins: 'required' })
  const resolvers = [{ id: 'a', operator: 'A', transports: ['dot'] as const, pins: 1 }]
  const pinned = rig(undefined, { ...SETUP, resolvers, policy })
  pinned.monitor.start()
  for (const e of [started, up('a'), answered('a')]) pinned.monitor.emit(e)
  await pinned.clock.advance(0)
  t.equal(pinned.states().at(-1), 'protected')
  const byCa = { ...AUTHENTICATED, by: 'ca' } as const
  pinned.monitor.emit({ type: 'upstream.answered', resolver: 'a', transport: 'dot', rttMs: 1, protection: byCa, paddedReply: true })
  t.equal(pinned.states().at(-1), 'degraded', 'an answer that no pin vouches for')
  pinned.monitor.stop()

  const lax = rig(undefined, { ...SETUP, usageProfile: 'opportunistic' })
  lax.monitor.start()
  for (const e of [started, answered('a', { plain: true }), answered('b')]) lax.monitor.emit(e)
  t.equal(lax.states().at(-1), 'exposed')
  await lax.clock.advance(PROOF_OLD_MS + 10_000)
  t.equal(lax.states().at(-1), 'protected', 'what was not authenticated is long past')
  lax.monitor.emit(answered('a', { plain: true }))
  t.equal(lax.states().at(-1), 'exposed', 'and flows again')
  lax.monitor.stop()
})
