import t from 'tap'
import { EnigmError } from '../../src/errors.ts'
import { PACES, STANDBY } from '../../src/shaping/profiles.ts'
import { standBy } from '../../src/shaping/standby.ts'
import { rig } from './paced-rig.ts'
import { QuickClock } from './quick-clock.ts'

/** Steps of 5 s instead of ten minutes. */
const BRIEF = { ...STANDBY, stepMs: 5000, idleMs: 5000 }

/** A link that is always on and one that stands by for it, on one clock. */
function pair() {
  const clock = new QuickClock()
  const first = rig(PACES['always-on'], { clock })
  const second = rig(BRIEF, { clock, seed: 2 })
  standBy([[first.shaped, second.shaped]])
  return { clock, first, second }
}

t.test('a link in standby refuses queries, and none opens it', async (t) => {
  const { clock, second } = pair()
  t.equal(second.shaped.state, 'standby')
  t.equal(await second.ask(), 'overloaded')
  await clock.advance(5000)
  t.equal(second.link.seen.length, 0)
})

for (const [why, fail] of [
  [
    'its dials fail',
    (link: ReturnType<typeof rig>['link']) => {
      link.dialError = new EnigmError('connect-refused', 'no')
      link.up = false
    },
  ],
  [
    'its covers meet SERVFAIL',
    (link: ReturnType<typeof rig>['link']) => {
      link.rcode = 2
    },
  ],
  [
    'its covers meet silence',
    (link: ReturnType<typeof rig>['link']) => {
      link.rttMs = 60_000
    },
  ],
] as const) {
  t.test(`the link before it fails (${why}): its session opens without a query, and ends at its step in any case`, async (t) => {
    const { clock, first, second } = pair()
    await clock.advance(1000)
    t.equal(first.shaped.state, 'serving')
    fail(first.link)
    await clock.advance(4000)
    t.equal(first.shaped.state, 'failing')
    t.equal(second.shaped.state, 'serving')
    t.ok(second.link.records.length > 10)
    const needed = second.link.records.length
    await clock.advance(12_000)
    t.ok(second.link.records.length - needed > 230, 'it goes on while it is needed')
    first.link.dialError = undefined
    first.link.rcode = 0
    first.link.rttMs = 20
    await clock.advance(1000)
    t.equal(first.shaped.state, 'serving')
    for (let i = 0; i < 40 && second.shaped.state === 'serving'; i++) {
      void second.ask()
      await clock.advance(300)
    }
    t.equal(second.shaped.state, 'standby', 'though it was asked all the time')
  })
}

t.test('REFUSED is about covers: the link does not fail', async (t) => {
  const { clock, first, second } = pair()
  first.link.rcode = 5
  await clock.advance(10_000)
  t.equal(first.shaped.state, 'serving')
  t.equal(second.link.seen.length, 0)
})

t.test('no outcome of a name makes a link fail', async (t) => {
  const { clock, first, second } = pair()
  for (let i = 0; i < 30; i++) {
    void first.ask('a.silent.example', { deadlineMs: 10 })
    await clock.advance(200)
  }
  t.equal(first.shaped.state, 'serving')
  t.equal(second.link.seen.length, 0)
})

t.test('a link in two groups is open while one of them needs it', async (t) => {
  const clock = new QuickClock()
  const general = rig(PACES['always-on'], { clock })
  const zone = rig(PACES['always-on'], { clock, seed: 2 })
  const last = rig(BRIEF, { clock, seed: 3 })
  standBy([
    [general.shaped, zone.shaped, last.shaped],
    [zone.shaped, last.shaped],
  ])
  t.strictSame([general.shaped.state, zone.shaped.state, last.shaped.state], ['serving', 'serving', 'standby'])
})
