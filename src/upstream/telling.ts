import { rcodeText } from '../dns/registries.ts'
import { readingOf } from '../dns/response.ts'
import { EnigmError, isAuthenticationFailure } from '../errors.ts'
import type { Carried } from '../resolve.ts'

/** A failed try, and of what: `who` is a transport or a resolver id. */
export interface FailedTry {
  readonly who: string
  readonly error: EnigmError
}

/**
 * One error for several: who the peer is comes first (only a person mends that), then the code that all share, then `deadline`, then `no-upstream`.
 * An error that stands alone is passed up as it is.
 */
export function mostTelling(what: string, failures: readonly FailedTry[]): EnigmError {
  const first = failures[0]
  if (first === undefined) return new EnigmError('no-upstream', `${what}: nothing to ask`)
  if (failures.length === 1) return first.error
  const telling =
    failures.find((f) => isAuthenticationFailure(f.error.code)) ??
    (failures.every((f) => f.error.code === first.error.code) ? first : failures.find((f) => f.error.code === 'deadline'))
  const list = failures.map((f) => `${f.who}: ${f.error.code}`).join(', ')
  const ofTheName = failures.every((f) => f.error.ofTheName)
  return new EnigmError(telling?.error.code ?? 'no-upstream', `${what} (${list})`, { cause: (telling ?? first).error, ofTheName })
}

/** A reply of the resolver `id` that speaks of the hop, as the error that it is. */
export function hopError(id: string, carried: Carried): EnigmError {
  return new EnigmError('reply-rcode', `${id} answered ${rcodeText(readingOf(carried).rcode)}`)
}
