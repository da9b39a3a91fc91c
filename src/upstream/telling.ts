import { EnigmError, type ErrorCode, isAuthenticationFailure, isPolicyRefusal } from '../errors.ts'

/** Below this an exchange that ran out of time says nothing of its path: the caller had no time to give. */
const PROOF_MS = 300

/** Failures of ours (a full queue, a shutdown, a bug), beside what the policy refuses: they say nothing of the path. */
const OURS: ReadonlySet<ErrorCode> = new Set(['overloaded', 'closed', 'config', 'internal'])

/** Whether the failure is one of ours: another path would not mend it. */
export function isOurs(code: ErrorCode): boolean {
  return OURS.has(code) || isPolicyRefusal(code)
}

/** Whether a failed exchange speaks against its path. A deadline does only if the path was silent and had time. */
export function speaksAgainst(code: ErrorCode, o: { readonly silent: boolean; readonly waitedMs: number }): boolean {
  return code === 'deadline' ? o.silent && o.waitedMs >= PROOF_MS : !isOurs(code)
}

/** A failed try, and of what: `who` is a transport or a resolver id. */
export interface Failure {
  readonly who: string
  readonly error: EnigmError
}

/**
 * One error for several: who the peer is comes first (only a person mends that), then the code that all share, then `deadline`, then `no-upstream`.
 * An error that stands alone is passed up as it is.
 */
export function mostTelling(what: string, failures: readonly Failure[]): EnigmError {
  const first = failures[0]
  if (first === undefined) return new EnigmError('no-upstream', `${what}: nothing to ask`)
  if (failures.length === 1) return first.error
  const telling =
    failures.find((f) => isAuthenticationFailure(f.error.code)) ??
    (failures.every((f) => f.error.code === first.error.code) ? first : failures.find((f) => f.error.code === 'deadline'))
  const list = failures.map((f) => `${f.who}: ${f.error.code}`).join(', ')
  return new EnigmError(telling?.error.code ?? 'no-upstream', `${what} (${list})`, { cause: (telling ?? first).error })
}
