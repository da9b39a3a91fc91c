import type { CaseId } from '../cases/case.ts'
import { BARE, ECHO } from '../peers/floors.ts'
import { factorsOf } from './factors.ts'
import { type Filled, figure, filled } from './rows.ts'
import { type Run, type Standing, standings } from './run.ts'

/** Titles of a figure's column. */
const COLUMN: Readonly<Record<string, string>> = {
  cpuUs: 'CPU, us a query',
  busiestUs: 'CPU of the busiest thread, us a query',
  addedUs: 'added by it, us',
  queriesPerS: 'queries a second',
  meanUs: 'mean latency, us',
  lossPct: 'lost, %',
  p50Us: 'p50, us',
  p99Us: 'p99, us',
  p999Us: 'p99.9, us',
  rssMb: 'memory, MB',
  ms: 'ms',
  cpuPct: 'CPU, %',
  wakeUpsPerS: 'wake-ups a second',
}

/** The whole report: bench.md. */
export function markdown(run: Run): string {
  const missing = [...run.absent, ...run.skipped]
  return [
    '# Measured',
    '',
    setting(run),
    '',
    comparison(run),
    '',
    ...caseIds(run).flatMap((id) => [`## ${titleOf(id, run.plan)}`, '', caseTable(run, id), '']),
    ...(missing.length === 0 ? [] : ['## Not measured', '', ...missing.map(({ what, why }) => `- ${what}: ${oneLine(why)}`), '']),
  ].join('\n')
}

/** Where and how: one paragraph. */
export function setting({ machine, date, seconds, seed, plan, upstream, versions, absent }: Run): string {
  const peers = Object.entries(versions)
    .filter(([id]) => !id.startsWith('enigm-dns (') && id !== ECHO && id !== BARE)
    .map(([id, version]) => `${id} ${version}`)
  return [
    `${date.slice(0, 10)}, ${machine.cpu}, ${machine.cores} cores, ${machine.kernel}, Node ${machine.node.slice(1)}, OpenSSL ${machine.openssl}; sources ${machine.commit}; seed ${seed}; ${seconds} s.`,
    `${peers.join(', ')}${absent.length === 0 ? '' : `; absent: ${absent.map(({ what, why }) => `${what} (${why})`).join(', ')}`}.`,
    `Server on one core, ${machine.pinned ? 'pinned' : 'NOT pinned'}; dnsperf and the upstream (${upstream}) on the other, so queries per second say less than CPU per query (from /proc, threads and children together).`,
    `Medians of ${plan.rounds} interleaved rounds of ${plan.seconds} s; a ratio is the median of the rounds' ratios.${machine.loadBefore > 0.5 ? ` The machine was not quiet (load ${machine.loadBefore.toFixed(1)}).` : ''}`,
    'The floor of hits is an echo in C; that of the start and of a miss over DoT is a program on Node that only passes queries on (bench/floor).',
  ].join('\n')
}

/** Ours against the best peer, row by row. */
export function comparison(run: Run): string {
  return [
    '| | enigm-dns | best peer | ratio | of the floor | target |',
    '| --- | ---: | ---: | ---: | ---: | --- |',
    ...filled(run).map(comparisonRow),
    ...factorsOf(run).map(({ label, factor, target, met }) => `| ${label} | ${factor.toFixed(2)} x | | | | ${verdict(target, met)} |`),
  ].join('\n')
}

function comparisonRow({ row, ours, rival, ratio, overFloor, target, met }: Filled): string {
  const theirs = rival === undefined ? '-' : `${figure(rival.medians[row.metric])} ${row.unit} (${rival.subject})`
  const cells = [
    row.label,
    `${figure(ours.medians[row.metric])} ${row.unit}`,
    theirs,
    ratio?.toFixed(2) ?? '-',
    overFloor === undefined ? '' : `${overFloor.toFixed(2)} x`,
    verdict(target, met),
  ]
  return `| ${cells.join(' | ')} |`
}

const verdict = (target: string, met: boolean | undefined) => (met === undefined ? target : `${target}: ${met ? 'met' : '**missed**'}`)

function caseTable(run: Run, id: CaseId): string {
  const metrics = Object.keys(run.samples.find((sample) => sample.case === id)?.values ?? {})
  const line = ({ subject, medians, rounds }: Standing) =>
    `| ${subject} | ${metrics
      .map((name) =>
        cell(
          medians[name],
          rounds.map((sample) => sample.values[name] ?? Number.NaN),
        ),
      )
      .join(' | ')} |`
  return [
    `| | ${metrics.map((name) => COLUMN[name] ?? name).join(' | ')} |`,
    `| --- |${metrics.map(() => ' ---: |').join('')}`,
    ...standings(run, id, metrics[0] ?? '').map(line),
  ].join('\n')
}

/** The median, and between which values the rounds lay. */
function cell(value: number | undefined, rounds: readonly number[]): string {
  const [low, high] = [Math.min(...rounds), Math.max(...rounds)]
  return rounds.length < 2 || low === high ? figure(value) : `${figure(value)} (${figure(low)} - ${figure(high)})`
}

const caseIds = (run: Run): readonly CaseId[] => [...new Set(run.samples.map((sample) => sample.case))]

function titleOf(id: CaseId, { hitNames }: Run['plan']): string {
  const names = hitNames.toLocaleString('en')
  const titles: Readonly<Record<string, string>> = {
    'hits-200': `Hits over ${names} names, 200 in flight`,
    'hits-1000': `Hits over ${names} names, 1000 in flight`,
    'miss-dot': 'Misses over DoT, 200 in flight',
    'jitter-equal': 'Misses over DoT, 15,000 queries a second',
    'jitter-600': 'Misses over DoT, 600 in flight',
    'miss-doh': 'Misses over DoH, 200 in flight',
    'miss-dnscrypt': 'Misses over DNSCrypt (the server: dnsdist), 200 in flight',
    'miss-doq': 'Misses over DoQ (the server: OpenSSL in Node), 200 in flight',
    'added-dot': 'Misses over DoT, one at a time',
    'added-doh': 'Misses over DoH, one at a time',
    workers: 'Hits with one worker and with two, 128 client sockets, 1000 in flight',
    'tcp-200': 'Hits over TCP, 20 connections, 200 in flight',
    'latency-1': 'Hits, one in flight',
    'latency-10k': 'Hits, 10,000 queries a second',
    first: 'From exec to the first answer',
    idle: 'Idle',
  }
  return titles[id] ?? `Hits with ${Number(id.split('-')[1]).toLocaleString('en')} names in the cache`
}

const oneLine = (text: string) => text.replace(/\s+/g, ' ').slice(0, 300)
