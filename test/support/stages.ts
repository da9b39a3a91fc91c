import { asEnigmError, EnigmError } from '../../src/errors.ts'
import { Job, type Stage } from '../../src/job.ts'
import type { Answer, Ask, Client, Query, Responder } from '../../src/resolve.ts'

/** A question answered by a promise. */
export type Resolve = (query: Query, ask: Ask) => Promise<Answer>

/** Asks `stages`, and gives a promise. */
export function asked(stages: readonly Stage[], query: Query, ask: Ask): Promise<Answer> {
  return new Promise((resolve, reject) => {
    new Job(stages, query, ask, (outcome) => (outcome instanceof EnigmError ? reject(outcome) : resolve(outcome))).start()
  })
}

/** The end of a pipeline that does what `resolve` says. */
export function endsIn(resolve: Resolve): Stage {
  const stage: Stage = {
    enter(job) {
      const settle = (outcome: Answer | unknown) => {
        job.outcome = outcome as Answer
        job.resume(stage)
      }
      resolve(job.query, job).then(settle, (error: unknown) => settle(asEnigmError(error)))
      return 'waits'
    },
  }
  return stage
}

/** Questions go down `stages`, and `end` answers them. */
export function through(stages: readonly Stage[], end: Resolve): Resolve {
  const list = [...stages, endsIn(end)]
  return (query, ask) => asked(list, query, ask)
}

/** What `responder` says to `packet`, from memory or by asking; undefined: nothing. Copies. */
export function repliesTo(responder: Responder, packet: Uint8Array, client: Client): Promise<Buffer | undefined> {
  const out = Buffer.alloc(65_535)
  const limit = client.transport === 'udp' ? 1232 : out.length
  const length = responder.now(packet, 0, packet.length, out, 0, limit, client.view)
  if (length > 0) return Promise.resolve(out.subarray(0, length))
  return new Promise((resolve) =>
    responder.later(client, (octets, length) => resolve(length === 0 ? undefined : Buffer.from(octets.subarray(0, length)))),
  )
}
