import t from 'tap'
import { type Launcher, watchLauncher } from '../../src/system/launcher-watch.ts'
import { FakeClock } from '../support/fake-clock.ts'

/** A start whose terminal, controlling terminal and npm can be taken away. */
function scene(here: { terminal?: boolean; controlled?: boolean | undefined; npm?: boolean }) {
  const now = { terminal: false, controlled: false as boolean | undefined, npm: false, ...here }
  const clock = new FakeClock()
  const ends: string[] = []
  const start: Launcher = {
    onTerminal: () => now.terminal,
    controlled: () => now.controlled,
    npm: () => (now.npm ? { pid: 7, startedAtTicks: 'boot:1' } : undefined),
    isSame: () => now.npm,
  }
  return { now, clock, ends, tied: watchLauncher({ clock, ended: (why) => void ends.push(why), start }) }
}

t.test('SIGHUP: a lost terminal ends the process, a reload request of a person does not', (t) => {
  for (const gone of [{ terminal: false }, { controlled: false }, { terminal: false, controlled: false }]) {
    const s = scene({ terminal: true, controlled: true })
    t.equal(s.tied.hungUp(), false, 'kill -HUP in the foreground')
    Object.assign(s.now, gone)
    t.equal(s.tied.hungUp(), true)
  }
  const unknown = scene({ terminal: true, controlled: undefined })
  unknown.now.terminal = false
  t.equal(unknown.tied.hungUp(), true, 'where the system does not tell of controlling terminals')
  t.end()
})

t.test('a shell that sends SIGHUP first and ends later', async (t) => {
  const s = scene({ terminal: true, controlled: true })
  t.equal(s.tied.hungUp(), false)
  await s.clock.advance(400)
  s.now.terminal = false
  await s.clock.advance(2000)
  t.strictSame(s.ends, ['the terminal that this process was started on is gone'])
  await s.clock.advance(60_000)
  t.equal(s.ends.length, 1, 'once')
})

t.test('nohup, setsid and service managers: it continues', async (t) => {
  for (const here of [{ controlled: true }, { terminal: true }, {}]) {
    const s = scene(here)
    Object.assign(s.now, { terminal: false, controlled: false })
    t.equal(s.tied.hungUp(), false, JSON.stringify(here))
    await s.clock.advance(60_000)
    t.strictSame(s.ends, [])
  }
})

t.test('a terminal that is gone without a signal was left on purpose: later signals are reloads', (t) => {
  const s = scene({ terminal: true, controlled: true })
  s.tied.beat()
  s.now.terminal = false
  s.tied.beat()
  s.tied.beat()
  t.equal(s.tied.hungUp(), false)
  t.end()
})

t.test('npm as the starter: its end is the end, except one from which nohup protects', async (t) => {
  const killed = scene({ npm: true })
  await killed.clock.advance(5000)
  t.strictSame(killed.ends, [])
  killed.now.npm = false
  await killed.clock.advance(1000)
  t.strictSame(killed.ends, ['npm, which started this process, is gone'])

  const nohup = scene({ npm: true, controlled: true })
  nohup.now.npm = false
  t.equal(nohup.tied.hungUp(), false)
  await nohup.clock.advance(60_000)
  t.strictSame(nohup.ends, [])
  t.equal(nohup.clock.timers, 0, 'nothing more to look at')

  const late = scene({ npm: true })
  t.equal(late.tied.hungUp(), false, 'a reload')
  await late.clock.advance(10_000)
  late.now.npm = false
  await late.clock.advance(1000)
  t.equal(late.ends.length, 1)
  t.equal(scene({}).clock.timers, 0, 'without npm nothing is looked at')
})
