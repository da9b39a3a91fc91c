import type { Random } from '../clock.ts'
import { u32 } from '../dns/octets.ts'
import { AnswerCache } from './answer-cache.ts'
import { Failures } from './failures.ts'
import { Prefetch, type PrefetchOptions } from './prefetch.ts'

/** All that is remembered of answers, and when it is forgotten. */
export interface Memory {
  readonly cache: AnswerCache
  readonly failures: Failures
  readonly prefetch: Prefetch
  /** Answers stay; failures, popularity and renewals were of the other network. */
  newNetwork(): void
  /** Another configuration: nothing stays. */
  clear(staleMaxS: number): void
}

/** What the table of a cache is keyed with. */
export function seedOf(random: Random): number {
  return u32(random.bytes(4), 0)
}

/** A memory of at most `maxBytes`, whose answers may stand in for `staleMaxS` past their time. */
export function createMemory(o: PrefetchOptions & { readonly maxBytes: number; readonly staleMaxS: number }): Memory {
  const cache = new AnswerCache({ maxBytes: o.maxBytes, staleMaxS: o.staleMaxS, seed: seedOf(o.random) })
  const failures = new Failures(o.clock)
  const prefetch = new Prefetch(o)
  return {
    cache,
    failures,
    prefetch,
    newNetwork() {
      cache.newNetwork()
      failures.clear()
      prefetch.forget()
    },
    clear(staleMaxS) {
      cache.clear()
      cache.staleMaxS = staleMaxS
      failures.clear()
      prefetch.forget()
    },
  }
}
