import t from 'tap'
import { EnigmError } from '../../../src/errors.ts'
import { DialPace } from '../../../src/link/dial/dial-pace.ts'
import { interleaved } from '../../../src/link/dial/endpoint.ts'
import { type AddressAttempt, race } from '../../../src/link/dial/race.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { codeOf } from '../../support/link-rig.ts'

/** Attempts that end when told, and a log of when each was begun. */
function scene(addresses: readonly string[], signal?: AbortSignal) {
  const clock = new FakeClock()
  const startMs = clock.nowMs()
  const begun: [string, number][] = []
  const abandoned: string[] = []
  const ends: { resolve: (v: string) => void; reject: (e: unknown) => void; progress: () => void; heard: boolean }[] = []
  const start = (address: string, progress: () => void): AddressAttempt<string> => {
    begun.push([address, clock.nowMs() - startMs])
    const end = { resolve: (_: string) => {}, reject: (_: unknown) => {}, progress, heard: false }
    const result = new Promise<string>((resolve, reject) => Object.assign(end, { resolve, reject }))
    ends.push(end)
    return { result, heard: () => end.heard, abandon: () => void abandoned.push(address) }
  }
  const won = race(addresses, start, { clock, timeoutMs: 3000, turnInMs: () => 0, ...(signal === undefined ? {} : { signal }) })
  won.catch(() => {})
  return { clock, begun, abandoned, ends, won }
}

t.test('RFC 8305: a delay of 250 ms, the first to finish wins, the others are abandoned', async (t) => {
  const { clock, begun, abandoned, ends, won } = scene(['a', 'b', 'c'])
  await clock.advance(600)
  t.same(begun, [
    ['a', 0],
    ['b', 250],
    ['c', 500],
  ])
  ends[1]?.resolve('b')
  t.equal(await won, 'b')
  t.same(abandoned.sort(), ['a', 'c'])
  t.equal(clock.timers, 0)
})

t.test('a failure starts the next attempt at once; TCP coming up restarts the delay', async (t) => {
  const { clock, begun, ends } = scene(['a', 'b', 'c'])
  await clock.advance(100)
  ends[0]?.reject(new EnigmError('connect-refused', ''))
  await clock.advance(0)
  t.same(begun, [
    ['a', 0],
    ['b', 100],
  ])
  await clock.advance(200)
  ends[1]?.progress()
  await clock.advance(249)
  t.equal(begun.length, 2)
  await clock.advance(1)
  t.same(begun[2], ['c', 550])
})

t.test('all silent: one more attempt soon, then one per second until the limit; none after a peer has sent something', async (t) => {
  const dark = scene(['a', 'b'])
  await dark.clock.advance(3000)
  t.same(dark.begun, [
    ['a', 0],
    ['b', 250],
    ['a', 600],
    ['b', 1600],
    ['a', 2600],
  ])
  t.equal(await codeOf(dark.won), 'connect-timeout')
  t.equal(dark.abandoned.length, 5)
  t.equal(dark.clock.timers, 0)
  const slow = scene(['a'])
  await slow.clock.advance(300)
  Object.assign(slow.ends[0] ?? {}, { heard: true })
  await slow.clock.advance(2400)
  t.equal(slow.begun.length, 1)
})

t.test('TCP is up, but silent: one more attempt after 2 s, because a path of 8 kbit/s needs as long for one handshake', async (t) => {
  const { clock, begun, ends } = scene(['a'])
  await clock.advance(20)
  ends[0]?.progress()
  await clock.advance(1900)
  t.equal(begun.length, 1)
  await clock.advance(100)
  t.same(begun, [
    ['a', 0],
    ['a', 2020],
  ])
  await clock.advance(1000)
  t.equal(begun.length, 2)
})

t.test('the most informative error is reported; an abort ends it with its reason', async (t) => {
  const faults = scene(['a', 'b'])
  faults.ends[0]?.reject(new EnigmError('certificate-expired', ''))
  await faults.clock.advance(0)
  faults.ends[1]?.reject(new EnigmError('connect-refused', ''))
  t.equal(await codeOf(faults.won), 'certificate-expired')
  t.equal(faults.clock.timers, 0)
  const controller = new AbortController()
  const aborted = scene(['a'], controller.signal)
  controller.abort(new EnigmError('closed', ''))
  t.equal(await codeOf(aborted.won), 'closed')
  t.same(aborted.abandoned, ['a'])
  t.equal(aborted.clock.timers, 0)
})

t.test('families alternate, the first one first', async (t) => {
  t.same(interleaved(['9.9.9.9', '149.112.112.112', '2620:fe::fe']), ['9.9.9.9', '2620:fe::fe', '149.112.112.112'])
  t.same(interleaved(['::1', '::2', '1.1.1.1']), ['::1', '1.1.1.1', '::2'])
  t.same(interleaved([]), [])
})

t.test('attempts wait for their turn', async (t) => {
  const clock = new FakeClock()
  const startMs = clock.nowMs()
  const begun: number[] = []
  const silent = (): AddressAttempt<string> => {
    begun.push(clock.nowMs() - startMs)
    return { result: new Promise(() => {}), heard: () => false, abandon: () => {} }
  }
  const pace = new DialPace(clock, () => undefined)
  pace.add({ failing: true })
  const dials = ['dot', 'doh'].map(() => codeOf(race(['a', 'b', 'c'], silent, { clock, timeoutMs: 3000, turnInMs: () => pace.turnInMs() })))
  await clock.advance(3000)
  t.same(begun, [0, 1000, 2000], 'one a second, all addresses and both transports together')
  t.same(await Promise.all(dials), ['connect-timeout', 'connect-timeout'])
  t.equal(clock.timers, 0)
})

t.test('while one link of a resolver works, no dial waits for a turn', (t) => {
  const pace = new DialPace(new FakeClock(), () => undefined)
  const [dot, doh] = [{ failing: true }, { failing: false }]
  for (const link of [dot, doh]) pace.add(link)
  t.same([pace.turnInMs(), pace.turnInMs()], [0, 0])
  doh.failing = true
  t.equal(pace.turnInMs(), 1000)
  t.end()
})
