import t from 'tap'
import { chance } from '../../../bench/observer/chance.ts'
import { evenPace, LINE_UP, MATCHED } from '../../../bench/observer/line-up.ts'
import { cut, networkOctets, QUERY_BODY, REPLY_BODY, type Seen } from '../../../bench/observer/observed.ts'
import { later, visits, workload } from '../../../bench/observer/pages.ts'
import { resolverModel } from '../../../bench/observer/resolver-model.ts'
import { additive, bare, batched, jittered, oneOf, padded } from '../../../bench/observer/simple-defences.ts'
import { emitted } from '../../../bench/observer/slots.ts'
import { PACES } from '../../../src/shaping/profiles.ts'

const root = chance('defences')
const resolver = resolverModel(MATCHED, root.fork('resolver'))
const [page = workload([0], root)] = [...visits(1, 1, root)]
const sorted = ({ atMs }: Seen) => atMs.every((at, i) => i === 0 || at >= (atMs[i - 1] ?? 0))
const sizes = ({ octets }: Seen) => [...new Set(octets)].sort((a, b) => a - b)

t.test('undefended: traffic is unchanged, with a reply to each query', (t) => {
  const { seen, cells, waitsMs } = padded(page, root.fork(1), resolver)
  t.equal(cells, page.atMs.length)
  t.strictSame(sizes(seen), [-REPLY_BODY, QUERY_BODY])
  t.strictSame([...seen.atMs.filter((_, i) => (seen.octets[i] ?? 0) > 0)], [...page.atMs])
  t.ok(waitsMs.every((wait) => wait === 0) && sorted(seen))
  t.ok(sizes(bare(page, root.fork(1), resolver).seen).length > 10, 'without padding sizes tell')
  t.equal(networkOctets(seen), cells * (QUERY_BODY + REPLY_BODY + 2 * 57))
  t.end()
})

t.test('jitter and batches delay within their bounds', (t) => {
  const held = jittered(100)(page, root.fork(2), resolver)
  t.ok(held.waitsMs.every((wait) => wait >= 0 && wait <= 101) && sorted(held.seen), 'timers know whole milliseconds')
  t.strictSame(
    held.seen.octets.filter((size) => size > 0).reduce((sum, size) => sum + (size - 17) / 130, 0),
    held.cells,
    'what is due in one turn leaves as one record',
  )
  const batch = batched(250)(page, root.fork(3), resolver)
  t.ok(batch.waitsMs.every((wait) => wait >= -1e-6 && wait <= 250))
  const times = [...new Set([...batch.seen.atMs].filter((_, i) => (batch.seen.octets[i] ?? 0) > 0))]
  t.ok(
    times
      .slice(1)
      .every((at, i) => Math.abs(((at - (times[i] ?? 0)) / 250) % 1) < 1e-6 || Math.abs((((at - (times[i] ?? 0)) / 250) % 1) - 1) < 1e-6),
  )
  t.end()
})

t.test('additive cover and several paths', (t) => {
  const covered = additive(10)(page, root.fork(4), resolver)
  const covers = covered.cells - covered.queries
  t.ok(covers > 400 && covers < 600, `${covers} covers in 50 s at 10/s`)
  t.ok(sorted(covered.seen))
  const third = oneOf(3)(later(page, 0), root.fork(5), resolver)
  t.ok(third.seen.atMs.length < 2 * third.cells)
  t.end()
})

t.test('the product’s schedule in virtual time: every query has one slot, never before it came', (t) => {
  const at = Float64Array.from(page.atMs)
  const { atMs, which } = emitted(PACES.lite, at, 1e6, root.fork(6))
  const real = [...which].filter((i) => i >= 0).sort((a, b) => a - b)
  t.strictSame(real, [...at.keys()])
  t.ok([...which].every((i, slot) => i < 0 || (atMs[slot] ?? 0) >= (at[i] ?? 0)))
  t.end()
})

t.test('the same opening, other queries: the same emission', (t) => {
  const pace = evenPace(20, 15, 3)
  const random = () => root.fork('the same phase')
  const one = emitted(pace, Float64Array.of(0, 10, 20, 4000), 1e6, random())
  const other = emitted(pace, Float64Array.of(0), 1e6, random())
  t.ok(other.atMs.length > 290 && other.atMs.length < 301, 'a step of 15 s at 20 a second')
  t.strictSame(one.atMs, other.atMs)
  const on = (arrivals: readonly number[]) => emitted(PACES['always-on'], Float64Array.from(arrivals), 30_000, random()).atMs
  t.strictSame(on([]), on([1, 2, 3, 20_000]), 'always on: without condition')
  t.end()
})

t.test('every defence of the line-up runs, seeded', (t) => {
  // A day of covers takes seconds, and has a test of its own.
  for (const { id, defence, covers } of LINE_UP.filter((entry) => typeof entry.covers.misses !== 'function')) {
    const run = () => defence(page, chance(id), resolverModel(covers, chance(id)))
    const { seen, waitsMs } = run()
    t.strictSame(run().seen, seen, `${id}: the same seed, the same octets`)
    t.ok(sorted(seen) && waitsMs.every((wait) => wait >= -1e-6), id)
  }
  t.equal(new Set(LINE_UP.map(({ id }) => id)).size, LINE_UP.length)
  t.end()
})

t.test('cut keeps what is inside its range and counts from its beginning', (t) => {
  const seen = { atMs: Float64Array.of(1, 5, 9, 10), octets: Int16Array.of(1, -2, 3, -4) }
  t.strictSame(cut(seen, 5, 10), { atMs: Float64Array.of(0, 4), octets: Int16Array.of(-2, 3) })
  t.end()
})
