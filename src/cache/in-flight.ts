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
    const flights = new Map<CacheKey, { readonly answer: Promise<Answer>; waiters: number }>()
    return (query, ask) => {
      const key = keyOfQuery(query)
      const flight = flights.get(key)
      if (flight !== undefined) {
        const most = limits.waitersPerQuestion * (ask.givesWay === true ? 1 : 2)
        if (flight.waiters >= most) return refused('Too many clients wait for this question.')
        flight.waiters++
        return flight.answer
      }
      const { address } = query.client
      if (!shares.take(address, 1)) return refused('Too many questions are under way.')
      const answer = next(query, ask)
      const landed = () => {
        flights.delete(key)
        shares.give(address, 1)
      }
      answer.then(landed, landed)
      flights.set(key, { answer, waiters: 1 })
      return answer
    }
  }
}

const refused = (what: string) => Promise.reject<Answer>(new EnigmError('overloaded', what))
