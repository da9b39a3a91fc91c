import type { Clock, Random, Timer } from '../clock.ts'
import { EnigmError } from '../errors.ts'
import type { Carried, Link, Protection, Shaper } from '../resolve.ts'

/** What a wait leaves of the query's time for the answer. */
const MARGIN_MS = 500

interface Waiting {
  readonly timer: Timer
  readonly go: () => void
}

/**
 * A shaper that holds each request back for a uniform random time from 0 to `maxMs`, whatever its purpose, so that the order and the spacing of requests on the wire
 * say less of those that the user's programs made. It hides no volume. A wait is cut so that 500 ms of the deadline remain; `close` sends what waits at once
 * and then closes the link, which lets it finish. `maxMs` 0 gives the link itself. One timer and two promises a query; the wait is not in `rttMs`.
 */
export function jitter(maxMs: number, o: { readonly clock: Clock; readonly random: Random }): Shaper {
  return (link) => (maxMs > 0 ? jittered(link, maxMs, o.clock, o.random) : link)
}

function jittered<P extends Protection>(link: Link<P>, maxMs: number, clock: Clock, random: Random): Link<P> {
  const waiting = new Set<Waiting>()
  const steps = Math.ceil(maxMs * 1000) + 1
  let closed = false

  const wait = (waitMs: number) =>
    new Promise<void>((resolve) => {
      const entry: Waiting = {
        timer: clock.setTimer(waitMs, () => entry.go()),
        go() {
          waiting.delete(entry)
          resolve()
        },
      }
      waiting.add(entry)
    })

  return {
    id: link.id,
    transport: link.transport,
    exchange(request, ask): Promise<Carried<P>> {
      if (closed) return Promise.reject(new EnigmError('closed', `the link to ${link.id} is closed`))
      const waitMs = Math.min(random.below(steps) / 1000, maxMs, ask.deadlineMs - MARGIN_MS - clock.nowMs())
      return waitMs > 0 ? wait(waitMs).then(() => link.exchange(request, ask)) : link.exchange(request, ask)
    },
    async close() {
      closed = true
      for (const { timer, go } of waiting) {
        timer.cancel()
        go()
      }
      // The flushed requests reach the link in the microtasks that are queued now; closing it before would reject them.
      await Promise.resolve()
      await link.close()
    },
  }
}
