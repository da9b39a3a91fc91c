import type { Clock } from '../clock.ts'
import { isFinalFailure } from '../dns/final-failure.ts'
import { rewriteTtls } from '../dns/response.ts'
import { asEnigmError, type ErrorCode } from '../errors.ts'
import type { Answer, Ask, Query, Resolve, Stage } from '../resolve.ts'
import type { AnswerCache, Entry } from './answer-cache.ts'
import { type CacheKey, keyOfQuery } from './key.ts'
import { speaksOfTheName } from './lifetime.ts'

/** RFC 8767 section 5: how long a client waits before an old answer stands in, and what TTL it then has. */
const CLIENT_TIMEOUT_MS = 1800
const STALE_TTL_S = 30
/** Section 5, failure recheck: for so long after it had to stand in nobody waits again; each such query asks anew in the background. */
const RECHECK_S = 30
const NXDOMAIN = 3
/** RFC 8914: Stale Answer, Stale NXDOMAIN Answer. */
const EDE_STALE = { code: 3 } as const
const EDE_STALE_NXDOMAIN = { code: 19 } as const

/** Refused by a policy, or we are closing: what was kept for a bad day is not meant for that. */
function mayStandIn(code: ErrorCode): boolean {
  return !(code === 'closed' || code === 'config' || code === 'listen' || code.endsWith('-required'))
}

export interface StaleOptions {
  readonly cache: AnswerCache
  readonly clock: Clock
  /** Counts. */
  readonly served: () => void
  /** While a policy lets nothing go, what was kept for a bad day stays where it is. */
  readonly closed: () => boolean
}

/**
 * Lets an expired answer stand in when no newer one comes: after 1.8 s of waiting, at a failure, or at once if that was so a moment ago. What was asked goes on, and its
 * answer is kept. Never over a fresh answer, never for a failure that settles the question (validation, filtering) or a policy's refusal.
 */
export function serveStale({ cache, clock, served, closed }: StaleOptions): Stage {
  return (next) => {
    const standIn = (key: CacheKey): Answer | undefined => {
      const entry = standInLonger(cache, key, clock.nowMs())
      if (entry === undefined) return undefined
      served()
      return staleAnswer(entry)
    }
    return (query, ask) => {
      if (ask.purpose !== 'client' || closed()) return next(query, ask)
      const key = keyOfQuery(query)
      const nowMs = clock.nowMs()
      const entry = cache.stale(key, nowMs)
      if (entry === undefined) return next(query, ask)
      if (entry.standInUntilS * 1000 <= nowMs) return raced(next, query, ask, clock, () => standIn(key))
      served()
      const answer = staleAnswer(entry)
      // Without an end to how long it stands in: while nobody answers, a client must not wait 1.8 s every 30 s.
      next(query, ask).then(
        (newer) => {
          if (!speaksOfTheName(newer.rcode)) standInLonger(cache, key, clock.nowMs())
        },
        () => void standInLonger(cache, key, clock.nowMs()),
      )
      return Promise.resolve(answer)
    }
  }
}

/** The entry that may stand in, if there is one: for a while it does so at once. */
function standInLonger(cache: AnswerCache, key: CacheKey, nowMs: number): Entry | undefined {
  const entry = cache.stale(key, nowMs)
  if (entry !== undefined) entry.standInUntilS = Math.floor(nowMs / 1000) + RECHECK_S
  return entry
}

/** The answer of `next`, or what stands in for it: after the client's timeout, or where it failed. */
function raced(next: Resolve, query: Query, ask: Ask, clock: Clock, standIn: () => Answer | undefined): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let settled = false
    const timer = clock.setTimer(CLIENT_TIMEOUT_MS, () => {
      const old = standIn()
      if (old === undefined) return
      settled = true
      resolve(old)
    })
    next(query, ask).then(
      (answer) => {
        timer.cancel()
        if (settled) return
        const useless = !speaksOfTheName(answer.rcode) && !isFinalFailure(answer.rcode, answer.ede?.code)
        resolve((useless ? standIn() : undefined) ?? answer)
      },
      (error: unknown) => {
        timer.cancel()
        if (settled) return
        const old = mayStandIn(asEnigmError(error).code) ? standIn() : undefined
        if (old === undefined) reject(error)
        else resolve(old)
      },
    )
  })
}

/** A copy: the entry is valid only until the cache is next written to. Every TTL becomes 30 s. */
function staleAnswer(entry: Entry): Answer {
  const wire = entry.page.slice(entry.at, entry.at + entry.length)
  rewriteTtls(wire, () => STALE_TTL_S)
  return { wire, rcode: entry.rcode, storeS: 'no', ede: entry.rcode === NXDOMAIN ? EDE_STALE_NXDOMAIN : EDE_STALE, from: 'stale' }
}
