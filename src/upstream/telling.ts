import { EnigmError, type ErrorCode, isAuthenticationFailure, isPolicyRefusal, mayBeTheName } from '../errors.ts'

/** Below this an exchange that ran out of time says nothing of its path: the caller had no time to give. */
export const PROOF_MS = 300

/** Failures of ours (a full queue, a shutdown, a bug), beside what the policy refuses: they say nothing of the path. */
const OURS: ReadonlySet<ErrorCode> = new Set(['overloaded', 'closed', 'config', 'internal'])

/** Whether the failure is one of ours: another path would not mend it. */
export function isOurs(code: ErrorCode): boolean {
  return OURS.has(code) || isPolicyRefusal(code)
}

/**
 * How an exchange went: whether nothing at all came back meanwhile, how long it took, and whether
 * it was a probe.
 */
export interface Failed {
  readonly silent: boolean
  readonly waitedMs: number
  readonly probe: boolean
}

/**
 * Whether a failed exchange speaks against its path. Having run out of time does only if there was
 * time.
 */
export function speaksAgainst(code: ErrorCode, { silent, waitedMs, probe }: Failed): boolean {
  if (mayBeTheName(code) && !probe) return false
  if (code === 'deadline') return silent && waitedMs >= PROOF_MS
  return code === 'connect-timeout' ? waitedMs >= PROOF_MS : !isOurs(code)
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
