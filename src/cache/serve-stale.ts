import type { Clock } from '../clock.ts'
import { isFinalFailure, rewriteTtls } from '../dns/response.ts'
import { EnigmError, mayServeStale } from '../errors.ts'
import type { Job, Outcome, Stage } from '../job.ts'
import type { Answer } from '../resolve.ts'
import type { AnswerCache } from './answer-cache.ts'
import type { CacheEntry } from './answer-record.ts'
import { askedOf } from './key.ts'
import { describesName } from './lifetime.ts'

/**
 * RFC 8767 section 5: how long a client waits before it gets a stale answer, and the TTL of a stale
 * answer.
 */
const CLIENT_TIMEOUT_MS = 1800
const STALE_TTL_S = 30
/**
 * Section 5, failure recheck: for this long after a stale answer was served, no client waits again;
 * each query is asked in the background.
 */
const RECHECK_S = 30
const NXDOMAIN = 3
/** RFC 8914: Stale Answer, Stale NXDOMAIN Answer. */
const EDE_STALE = { code: 3 } as const
const EDE_STALE_NXDOMAIN = { code: 19 } as const

export interface StaleOptions {
  readonly cache: AnswerCache
  readonly clock: Clock
  /** Counts stale answers. */
  readonly served: () => void
  /** Whether the policy lets no query through. Then no stale answer is served. */
  readonly closed: () => boolean
}

/**
 * Serves an expired answer when no newer one comes: after 1.8 s of waiting, at a failure, or at
 * once if this happened shortly before. The query continues, and its answer is stored. A stale
 * answer never replaces a fresh one, a failure that settles the question (validation, filtering),
 * or a refusal by policy.
 */
export function serveStale({ cache, clock, served, closed }: StaleOptions): Stage {
  const staleFor = (job: Job): Answer | undefined => {
    // The policy may have closed since the question came.
    if (closed()) return undefined
    const entry = recheckIn(RECHECK_S, cache, job, clock.nowMs())
    if (entry === undefined) return undefined
    served()
    return staleAnswer(entry)
  }
  const onTimeout = (job: Job) => {
    const old = staleFor(job)
    if (old !== undefined) job.reply(old)
  }
  return {
    enter(job) {
      if (job.purpose !== 'client' || closed()) return 'on'
      const nowMs = job.startedMs ?? clock.nowMs()
      const entry = cache.stale(askedOf(job), nowMs)
      if (entry === undefined) return 'on'
      job.hasStale = true
      if (entry.staleUntilS * 1000 <= nowMs) {
        job.staleTimer = clock.setTimer(CLIENT_TIMEOUT_MS, () => onTimeout(job))
        return 'on'
      }
      served()
      job.reply(staleAnswer(entry))
      return 'on'
    },
    leave(job) {
      if (!job.hasStale) return 'on'
      job.staleTimer?.cancel()
      const settled = settlesQuestion(job.outcome)
      // An outcome that settles the question ends this: the next client gets that outcome.
      // Otherwise it goes on: while no resolver answers, a client must not wait 1.8 s every 30 s.
      if (job.replied) recheckIn(settled ? 0 : RECHECK_S, cache, job, clock.nowMs())
      else if (!settled) job.outcome = staleFor(job) ?? job.outcome
      return 'on'
    },
  }
}

/**
 * Whether an outcome settles its question: an answer about the name, or a failure that no older
 * answer may replace.
 */
function settlesQuestion(outcome: Outcome | undefined): boolean {
  if (outcome === undefined || outcome instanceof EnigmError) return outcome !== undefined && !mayServeStale(outcome.code)
  return describesName(outcome.rcode) || isFinalFailure(outcome.rcode, outcome.ede?.code)
}

/** The entry that may be served stale, if there is one. For `seconds` it is then served at once. */
function recheckIn(seconds: number, cache: AnswerCache, job: Job, nowMs: number): CacheEntry | undefined {
  const entry = cache.stale(askedOf(job), nowMs)
  if (entry !== undefined) entry.staleUntilS = Math.floor(nowMs / 1000) + seconds
  return entry
}

/** A copy: the entry is valid only until the cache is next written to. Every TTL becomes 30 s. */
function staleAnswer(entry: CacheEntry): Answer {
  const wire = entry.octets.slice(entry.at, entry.at + entry.length)
  rewriteTtls(wire, () => STALE_TTL_S)
  return { wire, rcode: entry.rcode, storeS: 'no', ede: entry.rcode === NXDOMAIN ? EDE_STALE_NXDOMAIN : EDE_STALE, from: 'stale' }
}
