import { readFileSync } from 'node:fs'
import t from 'tap'
import { outcomeOf } from '../../bench/load/dnsperf.ts'
import { Names, seeded } from '../../bench/load/names.ts'
import { costOf, rssMb, threadsNs } from '../../bench/load/process-cost.ts'
import { loops } from '../../bench/micro/loops.ts'

/** As dnsperf 2.10 prints it. */
const PRINTED = `DNS Performance Testing Tool
Version 2.10.0

Statistics:

  Queries sent:         130000
  Queries completed:    129990 (99.99%)
  Queries lost:         10 (0.01%)

  Response codes:       NOERROR 129980 (99.99%), SERVFAIL 10 (0.01%)
  Average packet size:  request 36, response 52
  Run time (s):         1.000214
  Queries per second:   129962.188092

  Average Latency (s):  0.001432 (min 0.000032, max 0.010211)
  Latency StdDev (s):   0.000512
`

t.test("dnsperf's statistics are read", async (t) => {
  t.same(outcomeOf(PRINTED), { sent: 130_000, completed: 129_990, lost: 10, queriesPerS: 129962.188092, meanUs: 1432, failed: 10 })
})

t.test('a server that answers nothing, or only failures', async (t) => {
  const nothing = PRINTED.replace('129990 (99.99%)', '0 (0.00%)').replace(/NOERROR.*/, '')
  t.match(outcomeOf(nothing), { completed: 0, failed: 0, meanUs: Number.NaN })
  t.equal(outcomeOf(PRINTED.replace(/NOERROR.*/, 'SERVFAIL 129990 (100.00%)')).failed, 129_990)
})

t.test('text that is not dnsperf statistics yields no figures', async (t) => {
  t.throws(() => outcomeOf(''), /printed something else/)
  t.throws(() => outcomeOf('Error: unable to connect'), /unable to connect/)
  t.throws(() => outcomeOf(PRINTED.replace(/Queries per second.*/, '')), /printed something else/)
})

t.test('names: each once, in an order that the seed decides', async (t) => {
  const made = (seed: number) => {
    const names = new Names(t.testdir(), seed)
    return readFileSync(names.known(10, 500), 'utf8')
  }
  t.equal(made(1), made(1))
  t.not(made(1), made(2))
  const lines = made(1).trimEnd().split('\n')
  t.same(new Set(lines), new Set(Array.from({ length: 490 }, (_, i) => `n${i + 10}.bench.example A`)))
  t.equal(lines.length, 490)
  const names = new Names(t.testdir(), 1)
  const [first, second] = [names.fresh(50), names.fresh(50)].map((path) => readFileSync(path, 'utf8').trimEnd().split('\n'))
  t.equal(new Set([...(first ?? []), ...(second ?? [])]).size, 100, 'nobody asked them before')
})

t.test('seeded randomness is spread over [0, 1)', async (t) => {
  const random = seeded(7)
  const counts = new Array<number>(10).fill(0)
  for (let i = 0; i < 10_000; i++) {
    const value = random()
    if (value < 0 || value >= 1) t.fail(String(value))
    const slot = Math.floor(value * 10)
    counts[slot] = (counts[slot] ?? 0) + 1
  }
  for (const count of counts) t.ok(count > 800 && count < 1200)
})

t.test('what a process costs', { skip: process.platform === 'linux' ? false : '/proc is of Linux' }, async (t) => {
  const before = costOf(process.pid)
  const threadsBefore = threadsNs(process.pid)
  const cpu = process.cpuUsage()
  while (process.cpuUsage(cpu).user < 50_000);
  const burnt = costOf(process.pid).cpuNs - before.cpuNs
  t.ok(burnt > 40e6, `${burnt} ns`)
  const busiest = Math.max(...[...threadsNs(process.pid)].map(([thread, ns]) => ns - (threadsBefore.get(thread) ?? 0)))
  t.ok(busiest > 40e6 && busiest <= burnt * 1.5, `${busiest} ns`)
  t.ok(rssMb(process.pid) > 20)
  t.same(costOf(2 ** 22 + 1), { cpuNs: 0, wakeUps: 0 }, 'no such process')
})

t.test('every inner loop does what its name says', async (t) => {
  const all = loops(1)
  t.same(
    all.map(({ name }) => name),
    ['scan', 'key', 'lookup', 'patch', 'pad', 'frame', 'frame-h2', 'blocked'],
  )
  const results = Object.fromEntries(all.map(({ name, run }) => [name, run(10_048)]))
  t.equal(results.pad, 20_000 * 128, 'whole passes over the names')
  t.equal(results.frame, 10_048 * 468)
  t.equal(results['frame-h2'], 10_048 * 468)
  for (const [name, result] of Object.entries(results)) t.ok(result > 0, name)
})
