import type { AnswerCache } from './cache/answer-cache.ts'
import { coalesce } from './cache/in-flight.ts'
import { clampTtl, lifetimeOf, type TtlClamp } from './cache/lifetime.ts'
import { remember } from './cache/remember.ts'
import type { Clock } from './clock.ts'
import { rewriteTtls } from './dns/response.ts'
import { specialNames } from './policy/special-names.ts'
import type { Answer, Resolve, Stage } from './resolve.ts'
import { askTrusted, type Trusted } from './upstream/ask.ts'

/** What a query passes through once the cache has no answer. */
export interface PipelineParts {
  readonly cache: AnswerCache
  readonly trusted: Trusted
  readonly clamp: TtlClamp
  readonly clock: Clock
}

/** THE pipeline, outermost first. */
export function pipeline(parts: PipelineParts): Resolve {
  const stages: readonly Stage[] = [
    coalesce(), // before anything that works: a hundred tabs asking one name are one question, one insert, one upstream query
    remember(parts.cache, parts.clock), // outside every stage that answers, so that what policy answers is a hit the next time too
    specialNames(), // before anything that leaves: these names mean nothing outside this host or network, and asking them tells about it
    clampTtls(parts.clamp), // before it is kept, so that the TTL a client sees is the one we keep to
  ]
  return compose(
    stages,
    askTrusted(parts.trusted, (accepted) => lifetimeOf(accepted, parts.clamp)),
  )
}

/** `stages` around `end`, the first outermost. */
export function compose(stages: readonly Stage[], end: Resolve): Resolve {
  return stages.reduceRight((next, stage) => stage(next), end)
}

/** TTLs inside the clamp, on the wire too: an answer must not outlive in the client what it does here. */
function clampTtls(clamp: TtlClamp): Stage {
  return (next) => async (query, ask) => {
    const answer: Answer = await next(query, ask)
    if (answer.storeS !== 'no') rewriteTtls(answer.wire, (ttlS) => clampTtl(ttlS, clamp))
    return answer
  }
}
