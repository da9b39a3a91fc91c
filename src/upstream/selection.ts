import { Deadlines } from '../deadlines.ts'
import { asEnigmError, EnigmError } from '../errors.ts'
import type { Ask, Protection, Receiver, Transport } from '../resolve.ts'
import { Flight } from './flight.ts'
import { Health, type HealthOptions } from './health.ts'
import { askInTurn } from './in-turn.ts'
import { SecondOpinions } from './second-opinions.ts'
import type { Split } from './split.ts'

/** Asks a group of trusted resolvers. */
export interface Asking<P extends Protection> {
  /**
   * Asks one query. At most three resolvers learn it, and each is asked once. By `ask.deadlineMs`
   * it ends with the first good reply, with the first reply of any kind if no operator had a better
   * one, or with an EnigmError. `message` has the form that an Upstream accepts.
   */
  readonly ask: (message: Uint8Array, dnssecOk: boolean, ask: Ask, to: Receiver<P, [transport: Transport, upstream: string]>) => void
}

export interface Selection<P extends Protection> extends Asking<P> {
  /**
   * The group of resolvers with these ids. No other resolver is asked, even if all of them fail.
   * They share links and health with the same resolvers in other groups.
   */
  among(ids: readonly string[]): Asking<P>
  /**
   * Probes all resolvers at once, even during their backoff. Resolves within 2 s, when all have
   * answered or failed. Never rejects.
   */
  probe(): Promise<void>
  /**
   * Forgets all failures, because the network changed or the machine woke up. For 10 s, a query for
   * which all resolvers fail is retried within its deadline.
   */
  disturbed(): void
  /** Probes failed resolvers at once, because the wall clock was set. */
  reconsider(): void
  /**
   * Closes the upstreams, which finish the queries in flight. Later calls reject with `closed`. No
   * probe is sent after this.
   */
  close(): Promise<void>
}

/**
 * Makes the selection among trusted resolvers. Names are not spread over operators: the fastest
 * resolver is asked as long as its path is alive. Another one learns a name only if this path looks
 * dead or failed, or if there was no answer after 1.5 s. `P` makes strictness a matter of types: a
 * `Selection<Authenticated>` accepts no upstream that might be unauthenticated.
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

/** Passes a reply on, after `split` has learnt to which names it leads. */
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
