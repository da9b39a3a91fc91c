import type { Clock, Random, Timer } from '../clock.ts'
import { EnigmError } from '../errors.ts'
import { Job, type Stage } from '../job.ts'
import type { Query } from '../resolve.ts'
import type { CacheEntry } from './answer-record.ts'
import { renewFromMs } from './lifetime.ts'

export interface PrefetchOptions {
  readonly clock: Clock
  readonly random: Random
  /** Read at each use, so that a reload replaces both. */
  readonly current: () => { readonly stages: readonly Stage[]; readonly timeoutMs: number; readonly prefetch: boolean }
  readonly renewed: () => void
}

/** Number of counted hits that make an answer popular (the cache counts one every two seconds). */
const POPULAR_HITS = 3
/** Answers with a shorter TTL are not renewed early. */
const LEAST_TTL_MS = 10_000
/** Renewals waiting or in progress. */
const MOST_RENEWALS = 64
/** Low enough that the count never reaches `POPULAR_HITS` again: the answer has been renewed. */
const RENEWED = -(2 ** 30)

/**
 * Renews popular answers in the last tenth of their lifetime, so that no client waits for them.
 * Only a hit on this network can make an answer popular, and only a hit in the last tenth renews
 * it: this network is asked only what it is asked anyway. The question is sent after a random part
 * of the remaining time, so that its time reveals nothing about the hit. A shaper places it by its
 * purpose `refresh`. The number of renewals in progress is bounded; a renewal is never retried.
 */
export class Prefetch {
  readonly #o: PrefetchOptions
  readonly #waiting = new Set<Timer>()
  #underWay = 0

  constructor(o: PrefetchOptions) {
    this.#o = o
  }

  /**
   * Counts a hit, and returns whether `entry` should be renewed now: then call `renew`. On the hit
   * path: does not allocate.
   */
  hit(entry: CacheEntry, nowMs: number): boolean {
    if (++entry.hits < POPULAR_HITS) return false
    if (nowMs < renewFromMs(entry) || entry.expiresAtMs - entry.storedAtMs < LEAST_TTL_MS) return false
    entry.hits = RENEWED
    return this.#waiting.size + this.#underWay < MOST_RENEWALS && this.#o.current().prefetch
  }

  /** Asks for `query` again before `expiresAtMs`. */
  renew(query: Query, expiresAtMs: number): void {
    const { clock, random } = this.#o
    const leftMs = Math.max(1, Math.floor((expiresAtMs - clock.nowMs()) * 0.8))
    const timer = clock.setTimer(random.below(leftMs), () => {
      this.#waiting.delete(timer)
      const { stages, timeoutMs } = this.#o.current()
      this.#underWay++
      const ask = { purpose: 'refresh', deadlineMs: clock.nowMs() + timeoutMs } as const
      new Job(stages, query, ask, (outcome) => {
        this.#underWay--
        if (!(outcome instanceof EnigmError)) this.#o.renewed()
      }).start()
    })
    this.#waiting.add(timer)
  }

  /** The network changed, or the service stops: waiting renewals are dropped. */
  forget(): void {
    for (const timer of this.#waiting) timer.cancel()
    this.#waiting.clear()
  }
}
