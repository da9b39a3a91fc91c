import { setPriority } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { best } from '../adversary/closed-world.ts'
import { startTaskPool, type TaskPool } from '../adversary/task-pool.ts'
import { cleanUpOnExit } from '../children.ts'
import { ROOT } from '../compiled.ts'
import { thisMachine } from '../machine.ts'
import { coverDay, SCENES } from './caches.ts'
import { type Chance, chance } from './chance.ts'
import { writeDocs } from './docs-tables.ts'
import { gates } from './gates.ts'
import { type Entry, LINE_UP, PACED } from './line-up.ts'
import { closedWorld, compared, gatedRow, measure, onTraces, type Row } from './measure.ts'
import { KNOBS } from './pages.ts'
import { markdown } from './report.ts'
import { type Results, SYNTHETIC } from './results.ts'
import { FULL, hard, QUICK, SMOKE } from './scale.ts'
import { scenarios } from './scenarios.ts'
import { openStore, readResults, type Store, writeResults } from './store.ts'
import { sweep } from './sweep.ts'
import { readTraces } from './traces.ts'
import { onTheWire, timingOnTheWire } from './wire/on-the-wire.ts'

const HELP = `npm run bench:observer -- [options]
What an observer of the link learns from size, direction and time of its records, and what each profile costs. Runs offline; nothing leaves loopback.
  --quick           fewer pages, one to three minutes; says so, and its intervals are wide
  --parts LIST      of rows,hours,many,wire,timing,sweep (default: all but sweep; with --quick: rows,hours): a hundred sites, an hour of six kinds of load and a day of covers, five hundred sites, the wire, real cells against covers on it, other schedules
  --only IDS        these rows only: ${LINE_UP.map(({ id }) => id).join(',')};
                    on the wire: off,jitter,lite,balanced,always-on,PROFILE-PROXY (lite-microsocks, balanced-tinyproxy),stubby,unbound
  --seed TEXT       another draw of everything (default: 1); the same seed gives the same figures, but for the wire
  --traces FILE     recorded page loads in place of synthetic ones (docs/observer-bench.md has the format); A1 to A4+
  --folds N         with --traces: every page is tested once, by attackers who learnt from the other N - 1 parts (default: 5)
  --held-out        with --traces: the last third of each site's visits is tested, by attackers who learnt from the rest
  --smoke           seconds: every row on a few pages; fails where one gives no figure; no gate, and nothing is written
  --out DIR         where observer.json, .md and .svg go (default: bench/results; --quick and --traces print instead). With --parts or --only new rows join those there
  --render          write the report again from observer.json, and the tables in docs/ that are made from it`

const { values: flags } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    parts: { type: 'string' },
    only: { type: 'string' },
    seed: { type: 'string', default: '1' },
    traces: { type: 'string' },
    folds: { type: 'string', default: '5' },
    'held-out': { type: 'boolean', default: false },
    smoke: { type: 'boolean', default: false },
    out: { type: 'string' },
    render: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  },
})
const PARTS = ['rows', 'hours', 'many', 'wire', 'timing', 'sweep']
const say = (text: string) => console.error(text)
const prints = flags.out === undefined && (flags.quick || flags.smoke || flags.traces !== undefined)
const out = prints ? undefined : resolve(flags.out ?? join(ROOT, 'bench', 'results'))
const parts = (flags.parts ?? defaultParts()).split(',')
const only = flags.only?.split(',')
const scaleOf = () => (flags.smoke ? SMOKE : flags.quick ? QUICK : FULL)
const unknown = [
  ...parts.filter((part) => !PARTS.includes(part)),
  ...(parts.includes('wire') || parts.includes('timing') ? [] : (only ?? [])).filter((id) => !LINE_UP.some((entry) => entry.id === id)),
]

if (flags.help) console.log(HELP)
else if (unknown.length > 0) {
  say(`unknown: ${unknown.join(', ')}\n${HELP}`)
  process.exitCode = 2
} else if (flags.render) render()
else await run()

function defaultParts(): string {
  if (flags.traces !== undefined) return 'rows'
  return flags.quick || flags.smoke ? 'rows,hours' : 'rows,hours,many,wire,timing'
}

function render(): void {
  const results = out === undefined ? undefined : readResults(out)
  if (out === undefined || results === undefined) throw new Error('there are no results to render')
  const judged = { ...results, gates: gates(results) }
  writeResults(out, judged)
  if (flags.out === undefined) writeDocs(ROOT, judged)
}

async function run(): Promise<void> {
  cleanUpOnExit()
  prioritise()
  const startedMs = performance.now()
  const traces = flags.traces === undefined ? undefined : readTraces(flags.traces)
  const folds = flags['held-out'] ? 1 : Math.max(2, Number(flags.folds) || 5)
  const left = traces?.leftOut === 0 ? '' : `, ${traces?.leftOut} more had too few`
  const store = openStore(
    out,
    nothing(traces && `${traces.source}: ${traces.sites} sites, ${traces.each} visits each${left}`),
    (flags.parts ?? flags.only) !== undefined,
  )
  const pool = startTaskPool()
  const root = chance(flags.seed)
  const scale = scaleOf()
  const { many } = scale
  const entries = LINE_UP.filter(({ id, skipped }) => (only === undefined ? !((flags.quick || flags.smoke) && skipped) : only.includes(id)))
  try {
    if (traces !== undefined)
      await inTurn(store, 'rows', entries, (entry) => onTraces(entry, traces, { trees: scale.trees, folds }, pool, root))
    else if (parts.includes('rows')) {
      await inTurn(store, 'rows', entries, (entry) => {
        const how = entry.deep ? measure : entry.gated ? gatedRow : compared
        return how(entry, entry.gated !== undefined && !entry.deep ? hard(scale) : scale, pool, root)
      })
    }
    if (parts.includes('hours')) await hours(store, scale.hours, pool, root)
    if (parts.includes('wire')) await onTheWire(only ?? [], pool, flags.seed, say, store.wire)
    if (parts.includes('timing')) await timingOnTheWire(only ?? [], pool, flags.seed, say, store.timing)
    const wide = entries.filter((entry) => entry.wide)
    if (parts.includes('many') && many !== undefined) await inTurn(store, 'many', wide, (entry) => closedWorld(entry, many, pool, root))
    if (parts.includes('sweep')) await sweep(pool, root, say, (row) => store.row('sweep', row))
  } finally {
    await pool.close()
  }
  store.took(Math.round((performance.now() - startedMs) / 1000))
  tell(store.results)
}

/**
 * Heavy work stands back; on the wire time is what is measured, so that it goes first where that is
 * allowed (it uses half a core).
 */
function prioritise(): void {
  const onWire = parts.includes('wire') || parts.includes('timing')
  if (!onWire) {
    setPriority(15)
    return
  }
  try {
    setPriority(-10)
  } catch {
    say('not allowed to go before others: on a busy machine the figures from the wire are noisy')
  }
}

function nothing(pages: string = SYNTHETIC): Results {
  return {
    schema: 'enigm-dns/observer-bench/1',
    date: new Date().toISOString(),
    seconds: 0,
    seed: flags.seed,
    scale: scaleOf(),
    knobs: KNOBS,
    machine: thisMachine(),
    pages,
    rows: [],
    many: [],
    sweep: [],
    scenarios: [],
    days: [],
    wire: [],
    timing: [],
    gates: [],
  }
}

/** What an hour tells and costs, and what a day does to covers. */
async function hours(store: Store, each: number, pool: TaskPool, root: Chance): Promise<void> {
  for (const profile of PACED) {
    const report = await scenarios(profile, each, pool, root)
    store.scenario(report)
    say(`hours of ${profile}: the kind of load is named in ${(report.told.value * 100).toFixed(0)} % of them`)
    for (const scene of flags.smoke ? [] : SCENES) {
      const day = coverDay(profile, scene, root)
      store.day(day)
      const last = ((day.missedByHour.at(-1) ?? 0) * 100).toFixed(1)
      say(`a day of ${profile}, ${scene.caches} caches, ${scene.ttls} times to live: ${last} % of covers miss in its last hour`)
    }
  }
}

async function inTurn(
  store: Store,
  kind: 'rows' | 'many',
  entries: readonly Entry[],
  measureOne: (entry: Entry) => Promise<Row>,
): Promise<void> {
  for (const entry of entries) {
    const beganMs = performance.now()
    const row = await measureOne(entry)
    store.row(kind, row)
    const top = best(row.world)
    const marked = row.world.marked === undefined ? '' : `, of pages with a large reply ${(row.world.marked.value * 100).toFixed(1)} %`
    const onset = row.onset === undefined ? '' : `, onset ${row.onset.quiet.value.toFixed(2)}`
    const took = ((performance.now() - beganMs) / 1000).toFixed(0)
    const cells = row.cost.cellsPerQuery.toFixed(1)
    say(
      `${row.sites} sites, ${entry.id}: ${(top.value * 100).toFixed(1)} % (${top.attacker}), length alone ${(row.world.length.value * 100).toFixed(1)} %, ${cells} cells a query${marked}${onset}, ${took} s`,
    )
  }
}

function tell(results: Results): void {
  if (out === undefined) console.log(markdown(results))
  const failed = results.gates.filter(({ verdict }) => verdict === 'fail')
  say(failed.length === 0 ? 'every gate that could be told holds' : `${failed.length} gates do not hold:`)
  for (const { what, wanted, reached } of failed) say(`  ${what}: ${reached} (wanted ${wanted})`)
}
