import fc from 'fast-check'
import t from 'tap'
import { seeded } from '../../bench/load/names.ts'
import { estimate } from '../../bench/posture/estimate.ts'
import { factorsOf } from '../../bench/report/factors.ts'
import { filled } from '../../bench/report/rows.ts'
import { bestPeer, median, ratio, standings } from '../../bench/report/run.ts'
import { runOf, sample } from './runs.ts'

t.test('the median is the middle value, or the mean of the middle two', async (t) => {
  t.equal(median([3, 1, 2]), 2)
  t.equal(median([4, 1, 3, 2]), 2.5)
  t.ok(Number.isNaN(median([])))
  fc.assert(
    fc.property(fc.array(fc.double({ noNaN: true, min: -1e9, max: 1e9 }), { minLength: 1 }), (values) => {
      const found = median(values)
      const below = values.filter((value) => value <= found).length
      const above = values.filter((value) => value >= found).length
      return below * 2 >= values.length && above * 2 >= values.length
    }),
  )
})

t.test('an estimate of the median holds the true one 19 times in 20, however lopsided the values are', async (t) => {
  t.same(estimate(Array.from({ length: 100 }, (_, i) => 100 - i)), { median: 50.5, low: 41, high: 61, of: 100 })
  const random = seeded(7)
  const runs = Array.from({ length: 1000 }, () => estimate(Array.from({ length: 60 }, () => -Math.log(1 - random()))))
  const held = runs.filter(({ low, high }) => low <= Math.LN2 && Math.LN2 <= high).length
  t.ok(held > 925 && held < 985, `${held} of 1000`)
  t.throws(() => estimate([1, 2, 3]))
})

t.test('a ratio is the median of the ratios of rounds that both have, and not the ratio of medians', async (t) => {
  const run = runOf([
    ...[10, 100, 30].map((cpuUs, round) => sample('hits-200', 'enigm-dns', round, { cpuUs })),
    ...[5, 100, 10].map((cpuUs, round) => sample('hits-200', 'unbound', round, { cpuUs })),
    sample('hits-200', 'unbound', 3, { cpuUs: 1 }),
  ])
  const [ours, theirs] = standings(run, 'hits-200', 'cpuUs')
  t.ok(ours && theirs)
  if (!ours || !theirs) return
  t.equal(ratio(ours, theirs, 'cpuUs'), 2, 'of 2, 1 and 3; the medians would give 4')
  t.equal(ratio(ours, theirs, 'nothing'), undefined)
  const still = standings(runOf([sample('idle', 'unbound', 0, { cpuPct: 0 })]), 'idle', 'cpuPct')
  t.equal(still[0] && ratio(ours, still[0], 'cpuPct'), undefined, 'nothing is so many times nought')
})

t.test('the best peer is the one with the lowest median, never the floor, ours, or one without the figure', async (t) => {
  const run = runOf([
    sample('added-doh', 'mute', 0, { meanUs: 1 }),
    sample('added-doh', 'slow', 0, { addedUs: 9 }),
    sample('added-doh', 'quick', 0, { addedUs: 5 }),
    sample('added-doh', 'enigm-dns', 0, { addedUs: 2 }),
    sample('added-doh', 'C echo', 0, { addedUs: 1 }),
  ])
  const all = standings(run, 'added-doh', 'addedUs')
  t.same(
    all.map(({ subject }) => subject),
    ['C echo', 'enigm-dns', 'quick', 'slow', 'mute'],
  )
  t.equal(bestPeer(all)?.subject, 'quick')
})

t.test('a figure that some rounds lack is the median of the others', async (t) => {
  const run = runOf([
    sample('added-dot', 'unbound', 0, { meanUs: 1 }),
    sample('added-dot', 'unbound', 1, { meanUs: 3, addedUs: 7 }),
    sample('added-dot', 'unbound', 2, { meanUs: 2, addedUs: 9 }),
  ])
  t.same(standings(run, 'added-dot', 'addedUs')[0]?.medians, { meanUs: 2, addedUs: 8 })
})

const hit = (cpuUs: readonly [ours: number, peer: number, echo?: number]) =>
  runOf([
    sample('hits-200', 'enigm-dns', 0, { cpuUs: cpuUs[0] }),
    sample('hits-200', 'unbound', 0, { cpuUs: cpuUs[1] }),
    ...(cpuUs[2] === undefined ? [] : [sample('hits-200', 'C echo', 0, { cpuUs: cpuUs[2] })]),
  ])

t.test('a target is met if all its parts are', async (t) => {
  const met = (...cpuUs: Parameters<typeof hit>[0]) => filled(hit(cpuUs))[0]?.met
  t.equal(met(8, 10, 7), true)
  t.equal(met(9.6, 10, 8), false, 'not against the peer')
  t.equal(met(8, 10, 6), false, 'not against the echo')
  t.equal(met(8, 10), true, 'without an echo the rest counts')
  const alone = runOf([sample('miss-doh', 'enigm-dns', 0, { cpuUs: 1 })])
  t.match(filled(alone), [{ met: undefined, rival: undefined, target: '0.5 x' }], 'nobody to compare with')
  const noise = runOf([sample('added-doh', 'enigm-dns', 0, { addedUs: -3 })])
  t.equal(filled(noise)[0]?.met, undefined, 'less than nothing is not a success')
})

t.test('each of our configurations has its own row', async (t) => {
  const run = runOf([
    sample('miss-doh', 'enigm-dns', 0, { cpuUs: 20 }),
    sample('miss-doh', 'enigm-dns (node:http2)', 0, { cpuUs: 10 }),
    sample('miss-doh', 'dnsdist', 0, { cpuUs: 20 }),
  ])
  t.same(
    filled(run).map(({ ours, ratio, met }) => [ours.subject, ratio, met]),
    [
      ['enigm-dns', 1, false],
      ['enigm-dns (node:http2)', 0.5, undefined],
    ],
  )
})

t.test('latency is compared with unbound, even if another peer is faster', async (t) => {
  const run = runOf([
    sample('latency-1', 'enigm-dns', 0, { p50Us: 10 }),
    sample('latency-1', 'unbound', 0, { p50Us: 10 }),
    sample('latency-1', 'dnsdist', 0, { p50Us: 5 }),
  ])
  t.match(filled(run), [{ rival: { subject: 'unbound' }, ratio: 1, met: true }])
})

t.test('growth is judged over the sizes that the target names', async (t) => {
  const grown = (growth: readonly [number, number], [small, large]: readonly [number, number]) =>
    factorsOf(
      runOf(
        [sample(`growth-${growth[0]}`, 'enigm-dns', 0, { cpuUs: small }), sample(`growth-${growth[1]}`, 'enigm-dns', 0, { cpuUs: large })],
        { growth },
      ),
    )
  t.match(grown([10_000, 1_000_000], [4, 5]), [{ factor: 1.25, met: true }])
  t.match(grown([10_000, 1_000_000], [4, 6]), [{ factor: 1.5, met: false }])
  t.match(grown([10_000, 50_000], [4, 5]), [{ factor: 1.25, met: undefined }])
  t.same(factorsOf(runOf([], { growth: [10_000] })), [])
})

t.test('two workers are judged by rate if there are enough cores, else by the busiest thread', async (t) => {
  const samples = [
    sample('workers', 'enigm-dns', 0, { queriesPerS: 100, cpuUs: 4, busiestUs: 4 }),
    sample('workers', 'enigm-dns (2 workers)', 0, { queriesPerS: 120, cpuUs: 4, busiestUs: 2 }),
  ]
  t.match(factorsOf(runOf(samples, { cores: 2 })), [
    { factor: 1.2, met: undefined },
    { factor: 2, met: true },
  ])
  t.match(factorsOf(runOf(samples, { cores: 4 })), [
    { factor: 1.2, met: false },
    { factor: 2, met: undefined },
  ])
})
