import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { alone } from '../../../bench/adversary/task-pool.ts'
import { ROOT } from '../../../bench/compiled.ts'
import { chance } from '../../../bench/observer/chance.ts'
import { LINE_UP } from '../../../bench/observer/line-up.ts'
import { onTraces } from '../../../bench/observer/measure.ts'
import { readTraces, tracesOf } from '../../../bench/observer/traces.ts'

const example = join(ROOT, 'test', 'bench', 'observer', 'traces-example.json')

t.test('the example of the documentation is read, and measured', async (t) => {
  const traces = readTraces(example)
  t.match(traces, { sites: 3, each: 6, leftOut: 1 })
  t.equal(traces.visits.length, 18)
  t.ok(
    traces.visits.every(({ atMs }) => atMs[0] === 0 && atMs.every((at, i) => i === 0 || at >= (atMs[i - 1] ?? 0))),
    'sorted, from the first query on',
  )
  const [padded] = LINE_UP
  if (padded === undefined) throw new Error('no line-up')
  const row = await onTraces(padded, traces, { trees: 20, folds: 3 }, alone, chance('traces'))
  t.strictSame([row.world.tested, row.world.folds], [18, 3], 'every page is tested, once')
  const once = await onTraces(padded, traces, { trees: 20, folds: 1 }, alone, chance('traces'))
  t.strictSame([once.world.tested, once.world.folds], [6, 1], 'held out: the last third')
  t.ok(row.world.a1.value > 0.8, `three sites that differ: ${row.world.a1.value}`)
})

t.test('an invalid trace file is refused with a sentence that names the position', (t) => {
  const doc = () => JSON.parse(readFileSync(example, 'utf8')) as { format: string; visits: { site: string; queries: { atMs: number }[] }[] }
  const broken = (change: (d: ReturnType<typeof doc>) => unknown) => {
    const document = doc()
    change(document)
    return document
  }
  t.throws(() => tracesOf(broken((d) => Object.assign(d, { format: 'other' }))), /format/)
  t.throws(() => tracesOf(broken((d) => Object.assign(d.visits[0]?.queries[0] ?? {}, { atMs: -1 }))), /visits\.0\.queries\.0\.atMs/)
  t.throws(() => tracesOf(broken((d) => Object.assign(d, { more: 1 }))), /more/)
  t.throws(() => tracesOf(broken((d) => d.visits.splice(6))), /not enough/)
  t.throws(() => tracesOf('text'), /not a trace file/)
  t.end()
})
