import type { Clock } from '../clock.ts'
import { isFinalFailure } from '../dns/final-failure.ts'
import { rewriteTtls } from '../dns/response.ts'
import { asEnigmError, mayServeStale } from '../errors.ts'
import type { Answer, Query, Stage } from '../resolve.ts'
import type { AnswerCache } from './answer-cache.ts'
import type { Entry } from './answer-record.ts'
import { askedBy } from './key.ts'
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
    const standIn = (query: Query): Answer | undefined => {
      // It may have closed since the question came.
      if (closed()) return undefined
      const entry = recheckIn(RECHECK_S, cache, query, clock.nowMs())
      if (entry === undefined) return undefined
      served()
      return staleAnswer(entry)
    }
    return (query, ask) => {
      if (ask.purpose !== 'client' || closed()) return next(query, ask)
      const nowMs = clock.nowMs()
      const entry = cache.stale(askedBy(query), nowMs)
      if (entry === undefined) return next(query, ask)
      // What settles the question ends this: the next client hears it. Else there is no end: while nobody answers, a client must not wait 1.8 s every 30 s.
      const late = (settled: boolean) => void recheckIn(settled ? 0 : RECHECK_S, cache, query, clock.nowMs())
      if (entry.standInUntilS * 1000 <= nowMs) return raced(next(query, ask), clock, () => standIn(query), late)
      served()
      const answer = staleAnswer(entry)
      next(query, ask).then(
        (newer) => late(settles(newer)),
        (error: unknown) => late(!mayServeStale(asEnigmError(error).code)),
      )
      return Promise.resolve(answer)
    }
  }
}

/** Whether an outcome is the last word on its question: an answer about the name, or a failure that no older answer may stand in for. */
function settles({ rcode, ede }: Answer): boolean {
  return speaksOfTheName(rcode) || isFinalFailure(rcode, ede?.code)
}

/** The entry that may stand in, if there is one: for so many seconds it does so at once. */
function recheckIn(seconds: number, cache: AnswerCache, query: Query, nowMs: number): Entry | undefined {
  const entry = cache.stale(askedBy(query), nowMs)
  if (entry !== undefined) entry.standInUntilS = Math.floor(nowMs / 1000) + seconds
  return entry
}

/** What `asked` brings, or what stands in for it: after the client's timeout, or where it failed. `late` is told of what came after the timeout. */
function raced(asked: Promise<Answer>, clock: Clock, standIn: () => Answer | undefined, late: (settled: boolean) => void): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let told = false
    const timer = clock.setTimer(CLIENT_TIMEOUT_MS, () => {
      const old = standIn()
      if (old === undefined) return
      told = true
      resolve(old)
    })
    asked.then(
      (answer) => {
        timer.cancel()
        const settled = settles(answer)
        if (told) late(settled)
        else resolve((settled ? undefined : standIn()) ?? answer)
      },
      (error: unknown) => {
        timer.cancel()
        const settled = !mayServeStale(asEnigmError(error).code)
        if (told) {
          late(settled)
          return
        }
        const old = settled ? undefined : standIn()
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
