import { Deadlines } from '../deadlines.ts'
import { EnigmError } from '../errors.ts'
import type { Ask, Protection, Receiver, Transport } from '../resolve.ts'
import { Flight } from './flight.ts'
import { Health, type HealthOptions } from './health.ts'
import { askInTurn } from './in-turn.ts'
import { SecondOpinions } from './second-opinions.ts'

export interface Selection<P extends Protection> {
  /**
   * Asks the trusted set. At most three resolvers learn one query, and each is asked once. The
   * query settles by `ask.deadlineMs`: with the first good reply, or with the first of any kind if
   * no operator had a better one, or with an EnigmError. `message` has the form that an Upstream
   * takes.
   */
  readonly ask: (message: Uint8Array, dnssecOk: boolean, ask: Ask, to: Receiver<P, [transport: Transport, upstream: string]>) => void
  /**
   * Sends the probe to every resolver at once, even during its backoff. Resolves when all have
   * answered or failed, within 2 s. Never rejects.
   */
  probe(): Promise<void>
  /**
   * The network changed, or the machine woke up: failures are forgiven, and for some seconds a
   * query that all resolvers failed is tried again, within its deadline.
   */
  disturbed(): void
  /** The wall clock was set: resolvers that failed are probed at once. */
  reconsider(): void
  /**
   * Closes the upstreams (they finish the queries in flight). Later calls reject with `closed`; no
   * probe is sent after this.
   */
  close(): Promise<void>
}

/**
 * Names are not spread over operators: one resolver, the fastest, is asked as long as its path is
 * alive. Another one learns a name only if that path looks dead, failed, or had no answer after 1.5
 * s. `P` carries strictness in the types: a `Selection<Authenticated>` takes no upstream that might
 * be unauthenticated.
 */
export function createSelection<P extends Protection>(o: HealthOptions<P>): Selection<P> {
  const health = new Health(o)
  const opinions = new SecondOpinions(o.clock, o.random)
  const tools = { clock: o.clock, deadlines: new Deadlines(o.clock, 1), opinions }
  let closed = false
  return {
    ask(message, dnssecOk, ask, to) {
      if (closed) to.failed(new EnigmError('closed', 'the resolver is shutting down'))
      else if (!o.manner.asksAgain) askInTurn(health, o.clock, message, dnssecOk, ask, to)
      else new Flight(health, tools, message, dnssecOk, ask, to).start()
    },
    probe: () => health.probeAll(),
    disturbed() {
      opinions.clear()
      health.disturbed()
    },
    reconsider: () => health.reconsider(),
    close() {
      closed = true
      return health.close()
    },
  }
}
