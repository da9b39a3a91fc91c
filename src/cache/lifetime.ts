import type { Accepted } from '../dns/response.ts'

/** How long answers may be kept, in seconds; both from 0 to 7 days, min at most max. */
export interface TtlClamp {
  readonly minTtlS: number
  readonly maxTtlS: number
}

/** RFC 9520 section 3.2: a failure to resolve is kept at least 1 s and at most 5 min. */
const FAILURE_TTL_S = 5

/**
 * How long an accepted answer is kept: its lowest TTL inside the clamp; a TTL of 0 serves only who waits for it now (RFC 1035 section 3.2.1), whatever the minimum;
 * nothing where nothing says how long (a negative answer without SOA, RFC 2308 section 5) or where it was cut short; a failure for five seconds.
 */
export function lifetimeOf(accepted: Accepted, clamp: TtlClamp): number | 'no' {
  if (accepted.kind === 'truncated') return 'no'
  if (accepted.kind === 'failure') return FAILURE_TTL_S
  if (accepted.ttlS === undefined || accepted.ttlS === 0) return 'no'
  return clampTtl(accepted.ttlS, clamp)
}

export function clampTtl(ttlS: number, clamp: TtlClamp): number {
  return Math.max(clamp.minTtlS, Math.min(ttlS, clamp.maxTtlS))
}
