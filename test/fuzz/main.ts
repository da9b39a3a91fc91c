import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { register } from 'node:module'
import { cpus, loadavg } from 'node:os'
import { dirname } from 'node:path'
import { parseArgs } from 'node:util'
import { MessageChannel } from 'node:worker_threads'
import { systemRandom } from '../../src/clock.ts'
import { seededRandom } from '../support/fake-clock.ts'
import { readCorpus, saveCorpus } from './corpus.ts'
import { installCoverage } from './coverage.ts'
import { type Exploration, explore, type Finding } from './explore.ts'
import type { LoaderSetup } from './loader.ts'
import type { Target } from './target.ts'
import { TARGETS, type TargetEntry } from './targets.ts'

const HELP = `npm run fuzz -- TARGET [--minutes N] [--seed N] [--save] [--json FILE]

  TARGET     ${Object.keys(TARGETS).join(', ')}
  --minutes  how long (1)
  --seed     the same seed gives the same inputs (random)
  --save     keep the inputs that reached something new in test/fuzz/corpus/TARGET.hex
  --json     add the figures of the run to that file

Prints every input that broke a property, cut to what breaks it, as hex. Exits 1 if there is one.`

const TELL_EVERY_MS = 10_000
const SAMPLE_EVERY = 64
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string' },
    save: { type: 'boolean', default: false },
    json: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})
const [name = ''] = positionals
const entry = TARGETS[name]
if (entry === undefined || values.help) {
  console.log(HELP)
  process.exitCode = values.help ? 0 : 2
} else await fuzz(name, entry)

async function fuzz(name: string, entry: TargetEntry): Promise<void> {
  const coverage = installCoverage()
  const literals: string[] = []
  const { port1, port2 } = new MessageChannel()
  port1.on('message', (words: readonly string[]) => literals.push(...words)).unref()
  const setup: LoaderSetup = { parts: entry.parts, port: port2 }
  register('./loader.js', import.meta.url, { data: setup, transferList: [port2] })
  const target = whole(await entry.load())

  const seed = Number(values.seed ?? systemRandom.below(2 ** 31))
  const forMs = Number(values.minutes) * 60_000
  const startedMs = performance.now()
  let tellMs = startedMs + TELL_EVERY_MS
  console.log(`${name}: seed ${seed}, ${values.minutes} min`)
  const result = await explore({
    target,
    coverage,
    seeds: [...target.seeds, ...readCorpus(name)],
    random: seededRandom(seed),
    words: () => literals.splice(0),
    cpuMs,
    enough: (executions) => {
      if (executions % SAMPLE_EVERY !== 0) return false
      const nowMs = performance.now()
      if (nowMs >= tellMs) {
        tellMs = nowMs + TELL_EVERY_MS
        console.log(`${name}: ${executions} executions in ${((nowMs - startedMs) / 1000).toFixed(0)} s`)
      }
      return nowMs - startedMs >= forMs
    },
    onFinding: show,
  })
  const minutes = (performance.now() - startedMs) / 60_000
  const arms = `${result.reached} of ${coverage.edges} arms`
  console.log(`${name}: ${result.executions} executions in ${minutes.toFixed(1)} min, ${arms}, ${result.findings.length} findings`)
  if (values.save) saveCorpus(name, result.corpus)
  if (values.json !== undefined) record(values.json, { name, seed, minutes, arms: coverage.edges }, result)
  process.exit(result.findings.length === 0 ? 0 : 1)
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

/** What is thrown after the run that caused it returned counts as its fault too. */
function whole(target: Target): Target {
  let stray: unknown
  const take = (error: unknown) => {
    stray = error ?? new Error('nothing was thrown')
  }
  process.on('uncaughtException', take).on('unhandledRejection', take)
  const check = () => {
    const error = stray
    stray = undefined
    if (error !== undefined) throw error
  }
  return {
    ...target,
    run(input) {
      const running = target.run(input)
      return running === undefined ? check() : running.then(check)
    },
  }
}

function show({ message, input }: Finding): void {
  console.log(`FINDING ${message}\n  ${input.length} octets: ${Buffer.from(input.subarray(0, 2048)).toString('hex')}`)
}

interface Run {
  readonly name: string
  readonly seed: number
  readonly minutes: number
  readonly arms: number
}

/** One row a run; a row of the same target and seed is replaced. */
function record(file: string, run: Run, result: Exploration): void {
  const rows: { target?: string; seed?: number }[] = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : []
  const row = {
    target: run.name,
    seed: run.seed,
    minutes: Number(run.minutes.toFixed(2)),
    executions: result.executions,
    perSecond: Math.round(result.executions / (run.minutes * 60)),
    armsReached: result.reached,
    arms: run.arms,
    corpus: result.corpus.length,
    findings: result.findings.map(({ message, input }) => ({ message, hex: Buffer.from(input).toString('hex').slice(0, 4096) })),
    node: process.version,
    cpus: cpus().length,
    load1: Number((loadavg()[0] ?? 0).toFixed(2)),
    at: new Date().toISOString(),
  }
  mkdirSync(dirname(file), { recursive: true })
  const kept = rows.filter(({ target, seed }) => target !== run.name || seed !== run.seed)
  writeFileSync(file, `${JSON.stringify([...kept, row], undefined, 1)}\n`)
}
