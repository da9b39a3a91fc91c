import type { AnswerCache } from '../cache/answer-cache.ts'
import { askedOf } from '../cache/key.ts'
import type { Clock } from '../clock.ts'
import { NumberTable } from '../containers.ts'
import { EnigmError } from '../errors.ts'
import type { Job, Outcome, Stage } from '../job.ts'
import type { Gate } from '../policy/gate.ts'
import { type AskRecord, decodeReplies, encodeAsks, type ReplyRecord } from './miss-codec.ts'

/**
 * The query path of a worker: every question that is not in its cache goes to the main thread, all
 * of one turn of the event loop in one message.
 */
export interface MissClient {
  /**
   * The last stage of a worker's pipeline. Stores each answer, unless the cache was cleared
   * meanwhile.
   */
  readonly stage: Stage
  /**
   * Handles a message of replies. While the gate is closed only answers made by policy are passed
   * on.
   */
  settle(message: Uint8Array): void
}

/** After this ID they start again: no question waits that long. */
const MOST_ID = 2 ** 31 - 2

/** `post` takes ownership of the buffer. */
export function createMissClient(cache: AnswerCache, clock: Clock, gate: Gate, post: (message: Buffer) => void): MissClient {
  const waiting = new NumberTable<Job>()
  let asks: AskRecord[] = []
  let lastId = 0
  const flush = () => {
    const message = encodeAsks(asks)
    asks = []
    post(message)
  }
  const outcomeOf = (job: Job, reply: ReplyRecord): Outcome => {
    if ('failed' in reply) return new EnigmError(reply.failed, 'The main thread could not resolve this question.', { hop: reply.hop })
    const refusal = gate.closed ? gate.refusal() : undefined
    if (refusal !== undefined && reply.answer.from !== 'policy') return refusal
    cache.put(askedOf(job), reply.answer, job.epoch, clock.nowMs() - reply.agedMs, job.rulesVersion)
    return reply.answer
  }

  const stage: Stage = {
    enter(job) {
      const { query, deadlineMs, purpose } = job
      job.epoch = cache.epoch
      job.rulesVersion = cache.rulesVersion
      lastId = (lastId + 1) % MOST_ID
      waiting.set(lastId, job)
      if (asks.length === 0) setImmediate(flush)
      asks.push({ id: lastId, query, remainingMs: deadlineMs - clock.nowMs(), purpose: purpose === 'refresh' ? 'refresh' : 'client' })
      return 'waits'
    },
  }
  return {
    stage,
    settle(message) {
      for (const reply of decodeReplies(message)) {
        const job = waiting.get(reply.id)
        waiting.delete(reply.id)
        if (job === undefined) continue
        job.outcome = outcomeOf(job, reply)
        job.resume(stage)
      }
    },
  }
}
