import t, { type Test } from 'tap'
import type { Event } from '../../../src/events.ts'
import type { Observed, PublicState } from '../../../src/system/takeover/observe.ts'
import { watchTakeover } from '../../../src/system/takeover/watch.ts'
import { FakeClock } from '../../support/fake-clock.ts'

const UNIT = { path: '/etc/systemd/system/enigm-dns-repair.path', sha256: '' }
const STATE: PublicState = { backend: 'file', owner: 'dhclient', address: '127.0.0.55', vpnDns: 'leave', files: [UNIT] }
const HELD: Observed = { takenBy: undefined, bypasses: [] }
const TAKEN: Observed = { takenBy: 'dhcpcd', bypasses: [] }

function scene(t: Test) {
  const clock = new FakeClock()
  const events: Event[] = []
  const seen = { state: STATE as PublicState | undefined, now: HELD, print: 'a', looks: 0, asked: 0, stats: 0 }
  const watch = watchTakeover({
    clock,
    emit: (event) => void events.push(event),
    run: () => Promise.reject(new Error('nothing is run here')),
    state() {
      seen.stats++
      return seen.state
    },
    print: () => seen.print,
    look() {
      seen.looks++
      return Promise.resolve(seen.now)
    },
    ask: () => void seen.asked++,
  })
  t.teardown(() => watch.stop())
  const states = () => events.map((event) => (event.type === 'seen.takeover' ? event.state : event.type))
  return { clock, watch, seen, events, states }
}

t.test('nothing is enabled: a beat is one look, and nothing is reported', async (t) => {
  const { clock, watch, seen, events } = scene(t)
  seen.state = undefined
  watch.beat()
  await clock.advance(60_000)
  watch.beat()
  t.equal(seen.stats, 2)
  t.strictSame([seen.looks, events.length], [0, 0])
})

t.test('a file that changed is looked at at once, and every ten seconds otherwise', async (t) => {
  const { clock, watch, seen, states } = scene(t)
  watch.beat()
  watch.beat()
  await clock.advance(9000)
  t.equal(seen.looks, 1)
  await clock.advance(2000)
  t.equal(seen.looks, 2)
  seen.print = 'b'
  await clock.advance(500)
  t.equal(seen.looks, 3)
  t.strictSame(states(), ['held'], 'what stays the same is reported once')
})

t.test('a command that changed the DNS has it looked at now, and waits for the report', async (t) => {
  const { watch, seen, states } = scene(t)
  watch.beat()
  await watch.look()
  t.strictSame([seen.looks, states()], [2, ['held']], 'also right after another look')
  seen.state = undefined
  await watch.look()
  t.strictSame(states(), ['held', 'off'])
  seen.state = STATE
  await watch.look()
  t.strictSame(states(), ['held', 'off', 'held'])
})

t.test('a take-over is answered three times in a minute, and then no more until it is held again', async (t) => {
  const { clock, watch, seen, events, states } = scene(t)
  watch.beat()
  await clock.advance(0)
  seen.now = TAKEN
  seen.print = 'b'
  await clock.advance(30_000)
  t.equal(seen.asked, 3)
  t.strictSame(states(), ['held', 'taken', 'given-up'])
  t.match(events.at(-1), { by: 'dhcpcd' })
  await clock.advance(300_000)
  t.equal(seen.asked, 3, 'a minute later too')
  seen.now = HELD
  await clock.advance(11_000)
  t.equal(states().at(-1), 'held')
  seen.now = TAKEN
  await clock.advance(11_000)
  t.ok(seen.asked > 3, 'taken anew')
})

t.test('where no systemd runs nothing is asked to repair, and that is reported', async (t) => {
  const { clock, watch, seen, states } = scene(t)
  seen.state = { ...STATE, files: [{ path: '/etc/resolv.conf', sha256: '' }] }
  watch.beat()
  await clock.advance(0)
  seen.now = TAKEN
  seen.print = 'b'
  await clock.advance(30_000)
  t.equal(seen.asked, 0)
  t.strictSame(states(), ['held', 'left'])
  seen.now = HELD
  await clock.advance(11_000)
  t.strictSame(states(), ['held', 'left', 'held'])
})

t.test('disabled: it says so once, and the timer ends', async (t) => {
  const { clock, watch, seen, states } = scene(t)
  watch.beat()
  await clock.advance(0)
  seen.state = undefined
  await clock.advance(1000)
  const { stats } = seen
  await clock.advance(60_000)
  t.equal(seen.stats, stats)
  t.strictSame(states(), ['held', 'off'])
  seen.state = STATE
  watch.beat()
  await clock.advance(0)
  t.strictSame(states(), ['held', 'off', 'held'])
})
