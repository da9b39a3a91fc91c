import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { ROOT } from '../compiled.ts'
import { thisMachine } from '../machine.ts'
import { barsOf } from './bars.ts'
import type { Check } from './row.ts'
import { ROWS } from './rows.ts'
import { type RowResult, runRow } from './run-row.ts'
import { watchForStops } from './stops.ts'

/** A row during which this machine stood still is no measurement: it is run again, so often at most. */
const MOST_RUNS = 4

const USAGE = `npm run chaos -- [ROW ...] [--fast] [--seed N] [--slack X] [--list]

The chaos table against the built daemon: fault, figure, pass or fail. ROW: the beginning of a row's name; default: all.
--fast shortens waits so that a row takes less than 10 s. --slack multiplies the limits of time (default 1).
Writes bench/results/chaos.txt (what it prints), chaos.json and chaos.svg when all rows are run in full, and nothing otherwise.`

const { values: o, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    fast: { type: 'boolean', default: false },
    seed: { type: 'string', default: '1' },
    slack: { type: 'string', default: '1' },
    list: { type: 'boolean', default: false },
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
  const printed: string[] = []
  const say = (line: string) => {
    printed.push(line)
    console.log(line)
  }
  const { stops } = watchForStops()
  for (const row of chosen) {
    let result: RowResult
    for (let run = 1; ; run++) {
      const before = stops.length
      result = await runRow(row, { fast: o.fast, slack: Number(o.slack), seed: Number(o.seed) })
      if (stops.length === before || run === MOST_RUNS) break
      say(`again ${row.name}: this process stood still meanwhile`)
    }
    results.push(result)
    for (const line of linesOf(result)) say(line)
  }
  const failed = results.filter(({ pass }) => !pass)
  say(
    `\n${results.length - failed.length} of ${results.length} rows pass${failed.length > 0 ? `; not: ${failed.map(({ name }) => name).join(', ')}` : ''}`,
  )
  say(`load before: ${machine.loadBefore.toFixed(1)} on ${machine.cores} cores`)
  if (positionals.length === 0 && !o.fast) {
    const dir = join(ROOT, 'bench', 'results')
    mkdirSync(dir, { recursive: true })
    writeFileSync(
      join(dir, 'chaos.json'),
      `${JSON.stringify({ machine, seed: Number(o.seed), slack: Number(o.slack), results }, undefined, 1)}\n`,
    )
    writeFileSync(join(dir, 'chaos.svg'), barsOf(results))
    writeFileSync(join(dir, 'chaos.txt'), `${printed.join('\n')}\n`)
  }
  process.exit(failed.length === 0 ? 0 : 1)
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
