import type { Clock, Timer } from '../clock.ts'
import type { Emit } from '../events.ts'
import { type Traced, Tracer } from './tracer.ts'

/** The longest that one trace may last. */
export const LONGEST_TRACE_MS = 3_600_000
/** What waits for a terminal that is slow, at most; older ones make room, and the trace says how many. */
const RING = 1024

/** Where the lines of a trace go. */
export interface Outlet {
  /** Sends each value as a line. False: it is full, and `drained` will be called. */
  send(lines: readonly object[]): boolean
  end(): void
}

/** What whoever holds the other end of an outlet tells. */
export interface Receiver {
  drained(): void
  /** The other end has hung up. */
  gone(): void
}

/** Why a trace ended: its time was over, whoever watched it went away, or the service took another configuration, forgets what was asked, or stops. */
export type TraceEnd = 'time' | 'gone' | 'reload' | 'forget' | 'stop'

/**
 * Shows what is asked to one watcher for a limited time: from memory to its socket, never to a file, never to the log. At most one trace at a time. Before the first
 * line leaves, the event `trace` has named it in the status.
 */
export class QueryTrace {
  readonly tracer: Tracer
  readonly #clock: Clock
  readonly #emit: Emit
  #outlet: Outlet | undefined
  #timer: Timer | undefined
  #untilMs = 0
  #waiting: Traced[] = []
  #missed = 0
  #full = false
  #due = false

  constructor(clock: Clock, emit: Emit) {
    this.#clock = clock
    this.#emit = emit
    this.tracer = new Tracer(clock, (traced) => this.take([traced]))
  }

  /** Begins a trace of `forMs`, at most `LONGEST_TRACE_MS`. Where one is on already, says so to `outlet` and ends it. */
  begin(forMs: number, outlet: Outlet): Receiver {
    if (this.#outlet !== undefined) {
      outlet.send([{ error: 'a trace is on already' }])
      outlet.end()
      return { drained() {}, gone() {} }
    }
    const limitMs = Math.max(0, Math.min(forMs, LONGEST_TRACE_MS))
    const untilWallMs = this.#clock.wallMs() + limitMs
    this.#outlet = outlet
    this.#untilMs = this.#clock.nowMs() + limitMs
    this.#timer = this.#clock.setTimer(limitMs, () => this.end('time'))
    this.#emit({ type: 'trace', untilWallMs })
    this.#full = !outlet.send([{ trace: 'on', until: new Date(untilWallMs).toISOString() }])
    this.tracer.on = true
    return {
      drained: () => {
        this.#full = false
        this.#flush()
      },
      gone: () => {
        if (this.#outlet === outlet) this.end('gone')
      },
    }
  }

  /** Takes what was traced, here or in another thread; `missed` were dropped there. */
  take(traced: readonly Traced[], missed = 0): void {
    if (this.#outlet === undefined) return
    // Timers stand still while the machine sleeps, and the time of a trace does not.
    if (this.#clock.nowMs() >= this.#untilMs) {
      this.end('time')
      return
    }
    this.#waiting.push(...traced)
    this.#missed += missed
    const over = this.#waiting.length - RING
    if (over > 0) {
      this.#waiting.splice(0, over)
      this.#missed += over
    }
    if (this.#due) return
    this.#due = true
    // One write a turn, not one a question.
    setImmediate(() => this.#flush())
  }

  /** Ends it, if there is one: nothing of it stays. */
  end(why: TraceEnd): void {
    const outlet = this.#outlet
    if (outlet === undefined) return
    this.tracer.on = false
    this.#timer?.cancel()
    this.#full = false
    this.#flush()
    this.#outlet = undefined
    this.#waiting = []
    this.#missed = 0
    outlet.send([{ trace: 'off', why }])
    outlet.end()
    this.#emit({ type: 'trace', untilWallMs: undefined })
  }

  #flush(): void {
    this.#due = false
    if (this.#full || this.#outlet === undefined || this.#waiting.length + this.#missed === 0) return
    const lines = [...(this.#missed > 0 ? [{ missed: this.#missed }] : []), ...this.#waiting]
    this.#waiting = []
    this.#missed = 0
    this.#full = !this.#outlet.send(lines)
  }
}
