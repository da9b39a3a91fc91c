import { FairShares } from '../client-shares.ts'
import type { Random } from '../clock.ts'
import { EnigmError } from '../errors.ts'
import type { Job, Stage } from '../job.ts'

/**
 * What a waiting query costs besides its question: the packet's copy, the job, a link's bookkeeping
 * (measured: 1.5 KB per query before the link's own).
 */
const COST_OCTETS = 2048
/** Octets of the longest name with its type and class. */
const LONGEST_QUESTION = 259
/** About 11,000 queries. */
const DEFAULT_OCTETS = 24 * 1024 * 1024
/** The share that queries which only prepare later answers may use. */
const REFRESH_SHARE = 0.5

/** The capacity to divide, and the callback for refused queries. */
export interface AdmissionOptions {
  readonly random: Random
  readonly turnedAway: () => void
  /**
   * Whether `turnedAway` is also called for queries that a later stage refused (questions, waiters,
   * a link's queue).
   */
  readonly countsFurtherIn?: boolean
  readonly octets?: number
}

/**
 * Bounds the memory of waiting queries, in octets, and divides it fairly among clients. A query
 * beyond the bound fails at once with `overloaded`; it is not dropped in silence, and memory does
 * not grow (CVE-2025-30193, DNSBomb). Marks further queries of a client that holds much
 * (`Ask.givesWay`).
 */
export function admit({ random, turnedAway, countsFurtherIn = true, octets: capacity = DEFAULT_OCTETS }: AdmissionOptions): Stage {
  const shares = new FairShares(capacity, COST_OCTETS + LONGEST_QUESTION, random)
  const costOf = (job: Job) => COST_OCTETS + job.query.question.lower.length
  return {
    enter(job) {
      const octets = costOf(job)
      const { address } = job.query.client
      const tooMany = job.purpose !== 'client' && shares.total + octets > capacity * REFRESH_SHARE
      if (tooMany || !shares.take(address, octets)) {
        turnedAway()
        job.outcome = new EnigmError('overloaded', 'Too many questions are under way.')
        return 'answered'
      }
      if (shares.isHeavy(address)) job.givesWay = true
      return 'on'
    },
    leave(job) {
      shares.give(job.query.client.address, costOf(job))
      if (countsFurtherIn && job.outcome instanceof EnigmError && job.outcome.code === 'overloaded') turnedAway()
      return 'on'
    },
  }
}
