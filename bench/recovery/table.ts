import { quantile } from '../chaos/asker.ts'

/**
 * One case as it is kept in recovery.json: for each stub the times to the first right answer, ms.
 */
export interface Result {
  readonly id: string
  readonly title: string
  readonly resolvers: number
  readonly timesMs: Readonly<Record<string, readonly number[]>>
}

const OURS = 'enigm-dns'

/**
 * The Markdown table: one line per case, one column per stub, and our p99 divided by the best p99 of
 * the others. A time of `giveUpMs` or more is shown as "longer than".
 */
export function tableOf(stubs: readonly string[], results: readonly Result[], giveUpMs: number): string {
  const lines = results.map(({ title, timesMs }) => {
    const cells = stubs.map((id) => cell(timesMs[id] ?? [], giveUpMs))
    return `| ${title} | ${timesMs[OURS]?.length ?? 0} | ${cells.join(' | ')} | ${beside(timesMs)} |`
  })
  return [
    `| fault | runs | ${stubs.join(' | ')} | our p99 / best other p99 |`,
    `| --- |${' ---: |'.repeat(stubs.length + 2)}`,
    ...lines,
  ].join('\n')
}

function cell(times: readonly number[], giveUpMs: number): string {
  const text = (ms: number) =>
    ms >= giveUpMs ? `> ${giveUpMs / 1000} s` : ms < 995 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(1)} s`
  if (times.length === 0) return '-'
  if (times.length < 3) return times.map(text).join(', ')
  return `${text(quantile(times, 0.5))} (p99 ${text(quantile(times, 0.99))})`
}

/** Our p99 as a share of the least p99 of the others. */
function beside(timesMs: Result['timesMs']): string {
  const others = Object.entries(timesMs).flatMap(([id, times]) => (id === OURS || times.length === 0 ? [] : [quantile(times, 0.99)]))
  const ours = quantile(timesMs[OURS] ?? [], 0.99)
  const ratio = ours / Math.min(...others)
  return Number.isFinite(ratio) && ratio > 0 ? ratio.toFixed(2) : '-'
}
