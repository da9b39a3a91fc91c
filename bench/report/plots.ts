import type { CaseId } from '../cases/case.ts'
import { type Run, standings } from './run.ts'
import { barPlot, linePlot } from './svg.ts'

const BARS: readonly {
  readonly file: string
  readonly case: CaseId
  readonly metric: string
  readonly unit: string
  readonly title: string
}[] = [
  { file: 'hits.svg', case: 'hits-200', metric: 'cpuUs', unit: 'us', title: 'CPU per cache hit, 200 in flight' },
  { file: 'tcp.svg', case: 'tcp-200', metric: 'cpuUs', unit: 'us', title: 'CPU per cache hit over TCP' },
  { file: 'miss-dot.svg', case: 'miss-dot', metric: 'cpuUs', unit: 'us', title: 'CPU per miss over DoT' },
  { file: 'miss-doh.svg', case: 'miss-doh', metric: 'cpuUs', unit: 'us', title: 'CPU per miss over DoH' },
  { file: 'latency.svg', case: 'latency-10k', metric: 'p99Us', unit: 'us', title: 'Latency of a hit at 10,000 queries a second, p99' },
  { file: 'first-answer.svg', case: 'first', metric: 'ms', unit: 'ms', title: 'From exec to the first answer' },
]

/** Every plot that the run has figures for, by file name. */
export function plots(run: Run): Readonly<Record<string, string>> {
  const out: Record<string, string> = {}
  for (const { file, case: id, metric, unit, title } of BARS) {
    const bars = standings(run, id, metric).map(({ subject, role, medians }) => ({
      label: subject,
      value: medians[metric] ?? 0,
      tone: role,
    }))
    if (bars.length > 0) out[file] = barPlot({ title, unit, bars })
  }
  if (run.plan.growth.length > 1 && standings(run, `growth-${run.plan.growth[0] ?? 0}`, 'cpuUs').length > 0) {
    out['growth-cpu.svg'] = growthPlot(run, 'cpuUs', 'CPU per hit as the cache grows', 'us')
    out['growth-memory.svg'] = growthPlot(run, 'rssMb', 'Memory as the cache grows', 'MB')
  }
  return out
}

function growthPlot(run: Run, metric: string, title: string, unit: string): string {
  const byName = new Map<string, { ours: boolean; points: (readonly [number, number])[] }>()
  for (const size of run.plan.growth)
    for (const { subject, role, medians } of standings(run, `growth-${size}`, metric)) {
      const line = byName.get(subject) ?? { ours: role === 'ours', points: [] }
      line.points.push([size, medians[metric] ?? 0])
      byName.set(subject, line)
    }
  return linePlot({ title, unit, lines: [...byName].map(([label, line]) => ({ label, ...line })) })
}
