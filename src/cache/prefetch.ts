import type { Clock, Random, Timer } from '../clock.ts'
import { EnigmError } from '../errors.ts'
import { Job, type Stage } from '../job.ts'
import type { Query } from '../resolve.ts'
import type { CacheEntry } from './answer-record.ts'
import { renewFromMs } from './lifetime.ts'

export interface PrefetchOptions {
  readonly clock: Clock
  readonly random: Random
  /** Read at each use, so that a reload replaces them. */
  readonly current: () => { readonly stages: readonly Stage[]; readonly timeoutMs: number; readonly prefetch: boolean }
  readonly renewed: () => void
}

/**
 * Hits in its lifetime, at moments seconds apart, that make an answer popular (the cache tells of
 * one every two).
 */
const POPULAR_HITS = 3
/** Answers that live shorter are renewed by their queries as well. */
const LEAST_TTL_MS = 10_000
/** Renewals waiting or under way. */
const MOST_RENEWALS = 64
/** Never counted up to `POPULAR_HITS` again: it has been seen to. */
const RENEWED = -(2 ** 30)

/**
 * Renews popular answers in the last tenth of their time, so that nobody waits for them. Only a hit
 * on this network can make an answer popular, and only a hit in the last tenth renews it: what is
 * asked is what is asked here anyway. The question leaves after a random part of the time that is
 * left, so that the moment tells nobody of the hit; purpose `refresh` puts it in its place in a
 * shaper. Bounded in renewals under way; they are never tried twice.
 */
export class Prefetch {
  readonly #o: PrefetchOptions
  readonly #waiting = new Set<Timer>()
  #underWay = 0

  constructor(o: PrefetchOptions) {
    this.#o = o
  }

  /**
   * Counts a hit, and says whether `entry` should be renewed now: then call `renew`. On the hit
   * path: no allocation.
   */
  hit(entry: CacheEntry, nowMs: number): boolean {
    if (++entry.hits < POPULAR_HITS) return false
    if (nowMs < renewFromMs(entry) || entry.expiresAtMs - entry.storedAtMs < LEAST_TTL_MS) return false
    entry.hits = RENEWED
    return this.#waiting.size + this.#underWay < MOST_RENEWALS && this.#o.current().prefetch
  }

  /** Asks for `query` once more before `expiresAtMs`. */
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

  /** Another network, or the end: what is waiting is not asked. */
  forget(): void {
    for (const timer of this.#waiting) timer.cancel()
    this.#waiting.clear()
  }
}
