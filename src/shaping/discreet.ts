import { isPaced } from './profiles.ts'

/** What is told of the cache. */
interface CacheFacts {
  readonly entries: number
  readonly bytes: number
  readonly maxBytes: number
  readonly hits?: number
  readonly misses?: number
  readonly stale?: number
  readonly renewed?: number
  readonly overloaded?: number
  readonly limited?: number
  readonly rebinding?: number
}

/**
 * Under a profile that keeps a schedule, how much of the traffic was real stays inside: misses would say it to the query, so would hits beside the cache's
 * growth. Sizes are told to the next power of two.
 */
export function discreet(profile: string, cache: CacheFacts): CacheFacts {
  if (!isPaced(profile)) return cache
  return { entries: roundedUp(cache.entries), bytes: Math.min(cache.maxBytes, roundedUp(cache.bytes)), maxBytes: cache.maxBytes }
}

const roundedUp = (n: number) => (n <= 0 ? 0 : 2 ** Math.ceil(Math.log2(n)))
