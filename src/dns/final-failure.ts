import type { Rcode } from '../errors.ts'

const SERVFAIL = 2

/**
 * Whether a failure settles its question: a SERVFAIL that says why DNSSEC failed (EDE 1, 2, 5 to 12), and anything blocked, censored, filtered or prohibited (EDE 15
 * to 18). To ask another operator, or to let an older answer stand in, would defeat validation or filtering.
 */
export function isFinalFailure(rcode: Rcode, ede: number | undefined): boolean {
  if (ede === undefined) return false
  return (ede >= 15 && ede <= 18) || (rcode === SERVFAIL && (ede === 1 || ede === 2 || (ede >= 5 && ede <= 12)))
}
