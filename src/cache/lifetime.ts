import type { AcceptedReply, TtlClamp } from '../dns/response.ts'
import type { Rcode } from '../errors.ts'

/**
 * RFC 9520 section 3.2: a failure to resolve is kept at least 1 s; see failures.ts for how it
 * grows.
 */
const LEAST_FAILURE_S = 1

/**
 * How long an accepted answer is kept: its lowest TTL inside the clamp. A TTL of 0 serves only the
 * clients that wait now (RFC 1035 section 3.2.1), even with a minimum. 'no' if the lifetime is
 * unknown (a negative answer without SOA, RFC 2308 section 5) or the answer is truncated. A failure
 * is kept for a second at first.
 */
export function lifetimeOf(accepted: AcceptedReply, clamp: TtlClamp): number | 'no' {
  if (accepted.kind === 'truncated') return 'no'
  if (accepted.kind === 'failure') return LEAST_FAILURE_S
  if (accepted.ttlS === undefined || accepted.ttlS === 0) return 'no'
  return Math.max(clamp.minTtlS, Math.min(accepted.ttlS, clamp.maxTtlS))
}

/** NOERROR and NXDOMAIN describe the name; every other RCODE reports a failure. */
export function describesName(rcode: Rcode): boolean {
  return rcode === 0 || rcode === 3
}

/** The last part of the lifetime, in which a popular answer is renewed. */
const RENEWAL_PART = 0.1

/** When the last part of an answer's lifetime begins, in which it is renewed. */
export function renewFromMs({ storedAtMs, expiresAtMs }: { readonly storedAtMs: number; readonly expiresAtMs: number }): number {
  return expiresAtMs - (expiresAtMs - storedAtMs) * RENEWAL_PART
}
