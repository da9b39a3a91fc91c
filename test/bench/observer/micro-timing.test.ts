import t from 'tap'
import { tableOf } from '../../../bench/adversary/forest.ts'
import { accuracy, decided } from '../../../bench/adversary/metrics.ts'
import { alone } from '../../../bench/adversary/task-pool.ts'
import { chance } from '../../../bench/observer/chance.ts'
import { type Cell, matched, sessionsOf } from '../../../bench/observer/wire/micro-timing.ts'

/**
 * Sessions of 120 slots of 50 ms with a little noise; real cells early in them, and late by
 * `lateMs`.
 */
function sessions(lateMs: number): readonly Cell[] {
  const c = chance(`late ${lateMs}`)
  return Array.from({ length: 60 }, (_, s) =>
    Array.from({ length: 120 }, (_, slot) => {
      const real = c.hit(slot < 40 ? 0.6 : 0.05)
      return { atMs: s * 10_000 + slot * 50 + c.between(0, 1) + (real ? lateMs : 0), real }
    }),
  ).flat()
}

t.test('sessions are cut where nothing leaves', (t) => {
  const cut = sessionsOf(sessions(0))
  t.equal(cut.length, 60)
  t.ok(cut.every(({ length }) => length === 120))
  t.end()
})

t.test('late cells are detected, cells at another place are not', async (t) => {
  const told = async (lateMs: number) => {
    const { values, labels, training, tested } = matched(sessionsOf(sessions(lateMs)), chance('match'))
    t.equal(labels.filter((label) => label === 1).length * 2, labels.length, 'as many real cells as covers')
    const columns = values.length / labels.length
    const table = tableOf(values, columns, (row) => row < training.length)
    const votes = await alone.forest(table, labels, { training, tested }, { trees: 40, classes: 2, seed: 'timing' })
    return accuracy(
      decided(votes, 2),
      Uint16Array.from(tested, (row) => labels[row] ?? 0),
    )
  }
  const [blind, late] = [await told(0), await told(0.7)]
  t.ok(blind.low < 0.52 && blind.value < 0.55, `nothing to tell: ${blind.value}`)
  t.ok(late.low > 0.65, `0.7 ms late: ${late.value}`)
})
