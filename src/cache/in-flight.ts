import { EnigmError } from '../errors.ts'
import type { Answer, Stage } from '../resolve.ts'
import { type CacheKey, keyOfQuery } from './key.ts'

/** Questions under way at once, and clients waiting for one of them: beyond either, a query fails at once (DNSBomb; CVE-2025-5994). */
export interface InFlightLimits {
  readonly questions: number
  readonly waitersPerQuestion: number
}

const DEFAULT: InFlightLimits = { questions: 4096, waitersPerQuestion: 1024 }

/** Identical questions in flight share one upstream query: each waiter gets the same answer or the same error. */
export function coalesce(limits = DEFAULT): Stage {
  return (next) => {
    const flights = new Map<CacheKey, { readonly answer: Promise<Answer>; waiters: number }>()
    return (query, ask) => {
      const key = keyOfQuery(query)
      const flight = flights.get(key)
      if (flight !== undefined) {
        if (flight.waiters >= limits.waitersPerQuestion) return refused('Too many clients wait for this question.')
        flight.waiters++
        return flight.answer
      }
      if (flights.size >= limits.questions) return refused('Too many questions are under way.')
      const answer = next(query, ask)
      const landed = () => void flights.delete(key)
      answer.then(landed, landed)
      flights.set(key, { answer, waiters: 1 })
      return answer
    }
  }
}

const refused = (what: string) => Promise.reject<Answer>(new EnigmError('overloaded', what))
