import type { CaseId, Plan } from '../cases/case.ts'
import { JITTERED, NEWER, OURS } from '../peers/enigm-dns.ts'
import { bestPeer, type Run, ratio, type Standing, standings } from './run.ts'

/** What is compared: one figure of one case, lower is better. */
export interface Row {
  readonly case: CaseId
  readonly metric: string
  readonly label: string
  readonly unit: 'us' | 'ms' | 'MB' | '%' | '/s'
  /** Which configuration of ours; default the first. */
  readonly subject?: string
  /** Whom it is compared with; default the best peer. */
  readonly against?: string
  /** At most this many times that one. */
  readonly ratio?: number
  /** At most this many times the floor. */
  readonly overFloor?: number
  /** At most this, whatever the peers do. */
  readonly limit?: number
  /** README.md shows it: a person may choose by it. */
  readonly readme?: true
}

const HIT = { metric: 'cpuUs', unit: 'us', ratio: 0.95, overFloor: 1.3 } as const
const DOH = { metric: 'cpuUs', unit: 'us', ratio: 0.5 } as const
const ADDED = { metric: 'addedUs', unit: 'us' } as const
const NODE = 'enigm-dns (node:http2)'

const latency = (id: CaseId, when: string): readonly Row[] => [
  { case: id, metric: 'p50Us', label: `hit latency, ${when}, p50`, unit: 'us', ratio: 1.1, against: 'unbound' },
  {
    case: id,
    metric: 'p99Us',
    label: `hit latency, ${when}, p99`,
    unit: 'us',
    ratio: 1.1,
    against: 'unbound',
    ...(id === 'latency-10k' ? { readme: true as const } : {}),
  },
]

const growth = (size: number): readonly Row[] => {
  const id = `growth-${size}` as const
  const names = `${size.toLocaleString('en')} names`
  return [
    { case: id, metric: 'cpuUs', label: `hit with ${names}`, unit: 'us' },
    {
      case: id,
      metric: 'rssMb',
      label: `memory with ${names}`,
      unit: 'MB',
      ...(size === 100_000 ? { limit: 110 } : size === 1_000_000 ? { limit: 400 } : {}),
    },
  ]
}

/** Every comparison of a run, in the order of the report. */
export function rowsOf(plan: Plan): readonly Row[] {
  return [
    { case: 'hits-200', label: 'hit, 200 in flight', readme: true, ...HIT },
    { case: 'hits-1000', label: 'hit, 1000 in flight', ...HIT },
    { case: 'tcp-200', metric: 'cpuUs', label: 'hit over TCP, 200 in flight', unit: 'us' },
    { case: 'miss-dot', metric: 'cpuUs', label: 'miss over DoT, profile off', unit: 'us', ratio: 0.65 },
    { case: 'miss-dot', metric: 'cpuUs', label: 'miss over DoT, profile jitter', unit: 'us', subject: JITTERED, readme: true },
    { case: 'miss-doh', label: 'miss over DoH', readme: true, ...DOH },
    { case: 'miss-doh', label: 'miss over DoH, by node:http2', metric: 'cpuUs', unit: 'us', subject: NODE },
    { case: 'miss-dnscrypt', label: 'miss over DNSCrypt', metric: 'cpuUs', unit: 'us' },
    { case: 'miss-doq', label: 'miss over DoQ', metric: 'cpuUs', unit: 'us', subject: NEWER, limit: 200 },
    { case: 'added-dot', label: 'latency added to a DoT miss', readme: true, ...ADDED },
    { case: 'added-doh', label: 'latency added to a DoH miss', limit: 300, ...ADDED },
    { case: 'added-doh', label: 'latency added to a DoH miss, by node:http2', subject: NODE, ...ADDED },
    ...latency('latency-1', '1 in flight'),
    ...latency('latency-10k', '10,000 q/s'),
    ...plan.growth.flatMap(growth),
    { case: 'first', metric: 'ms', label: 'process start to first answer', unit: 'ms', limit: 150, readme: true },
    { case: 'idle', metric: 'rssMb', label: 'memory at start', unit: 'MB', limit: 65, readme: true },
    { case: 'idle', metric: 'cpuPct', label: 'CPU when idle', unit: '%', limit: 0.1, readme: true },
    { case: 'idle', metric: 'wakeUpsPerS', label: 'wake-ups when idle', unit: '/s' },
  ]
}

/** A row with figures in it. */
export interface Filled {
  readonly row: Row
  readonly ours: Standing
  readonly rival: Standing | undefined
  /** Ours over the rival's. */
  readonly ratio: number | undefined
  readonly overFloor: number | undefined
  readonly target: string
  readonly met: boolean | undefined
}

/** The rows that the run has figures of ours for. */
export function filled(run: Run): readonly Filled[] {
  return rowsOf(run.plan).flatMap((row): readonly Filled[] => {
    const all = standings(run, row.case, row.metric)
    const ours = all.find(({ subject }) => subject === (row.subject ?? OURS))
    if (ours?.medians[row.metric] === undefined) return []
    const floor = all.find(({ role }) => role === 'floor')
    const rival = row.against === undefined ? bestPeer(all) : (all.find(({ subject }) => subject === row.against) ?? bestPeer(all))
    const found = {
      value: ours.medians[row.metric] ?? Number.NaN,
      ratio: rival === undefined ? undefined : ratio(ours, rival, row.metric),
      overFloor: floor === undefined ? undefined : ratio(ours, floor, row.metric),
    }
    return [{ row, ours, rival, ratio: found.ratio, overFloor: found.overFloor, ...judged(row, found) }]
  })
}

/**
 * The target in words, and whether all of it that could be measured holds; undefined where nothing
 * of it could.
 */
function judged(
  row: Row,
  found: { readonly value: number; readonly ratio: number | undefined; readonly overFloor: number | undefined },
): Pick<Filled, 'target' | 'met'> {
  const parts = [
    { bound: row.limit, value: found.value, words: `${row.limit} ${row.unit}` },
    { bound: row.ratio, value: found.ratio, words: `${row.ratio} x` },
    { bound: row.overFloor, value: found.overFloor, words: `${row.overFloor} x the floor` },
  ].filter(({ bound }) => bound !== undefined)
  const measured = parts.filter(({ value }) => value !== undefined && value >= 0) // below nought is noise
  return {
    target: parts.map(({ words }) => words).join(', '),
    met: measured.length === 0 ? undefined : measured.every(({ bound, value }) => (value ?? Number.NaN) <= (bound ?? Number.NaN)),
  }
}

/** A figure for people: three digits. */
export function figure(value: number | undefined): string {
  if (value === undefined || Number.isNaN(value)) return '-'
  const size = Math.abs(value)
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.1 || size === 0 ? 2 : 3)
}
