import { FairShares } from '../client-shares.ts'
import type { Random } from '../clock.ts'
import { EnigmError } from '../errors.ts'
import type { Job, Stage } from '../job.ts'

/**
 * What a query that waits costs beside its question: the packet's copy, the job, a link's
 * bookkeeping (measured: 1.5 KB a query before the link's own).
 */
const COST_OCTETS = 2048
/** The longest name, type and class. */
const LONGEST_QUESTION = 259
/** Some 11,000 queries. */
const DEFAULT_OCTETS = 24 * 1024 * 1024
/** What is asked only to be ready for later may use this share. */
const REFRESH_SHARE = 0.5

/** Who is told of what was turned away, and what there is to share out. */
export interface AdmissionOptions {
  readonly random: Random
  readonly turnedAway: () => void
  /**
   * Whether `turnedAway` is called too for what was refused further in (questions, waiters, a
   * link's queue).
   */
  readonly countsFurtherIn?: boolean
  readonly octets?: number
}

/**
 * Bounds what waits for an answer, in octets, fairly among clients: beyond it a query fails at once
 * with `overloaded`, rather than in silence or by growth (CVE-2025-30193, DNSBomb). Marks what a
 * client that holds much asks further (`Ask.givesWay`).
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
