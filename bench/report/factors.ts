import { JITTERED, OURS } from '../peers/enigm-dns.ts'
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
  return [...dohFactor(run), ...jitterFactors(run), ...growthFactor(run), ...workersFactors(run)]
}

/** A miss over DoH over the cheapest peer's over DoT, measured in another case of the same run. */
function dohFactor(run: Run): readonly Factor[] {
  const ours = standings(run, 'miss-doh', 'cpuUs').find(({ subject }) => subject === OURS)
  const smartdns = standings(run, 'miss-dot', 'cpuUs').find(({ subject }) => subject === 'smartdns')
  const factor = ours === undefined || smartdns === undefined ? undefined : ratio(ours, smartdns, 'cpuUs')
  const label = 'CPU per miss over DoH, over that of smartdns over DoT'
  return factor === undefined ? [] : [{ label, factor, target: '0.5 x', met: factor <= 0.5 }]
}

/** CPU per miss with the profile `jitter` over that with `off`. */
function jitterFactors(run: Run): readonly Factor[] {
  const rows = [
    { id: 'jitter-equal', label: 'CPU per miss, jitter over off, 15,000 queries a second', most: 1.05 },
    { id: 'jitter-600', label: 'CPU per miss, jitter over off, 600 in flight', most: 1.35 },
  ] as const
  return rows.flatMap(({ id, label, most }) => {
    const all = standings(run, id, 'cpuUs')
    const [off, jitter] = [OURS, JITTERED].map((subject) => all.find((one) => one.subject === subject))
    const factor = off === undefined || jitter === undefined ? undefined : ratio(jitter, off, 'cpuUs')
    return factor === undefined ? [] : [{ label, factor, target: `${most} x`, met: factor <= most }]
  })
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
