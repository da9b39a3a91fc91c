import type { Clock, Random } from '../clock.ts'
import { type Linked, LinkedSet } from '../containers.ts'
import { type Deadline, Deadlines } from '../deadlines.ts'
import { EnigmError } from '../errors.ts'
import type { Ask, Carried, Link, Protection, Shaper } from '../resolve.ts'

/** What a wait leaves of the query's time for the answer. */
const MARGIN_MS = 500

/**
 * A shaper that holds each request back for a uniform random time from 0 to `maxMs`, whatever its
 * purpose, so that the order and the spacing of requests on the wire
 * say less of those that the user's programs made. It hides no volume. A wait ends with a
 * millisecond of the clock, so that what ends together is one timer and one
 * write. It is cut so that 500 ms of the deadline remain; `close` sends what waits at once and then
 * closes the link, which lets it finish. `maxMs` 0 gives the link
 * itself. The wait is not in `rttMs`.
 */
export function jitter(maxMs: number, o: { readonly clock: Clock; readonly random: Random }): Shaper {
  return (link) => (maxMs > 0 ? jittered(link, maxMs, o.clock, o.random) : link)
}

/** A request that is held back. A class, so that it costs one closure. */
class HeldBack<P extends Protection> implements Linked<HeldBack<P>> {
  readonly request: Uint8Array
  readonly ask: Ask
  readonly resolve: (carried: Carried<P> | Promise<Carried<P>>) => void
  end: Deadline | undefined
  before: HeldBack<P> | undefined
  after: HeldBack<P> | undefined
  holder: object | undefined

  constructor(request: Uint8Array, ask: Ask, resolve: (carried: Carried<P> | Promise<Carried<P>>) => void) {
    this.request = request
    this.ask = ask
    this.resolve = resolve
  }
}

function jittered<P extends Protection>(link: Link<P>, maxMs: number, clock: Clock, random: Random): Link<P> {
  const waiting = new LinkedSet<HeldBack<P>>()
  const ends = new Deadlines(clock, 1)
  const steps = Math.ceil(maxMs * 1000) + 1
  let closed = false

  const go = (one: HeldBack<P>) => {
    waiting.delete(one)
    one.resolve(link.exchange(one.request, one.ask))
  }
  const heldBack = (request: Uint8Array, ask: Ask, untilMs: number) =>
    new Promise<Carried<P>>((resolve) => {
      const one = new HeldBack(request, ask, resolve)
      waiting.add(one)
      one.end = ends.add(untilMs, () => go(one))
    })

  return {
    id: link.id,
    transport: link.transport,
    exchange(request, ask): Promise<Carried<P>> {
      if (closed) return Promise.reject(new EnigmError('closed', `the link to ${link.id} is closed`))
      const nowMs = clock.nowMs()
      const waitMs = Math.min(random.below(steps) / 1000, maxMs, ask.deadlineMs - MARGIN_MS - nowMs)
      return waitMs > 0 ? heldBack(request, ask, nowMs + waitMs) : link.exchange(request, ask)
    },
    close() {
      closed = true
      for (const one of waiting.list()) {
        if (one.end !== undefined) ends.remove(one.end)
        go(one)
      }
      return link.close()
    },
  }
}
