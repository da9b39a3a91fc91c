import t from 'tap'
import { best, crossValidated, heldOut, Looks } from '../../../bench/adversary/closed-world.ts'
import { correlate } from '../../../bench/adversary/correlation.ts'
import { nearest } from '../../../bench/adversary/edit-distance.ts'
import { gapBin, SYMBOLS, symbols } from '../../../bench/adversary/features.ts'
import { grow, tableOf } from '../../../bench/adversary/forest.ts'
import { decided } from '../../../bench/adversary/metrics.ts'
import { onset } from '../../../bench/adversary/onset.ts'
import { openWorld } from '../../../bench/adversary/open-world.ts'
import { pageSet } from '../../../bench/adversary/page-set.ts'
import { alone, startTaskPool } from '../../../bench/adversary/task-pool.ts'
import { chance } from '../../../bench/observer/chance.ts'
import { type Entry, LINE_UP } from '../../../bench/observer/line-up.ts'

const entry = (id: string): Entry => {
  const found = LINE_UP.find((one) => one.id === id)
  if (found === undefined) throw new Error(id)
  return found
}

/** Three classes in a ring of features of which only the first two tell. */
function toy(rows: number) {
  const c = chance('toy')
  const labels = Uint16Array.from({ length: rows }, (_, i) => i % 3)
  const values = new Float32Array(rows * 6)
  labels.forEach((label, row) => {
    values[row * 6] = (label === 1 ? 2 : 0) + c.normal() * 0.3
    values[row * 6 + 1] = (label === 2 ? 2 : 0) + c.normal() * 0.3
    for (let f = 2; f < 6; f++) values[row * 6 + f] = c.normal()
  })
  return { labels, values }
}

t.test('the forest learns a toy set, and nothing from shuffled labels', (t) => {
  const { labels, values } = toy(600)
  const rows = Uint32Array.from(labels.keys())
  const [training, tested] = [rows.slice(0, 400), rows.slice(400)]
  const table = tableOf(values, 6, (row) => row < 400)
  const plan = { trees: 30, classes: 3, seed: 'toy' }
  const rightWith = (truth: Uint16Array) => {
    const said = decided(grow(table, truth, training, tested, plan), 3)
    return said.filter((label, i) => label === truth[400 + i]).length / said.length
  }
  t.ok(rightWith(labels) > 0.97, 'it learns')
  const c = chance('shuffled')
  t.ok(rightWith(labels.map(() => c.below(3))) < 0.45, 'noise stays noise')
  const votes = grow(table, labels, training, tested, plan)
  t.strictSame(grow(table, labels, training, tested, plan), votes, 'the same seed, the same votes')
  t.ok([0, 1, 2].reduce((sum, k) => sum + (votes[k] ?? 0), 0) - plan.trees < 1e-3, 'each tree has one vote a row')
  t.notSame(grow(table, labels, training, tested, { ...plan, seed: 'other' }), votes)
  t.end()
})

t.test('the number of threads does not change the result', async (t) => {
  const { labels, values } = toy(120)
  const rows = Uint32Array.from(labels.keys())
  const halves = { training: rows.slice(0, 80), tested: rows.slice(80) }
  const table = tableOf(values, 6, (row) => row < 80, true)
  const pool = startTaskPool()
  try {
    const plan = { trees: 9, classes: 3, seed: 'threads' }
    t.strictSame(await pool.forest(table, labels, halves, plan), await alone.forest(table, labels, halves, plan))
  } finally {
    await pool.close()
  }
})

t.test('neighbours under the edit distance', (t) => {
  const rows = 12
  const all = new Uint8Array(rows * SYMBOLS)
  const labels = Uint16Array.from({ length: rows }, (_, row) => row % 2)
  for (let row = 0; row < rows; row++) {
    const gapsMs = (row % 2 === 0 ? [5, 5, 200, 5, 900, 5] : [400, 5, 5, 5, 5, 5]).map((gap) => gap * (1 + row / 50))
    let at = 0
    const atMs = Float64Array.from(gapsMs, (gap) => {
      at += gap
      return at
    })
    symbols({ atMs, octets: new Int16Array(6).fill(147) }, all, row * SYMBOLS)
  }
  const index = Uint32Array.from(labels.keys())
  t.strictSame([...nearest(all, labels, index.slice(0, 8), index.slice(8), 2)], [0, 1, 0, 1])
  t.strictSame([0, 1, 2, 3, 5000].map(gapBin), [0, 1, 2, 2, 13])
  t.end()
})

t.test('rows: held out and cross-validated', (t) => {
  const [one] = heldOut(2, 5, 2)
  t.strictSame([...(one?.tested ?? [])], [3, 4, 8, 9])
  const folds = crossValidated([0, 0, 1, 1, 2, 2], 3)
  t.strictSame(folds.flatMap(({ tested }) => [...tested]).sort(), [0, 1, 2, 3, 4, 5])
  t.ok(folds.every(({ training, tested }) => tested.every((row) => !training.includes(row))))
  t.end()
})

t.test('closed world, small: undefended pages are distinguished, always-on ones are not; seeded', async (t) => {
  const attack = (id: string) => {
    const { looks, cost } = pageSet(entry(id), 10, 12, chance('small'))
    return looks.attack(alone, heldOut(10, 12, 4), { classes: 10, trees: 20, seed: id, mostNearest: 40 }).then((world) => ({ world, cost }))
  }
  const open = await attack('padded')
  t.ok(best(open.world).value > 0.8, `undefended ${best(open.world).value}`)
  t.ok(open.world.bits > 1.5, `bits ${open.world.bits}`)
  t.strictSame(await attack('padded'), open, 'the same seed, the same figures')
  const shut = await attack('always-on')
  t.ok(best(shut.world).low < 0.2, `always-on ${best(shut.world).value}`)
  t.ok(shut.world.bits < 0.3, `bits ${shut.world.bits}`)
  t.ok(shut.cost.cellsPerPage > 590 && shut.cost.cellsPerPage < 610, '30 s at 20 a second')
})

t.test('onset, correlation and open world detect a signal, and nothing if there is none', async (t) => {
  const root = chance('others')
  t.ok((await onset(entry('padded'), 'quiet', 80, alone, root)).value > 0.98)
  const blind = await onset(entry('always-on'), 'quiet', 160, alone, root)
  t.ok(blind.low < 0.5 && blind.high > 0.5, `always-on, onset ${blind.value}`)
  t.ok(correlate(entry('padded'), 'lan-wan', 'within', 60, root).value > 0.95)
  t.ok(correlate(entry('padded'), 'conversation', 'within', 60, root).value > 0.85)
  t.ok(correlate(entry('lite'), 'lan-wan', 'whole', 40, root).value > 0.95, 'a session that opens tells that somebody asks')
  const none = correlate(entry('always-on'), 'lan-wan', 'whole', 120, root)
  t.ok(none.low < 0.5 && none.high > 0.5, `always-on, LAN and WAN ${none.value}`)
  const world = { monitored: 3, visitsToLearn: 12, visitsToTest: 8, othersToLearn: 60, othersToTest: 60 }
  const found = await openWorld(entry('padded'), world, alone, root)
  t.ok(found.auc.value > 0.75, `open world ${found.auc.value}`)
  t.ok(found.precisionAtHalf > 0 && found.precisionAtHalf <= 1)
})

t.test('accepts an empty trace', async (t) => {
  const looks = new Looks(2)
  const nothing = { atMs: new Float64Array(0), octets: new Int16Array(0) }
  looks.put(0, 0, nothing)
  looks.put(1, 1, nothing)
  const world = await looks.attack(alone, [{ training: Uint32Array.of(0, 1), tested: Uint32Array.of(0, 1) }], {
    classes: 2,
    trees: 3,
    seed: 'nothing',
    mostNearest: 2,
  })
  t.equal(world.a1.value, 0.5)
})
