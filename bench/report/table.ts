import { factorsOf } from './factors.ts'
import { figure, filled } from './rows.ts'
import type { Run } from './run.ts'

const HEAD = ['', 'ours', 'best peer', '', 'ratio', 'over the floor', 'target', '']

/** The closing table of a run, for a terminal. */
export function printed(run: Run): string {
  const lines = filled(run).map(({ row, ours, rival, ratio, overFloor, target, met }) => [
    row.label,
    `${figure(ours.medians[row.metric])} ${row.unit}`,
    rival === undefined ? '-' : `${figure(rival.medians[row.metric])} ${row.unit}`,
    rival?.subject ?? '',
    ratio?.toFixed(2) ?? '-',
    overFloor?.toFixed(2) ?? '',
    target,
    verdict(met),
  ])
  const widths = HEAD.map((head, i) => Math.max(head.length, ...lines.map((line) => line[i]?.length ?? 0)))
  const set = (cells: readonly string[]) =>
    cells
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
      .join('  ')
      .trimEnd()
  return [
    set(HEAD),
    ...lines.map(set),
    ...factorsOf(run).map(({ label, factor, target, met }) => `${label}: ${factor.toFixed(2)} x  ${target} ${verdict(met)}`.trimEnd()),
    ...[...run.absent, ...run.skipped].map(({ what, why }) => `absent: ${what}: ${why}`),
    `${run.seconds} s`,
  ].join('\n')
}

const verdict = (met: boolean | undefined) => (met === undefined ? '' : met ? 'met' : 'MISSED')
