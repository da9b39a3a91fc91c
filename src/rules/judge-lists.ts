import { EnigmError } from '../errors.ts'
import type { Job, Stage } from '../job.ts'
import type { Answer, Query } from '../resolve.ts'
import { blockedAnswer } from './blocked.ts'
import type { Block, ListsInForce } from './lists-in-force.ts'

/**
 * Blocks the names of lists before anything is asked for them, and answers that lead to such names
 * or to addresses of lists. Until the first lists are read, questions wait: a name must not pass
 * because its list is not there yet.
 */
export function judgeByLists(lists: ListsInForce): Stage {
  const block = (job: Job, why: Block) => {
    lists.count(why)
    job.outcome = blockedAnswer(job.query.question, why.reply, why.list)
  }
  const judgeName = (job: Job): 'on' | 'answered' => {
    const why = lists.ofName(job.query.question.lower, 0, job.query.client.view)
    if (why === undefined) return 'on'
    block(job, why)
    return 'answered'
  }
  const stage: Stage = {
    enter(job) {
      if (lists.isReady) return judgeName(job)
      lists.whenReady(() => {
        judgeName(job)
        job.resume(stage)
      })
      return 'waits'
    },
    leave(job) {
      const { outcome, query } = job
      // Only what came from a server: an answer made here is what a person wants.
      if (outcome === undefined || outcome instanceof EnigmError || outcome.from === 'policy') return 'on'
      const why = lists.ofAnswer(outcome.wire, query.question.lower, 0, query.client.view)
      if (why !== undefined) block(job, why)
      return 'on'
    },
  }
  return stage
}

/**
 * The answer to a question whose name a list blocks, for a responder that asks before anything
 * else: it costs less than half of a way through the stages. Undefined: the stages decide. Only
 * where no stage before `judgeByLists` answers names.
 */
export function blockedAtOnce(lists: ListsInForce): (query: Query) => Answer | undefined {
  return ({ question, client }) => {
    const why = lists.isReady ? lists.ofName(question.lower, 0, client.view) : undefined
    if (why === undefined) return undefined
    lists.count(why)
    return blockedAnswer(question, why.reply, why.list)
  }
}
