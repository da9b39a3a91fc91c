import t from 'tap'
import { alone } from '../../../bench/adversary/task-pool.ts'
import { chance } from '../../../bench/observer/chance.ts'
import { scenarios } from '../../../bench/observer/scenarios.ts'

t.test('an hour of six kinds of load: what it costs, and that its on and off tells which it was', async (t) => {
  const lite = await scenarios('lite', 8, alone, chance('hours'))
  const megabytes = Object.fromEntries(lite.rows.map(({ scenario, megabytesAnHour }) => [scenario, megabytesAnHour]))
  t.equal(lite.rows.length, 6)
  t.equal(megabytes.idle, 0)
  t.ok((megabytes.beacon ?? 0) > 15 && (megabytes.beacon ?? 0) < 25, `a beacon of one name a minute: ${megabytes.beacon} MB`)
  t.ok(lite.told.value > 0.8, `named ${lite.told.value}`)
  t.strictSame(await scenarios('lite', 8, alone, chance('hours')), lite, 'seeded')
})

t.test('what is always on costs the same, and tells nothing', async (t) => {
  const { rows, told, second } = await scenarios('always-on', 4, alone, chance('hours'))
  t.equal(new Set(rows.map(({ megabytesAnHour }) => megabytesAnHour.toFixed(1))).size, 1)
  t.ok(rows.every(({ openShare }) => openShare > 0.99))
  t.ok(told.low < 1 / 6, `named ${told.value}`)
  t.equal(second.value, 0.5)
})
