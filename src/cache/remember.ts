import type { Clock } from '../clock.ts'
import { EnigmError } from '../errors.ts'
import type { Job, Outcome, Stage } from '../job.ts'
import type { AnswerCache } from './answer-cache.ts'
import type { Failures } from './failures.ts'
import { askedOf } from './key.ts'
import { describesName } from './lifetime.ts'

/**
 * Keeps every answer that comes back through it, whichever stage made it, and every failure for a while, in which nothing is asked (RFC 9520). The epoch is taken
 * before asking: an answer asked for under an old policy is not kept.
 */
export function remember(cache: AnswerCache, clock: Clock, failures?: Failures): Stage {
  /** What becomes of an outcome once it is noted whether it is a failure. */
  const noted = ({ query, answersBefore }: Job, outcome: Outcome): Outcome => {
    if (failures === undefined) return outcome
    if (outcome instanceof EnigmError) failures.unanswered(query, outcome.code, answersBefore)
    // What policy answers says nothing of the path.
    else if (!describesName(outcome.rcode)) return { ...outcome, storeS: failures.failed(query, outcome) }
    else if (typeof outcome.from !== 'string') failures.succeeded(query)
    return outcome
  }
  return {
    enter(job) {
      job.epoch = cache.epoch
      job.outcome = failures?.known(job.query)
      job.answersBefore = failures?.answers ?? 0
      return job.outcome === undefined ? 'on' : 'answered'
    },
    leave(job) {
      // What was asked under an older policy or configuration says nothing of this one.
      if (job.epoch !== cache.epoch || job.outcome === undefined) return 'on'
      const outcome = noted(job, job.outcome)
      job.outcome = outcome
      if (!(outcome instanceof EnigmError)) cache.put(askedOf(job), outcome, job.epoch, clock.nowMs())
      return 'on'
    },
  }
}
