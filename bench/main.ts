import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { VERSION } from '../src/version.ts'
import type { Bench, Plan, Sample } from './cases/case.ts'
import { growth } from './cases/growth.ts'
import { hotFleet } from './cases/hot-fleet.ts'
import { latency } from './cases/latency.ts'
import { firstAnswer, idle } from './cases/start-and-idle.ts'
import { datagramMisses, hits, misses, tcpHits } from './cases/throughput.ts'
import { workers } from './cases/workers.ts'
import { cleanUpOnExit, newPlace, pinSelf } from './children.ts'
import { compile, ROOT } from './compiled.ts'
import { hasDnsperf } from './load/dnsperf.ts'
import { Names } from './load/names.ts'
import { thisMachine } from './machine.ts'
import { installed, versionOf } from './peers/installed.ts'
import { markdown } from './report/markdown.ts'
import { plots } from './report/plots.ts'
import { updateReadme } from './report/readme.ts'
import type { Run } from './report/run.ts'
import { printed } from './report/table.ts'
import { startUpstream } from './upstream/upstream.ts'

const FULL: Plan = {
  rounds: 5,
  seconds: 3,
  settleS: 1,
  settleMisses: 100_000,
  hitNames: 10_000,
  growth: [10_000, 100_000, 1_000_000],
  starts: 7,
  idleSeconds: 20,
}
const QUICK: Plan = {
  rounds: 3,
  seconds: 0.4,
  settleS: 0.5,
  settleMisses: 15_000,
  hitNames: 10_000,
  growth: [10_000, 30_000],
  starts: 3,
  idleSeconds: 4,
}
const SMOKE: Plan = {
  rounds: 1,
  seconds: 0.2,
  settleS: 0.2,
  settleMisses: 500,
  hitNames: 1000,
  growth: [1000, 3000],
  starts: 1,
  idleSeconds: 1,
}

const CASES: Readonly<Record<string, { readonly what: string; readonly run: (bench: Bench) => Promise<void> }>> = {
  first: { what: 'process start to first answer', run: firstAnswer },
  idle: { what: 'idle', run: idle },
  hits: { what: 'hits', run: hits },
  latency: { what: 'latency of hits at light load', run: latency },
  tcp: { what: 'hits over TCP', run: tcpHits },
  dot: { what: 'misses over DoT', run: (bench) => misses(bench, 'dot') },
  doh: { what: 'misses over DoH', run: (bench) => misses(bench, 'doh') },
  dnscrypt: { what: 'misses over DNSCrypt', run: (bench) => datagramMisses(bench, 'dnscrypt') },
  doq: { what: 'misses over DoQ', run: (bench) => datagramMisses(bench, 'doq') },
  workers: { what: 'two workers against one', run: workers },
  growth: { what: 'growth', run: growth },
}

/** The cases that share a fleet. */
const HOT: readonly string[] = ['hits', 'latency', 'tcp']

const RESULTS = join(ROOT, 'bench', 'results')
const HELP = `npm run bench -- [options]
  --quick          under three minutes: three short rounds, growth to 30,000 names
  --smoke          seconds: ours and unbound, one short round; fails where anything gives no figure; writes nothing without --out
  --only A,B       of ${Object.keys(CASES).join(', ')}; writes nothing without --out
  --peers A,B      only these of the installed ones, and ours
  --rounds N       instead of ${FULL.rounds}
  --seed N         the order of names; default 1
  --out DIR        where the results go instead of bench/results
  --readme         also rewrite the README's performance part; alone: from the last results, without a run`

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    smoke: { type: 'boolean', default: false },
    only: { type: 'string' },
    peers: { type: 'string' },
    rounds: { type: 'string' },
    seed: { type: 'string', default: '1' },
    out: { type: 'string' },
    readme: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

const chosen = options.only?.split(',') ?? Object.keys(CASES)
const fault = faultOf()
if (options.help) console.log(HELP)
else if (fault !== undefined) {
  console.error(`${fault}\n\n${HELP}`)
  process.exitCode = 2
} else if (options.readme && process.argv.length === 3) {
  updateReadme(JSON.parse(readFileSync(join(RESULTS, 'bench.json'), 'utf8')) as Run)
} else {
  const done = await run()
  const out = options.out ?? (options.smoke || options.only !== undefined ? undefined : RESULTS)
  if (out !== undefined) write(done, out)
  console.log(`\n${printed(done)}${out === undefined ? '' : `\nwritten to ${out}`}`)
  if (options.readme) updateReadme(done)
  if (options.smoke && done.skipped.length > 0) process.exitCode = 1
  process.exit()
}

/** What makes a run impossible, as a sentence. */
function faultOf(): string | undefined {
  const unknown = chosen.filter((name) => !(name in CASES))
  if (unknown.length > 0) return `no such case: ${unknown.join(', ')}`
  if (!/^[1-9]\d*$/.test(options.rounds ?? '1')) return '--rounds takes a number from 1 up'
  if (!/^\d+$/.test(options.seed)) return '--seed takes a number'
  if (process.platform !== 'linux') return 'CPU per query is read from /proc: this needs Linux'
  return hasDnsperf() ? undefined : 'dnsperf is not installed: apt-get install dnsperf'
}

async function run(): Promise<Run> {
  cleanUpOnExit()
  const startedMs = performance.now()
  const seconds = () => Math.round((performance.now() - startedMs) / 1000)
  const say = (line: string) => console.log(`${String(seconds()).padStart(4)} s  ${line}`)
  const machine = thisMachine()
  pinSelf()
  const place = newPlace('run')
  const seed = Number(options.seed)
  const base = options.smoke ? SMOKE : options.quick ? QUICK : FULL
  const plan = options.rounds === undefined ? base : { ...base, rounds: Number(options.rounds) }
  const here = installed(VERSION, place, options.smoke)
  const wanted = options.peers?.split(',')
  const isWanted = ({ what }: { readonly what: string }) => wanted?.includes(what) !== false
  const peers = here.peers.filter(({ role, id }) => role !== 'peer' || isWanted({ what: id }))
  const absent = here.absent.filter(isWanted)
  const versions = Object.fromEntries(peers.map((peer) => [peer.id, versionOf(peer)]))
  const upstream = await startUpstream()
  say(`measuring ${peers.map((peer) => peer.id).join(', ')}; upstream: ${upstream.kind}`)
  for (const { what, why } of absent) say(`absent: ${what}: ${why}`)
  if (machine.loadBefore > 0.5) say(`the load average is ${machine.loadBefore.toFixed(1)}: somebody else is working here, expect noise`)
  const samples: Sample[] = []
  const skipped = new Map<string, string>()
  const bench: Bench = {
    plan,
    peers,
    upstream,
    names: new Names(place, seed),
    prober: compile(place, 'load/prober.c'),
    say,
    hot: hotFleet(),
    gone: new Set(),
    add: (sample) => void samples.push(sample),
    skip(what, why) {
      skipped.set(what, why)
      say(`SKIPPED ${what}: ${why}`)
    },
  }
  for (const [i, name] of chosen.entries()) {
    await runCase(bench, name, `${i + 1} of ${chosen.length}`)
    if (!chosen.slice(i + 1).some((later) => HOT.includes(later))) await bench.hot.stop()
  }
  return {
    ...{ date: new Date().toISOString(), seconds: seconds(), seed, plan, machine, upstream: upstream.kind, versions, absent },
    ...{ skipped: [...skipped].map(([what, why]) => ({ what, why })), samples },
  }
}

/** A case that breaks is named and costs the others nothing. */
async function runCase(bench: Bench, name: string, place: string): Promise<void> {
  const found = CASES[name]
  if (found === undefined) return
  bench.say(`--- ${place}: ${found.what}`)
  let figures = 0
  const add: Bench['add'] = (sample) => {
    figures++
    bench.add(sample)
  }
  try {
    await found.run({ ...bench, add })
    if (figures === 0) bench.skip(found.what, 'nobody could be measured')
  } catch (error) {
    bench.skip(found.what, error instanceof Error ? error.message : String(error))
  }
}

function write(done: Run, out: string): void {
  mkdirSync(out, { recursive: true })
  const files = { 'bench.json': `${JSON.stringify(done, null, 1)}\n`, 'bench.md': markdown(done), ...plots(done) }
  for (const [name, text] of Object.entries(files)) writeFileSync(join(out, name), text)
}
