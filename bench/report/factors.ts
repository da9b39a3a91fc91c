import { OURS } from '../peers/enigm-dns.ts'
import { type Run, ratio, standings } from './run.ts'

/** Ours against ours: how a figure changes with something else. */
export interface Factor {
  readonly label: string
  readonly factor: number
  readonly target: string
  readonly met: boolean | undefined
}

/** Every one that the run has figures for. */
export function factorsOf(run: Run): readonly Factor[] {
  return [...growthFactor(run), ...workersFactors(run)]
}

/** CPU per hit in the largest cache over that in the smallest. */
function growthFactor(run: Run): readonly Factor[] {
  const [from = 0] = run.plan.growth
  const to = run.plan.growth.at(-1) ?? 0
  const [small, large] = [from, to].map((size) => standings(run, `growth-${size}`, 'cpuUs').find(({ subject }) => subject === OURS))
  if (small === undefined || large === undefined || to === from) return []
  const factor = ratio(large, small, 'cpuUs')
  if (factor === undefined) return []
  const counts = to === 1_000_000 && from === 10_000
  const label = `CPU per hit, ${to.toLocaleString('en')} names over ${from.toLocaleString('en')}`
  return [{ label, factor, target: counts ? '1.3 x' : '', met: counts ? factor <= 1.3 : undefined }]
}

/**
 * Two workers over one: by queries a second, which counts where the machine has the cores; and by
 * what the busiest thread costs, which needs none.
 */
function workersFactors(run: Run): readonly Factor[] {
  const all = standings(run, 'workers', 'cpuUs')
  const one = all.find(({ subject }) => subject === OURS)
  const two = all.find(({ subject }) => subject !== OURS)
  if (one === undefined || two === undefined) return []
  const enough = run.machine.cores >= 4
  const row = (label: string, factor: number | undefined, counts: boolean): readonly Factor[] =>
    factor === undefined ? [] : [{ label, factor, target: counts ? 'at least 1.7 x' : '', met: counts ? factor >= 1.7 : undefined }]
  const lacking = enough ? '' : ` (${run.machine.cores} cores: the load shares one with a worker)`
  return [
    ...row(`two workers over one, queries a second${lacking}`, ratio(two, one, 'queriesPerS'), enough),
    ...row('two workers over one, queries per CPU of the busiest thread', ratio(one, two, 'busiestUs'), !enough),
  ]
}
