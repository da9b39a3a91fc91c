import { questionOf } from '../dns/message.ts'
import { copyLower } from '../dns/octets.ts'
import type { QueryScan } from '../dns/query-scan.ts'
import type { ReplySource } from '../dns/reply.ts'
import { EnigmError } from '../errors.ts'
import type { Job, Stage } from '../job.ts'
import { type Answer, hasMark, type Query, type Question, type View } from '../resolve.ts'
import { blockedAnswer, blockedSource } from './blocked.ts'
import type { Block, ListsInForce } from './lists-in-force.ts'

/**
 * Blocks the clients and the names of lists before anything is asked, and answers that lead to such
 * names or to addresses of lists. Until the first lists are read, questions wait: a name must not
 * pass because its list is not there yet.
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
      // Only answers of servers are checked, not those that are made here.
      if (outcome === undefined || outcome instanceof EnigmError || outcome.from === 'policy') return 'on'
      const why = lists.ofAnswer(outcome.wire, query.question.lower, 0, query.client.view)
      if (why !== undefined) job.outcome = answerTo(query, why)
      return 'on'
    },
  }
  return stage
}

/**
 * The answer to a question of a client, or about a name, that a list blocks; undefined: none does.
 */
function blocked(lists: ListsInForce, query: Query): Answer | undefined {
  const client = lists.ofClient(query.client)
  // Another client may ask the same, and is not blocked.
  if (client !== undefined) return { ...answerTo(query, client), storeS: 'no' }
  const name = lists.ofName(query.question.lower, 0, query.client.view)
  return name === undefined ? undefined : answerTo(query, name)
}

function answerTo({ question }: Query, { reply, list, counter }: Block): Answer {
  counter.count++
  return blockedAnswer(question, reply, list)
}

/** Answers what a list blocks before anything else is done for a question. */
export interface BlockedAtOnce {
  /**
   * The answer to a question that is not in memory, while it is still in its packet; undefined: the
   * stages decide. Takes 1 us, where a way through the stages takes more than 10 us. Valid until
   * the next call.
   */
  source(packet: Uint8Array, scan: QueryScan, view: View): ReplySource | undefined
  /** The same for a question that was copied. */
  answer(query: Query): Answer | undefined
}

/** The stage before `judgeByLists`, if names are answered there. */
interface OwnNamesBefore {
  /** Whether it may answer a question. */
  mayAnswer(question: Question, view: View): boolean
}

/** See `BlockedAtOnce`. */
export function blockedAtOnce(lists: ListsInForce, own: OwnNamesBefore | undefined): BlockedAtOnce {
  return {
    source(packet, scan, view) {
      if (!lists.isReady || hasMark(view, 'unshared')) return undefined
      const nameOctets = scan.questionEnd - scan.questionAt - 4
      copyLower(packet, scan.questionAt, nameOctets, name, 0)
      const why = lists.ofName(name, 0, view)
      if (why === undefined || own?.mayAnswer(questionOf(packet, scan), view) === true) return undefined
      why.counter.count++
      return blockedSource(nameOctets + 4, scan.type, why.reply, why.ede)
    },
    answer: (query) => (lists.isReady && own?.mayAnswer(query.question, query.client.view) !== true ? blocked(lists, query) : undefined),
  }
}

/** The name of the last question, lower-case. */
const name = new Uint8Array(255)
