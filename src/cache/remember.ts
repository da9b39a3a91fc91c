import type { Clock } from '../clock.ts'
import type { Stage } from '../resolve.ts'
import type { AnswerCache } from './answer-cache.ts'
import { keyOfQuery } from './key.ts'

/** Keeps every answer that comes back through it, whichever stage made it. The epoch is taken before asking: an answer asked for under an old policy is not kept. */
export function remember(cache: AnswerCache, clock: Clock): Stage {
  return (next) => async (query, ask) => {
    const epoch = cache.epoch
    const answer = await next(query, ask)
    cache.put(keyOfQuery(query), answer, epoch, clock.nowMs())
    return answer
  }
}
