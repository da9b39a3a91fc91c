import { upstreamQuery } from '../dns/message.ts'
import { type AcceptedReply, acceptReply, readingOf, synthesise, type TtlClamp } from '../dns/response.ts'
import { type AroundCode, asEnigmError, EnigmError, isOurs } from '../errors.ts'
import type { Job, Outcome, SideAsker, Stage } from '../job.ts'
import type { Answer, Ask, Carried, Protection, Receiver, Transport } from '../resolve.ts'
import { speaksOfHop } from './classification.ts'

const SERVFAIL = 2

/** Carries a query to one of the trusted resolvers, and reports which one answered. */
export interface Trusted {
  ask(message: Uint8Array, dnssecOk: boolean, ask: Ask, to: Receiver<Protection, [transport: Transport, upstream: string]>): void
}

/**
 * The last stage of the pipeline. It asks the resolvers of the job's side. If they fail, it asks no
 * other resolver.
 */
export function askSide(askerOf: (job: Job) => SideAsker): Stage {
  const stage: Stage = {
    enter(job) {
      askerOf(job).ask(job, (outcome) => {
        job.outcome = outcome
        job.resume(stage)
      })
      return 'waits'
    },
  }
  return stage
}

/**
 * Asks trusted resolvers and converts the reply to an answer. Only the question, CD and DO of the
 * client's query are sent. TTLs are limited to `clamp`, in the wire form too, because a client must
 * not keep an answer longer than this stub does. `lifetime` returns how long the answer may be
 * kept. `around` returns the current common problem of all resolvers; failures are reported with
 * its code.
 */
export function trustedAsker(
  trusted: Trusted,
  clamp: TtlClamp,
  lifetime: (accepted: AcceptedReply) => number | 'no',
  around: () => AroundCode | undefined = () => undefined,
): SideAsker {
  const answerOf = (job: Job, carried: Carried, transport: Transport, upstream: string): Answer => {
    const { question } = job.query
    const { authenticated } = carried.protection
    const accepted = acceptReply(carried.wire, question, { authenticated, ageS: carried.ageS ?? 0, clamp }, readingOf(carried))
    const { ede, ttlAts } = accepted
    // The reply may settle the question although its RCODE is about the hop (the name is blocked,
    // RFC 8914). Then the client gets an RCODE that it knows.
    const ofHop = speaksOfHop(accepted.rcode)
    const rcode = ofHop ? SERVFAIL : accepted.rcode
    const wire = ofHop ? synthesise(question, { rcode }) : accepted.wire
    const from = { upstream, transport }
    const storeS = lifetime(accepted)
    if (ofHop) return { wire, rcode, storeS, from, ...(ede && { ede }) }
    return ede === undefined ? { wire, rcode, storeS, from, ttlAts } : { wire, rcode, storeS, from, ttlAts, ede }
  }
  return {
    ask(job, done) {
      const { question, checkingDisabled, edns } = job.query
      trusted.ask(upstreamQuery(question, checkingDisabled), edns?.dnssecOk === true, job, new AskedOnce(job, done, answerOf, around))
    },
  }
}

/** Receives the reply to the question of `job`. A class, so that a question costs no closures. */
class AskedOnce implements Receiver<Protection, [transport: Transport, upstream: string]> {
  readonly #job: Job
  readonly #done: (outcome: Outcome) => void
  readonly #answerOf: (job: Job, carried: Carried, transport: Transport, upstream: string) => Answer
  readonly #around: () => AroundCode | undefined

  constructor(
    job: Job,
    done: (outcome: Outcome) => void,
    answerOf: (job: Job, carried: Carried, transport: Transport, upstream: string) => Answer,
    around: () => AroundCode | undefined,
  ) {
    this.#job = job
    this.#done = done
    this.#answerOf = answerOf
    this.#around = around
  }

  carried(carried: Carried, transport: Transport, upstream: string): void {
    let outcome: Outcome
    try {
      outcome = this.#answerOf(this.#job, carried, transport, upstream)
    } catch (error) {
      outcome = asEnigmError(error)
    }
    this.#done(outcome)
  }

  failed(error: EnigmError): void {
    const code = isOurs(error.code) ? undefined : this.#around()
    this.#done(code === undefined ? error : new EnigmError(code, 'All resolvers fail for the same reason.', { cause: error }))
  }
}
