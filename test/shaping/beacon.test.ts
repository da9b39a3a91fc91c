import t from 'tap'
import { BeaconWatch } from '../../src/shaping/beacon.ts'
import { CoverPermission } from '../../src/shaping/cover-traffic.ts'
import { PACES, type Pace } from '../../src/shaping/profiles.ts'
import { createSchedule } from '../../src/shaping/schedule.ts'
import { seededRandom } from '../support/fake-clock.ts'
import { rig } from './paced-rig.ts'

const DAY_MS = 86_400_000
const { lite, balanced } = PACES

/** Hours of a day after which no cover may be sent any more, with a query every so often. */
function lastsHours(pace: Pace, everyMs: number): number {
  const schedule = createSchedule(pace, seededRandom(1))
  const permission = new CoverPermission({ wanted: true, coversADay: pace.coversADay })
  if (pace.alwaysOn) schedule.begin(0)
  for (let askedMs = 0; askedMs < DAY_MS; askedMs += everyMs) {
    schedule.arrived(askedMs)
    while (schedule.dueMs < askedMs + everyMs) {
      const { dueMs } = schedule
      if (schedule.take(dueMs, 0).slot === 'close') continue
      permission.sent(dueMs)
      if (permission.state(dueMs) !== 'flowing') return dueMs / 3_600_000
    }
  }
  return 24
}

for (const [profile, pace] of Object.entries(PACES)) {
  t.test(`${profile}: covers last for a day, whatever asks`, (t) => {
    for (const everyMs of [1000, 7000, 31_000, 60_000]) t.equal(lastsHours(pace, everyMs), 24, `a query each ${everyMs} ms`)
    t.end()
  })
}

t.test('a beacon is told by when sessions open; people are not', (t) => {
  const found = (gapsMs: readonly number[]) => {
    const watch = new BeaconWatch()
    let nowMs = 0
    for (const gapMs of [0, ...gapsMs]) {
      nowMs += gapMs
      watch.opened(nowMs)
    }
    return watch.found(nowMs + 1000)
  }
  const random = seededRandom(7)
  const times = <T>(n: number, of: (i: number) => T) => Array.from({ length: n }, (_, i) => of(i))
  t.ok(found(times(12, () => 60_000)))
  t.ok(found(times(12, () => 270_000 + random.below(60_000))), 'with some play')
  t.ok(found([5000, ...times(11, () => 60_000)]), 'a person asks now and then besides')
  t.notOk(found(times(8, () => 60_000)), 'too few')
  t.notOk(found(times(12, () => 3_600_000)), 'once an hour costs little')
  for (let i = 0; i < 200; i++) t.notOk(found(times(12, () => Math.round(30_000 * Math.exp(random.below(4000) / 1000)))))
  const endless = new BeaconWatch()
  endless.opened(0)
  t.notOk(endless.found(600_000))
  t.ok(endless.found(3_700_000), 'a session that does not end')
  t.end()
})

t.test('it is reported once, with no name, and taken back when it is over', async (t) => {
  const brief = { ...lite, everyMs: 500, stepMs: 2000, idleMs: 500 }
  const r = rig(brief)
  const beacons = () => r.events.filter(({ type }) => type === 'shaping.beacon')
  for (let i = 0; i < 20; i++) {
    void r.ask('beacon.example')
    await r.clock.advance(60_000)
  }
  t.strictSame(beacons(), [{ type: 'shaping.beacon', resolver: 'test', transport: 'dot', found: true }])
  for (const gapMs of [5000, 90_000, 11_000, 200_000, 7000, 33_000]) {
    void r.ask()
    await r.clock.advance(gapMs)
  }
  t.match(beacons().at(-1), { found: false })
  const always = rig({ ...PACES['always-on'], everyMs: 60_000 })
  await always.clock.advance(7_200_000)
  t.notOk(
    always.events.some(({ type }) => type === 'shaping.beacon'),
    'always-on hides it',
  )
})

t.test('the budget of balanced is no larger than its schedule needs', (t) => {
  t.ok(balanced.coversADay < 42 * 86_400)
  t.end()
})
