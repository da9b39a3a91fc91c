import { equal } from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { EnigmError } from '../src/errors.ts'
import { type Entered, Job, type Outcome, type Stage } from '../src/job.ts'
import type { Answer } from '../src/resolve.ts'
import { ask, good } from './cache/scene.ts'
import { asked, endsIn, through } from './support/stages.ts'

const CLIENT = { purpose: 'client', deadlineMs: 4000 } as const

/** What one stage does with a question: on its way down, and on its way up. */
interface Habit {
  readonly down: 'on' | 'answered' | 'throws' | 'waits-in-call' | 'waits' | 'waits-then-answers'
  readonly up: 'on' | 'throws' | 'waits' | 'waits-in-call' | 'absent'
}
const HABIT = fc.record<Habit>({
  down: fc.constantFrom('on', 'on', 'on', 'answered', 'throws', 'waits-in-call', 'waits', 'waits-then-answers'),
  up: fc.constantFrom('on', 'on', 'throws', 'waits', 'waits-in-call', 'absent'),
})

/** A stage of that habit, which writes down what is done with it. */
function habitual({ down, up }: Habit, i: number, seen: string[]): Stage {
  const soon = (job: Job, outcome?: Answer) =>
    queueMicrotask(() => {
      if (outcome !== undefined) job.outcome = outcome
      job.resume(stage)
      job.resume(stage)
    })
  const enter = (job: Job): Entered => {
    seen.push(`enter ${i}`)
    if (down === 'throws') throw new Error('as the test wishes')
    if (down === 'answered') job.outcome = good(i)
    if (down === 'waits') soon(job)
    if (down === 'waits-then-answers') soon(job, good(i))
    if (down === 'waits-in-call') job.resume(stage)
    return down === 'on' || down === 'answered' ? down : 'waits'
  }
  const leave = (job: Job) => {
    seen.push(`leave ${i}`)
    if (job.outcome === undefined) seen.push('left without an outcome')
    if (up === 'throws') throw new EnigmError('deadline', 'as the test wishes')
    if (up === 'waits') soon(job)
    if (up === 'waits-in-call') job.resume(stage)
    return up === 'on' ? 'on' : 'waits'
  }
  const stage: Stage = up === 'absent' ? { enter } : { enter, leave }
  return stage
}

t.test('for any stages: one outcome, and each stage that returned on or waits is left exactly once, in reverse', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(HABIT, { maxLength: 6 }), async (habits) => {
      const seen: string[] = []
      const outcomes: Outcome[] = []
      const stages = [...habits.map((habit, i) => habitual(habit, i, seen)), { enter: (job: Job) => end(job) }]
      const end = (job: Job): Entered => {
        job.outcome = good(99)
        return 'answered'
      }
      new Job(stages, ask(), CLIENT, (outcome) => outcomes.push(outcome)).start()
      await new Promise((done) => setImmediate(done))
      const last = habits.findIndex(({ down }) => down === 'answered' || down === 'throws' || down === 'waits-then-answers')
      const reached = last < 0 ? habits.length : last + 1
      const lets = (habit: Habit, i: number) => habit.up !== 'absent' && i < reached && habit.down !== 'answered' && habit.down !== 'throws'
      const expected = [
        ...habits.slice(0, reached).map((_, i) => `enter ${i}`),
        ...habits.flatMap((habit, i) => (lets(habit, i) ? [`leave ${i}`] : [])).reverse(),
      ]
      equal(seen.join(), expected.join())
      equal(outcomes.length, 1)
      const failed = habits.some((habit, i) => (i < reached && habit.down === 'throws') || (lets(habit, i) && habit.up === 'throws'))
      equal(outcomes[0] instanceof EnigmError, failed)
    }),
    { numRuns: 500 },
  )
})
t.test('answered is not finished: a later outcome passes every stage, and is not delivered', async (t) => {
  const seen: number[] = []
  const outcomes: Outcome[] = []
  const early: Stage = {
    enter(job) {
      job.reply(good(1))
      return 'on'
    },
    leave(job) {
      seen.push(job.outcome === undefined || job.outcome instanceof EnigmError ? -1 : (job.outcome.wire.at(-1) ?? 0))
      return 'on'
    },
  }
  const job = new Job([early, endsIn(async () => good(2))], ask(), CLIENT, (outcome) => outcomes.push(outcome))
  job.start()
  t.ok(job.replied)
  await new Promise((done) => setImmediate(done))
  t.equal(outcomes.length, 1)
  t.strictSame(seen, [2])
})
t.test('only the stage at which it waits can resume it', async (t) => {
  const other: Stage = { enter: () => 'on' }
  let held: Job | undefined
  const holds: Stage = {
    enter(job) {
      held = job
      return 'waits'
    },
  }
  const outcomes: Outcome[] = []
  new Job([other, holds, endsIn(async () => good(3))], ask(), CLIENT, (outcome) => outcomes.push(outcome)).start()
  held?.resume(other)
  await new Promise((done) => setImmediate(done))
  t.equal(outcomes.length, 0)
  held?.resume(holds)
  held?.resume(holds)
  await new Promise((done) => setImmediate(done))
  t.equal(outcomes.length, 1)
})
t.test('a question below another starts after the stage that asks it and ends there; endless nesting is refused', async (t) => {
  const names: string[] = []
  const outer: Stage = {
    enter() {
      names.push('outer')
      return 'on'
    },
    leave(job) {
      names.push(`left by ${Buffer.from(job.query.question.lower.subarray(1, 6)).toString()}`)
      return 'on'
    },
  }
  const asks: Stage = {
    leave: (job) => outer.leave?.(job) ?? 'on',
    enter(job) {
      void job.below(asks, ask('child.example')).then((answer) => {
        job.outcome = answer
        job.resume(asks)
      })
      return 'waits'
    },
  }
  const resolve = through([outer, asks], async (query) => {
    names.push(Buffer.from(query.question.lower.subarray(1, 6)).toString())
    return good(4)
  })
  t.match(await resolve(ask('parent.example'), CLIENT), { rcode: 0 })
  t.strictSame(names, ['outer', 'child', 'left by paren', 'left by paren'])
  const endless: Stage = {
    enter(job) {
      const again = new Promise<Answer>((resolve, reject) => job.below(before, ask('again.example')).then(resolve, reject))
      again.then(undefined, (error: EnigmError) => {
        job.outcome = error
        job.resume(endless)
      })
      return 'waits'
    },
  }
  const before: Stage = { enter: () => 'on' }
  await t.rejects(asked([before, endless], ask(), CLIENT), { code: 'internal' })
})
t.test('a pipeline without a last stage is an internal fault', async (t) => {
  await t.rejects(asked([{ enter: () => 'on' }], ask(), CLIENT), { code: 'internal' })
})
