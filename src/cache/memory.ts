import type { Clock, Random } from '../clock.ts'
import { u32 } from '../dns/octets.ts'
import { type Ede, EnigmError } from '../errors.ts'
import type { Job, Outcome, Stage } from '../job.ts'
import { isFromServer, type Side, type View } from '../resolve.ts'
import { AnswerCache, type CacheOptions } from './answer-cache.ts'
import { Failures } from './failures.ts'
import { askedOf, markOf } from './key.ts'
import { describesName } from './lifetime.ts'
import { Prefetch, type PrefetchOptions } from './prefetch.ts'

/** The memory of answers and failures, and the events that clear it. */
export interface Memory {
  readonly cache: AnswerCache
  readonly failures: Failures
  readonly prefetch: Prefetch
  /** The network changed: keeps answers, forgets failures, popularity and renewals. */
  newNetwork(): void
  /** The configuration changed: forgets everything. */
  clear(staleMaxS: number): void
}

/** What is kept for a question. Times in seconds. */
export interface HeldAnswer {
  /** Fresh for this long, or expired if negative. */
  readonly leftS: number
  readonly rcode: number
  /** The id of the list that blocked the name or the answer. Absent: none did. */
  readonly list?: string
}

/**
 * The answer that is kept for a question in any form (DO, CD): the one that is fresh for the
 * longest time. Undefined: there is none. It is not counted as a use.
 */
export function heldAnswer(cache: AnswerCache, lower: Uint8Array, view: View, nowMs: number): HeldAnswer | undefined {
  let best: HeldAnswer | undefined
  for (const flags of [0, 1, 2, 3]) {
    const mark = markOf(lower.length, view, (flags & 1) !== 0, (flags & 2) !== 0)
    const asked = { octets: lower, from: 0, end: lower.length, mark, hash: 0 }
    const entry = cache.get(asked, nowMs) ?? cache.stale(asked, nowMs)
    const leftS = entry === undefined ? undefined : Math.ceil((entry.expiresAtMs - nowMs) / 1000)
    if (entry !== undefined && leftS !== undefined && leftS > (best?.leftS ?? Number.NEGATIVE_INFINITY))
      best = { leftS, rcode: entry.rcode, ...blockedBy(entry.ede) }
  }
  return best
}

/** The list in the extended error of a blocked answer. */
function blockedBy(ede: Ede | undefined): { readonly list?: string } {
  const [, list] = /^list ([\w-]+)$/.exec(ede?.text ?? '') ?? []
  return list === undefined ? {} : { list }
}

/** A random seed for the hash table of a cache. */
export function seedOf(random: Random): number {
  return u32(random.bytes(4), 0)
}

/**
 * A memory of at most `maxBytes`, whose expired answers may be used for up to `staleMaxS` seconds.
 */
export function createMemory(o: PrefetchOptions & Omit<CacheOptions, 'seed'>): Memory {
  const cache = new AnswerCache({ ...o, seed: seedOf(o.random) })
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

/** The number of the side of general names, for a pipeline without others. */
const GENERAL = 0

/**
 * Keeps every answer that comes back through it, whichever stage made it. Keeps every failure for a
 * short time, during which the question is not asked again (RFC 9520). The epoch is read before
 * asking: an answer requested under an old policy is not stored.
 */
export function remember(cache: AnswerCache, clock: Clock, failures?: Failures): Stage {
  /** Records whether the outcome is a failure, and returns the outcome to pass on. */
  const numberOf = (side: Side | undefined) => side?.number ?? GENERAL
  const noted = ({ query, answersBefore, side }: Job, outcome: Outcome): Outcome => {
    // A blocked or a local answer is no failure of its question, whatever its RCODE.
    if (failures === undefined || (!(outcome instanceof EnigmError) && outcome.from === 'policy')) return outcome
    if (outcome instanceof EnigmError) failures.unanswered(query, outcome.code, answersBefore, numberOf(side))
    else if (!describesName(outcome.rcode)) return { ...outcome, storeS: failures.failed(query, outcome, numberOf(side)) }
    else if (isFromServer(outcome.from)) failures.succeeded(query, numberOf(side))
    return outcome
  }
  return {
    enter(job) {
      job.epoch = cache.epoch
      job.rulesVersion = cache.rulesVersion
      job.outcome = failures?.kept(job.query)
      job.answersBefore = failures?.answers(numberOf(job.side)) ?? 0
      return job.outcome === undefined ? 'on' : 'answered'
    },
    leave(job) {
      // Answers requested under an older policy or configuration are no evidence about this one.
      if (job.epoch !== cache.epoch || job.outcome === undefined) return 'on'
      const outcome = noted(job, job.outcome)
      job.outcome = outcome
      if (!(outcome instanceof EnigmError)) cache.put(askedOf(job), outcome, job.epoch, clock.nowMs(), job.rulesVersion)
      return 'on'
    },
  }
}
