import type { CaseId, Sample } from '../../bench/cases/case.ts'
import type { Run } from '../../bench/report/run.ts'

/** A sample by `subject` in `round`; the role follows from the name. */
export function sample(id: CaseId, subject: string, round: number, values: Readonly<Record<string, number>>): Sample {
  const role = subject.startsWith('enigm-dns') ? 'ours' : subject === 'C echo' ? 'floor' : 'peer'
  return { case: id, subject, role, round, values }
}

/** A run with these samples, made on a quiet machine. */
export function runOf(samples: readonly Sample[], over: { readonly cores?: number; readonly growth?: readonly number[] } = {}): Run {
  return {
    date: '2026-01-02T03:04:05.000Z',
    seconds: 7,
    seed: 1,
    plan: { rounds: 3, seconds: 1, settleS: 1, settleMisses: 1, hitNames: 10_000, growth: over.growth ?? [], starts: 1, idleSeconds: 1 },
    machine: {
      ...{ cpu: 'A CPU', cores: over.cores ?? 2, memoryGb: 8, kernel: 'Linux 6.1 x64', node: 'v20.20.0', openssl: '3.0.0' },
      ...{ pinned: true, loadBefore: 0, commit: 'abc' },
    },
    upstream: 'answer.c',
    versions: { 'enigm-dns': '0.1.0', unbound: '1.17.1' },
    absent: [{ what: 'smartdns', why: 'not installed' }],
    skipped: [{ what: 'kresd over dot', why: 'it would\nnot start' }],
    samples,
  }
}
