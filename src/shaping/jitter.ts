import type { Clock, Random } from '../clock.ts'
import { type Linked, LinkedSet } from '../containers.ts'
import { type Deadline, Deadlines } from '../deadlines.ts'
import { EnigmError } from '../errors.ts'
import type { Ask, Link, Protection, Receiver, Shaper } from '../resolve.ts'

/** A delay must leave this time for the answer. */
const MARGIN_MS = 500

/**
 * Makes a shaper that delays each request by a uniformly random time from 0 to `maxMs`. So the
 * order and the spacing of requests on the wire reveal less about the requests of the user's
 * programs. It does not hide the volume. A delay ends at a whole millisecond of the clock, so that
 * requests with the same end need one timer and one write. A delay is shortened so that 500 ms
 * remain until the deadline. `close` sends delayed requests at once, and then closes the link,
 * which finishes them. With `maxMs` 0 it returns the link itself. The delay is not included in
 * `rttMs`.
 */
export function jitter(maxMs: number, o: { readonly clock: Clock; readonly random: Random }): Shaper {
  return (link) => (maxMs > 0 ? jittered(link, maxMs, o.clock, o.random) : link)
}

/** A delayed request. A class, so that it costs one closure. */
class HeldBack<P extends Protection> implements Linked<HeldBack<P>> {
  readonly request: Uint8Array
  readonly ask: Ask
  readonly to: Receiver<P>
  end: Deadline | undefined
  before: HeldBack<P> | undefined
  after: HeldBack<P> | undefined
  holder: object | undefined

  constructor(request: Uint8Array, ask: Ask, to: Receiver<P>) {
    this.request = request
    this.ask = ask
    this.to = to
  }
}

function jittered<P extends Protection>(link: Link<P>, maxMs: number, clock: Clock, random: Random): Link<P> {
  const waiting = new LinkedSet<HeldBack<P>>()
  const ends = new Deadlines(clock, 1)
  const steps = Math.ceil(maxMs * 1000) + 1
  let closed = false

  const go = (one: HeldBack<P>) => {
    waiting.delete(one)
    link.send(one.request, one.ask, one.to)
  }

  return {
    id: link.id,
    transport: link.transport,
    send(request, ask, to) {
      if (closed) {
        to.failed(new EnigmError('closed', `the link to ${link.id} is closed`))
        return
      }
      const nowMs = clock.nowMs()
      const waitMs = Math.min(random.below(steps) / 1000, maxMs, ask.deadlineMs - MARGIN_MS - nowMs)
      if (waitMs <= 0) {
        link.send(request, ask, to)
        return
      }
      const one = new HeldBack(request, ask, to)
      waiting.add(one)
      one.end = ends.add(nowMs + waitMs, () => go(one))
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
