import type { CaseId, Plan, Sample } from '../cases/case.ts'
import type { Machine } from '../machine.ts'
import type { Absent } from '../peers/installed.ts'

/** One run, as bench.json holds it. */
export interface Run {
  readonly date: string
  readonly seconds: number
  readonly seed: number
  readonly plan: Plan
  readonly machine: Machine
  readonly upstream: string
  readonly versions: Readonly<Record<string, string>>
  readonly absent: readonly Absent[]
  readonly skipped: readonly { readonly what: string; readonly why: string }[]
  readonly samples: readonly Sample[]
}

/** One server in one case. */
export interface Standing {
  readonly subject: string
  readonly role: Sample['role']
  /** Median over the rounds, by name of the figure. */
  readonly medians: Readonly<Record<string, number>>
  readonly rounds: readonly Sample[]
}

/** The middle value, of an even number the mean of the middle two; NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2
}

const RANK = { floor: 0, ours: 1, peer: 2 }

/** Everybody in a case, the floor first, then ours, then the peers by `metric`. */
export function standings(run: Run, id: CaseId, metric: string): readonly Standing[] {
  const samples = run.samples.filter((sample) => sample.case === id)
  const all = [...new Set(samples.map((sample) => sample.subject))].map((subject): Standing => {
    const rounds = samples.filter((sample) => sample.subject === subject)
    const names = [...new Set(rounds.flatMap(({ values }) => Object.keys(values)))]
    const medians = Object.fromEntries(names.map((name) => [name, median(rounds.flatMap(({ values }) => values[name] ?? []))]))
    return { subject, role: rounds[0]?.role ?? 'peer', medians, rounds }
  })
  const value = ({ medians }: Standing) => medians[metric] ?? Number.MAX_VALUE
  return all.sort((a, b) => RANK[a.role] - RANK[b.role] || (a.role === 'peer' ? value(a) - value(b) : 0))
}

/** The first of the peers: by `standings`, the lowest. */
export function bestPeer(all: readonly Standing[]): Standing | undefined {
  return all.find(({ role }) => role === 'peer')
}

/**
 * The median of one's figure over the other's, round by round: what slowed the machine for a while
 * slowed both. Undefined where no round has both, or the other's is nought.
 */
export function ratio(one: Standing, other: Standing, metric: string): number | undefined {
  const inRound = new Map(other.rounds.map((sample) => [sample.round, sample.values[metric]]))
  const ratios = one.rounds.flatMap((sample) => {
    const mine = sample.values[metric]
    const theirs = inRound.get(sample.round)
    return mine === undefined || theirs === undefined || theirs === 0 ? [] : [mine / theirs]
  })
  return ratios.length === 0 ? undefined : median(ratios)
}
