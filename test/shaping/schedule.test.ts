import fc from 'fast-check'
import t from 'tap'
import { PACES } from '../../src/shaping/profiles.ts'
import { createSchedule, recordsAt, slotOffsetMs } from '../../src/shaping/schedule.ts'
import { seededRandom } from '../support/fake-clock.ts'

const { balanced, lite } = PACES
const always = PACES['always-on']

interface Emission {
  readonly atMs: number
  readonly session: number
  readonly openedMs: number
  readonly slot: string
}

/**
 * Runs a workload (times of real queries) in virtual time: every emission, and when sessions opened
 * and closed.
 */
function run(pace: typeof balanced, workload: readonly number[], seed: number, untilMs: number, lateMs: () => number = () => 0) {
  const schedule = createSchedule(pace, seededRandom(seed))
  const cells: Emission[] = []
  const sessions: { openedMs: number; closedMs: number }[] = []
  let queued = 0
  let next = 0
  if (pace.alwaysOn) {
    schedule.begin(0)
    sessions.push({ openedMs: 0, closedMs: Number.POSITIVE_INFINITY })
  }
  for (;;) {
    const arrivalMs = workload[next] ?? Number.POSITIVE_INFINITY
    const atMs = Math.min(arrivalMs, schedule.dueMs)
    if (atMs > untilMs) break
    if (arrivalMs <= schedule.dueMs) {
      const was = schedule.open
      schedule.arrived(arrivalMs)
      if (!was) sessions.push({ openedMs: arrivalMs, closedMs: Number.POSITIVE_INFINITY })
      queued++
      next++
      continue
    }
    const session = sessions.at(-1)
    if (session === undefined) throw new Error('a slot without a session')
    const { slot, dueMs } = schedule.take(atMs + lateMs(), queued)
    if (slot === 'close') session.closedMs = dueMs
    else cells.push({ atMs: dueMs, session: sessions.length, openedMs: session.openedMs, slot })
    if (slot === 'real') queued--
  }
  return { cells, sessions, queued, schedule }
}

t.test('noninterference: given the same opening and closing, two workloads give the same emission', async (t) => {
  const gap = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: 4000 }))
  const workload = fc.array(gap, { minLength: 1, maxLength: 120 })
  let alike = 0
  const pair = (pace: typeof balanced) => (a: readonly number[], b: readonly number[], seed: number) => {
    const times = (gaps: readonly number[]) => {
      let atMs = 500
      return gaps.map((gapMs, i) => {
        if (i > 0) atMs += gapMs
        return atMs
      })
    }
    const one = run(pace, times(a), seed, 600_000)
    const two = run(pace, times(b), seed, 600_000)
    // What is given: the first session opens with the first query, at 500 ms in both; it may end at
    // another step.
    const endMs = Math.min(one.sessions[0]?.closedMs ?? 0, two.sessions[0]?.closedMs ?? 0)
    const first = (r: typeof one) => r.cells.filter((c) => c.session === 1 && c.atMs < endMs).map((c) => c.atMs)
    if (one.sessions[0]?.closedMs === two.sessions[0]?.closedMs) alike++
    const [x, y] = [first(one), first(two)]
    return x.length > 0 && x.length === y.length && x.every((atMs, i) => atMs === y[i])
  }
  for (const pace of [lite, balanced]) {
    fc.assert(fc.property(workload, workload, fc.integer(), pair(pace)), { numRuns: 5000 })
  }
  t.ok(alike > 3000, `${alike} of 10000 pairs closed at the same step as well`)
})

t.test('always-on: two arbitrary workloads, the same emission without condition', async (t) => {
  const workload = fc.array(fc.integer({ min: 0, max: 60_000 }), { maxLength: 200 })
  let compared = 0
  fc.assert(
    fc.property(workload, workload, fc.integer(), (a, b, seed) => {
      compared++
      const sorted = (w: readonly number[]) => w.toSorted((x, y) => x - y)
      const one = run(always, sorted(a), seed, 60_000)
      const two = run(always, sorted(b), seed, 60_000)
      return one.cells.length === two.cells.length && one.cells.every((c, i) => c.atMs === two.cells[i]?.atMs)
    }),
    { numRuns: 300 },
  )
  t.equal(compared, 300)
})

t.test('a session ends at a multiple of its step, after an idle time, and not before', async (t) => {
  for (const pace of [lite, balanced]) {
    const gapMs = Math.max(pace.everyMs, ...pace.opening.map((s) => s.everyMs))
    for (const lastMs of [0, pace.stepMs - pace.idleMs - 1, pace.stepMs - pace.idleMs + gapMs + 1, pace.stepMs - 1]) {
      const workload = lastMs === 0 ? [0] : [0, lastMs]
      const { sessions } = run(pace, workload, 7, 1e6)
      const steps = (sessions[0]?.closedMs ?? 0) / pace.stepMs
      t.equal(sessions.length, 1)
      t.ok(steps >= Math.floor(steps) && (steps - Math.floor(steps)) * pace.stepMs <= gapMs, `at a step: ${steps}`)
      t.ok(Math.floor(steps) * pace.stepMs + gapMs - lastMs >= pace.idleMs, 'idle')
      t.equal(Math.floor(steps), lastMs <= pace.stepMs - pace.idleMs ? 1 : 2, `${lastMs}`)
    }
  }
})

t.test('the cells of a step are those of its rate; the opening is dense', async (t) => {
  t.equal(run(lite, [0], 1, 1e6).cells.length, 520)
  t.equal(run(balanced, [0], 1, 1e6).cells.length, 1071)
  t.equal(run(always, [], 1, 60_000).cells.length, 1200)
  t.equal(slotOffsetMs(balanced, 200), 1600)
  t.equal(slotOffsetMs(balanced, 201), 1618)
  t.equal(slotOffsetMs(balanced, 401), 5231)
})

t.test('where each step begins again, every step has the slots of the first', async (t) => {
  const pace = { ...balanced, opening: [{ cells: 7, everyMs: 10 }], everyMs: 45, stepMs: 1000, idleMs: 100, restartsEachStep: true }
  const offsets = Array.from({ length: 90 }, (_, index) => slotOffsetMs(pace, index))
  const perStep = offsets.filter((ms) => ms < 1000).length
  t.equal(perStep, 28)
  t.ok(
    offsets.every((ms, index) => Math.abs(ms - (offsets[index % perStep] ?? 0) - Math.floor(index / perStep) * 1000) < 1e-9),
    'the same distances in each',
  )
  t.ok(offsets.every((ms, index) => index === 0 || ms > (offsets[index - 1] ?? 0)))
  const busy = Array.from({ length: 60 }, (_, i) => i * 80)
  const onTime = new Set(run(pace, busy, 5, 4000).cells.map(({ atMs }) => atMs.toFixed(6)))
  const late = run(pace, busy, 5, 4000, () => 130).cells
  t.ok(
    onTime.size > 100 && late.length < onTime.size && late.every(({ atMs }) => onTime.has(atMs.toFixed(6))),
    'late ones stay on the grid',
  )
})

t.test('queries beyond the slots wait for later ones: the rate does not depend on the queue', async (t) => {
  const flood = Array.from({ length: 500 }, () => 0)
  const { cells, queued } = run(lite, flood, 3, 20_000)
  t.equal(queued, 500 - cells.filter(({ slot }) => slot === 'real').length)
  t.equal(cells.filter(({ slot }) => slot === 'more').length, 30, 'the rest of long cells')
  t.ok(cells.length >= 399 && cells.length <= 400, `${cells.length} in 20 s`)
})

t.test('a session stays open while real queries wait', async (t) => {
  const flood = Array.from({ length: 600 }, () => 0)
  const { sessions, queued } = run(lite, flood, 3, 1e6)
  t.equal(queued, 0)
  t.equal(Math.floor((sessions[0]?.closedMs ?? 0) / lite.stepMs), 2)
})

t.test('who is late loses slots, and comes back onto the same grid', async (t) => {
  const opening = [
    { cells: 200, everyMs: 10 },
    { cells: 200, everyMs: 20 },
  ]
  const dense = { ...balanced, opening, everyMs: 30, stepMs: 30_000, restartsEachStep: false }
  const schedule = createSchedule(dense, seededRandom(5))
  schedule.arrived(0)
  const firstMs = schedule.dueMs
  schedule.take(firstMs + 4, 0)
  t.equal(schedule.dueMs, firstMs + 10, 'late within a slot: nothing is lost')
  schedule.take(firstMs + 57, 0)
  t.equal(schedule.dueMs, firstMs + 60)
  schedule.take(firstMs + 2031, 1)
  t.equal(schedule.dueMs, firstMs + 2040)
  schedule.take(firstMs + 90_005, 0)
  t.ok(schedule.dueMs > firstMs + 90_005, 'a suspend of three steps: one slot, one decision')
  t.equal(schedule.take(schedule.dueMs, 0).slot, 'close')
  t.equal(schedule.dueMs, Number.POSITIVE_INFINITY)
})

t.test('the phase is random for each session', async (t) => {
  const schedule = createSchedule(lite, seededRandom(11))
  const phases = new Set<number>()
  for (let i = 0; i < 50; i++) {
    const openMs = i * 100_000
    schedule.arrived(openMs)
    const phaseMs = schedule.dueMs - openMs
    t.ok(phaseMs > 0 && phaseMs <= lite.everyMs)
    phases.add(Math.floor(phaseMs))
    while (schedule.open) schedule.take(schedule.dueMs, 0)
  }
  t.equal(schedule.sessions, 50)
  t.ok(phases.size > 25, `${phases.size} different milliseconds`)
})

t.test('ended early, it ends at its step even with waiting queries, and keeps its rate until then', async (t) => {
  const schedule = createSchedule(lite, seededRandom(2))
  schedule.arrived(0)
  schedule.take(schedule.dueMs, 1)
  schedule.endAtStep()
  let cells = 1
  while (schedule.open) if (schedule.take(schedule.dueMs, 1).slot !== 'close') cells++
  t.equal(cells, 520)
  schedule.arrived(30_000)
  t.ok(schedule.open, 'and opens again for the next query')
})

t.test('each twentieth slot begins a cell of two or three records, alternately', (t) => {
  const records = Array.from({ length: 60 }, (_, index) => recordsAt(index))
  const long = (from: number) => records.slice(from, from + 4)
  t.strictSame(
    [long(10), long(30), long(50)],
    [
      [2, 0, 1, 1],
      [3, 0, 0, 1],
      [2, 0, 1, 1],
    ],
  )
  t.equal(records.filter((n) => n === 1).length, 60 - 2 - 3 - 2)
  t.end()
})
