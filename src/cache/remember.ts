import type { Clock } from '../clock.ts'
import { asEnigmError, EnigmError } from '../errors.ts'
import type { Answer, Stage } from '../resolve.ts'
import type { AnswerCache } from './answer-cache.ts'
import type { Failures } from './failures.ts'
import { askedBy, keyOfQuery } from './key.ts'
import { speaksOfTheName } from './lifetime.ts'

/**
 * Keeps every answer that comes back through it, whichever stage made it, and every failure for a while, in which nothing is asked (RFC 9520). The epoch is taken
 * before asking: an answer asked for under an old policy is not kept.
 */
export function remember(cache: AnswerCache, clock: Clock, failures?: Failures): Stage {
  return (next) => (query, ask) => {
    const { epoch } = cache
    const key = keyOfQuery(query)
    const known = failures?.known(key, query)
    const answersBefore = failures?.answers ?? 0
    if (known !== undefined) return known instanceof EnigmError ? Promise.reject(known) : Promise.resolve(known)
    const keep = (answer: Answer) => {
      cache.put(askedBy(query), answer, epoch, clock.nowMs())
      return answer
    }
    return next(query, ask).then(
      (answer) => {
        if (speaksOfTheName(answer.rcode)) {
          // What policy answers says nothing of the path.
          if (typeof answer.from !== 'string') failures?.succeeded(key)
          return keep(answer)
        }
        return keep(failures === undefined ? answer : { ...answer, storeS: failures.failed(key, answer) })
      },
      (error: unknown) => {
        failures?.unanswered(key, asEnigmError(error).code, answersBefore)
        throw error
      },
    )
  }
}
