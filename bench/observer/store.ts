import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { CoverDay } from './caches.ts'
import { gates } from './gates.ts'
import { LINE_UP } from './line-up.ts'
import type { Row } from './measure.ts'
import { picture } from './picture.ts'
import { markdown } from './report.ts'
import type { Results } from './results.ts'
import type { ScenarioReport } from './scenarios.ts'
import { SWEEP } from './sweep.ts'
import { captures } from './wire/captures.ts'
import type { TimingRow } from './wire/micro-timing.ts'
import { placeOf } from './wire/servers.ts'
import type { WireRow } from './wire/wire-row.ts'

/**
 * The results as they grow. Each row is on the disk once it is there: a run takes hours, and may be
 * ended.
 */
export interface Store {
  readonly results: Results
  row(kind: 'rows' | 'many' | 'sweep', row: Row): void
  scenario(report: ScenarioReport): void
  day(day: CoverDay): void
  wire(row: WireRow): void
  timing(row: TimingRow): void
  took(seconds: number): void
}

/**
 * `directory` undefined: nothing is written. `join`: new rows join those that stand there, of the
 * same scale, seed and knobs; others are dropped.
 */
export function openStore(directory: string | undefined, empty: Results, joins: boolean): Store {
  const before = directory === undefined || !joins ? undefined : readResults(directory)
  let results: Results =
    before !== undefined && sameRun(before, empty) ? { ...empty, ...before, date: empty.date, machine: empty.machine } : empty
  const put = (next: Results) => {
    results = { ...next, gates: gates(next) }
    if (directory !== undefined) writeResults(directory, results)
  }
  return {
    get results() {
      return results
    },
    row: (kind, row) => put({ ...results, [kind]: placed(results[kind], row, kind === 'sweep' ? SWEPT : IDS) }),
    scenario: (report) =>
      put({ ...results, scenarios: [...results.scenarios.filter(({ profile }) => profile !== report.profile), report] }),
    day({ tape: _tape, ...day }) {
      const same = (other: typeof day) => other.profile === day.profile && JSON.stringify(other.scene) === JSON.stringify(day.scene)
      put({ ...results, days: [...results.days.filter((other) => !same(other)), day] })
    },
    wire: (row) => put({ ...results, wire: placed(results.wire, row, WIRED) }),
    timing: (row) => put({ ...results, timing: placed(results.timing, row, WIRED) }),
    took: (seconds) => put({ ...results, seconds: results.seconds + seconds }),
  }
}

const IDS = (id: string) => LINE_UP.findIndex((entry) => entry.id === id)
const SWEPT = (id: string) => SWEEP.findIndex(({ title }) => title === id)
const WIRED = placeOf

function placed<R extends { readonly id: string }>(all: readonly R[], one: R, place: (id: string) => number): readonly R[] {
  return [...all.filter(({ id }) => id !== one.id), one].sort((a, b) => place(a.id) - place(b.id))
}

const sameRun = (a: Results, b: Results) =>
  [a, b].map(({ scale, seed, knobs, pages }) => JSON.stringify([scale, seed, knobs, pages])).every((text, _, [one]) => text === one)

/** What stands in `directory`, or undefined. */
export function readResults(directory: string): Results | undefined {
  try {
    return JSON.parse(readFileSync(join(directory, 'observer.json'), 'utf8')) as Results
  } catch {
    return undefined
  }
}

/** observer.json, .md, .svg and, with figures from the wire, observer-wire.svg. */
export function writeResults(directory: string, results: Results): void {
  const write = (name: string, text: string) => writeFileSync(join(directory, name), text)
  mkdirSync(directory, { recursive: true })
  write('observer.json', `${JSON.stringify(results)}\n`)
  write('observer.md', markdown(results))
  if (results.rows.length > 0) write('observer.svg', picture(results.rows))
  if (results.wire.length > 0) write('observer-wire.svg', captures(results.wire))
}
