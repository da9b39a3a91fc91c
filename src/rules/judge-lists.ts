import { EnigmError } from '../errors.ts'
import type { Job, Stage } from '../job.ts'
import type { Answer, Query } from '../resolve.ts'
import { blockedAnswer } from './blocked.ts'
import type { Block, ListsInForce } from './lists-in-force.ts'

/**
 * Blocks the clients and the names of lists before anything is asked, and answers that lead to such
 * names or to addresses of lists. Until the first lists are read, questions wait: a name must not pass
 * because its list is not there yet.
 */
export function judgeByLists(lists: ListsInForce): Stage {
  const judgeQuestion = (job: Job): 'on' | 'answered' => {
    job.outcome = blocked(lists, job.query)
    return job.outcome === undefined ? 'on' : 'answered'
  }
  const stage: Stage = {
    enter(job) {
      if (lists.isReady) return judgeQuestion(job)
      lists.whenReady(() => {
        judgeQuestion(job)
        job.resume(stage)
      })
      return 'waits'
    },
    leave(job) {
      const { outcome, query } = job
      // Only what came from a server: an answer made here is what a person wants.
      if (outcome === undefined || outcome instanceof EnigmError || outcome.from === 'policy') return 'on'
      const why = lists.ofAnswer(outcome.wire, query.question.lower, 0, query.client.view)
      if (why !== undefined) job.outcome = answerTo(lists, query, why)
      return 'on'
    },
  }
  return stage
}

/** The answer to a question of a client, or about a name, that a list blocks; undefined: none does. */
function blocked(lists: ListsInForce, query: Query): Answer | undefined {
  const client = lists.ofClient(query.client)
  // Another client may ask the same, and is not blocked.
  if (client !== undefined) return { ...answerTo(lists, query, client), storeS: 'no' }
  const name = lists.ofName(query.question.lower, 0, query.client.view)
  return name === undefined ? undefined : answerTo(lists, query, name)
}

function answerTo(lists: ListsInForce, { question }: Query, why: Block): Answer {
  lists.count(why)
  return blockedAnswer(question, why.reply, why.list)
}

/**
 * The answer to a question that a list blocks, for a responder that asks before anything
 * else: it costs less than half of a way through the stages. Undefined: the stages decide. Only
 * where no stage before `judgeByLists` answers names.
 */
export function blockedAtOnce(lists: ListsInForce): (query: Query) => Answer | undefined {
  return (query) => (lists.isReady ? blocked(lists, query) : undefined)
}
