/**
 * What posture costs: hits through the responder as it is in the daemon, against the same hits
 * without anything that watches or tells, in this process, by turns, many short rounds of CPU time,
 * in several processes, since each compiles them a little differently. `npm run bench:posture [--
 * --processes N --rounds N]`. Writes bench/results/posture.json and posture.md.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { VIEW_OF_ALL } from '../../src/resolve.ts'
import { ROOT } from '../compiled.ts'
import { type Machine, thisMachine } from '../machine.ts'
import { median, type Run, standings } from '../report/run.ts'
import { type Estimate, estimate } from './estimate.ts'
import { type Hit, type Scene, scene } from './scene.ts'

const NAMES = 2000
/**
 * Hits in one round of one kind: some 10 ms, so that what disturbs the machine disturbs few rounds,
 * and their medians not at all.
 */
const HITS = 20_000
const BEATS = 60
const ANSWERS = 20_000
const TARGET_PCT = 1

const { values: options } = parseArgs({
  options: {
    processes: { type: 'string', default: '16' },
    rounds: { type: 'string', default: '45' },
    one: { type: 'boolean', default: false },
  },
})
const RESULTS = join(ROOT, 'bench', 'results')

/** What one process found; medians of its rounds. */
interface Found {
  /**
   * ns of CPU a hit: without, what posture adds, and what a second one without adds (which is
   * nothing: the noise).
   */
  readonly bareNs: number
  readonly addedNs: number
  readonly controlNs: number
  /** CPU. */
  readonly heartbeatMs: number
  readonly heartbeatS: number
  /** One answer of a resolver, told to the reducer, ns. */
  readonly answerNs: number
}

interface Results {
  readonly machine: Machine
  readonly date: string
  /** A hit with its system calls, by the daemon's CPU under dnsperf, as bench.json has it. */
  readonly wholeHit: { readonly ns: number; readonly cpu: string; readonly date: string }
  readonly found: readonly Found[]
}

if (options.one) console.log(JSON.stringify(await measure()))
else {
  const machine = thisMachine()
  const one = () => execFileSync(process.execPath, [process.argv[1] ?? '', '--one', '--rounds', options.rounds], { encoding: 'utf8' })
  const found = Array.from({ length: Number(options.processes) }, () => JSON.parse(one()) as Found)
  const results: Results = { machine, date: new Date().toISOString(), wholeHit: wholeHit(), found }
  const text = report(results)
  writeFileSync(join(RESULTS, 'posture.json'), `${JSON.stringify(results, undefined, 1)}\n`)
  writeFileSync(join(RESULTS, 'posture.md'), text)
  console.log(text)
}

async function measure(): Promise<Found> {
  const stage = await scene(NAMES)
  const found = { ...hits(stage), ...(await beats(stage)), answerNs: answers(stage) }
  stage.close()
  return found
}

function cpuNs(work: () => void): number {
  const before = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) * 1000
}

function hits({ packets, watched, bare }: Scene) {
  const kinds = { bare: bare[0], control: bare[1], watched }
  const names = ['bare', 'control', 'watched'] as const
  const out = Buffer.alloc(1232)
  const run = (hit: Hit) => {
    let octets = 0
    for (let done = 0; done < HITS; done += packets.length)
      for (const packet of packets) octets += hit(packet, 0, packet.length, out, 0, 1232, VIEW_OF_ALL)
    if (octets === 0) throw new Error('no hits')
  }
  for (let i = 0; i < 50; i++) for (const name of names) run(kinds[name])
  const spent = { bare: [] as number[], control: [] as number[], watched: [] as number[] }
  for (let round = 0; round < Number(options.rounds); round++) {
    // Each goes first, second and last equally often.
    for (let i = 0; i < names.length; i++) {
      const name = names[(i + round) % names.length] ?? 'bare'
      spent[name].push(cpuNs(() => run(kinds[name])) / HITS)
    }
  }
  const over = (name: 'control' | 'watched') => median(spent[name].map((ns, i) => ns - (spent.bare[i] ?? 0)))
  return { bareNs: median(spent.bare), addedNs: over('watched'), controlNs: over('control') }
}

async function beats({ heartbeat, heartbeatS }: Scene) {
  for (let i = 0; i < 18; i++) await heartbeat()
  // The mean, and no median: not every one looks at everything.
  const before = process.cpuUsage()
  for (let i = 0; i < BEATS; i++) await heartbeat()
  const { user, system } = process.cpuUsage(before)
  return { heartbeatMs: (user + system) / 1000 / BEATS, heartbeatS }
}

function answers({ answered }: Scene): number {
  const run = () => {
    for (let i = 0; i < ANSWERS; i++) answered(10 + (i & 15))
  }
  run()
  return median(Array.from({ length: 21 }, () => cpuNs(run) / ANSWERS))
}

function wholeHit(): Results['wholeHit'] {
  const run = JSON.parse(readFileSync(join(RESULTS, 'bench.json'), 'utf8')) as Run
  const us = standings(run, 'hits-1000', 'cpuUs').find(({ subject }) => subject === 'enigm-dns')?.medians.cpuUs
  if (us === undefined) throw new Error('bench/results/bench.json has no hits of enigm-dns: npm run bench')
  return { ns: us * 1000, cpu: run.machine.cpu, date: run.date.slice(0, 10) }
}

function report({ machine, date, wholeHit: whole, found }: Results): string {
  const of = (key: keyof Found) => estimate(found.map((one) => one[key]))
  const [bare, added, control, beat, answer] = [of('bareNs'), of('addedNs'), of('controlNs'), of('heartbeatMs'), of('answerNs')]
  const heartbeatS = found[0]?.heartbeatS ?? 0
  const pct = (part: number, all: number) => `${((100 * part) / all).toFixed(2)} %`
  const ns = (e: Estimate) => `${e.median.toFixed(1)} ns (${e.low.toFixed(1)} to ${e.high.toFixed(1)})`
  const share = (e: Estimate) => `${pct(e.median, whole.ns)} (${pct(e.low, whole.ns)} to ${pct(e.high, whole.ns)})`
  const together = (key: 'median' | 'high') => (100 * added[key]) / whole.ns + (100 * beat[key]) / (heartbeatS * 1000)
  const most = together('high')
  const verdict =
    most < TARGET_PCT ? 'met' : together('median') < TARGET_PCT ? 'met by the median, not by the whole interval' : '**missed**'
  return `# What posture costs

| | CPU | of a whole hit (${(whole.ns / 1000).toFixed(2)} us, system calls included) |
| --- | ---: | ---: |
| a hit inside the process, without gate, trace, counts and popularity | ${bare.median.toFixed(0)} ns | ${pct(bare.median, whole.ns)} |
| what they add to it, the trace being off | ${ns(added)} | ${share(added)} |
| the same hit without them once more: the noise | ${ns(control)} | ${share(control)} |
| a heartbeat, every ${heartbeatS} s: verdict, document, signature, files, a look around | ${beat.median.toFixed(2)} ms | ${((100 * beat.median) / (heartbeatS * 1000)).toFixed(3)} % of a core that is busy with hits |
| **together** | | **${together('median').toFixed(2)} %**, at most ${most.toFixed(2)} %; target below ${TARGET_PCT} %: ${verdict} |
| (a miss, not a hit: an answer of a resolver told to the reducer) | ${(answer.median / 1000).toFixed(2)} us | |

No event is emitted for a hit, so reducer, ledger and audit log cost it nothing. Medians over ${found.length} processes (each compiles a little differently), with what the median lies between at 95 %; in each, of the differences between
${options.rounds} rounds of ${HITS} hits of each kind by turns, ${NAMES} names. What is below the noise, or negative, is nothing that can be told from nothing. The whole hit is the daemon's CPU under dnsperf, from [bench.md](bench.md) (${whole.cpu}, ${whole.date}).
${date.slice(0, 10)}, ${machine.cpu}, ${machine.cores} cores, Node ${machine.node.slice(1)}; load before ${machine.loadBefore.toFixed(1)}; sources ${machine.commit}. Made by \`npm run bench:posture\`.
`
}
