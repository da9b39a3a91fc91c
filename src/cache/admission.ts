import { EnigmError } from '../errors.ts'
import type { Stage } from '../resolve.ts'

/** Octets of queries that are being asked, over all clients and for one of them. */
export interface Budget {
  readonly octets: number
  readonly octetsPerClient: number
}

/** What a query that waits costs beside its question: the packet's copy, promises, a link's bookkeeping (measured: 1.5 KB a query before the link's own). */
const COST_OCTETS = 2048
const DEFAULT: Budget = { octets: 24 * 1024 * 1024, octetsPerClient: 20 * 1024 * 1024 }
/** What is asked only to be ready for later may use this share. */
const REFRESH_SHARE = 0.5

/**
 * Bounds what waits for an answer, in octets, for each client and for all: beyond it a query fails at once with `overloaded`, rather than in silence or by growth
 * (CVE-2025-30193, DNSBomb). Some 10,000 queries of one client and 12,000 in all. `turnedAway` counts
 * those, and what was refused further in (questions, waiters, a link's queue).
 */
export function admit(turnedAway: () => void, budget: Budget = DEFAULT): Stage {
  return (next) => {
    const byClient = new Map<string, number>()
    let total = 0
    return (query, ask) => {
      const octets = COST_OCTETS + query.question.lower.length
      const { address } = query.client
      const own = byClient.get(address) ?? 0
      const all = ask.purpose === 'client' ? budget.octets : budget.octets * REFRESH_SHARE
      if (total + octets > all || own + octets > budget.octetsPerClient) {
        turnedAway()
        return Promise.reject(new EnigmError('overloaded', 'Too many questions are under way.'))
      }
      total += octets
      byClient.set(address, own + octets)
      const leave = () => {
        total -= octets
        const left = (byClient.get(address) ?? 0) - octets
        if (left > 0) byClient.set(address, left)
        else byClient.delete(address)
      }
      const answer = next(query, ask)
      answer.then(leave, (error: unknown) => {
        leave()
        if (error instanceof EnigmError && error.code === 'overloaded') turnedAway()
      })
      return answer
    }
  }
}
