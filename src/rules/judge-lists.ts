import { questionOf } from '../dns/message.ts'
import { copyLower } from '../dns/octets.ts'
import type { QueryScan } from '../dns/query-scan.ts'
import type { ReplySource } from '../dns/reply.ts'
import { EnigmError } from '../errors.ts'
import type { Job, Stage } from '../job.ts'
import { type Answer, hasMark, type Query, type Question, type View } from '../resolve.ts'
import { blockedAnswer, blockedSource } from './blocked.ts'
import type { Blocking, ListsInForce } from './lists-in-force.ts'

/**
 * Answers questions of blocked clients and questions for blocked names, before a server is asked.
 * Also replaces answers that contain a blocked name or address. Until the first lists are read,
 * questions wait: otherwise a name could pass only because its list is not loaded yet.
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
      // Answers that a rule of this program made are not checked.
      if (outcome === undefined || outcome instanceof EnigmError || outcome.from === 'policy') return 'on'
      const why = lists.ofAnswer(outcome.wire, query.question.lower, 0, query.client.view)
      if (why !== undefined) job.outcome = answerTo(query, why)
      return 'on'
    },
  }
  return stage
}

/** The answer if a list blocks the client or the name; undefined: no list blocks them. */
function blocked(lists: ListsInForce, query: Query): Answer | undefined {
  const clientBlocking = lists.ofClient(query.client)
  // Another client may ask the same, and is not blocked.
  if (clientBlocking !== undefined) return { ...answerTo(query, clientBlocking), storeS: 'no' }
  const nameBlocking = lists.ofName(query.question.lower, 0, query.client.view)
  return nameBlocking === undefined ? undefined : answerTo(query, nameBlocking)
}

function answerTo({ question }: Query, { reply, list, counter }: Blocking): Answer {
  counter.count++
  return blockedAnswer(question, reply, list)
}

/** Answers questions that a list blocks, without the stages. Used after the cache was searched. */
export interface BlockedAtOnce {
  /**
   * The answer to a question that the cache does not have, read directly from the packet.
   * Undefined: use the stages. It takes 1 us; the stages take more than 10 us. Valid until the next
   * call.
   */
  source(packet: Uint8Array, scan: QueryScan, view: View): ReplySource | undefined
  /** The answer to a parsed query; it also checks the rules about its client. */
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
      // A blocked client has its own rule: `answer` decides.
      if (!lists.isReady || hasMark(view, 'unshared')) return undefined
      const nameOctets = scan.questionEnd - scan.questionAt - 4
      copyLower(packet, scan.questionAt, nameOctets, lowerName, 0)
      const why = lists.ofName(lowerName, 0, view)
      if (why === undefined || own?.mayAnswer(questionOf(packet, scan), view) === true) return undefined
      why.counter.count++
      return blockedSource(nameOctets + 4, scan.type, why.reply, why.ede)
    },
    answer: (query) => (lists.isReady && own?.mayAnswer(query.question, query.client.view) !== true ? blocked(lists, query) : undefined),
  }
}

/** The name of the last question, lower-case. */
const lowerName = new Uint8Array(255)
