import { best } from '../adversary/closed-world.ts'
import type { Estimate } from '../adversary/metrics.ts'
import type { Row } from './measure.ts'
import { BATCH_NOTE, KNOB_NOTES } from './report-notes.ts'
import type { Results } from './results.ts'
import type { ScenarioReport } from './scenarios.ts'
import type { TimingRow } from './wire/micro-timing.ts'
import type { WireRow } from './wire/wire-row.ts'

const VERDICT = { pass: 'pass', fail: '**FAIL**', open: 'open' }
const percent = (share: number) => (share * 100).toFixed(1)
const interval = ({ value, low, high }: Estimate) => `${percent(value)} (${percent(low)}–${percent(high)})`
const area = ({ value, low, high }: Estimate) => `${value.toFixed(2)} (${low.toFixed(2)}–${high.toFixed(2)})`
const ms = (value: number) => value.toFixed(0)

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map((_, i) => (i === 0 ? '---' : '---:'))), ...rows.map(line)].join('\n')
}

/** The report as Markdown. */
export function markdown(results: Results): string {
  const { rows, many, sweep, wire, timing, gates, scale, machine } = results
  const parts = [
    '# What an observer of the link learns',
    `${results.date.slice(0, 10)}, commit ${machine.commit}, seed \`${results.seed}\`, ${scale.name} run of ${ms(results.seconds / 60)} min on ${machine.cpu} (${machine.cores} cores, load before ${machine.loadBefore.toFixed(1)}), Node ${machine.node}. Pages: ${results.pages}.`,
    scale.name === 'quick' ? '**A quick run: few pages, wide intervals. The gates need `npm run bench:observer` without `--quick`.**' : '',
    'Closed world: the observer knows which sites are possible, has recorded each of them through the very same defence, and sees records: size, direction, time. Chance at 100 sites is 1.0 %. Accuracies in per cent, with 95 % intervals.',
    '![accuracy against cost](observer.svg)',
    '## Gates',
    table(
      ['gate', 'wanted', 'reached', ''],
      gates.map((g) => [g.what, g.wanted, g.reached, VERDICT[g.verdict]]),
    ),
    `## Closed world, N = ${rows[0]?.sites ?? 100}`,
    closedTable(rows),
    '## Cost',
    costTable(rows),
    rows.some((row) => row.onset) ? `## Onset, correlation, open world\n\n${otherTable(rows)}` : '',
    results.scenarios.length > 0 ? `## An hour\n\n${hourTable(results.scenarios)}` : '',
    results.days.length > 0 ? `## A day of covers\n\n${dayTable(results.days)}` : '',
    many.length > 0
      ? `## Closed world, N = ${many[0]?.sites} (chance ${percent(1 / (many[0]?.sites ?? 1))} %)\n\n${closedTable(many)}`
      : '',
    wire.length > 0 ? `## On the wire\n\n${wireTable(wire)}` : '',
    timing.length > 0 ? `### Real cells against covers, by emission time\n\n${timingTable(timing)}` : '',
    sweep.length > 0 ? `## Other schedules\n\n${sweepTable(sweep)}` : '',
    '## How to read it',
    KNOB_NOTES,
    BATCH_NOTE,
  ]
  return `${parts.filter((part) => part !== '').join('\n\n')}\n`
}

function closedTable(rows: readonly Row[]): string {
  return table(
    [
      'defence',
      'best',
      'times chance',
      'A1 forest',
      'A2 n-grams',
      'A3 edit distance',
      'A4 latency',
      'A4+ slots',
      'length alone',
      'pages with a large reply',
      'bits of site',
      'pages learnt + tested',
    ],
    rows.map(({ title, world, sites, learnt }) => {
      const top = best(world)
      return [
        title,
        `**${percent(top.value)}** (${top.attacker})`,
        (top.value * sites).toFixed(1),
        interval(world.a1),
        interval(world.a2),
        interval(world.a3),
        interval(world.a4),
        interval(world.a4plus),
        `${interval(world.length)}, ${world.lengthBits.toFixed(2)} bits`,
        world.marked === undefined ? '–' : interval(world.marked),
        `${world.bits.toFixed(2)} of ${Math.log2(sites).toFixed(1)}`,
        `${learnt * sites} + ${world.tested}${world.folds > 1 ? `, ${world.folds} folds` : ''}`,
      ]
    }),
  )
}

function costTable(rows: readonly Row[]): string {
  return table(
    ['defence', 'cells a query', 'cells a page', 'kB a page', 'delay p50 ms', 'delay p95 ms'],
    rows.map(({ title, cost: c }) => [
      title,
      c.cellsPerQuery.toFixed(1),
      c.cellsPerPage.toFixed(0),
      c.kilobytesPerPage.toFixed(0),
      ms(c.waitP50Ms),
      ms(c.waitP95Ms),
    ]),
  )
}

function otherTable(rows: readonly Row[]): string {
  return table(
    [
      'defence',
      'A5 onset, idle link',
      'A5 in a session',
      'A6 LAN–WAN in a session',
      'A6 LAN–WAN whole',
      'A6 devices in a session',
      'A6 devices whole',
      'A7 AUC',
      'A7 precision at 1 %',
    ],
    rows.flatMap(({ title, onset, correlation: c, openWorld }) =>
      onset === undefined || c === undefined || openWorld === undefined
        ? []
        : [
            [
              title,
              area(onset.quiet),
              onset.open === undefined ? '–' : area(onset.open),
              area(c.lanWithin),
              area(c.lanWhole),
              area(c.talkWithin),
              area(c.talkWhole),
              area(openWorld.auc),
              `${percent(openWorld.precisionAtHalf)} %`,
            ],
          ],
    ),
  )
}

function hourTable(reports: readonly ScenarioReport[]): string {
  const scenarios = reports[0]?.rows.map(({ scenario }) => scenario) ?? []
  return `${table(
    ['profile', ...scenarios.map((name) => `${name}, MB (open)`), 'kind of load named, %', 'second page after 10 to 20 s, AUC'],
    reports.map(({ profile, rows, told, second }) => [
      `\`${profile}\``,
      ...rows.map(({ megabytesAnHour, openShare }) => `${megabytesAnHour.toFixed(1)} (${percent(openShare)} %)`),
      interval(told),
      area(second),
    ]),
  )}

What an hour costs, both ways with headers, and how much of it the link is on. From when it was on alone: which of the ${scenarios.length} kinds of load it was (guessing names ${percent(1 / Math.max(1, scenarios.length))} %), and whether a second page followed.`
}

function dayTable(days: Results['days']): string {
  const hours = [0, 5, 11, 23]
  return `${table(
    ['profile', 'caches', 'times to live', ...hours.map((hour) => `hour ${hour + 1}`), 'rare names', 'status'],
    days.map(({ profile, scene, missedByHour, rareShare, unlikeness }) => [
      `\`${profile}\``,
      String(scene.caches),
      scene.ttls,
      ...hours.map((hour) => percent(missedByHour[hour] ?? 0)),
      `${percent(rareShare)} %`,
      unlikeness === undefined ? 'in force' : `not in force: ${unlikeness}`,
    ]),
  )}

The share of covers that the resolver has to look up, where a quarter of real queries has to be, at 40 pages an hour. Times to live: mixed (60 s to a day, a third of them an hour), short (one to five minutes), long (an hour to a day).`
}

function wireTable(rows: readonly WireRow[]): string {
  const shown = (row: WireRow) =>
    row.sizes
      .slice(0, 4)
      .map(([octets, count]) => `${octets} × ${count}`)
      .join(', ')
  return `${table(
    [
      'server',
      'sites × visits',
      'best on the wire',
      'A1 wire',
      'A1 virtual',
      'A2 wire',
      'A2 virtual',
      'A3 wire',
      'A3 virtual',
      'A4 wire',
      'A4 virtual',
      'A4+ wire',
      'A4+ virtual',
      'records out a page, wire (virtual)',
      'stalls p99 ms',
      'record bodies',
    ],
    rows.map((row) => {
      const pair = (key: 'a1' | 'a2' | 'a3' | 'a4' | 'a4plus') => [
        interval(row.wire[key]),
        row.virtual === undefined ? '–' : interval(row.virtual[key]),
      ]
      const top = best(row.wire)
      const virtualCells = row.virtualCellsPerPage === undefined ? '' : ` (${row.virtualCellsPerPage.toFixed(0)})`
      return [
        row.title,
        `${row.sites} × ${(row.visits / row.sites).toFixed(0)}`,
        `**${percent(top.value)}** (${top.attacker})`,
        ...pair('a1'),
        ...pair('a2'),
        ...pair('a3'),
        ...pair('a4'),
        ...pair('a4plus'),
        `${row.wireCellsPerPage.toFixed(0)}${virtualCells}`,
        row.stallP99Ms?.toFixed(1) ?? '–',
        shown(row),
      ]
    }),
  )}

Real page loads through the real server to a DoT server on loopback, at the speed they have (time is not scaled), taken down by a relay that reads TLS record headers only.
Chance is ${percent(1 / (rows[0]?.sites ?? 20))} %. Both sides are tested by five-fold cross-validation on the same visits, cut at 15 s.

![captures](observer-wire.svg)`
}

function timingTable(rows: readonly TimingRow[]): string {
  return `${table(
    ['profile', 'told right', 'cells'],
    rows.map(({ title, accuracy, cells }) => [title, interval(accuracy), String(cells)]),
  )}

A forest on the gaps around each cell, at the tap; what was real is known from the resolver's side. Half of the cells are real, each set beside a cover of the same place in another session: 50 is blind.`
}

function sweepTable(rows: readonly Row[]): string {
  return `${table(
    ['schedule', 'best of A1 to A4+', 'cells a page', 'kB a page', 'delay p50 ms', 'delay p95 ms'],
    rows.map(({ title, world, cost }) => {
      const top = best(world)
      return [
        title,
        `${interval(top)} ${top.attacker}`,
        cost.cellsPerPage.toFixed(0),
        cost.kilobytesPerPage.toFixed(0),
        ms(cost.waitP50Ms),
        ms(cost.waitP95Ms),
      ]
    }),
  )}

On a smaller set than the gates' (${rows[0]?.world.tested} pages): for finding candidates.`
}
