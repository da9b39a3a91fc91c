import { Deadlines } from '../deadlines.ts'
import { asEnigmError, EnigmError } from '../errors.ts'
import type { Ask, Protection, Receiver, Transport } from '../resolve.ts'
import { Flight } from './flight.ts'
import { Health, type HealthOptions } from './health.ts'
import { askInTurn } from './in-turn.ts'
import { SecondOpinions } from './second-opinions.ts'
import type { Split } from './split.ts'

/** Asks a query, as `Selection.ask` does. */
export interface Asking<P extends Protection> {
  /**
   * Asks the trusted set. At most three resolvers learn one query, and each is asked once. The
   * query settles by `ask.deadlineMs`: with the first good reply, or with the first of any kind if
   * no operator had a better one, or with an EnigmError. `message` has the form that an Upstream
   * takes.
   */
  readonly ask: (message: Uint8Array, dnssecOk: boolean, ask: Ask, to: Receiver<P, [transport: Transport, upstream: string]>) => void
}

export interface Selection<P extends Protection> extends Asking<P> {
  /**
   * Asks only the resolvers with these ids, whatever happens. They share links and health with the
   * same resolvers elsewhere.
   */
  among(ids: readonly string[]): Asking<P>
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
  const deadlines = new Deadlines(o.clock, 1)
  const groups: SecondOpinions[] = []
  let closed = false
  let { split } = o
  const among = (ids: readonly string[] | undefined): Asking<P> => {
    const opinions = new SecondOpinions(o.clock, o.random)
    groups.push(opinions)
    const order = health.orderOf(ids)
    const tools = { clock: o.clock, deadlines, opinions, order }
    const begin: typeof askInTurn<P> = o.manner.asksAgain
      ? (_health, _order, _clock, message, dnssecOk, ask, to, ranks) => new Flight(health, tools, message, dnssecOk, ask, to, ranks).start()
      : askInTurn
    const ask: Asking<P>['ask'] = (message, dnssecOk, why, to) => {
      if (closed) to.failed(new EnigmError('closed', 'the resolver is shutting down'))
      else if (split === undefined) begin(health, order, o.clock, message, dnssecOk, why, to)
      else if (split instanceof Promise)
        split.then(
          (loaded) => {
            split = loaded
            ask(message, dnssecOk, why, to)
          },
          (error: unknown) => to.failed(asEnigmError(error)),
        )
      else begin(health, order, o.clock, message, dnssecOk, why, learning(split, message, to), split.ranks(message))
    }
    return { ask }
  }
  return {
    ...among(undefined),
    among,
    probe: () => health.probeAll(),
    disturbed() {
      for (const opinions of groups) opinions.clear()
      if (!(split instanceof Promise)) split?.forget()
      health.disturbed()
    },
    reconsider: () => health.reconsider(),
    close() {
      closed = true
      return health.close()
    },
  }
}

/** Passes a reply on, after `split` has seen where it leads. */
function learning<P extends Protection>(
  split: Split,
  message: Uint8Array,
  to: Receiver<P, [transport: Transport, upstream: string]>,
): Receiver<P, [transport: Transport, upstream: string]> {
  return {
    carried(carried, transport, upstream) {
      split.learn(message, carried.wire)
      to.carried(carried, transport, upstream)
    },
    failed: (error) => to.failed(error),
  }
}
