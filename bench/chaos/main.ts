import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { ROOT } from '../compiled.ts'
import { type Machine, thisMachine } from '../machine.ts'
import { barsOf } from './bars.ts'
import type { Check, Row } from './row.ts'
import { ROWS } from './rows.ts'
import { type RowResult, runRow } from './run-row.ts'
import { watchForStops } from './stops.ts'

/**
 * A row during which this machine stood still is no measurement: it is run again, so often at most.
 */
const MOST_RUNS = 4

const USAGE = `npm run chaos -- [ROW ...] [--fast] [--seed N] [--slack X] [--list] [--keep]

The chaos table against the built daemon: fault, figure, pass or fail. ROW: the beginning of a row's name; default: all.
--fast shortens waits so that a row takes less than 10 s. --slack multiplies the limits of time (default 1).
Writes bench/results/chaos.txt (what it prints), chaos.json and chaos.svg when all rows are run in full. --keep: rows run again in full take the place of those there.`

const { values: o, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    fast: { type: 'boolean', default: false },
    seed: { type: 'string', default: '1' },
    slack: { type: 'string', default: '1' },
    list: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
const chosen = ROWS.filter(({ name }) => positionals.length === 0 || positionals.some((word) => name.startsWith(word)))

if (o.help) console.log(USAGE)
else if (o.list) for (const { name, fault } of ROWS) console.log(`${name.padEnd(24)} ${fault}`)
else if (chosen.length === 0) throw new Error(`no row begins with ${positionals.join(' or ')}: --list names them`)
else await run()

async function run(): Promise<void> {
  const machine = thisMachine()
  const results: RowResult[] = []
  for (const row of chosen) {
    const result = await measured(row)
    results.push(result)
    for (const line of linesOf(result)) console.log(line)
  }
  const failed = results.filter(({ pass }) => !pass)
  for (const line of summary(results, machine)) console.log(line)
  if (!o.fast && (positionals.length === 0 || o.keep)) keep(results, machine)
  process.exit(failed.length === 0 ? 0 : 1)
}

/** One row, again where the machine stood still. */
async function measured(row: Row): Promise<RowResult> {
  for (let run = 1; ; run++) {
    const { stops, end } = watchForStops()
    const result = await runRow(row, { fast: o.fast, slack: Number(o.slack), seed: Number(o.seed) })
    end()
    if (stops.length === 0 || run === MOST_RUNS) return result
    console.log(`again ${row.name}: this process stood still meanwhile`)
  }
}

/**
 * Writes the results, in the order of the table; rows that were not run now stay as they are in
 * chaos.json.
 */
function keep(results: readonly RowResult[], machine: Machine): void {
  const dir = join(ROOT, 'bench', 'results')
  const file = join(dir, 'chaos.json')
  mkdirSync(dir, { recursive: true })
  const before =
    o.keep && existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as { readonly results: readonly RowResult[] }).results : []
  const all = ROWS.flatMap(({ name }) => [...results, ...before].find((result) => result.name === name) ?? [])
  writeFileSync(file, `${JSON.stringify({ machine, seed: Number(o.seed), slack: Number(o.slack), results: all }, undefined, 1)}\n`)
  writeFileSync(join(dir, 'chaos.svg'), barsOf(all))
  writeFileSync(join(dir, 'chaos.txt'), `${[...all.flatMap(linesOf), ...summary(all, machine)].join('\n')}\n`)
}

function summary(results: readonly RowResult[], machine: Machine): readonly string[] {
  const failed = results.filter(({ pass }) => !pass)
  const not = failed.length > 0 ? `; not: ${failed.map(({ name }) => name).join(', ')}` : ''
  return [
    '',
    `${results.length - failed.length} of ${results.length} rows pass${not}`,
    `load before: ${machine.loadBefore.toFixed(1)} on ${machine.cores} cores`,
  ]
}

function linesOf({ name, fault, over, pass, seconds, checks, notes, error }: RowResult): readonly string[] {
  return [
    `${pass ? 'pass' : 'FAIL'}  ${name}: ${fault}${over === undefined ? '' : ` (${over})`}, ${seconds.toFixed(1)} s`,
    ...checks.filter(isWorthALine).map((check) => `      ${check.pass ? '  ' : '! '}${textOf(check)}`),
    ...notes.map((note) => `        ${note}`),
    ...(error === undefined ? [] : [`      ! ${error}`]),
  ]
}

/** What is zero and must be zero is not news. */
function isWorthALine({ pass, figure, limit }: Check): boolean {
  return !(pass && figure === 0 && limit[1] === 0)
}

function textOf({ what, figure, limit: [op, value], unit }: Check): string {
  const of = (v: number) => (Number.isInteger(v) ? String(v) : v >= 100 ? v.toFixed(0) : v.toPrecision(4))
  return `${what}: ${of(figure)}${unit === '' ? '' : ` ${unit}`} (${op} ${of(value)})`
}
