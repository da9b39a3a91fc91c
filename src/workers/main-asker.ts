import type { AnswerCache } from '../cache/answer-cache.ts'
import { askedBy } from '../cache/key.ts'
import type { Clock } from '../clock.ts'
import { NumberTable } from '../containers.ts'
import { EnigmError } from '../errors.ts'
import type { Gate } from '../policy/gate.ts'
import type { Answer, Query, Resolve } from '../resolve.ts'
import { type AskRecord, decodeReplies, encodeAsks } from './miss-codec.ts'

interface Waiter {
  readonly query: Query
  readonly epoch: number
  readonly done: (answer: Answer) => void
  readonly failed: (error: EnigmError) => void
}

/** How a worker asks: everything that is not in its cache goes to the main thread, all of one turn of the event loop in one message. */
export interface MainAsker {
  /** The end of a worker's pipeline. Keeps what comes back, unless the cache was cleared meanwhile. */
  readonly resolve: Resolve
  /** Takes a message of replies. While the gate is closed only what the policy itself answers is passed on. */
  settle(message: Uint8Array): void
}

/** IDs begin again behind it: none waits that long. */
const MOST_ID = 2 ** 31 - 2

/** `post` takes over the buffer. */
export function createMainAsker(cache: AnswerCache, clock: Clock, gate: Gate, post: (message: Buffer) => void): MainAsker {
  const waiting = new NumberTable<Waiter>()
  let asks: AskRecord[] = []
  let lastId = 0
  const flush = () => {
    const message = encodeAsks(asks)
    asks = []
    post(message)
  }
  const keep = ({ query, epoch }: Waiter, answer: Answer, agedMs: number) =>
    cache.put(askedBy(query), answer, epoch, clock.nowMs() - agedMs)

  return {
    resolve: (query, ask) =>
      new Promise((done, failed) => {
        lastId = (lastId + 1) % MOST_ID
        waiting.set(lastId, { query, epoch: cache.epoch, done, failed })
        if (asks.length === 0) setImmediate(flush)
        asks.push({
          id: lastId,
          query,
          remainingMs: ask.deadlineMs - clock.nowMs(),
          purpose: ask.purpose === 'refresh' ? 'refresh' : 'client',
        })
      }),
    settle(message) {
      for (const reply of decodeReplies(message)) {
        const waiter = waiting.get(reply.id)
        waiting.delete(reply.id)
        if (waiter === undefined) continue
        const refusal = gate.closed ? gate.refusal() : undefined
        if ('failed' in reply) waiter.failed(new EnigmError(reply.failed, 'The main thread could not resolve this question.'))
        else if (refusal !== undefined && reply.answer.from !== 'policy') waiter.failed(refusal)
        else {
          keep(waiter, reply.answer, reply.agedMs)
          waiter.done(reply.answer)
        }
      }
    },
  }
}
