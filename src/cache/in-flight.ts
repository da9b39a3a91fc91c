import { FairShares } from '../client-shares.ts'
import type { Random } from '../clock.ts'
import { EnigmError } from '../errors.ts'
import type { Answer, Stage } from '../resolve.ts'
import { type CacheKey, keyOfQuery } from './key.ts'

/** Questions under way at once, and clients waiting for one of them: beyond either, a query fails at once (DNSBomb; CVE-2025-5994). */
export interface InFlightLimits {
  /** Shared out fairly: who asked first for a question holds it. */
  readonly questions: number
  /** Of clients that give way; others may be as many again. */
  readonly waitersPerQuestion: number
}

const DEFAULT: InFlightLimits = { questions: 4096, waitersPerQuestion: 1024 }

/** Identical questions in flight share one upstream query: each waiter gets the same answer or the same error. */
export function coalesce(random: Random, limits = DEFAULT): Stage {
  const shares = new FairShares(limits.questions, 1, random)
  return (next) => {
    // By number: a Map of objects would keep what was in flight alive, see containers.ts.
    const flights = new Map<CacheKey, number>()
    const answers: (Promise<Answer> | undefined)[] = []
    const waiters: number[] = []
    const free: number[] = []
    return (query, ask) => {
      const key = keyOfQuery(query)
      const known = flights.get(key)
      const shared = known === undefined ? undefined : answers[known]
      if (known !== undefined && shared !== undefined) {
        const most = limits.waitersPerQuestion * (ask.givesWay === true ? 1 : 2)
        const waiting = waiters[known] ?? 0
        if (waiting >= most) return refused('Too many clients wait for this question.')
        waiters[known] = waiting + 1
        return shared
      }
      const { address } = query.client
      if (!shares.take(address, 1)) return refused('Too many questions are under way.')
      const answer = next(query, ask)
      const flight = free.pop() ?? answers.length
      flights.set(key, flight)
      answers[flight] = answer
      waiters[flight] = 1
      const landed = () => {
        flights.delete(key)
        answers[flight] = undefined
        free.push(flight)
        shares.give(address, 1)
      }
      answer.then(landed, landed)
      return answer
    }
  }
}

const refused = (what: string) => Promise.reject<Answer>(new EnigmError('overloaded', what))
