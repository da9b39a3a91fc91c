import t from 'tap'
import { chance } from '../../../bench/observer/chance.ts'
import { joined, KNOBS, later, MISS_SHARE, makeSite, visit, visits, workload } from '../../../bench/observer/pages.ts'

const quantile = (values: readonly number[], q: number) =>
  [...values].sort((a, b) => a - b)[Math.floor(q * (values.length - 1))] ?? Number.NaN
const gapsOf = (atMs: Float64Array) => [...atMs].slice(1).map((at, i) => at - (atMs[i] ?? 0))

t.test('chance: the same seed gives the same stream, forks are streams of their own', (t) => {
  const draw = (seed: string) =>
    Array.from(
      { length: 5 },
      (
        (c) => () =>
          c.unit()
      )(chance(seed)),
    )
  t.strictSame(draw('a'), draw('a'))
  t.notSame(draw('a'), draw('b'))
  const root = chance('a')
  const before = root.fork('x').unit()
  root.unit()
  t.equal(root.fork('x').unit(), before, 'a fork does not depend on what was drawn')
  const many = Array.from(
    { length: 20_000 },
    (
      (c) => () =>
        c.normal()
    )(chance('n')),
  )
  const mean = many.reduce((sum, v) => sum + v, 0) / many.length
  t.ok(Math.abs(mean) < 0.03, 'normal: mean')
  t.ok(Math.abs(many.reduce((sum, v) => sum + v * v, 0) / many.length - 1) < 0.05, 'normal: variance')
  t.end()
})

t.test('pages are as long and as dense as those that were measured', (t) => {
  const all = [...visits(1500, 1, chance('statistics'))]
  const counts = all.map(({ atMs }) => atMs.length)
  t.ok(quantile(counts, 0.5) > 28 && quantile(counts, 0.5) < 37, `median queries ${quantile(counts, 0.5)}`)
  t.ok(quantile(counts, 0.25) > 12 && quantile(counts, 0.75) < 80, 'quartiles')
  const seconds = all.map(({ atMs }) => (atMs.at(-1) ?? 0) / 1000)
  t.ok(quantile(seconds, 0.5) > 4 && quantile(seconds, 0.5) < 6.5, `median duration ${quantile(seconds, 0.5)} s, 4.9 measured`)
  t.ok(quantile(seconds, 0.95) > 14 && quantile(seconds, 0.95) < 24, `95 % of durations below ${quantile(seconds, 0.95)} s, 18 measured`)
  const gaps = all.flatMap(({ atMs }) => gapsOf(atMs))
  const share = (low: number, high: number) => gaps.filter((gap) => gap >= low && gap < high).length / gaps.length
  t.ok(Math.abs(share(0, 2) - 0.21) < 0.04, `under 2 ms: ${share(0, 2)}`)
  t.ok(share(4, 8) > 0.25 && share(4, 8) < 0.42, `4 to 8 ms: ${share(4, 8)}`)
  t.ok(Math.abs(share(32, 1e9) - 0.79 * 0.443) < 0.06, `32 ms and more: ${share(32, 1e9)}`)
  t.end()
})

t.test('visits of a site are alike, and not the same', (t) => {
  const root = chance('visits')
  const site = makeSite(7, root)
  t.strictSame(makeSite(7, root), site, 'a site is its number')
  const [one, other] = [visit(site, root.fork(1)), visit(site, root.fork(2))]
  t.notSame(one.atMs, other.atMs)
  t.strictSame(visit(site, root.fork(1)), one, 'a visit is its seed')
  const quiet = { ...KNOBS, dropInsert: 0, swap: 0, shift: 0 }
  const still = visit(site, root.fork(3), quiet)
  t.equal(still.atMs.length, site.length)
  t.ok(
    gapsOf(still.atMs).every((gap, i) => {
      const { bin = 0 } = site.slots[i + 1] ?? {}
      return bin === 0 ? gap < 2 : gap >= 2 ** bin && gap < 2 ** (bin + 1) + 1e-6
    }),
    'with the knobs at zero every gap stays in its bin',
  )
  const lengths = Array.from({ length: 400 }, (_, i) => visit(makeSite(1, root), root.fork(`l${i}`)).atMs.length / makeSite(1, root).length)
  t.ok(Math.abs(lengths.reduce((sum, v) => sum + v, 0) / lengths.length - 1) < 0.03, 'as much is dropped as inserted')
  t.end()
})

t.test('names: alike, or each with its own', (t) => {
  const root = chance('names')
  const all = [...visits(200, 1, root, { ...KNOBS, names: 'by name' })].flatMap(({ missChance }) => [...missChance])
  const mean = all.reduce((sum, v) => sum + v, 0) / all.length
  t.ok(Math.abs(mean - MISS_SHARE) < 0.02, `the same share in the mean: ${mean}`)
  t.ok([...visits(3, 1, root)].every(({ missChance }) => missChance.every((p) => p === MISS_SHARE)))
  t.end()
})

t.test('workloads are merged', (t) => {
  const c = chance('w')
  const both = joined(workload([0, 5], c), later(workload([0], c), 9))
  t.strictSame([...both.atMs], [0, 5, 9])
  t.equal(both.missMs.length, 3)
  t.end()
})
