import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '../compiled.ts'
import { figure, filled } from './rows.ts'
import type { Run } from './run.ts'

/** Rewrites what stands between the markers of README.md. Throws where they are missing. */
export function updateReadme(run: Run): void {
  const file = join(ROOT, 'README.md')
  writeFileSync(file, spliced(readFileSync(file, 'utf8'), readmePart(run)))
}

/**
 * `text` with `part` between the markers of that name, everything else as it was. Throws where one
 * is missing, or they stand in the wrong order.
 */
export function spliced(text: string, part: string, name = 'bench'): string {
  const [begin, end] = [`<!-- ${name}:begin -->`, `<!-- ${name}:end -->`]
  const from = text.indexOf(begin)
  const to = text.indexOf(end)
  if (from === -1 || to < from) throw new Error(`README.md lacks ${begin} ... ${end}`)
  return `${text.slice(0, from + begin.length)}\n${part.trim()}\n${text.slice(to)}`
}

/** The performance part of the README: the rows that a person would choose by. */
export function readmePart(run: Run): string {
  const lines = filled(run).filter(({ row }) => row.readme === true)
  const rows = lines.map(({ row, ours, rival, ratio }) => {
    const theirs = rival === undefined ? '-' : `${figure(rival.medians[row.metric])} ${row.unit} (${rival.subject})`
    return `| ${row.label} | ${figure(ours.medians[row.metric])} ${row.unit} | ${theirs} | ${ratio?.toFixed(2) ?? '-'} |`
  })
  return [
    '| CPU per query, latency, memory | enigm-dns | best peer | ratio |',
    '| --- | ---: | ---: | ---: |',
    ...rows,
    '',
    `${run.date.slice(0, 10)}, ${run.machine.cpu}, ${run.machine.cores} cores. A ratio is the median of the ratios of the rounds, so it need not equal the quotient of the two columns. Every row, every peer and the missed targets: [bench/results](bench/results/bench.md). Made by \`npm run bench -- --readme\`.`,
  ].join('\n')
}
