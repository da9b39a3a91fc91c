import type { Clock, Timer } from '../clock.ts'
import { textFromName } from '../dns/name.ts'
import { rcodeText, textFromType } from '../dns/registries.ts'
import type { Ede, ErrorCode, Rcode } from '../errors.ts'
import type { Emit } from '../events.ts'
import type { Question, Source } from '../resolve.ts'

/** Maximum duration of a trace. */
export const LONGEST_TRACE_MS = 3_600_000
/**
 * Maximum number of lines that wait for a slow terminal; above it the oldest are dropped, and the
 * trace reports their number.
 */
const RING = 1024

/** Where the lines of a trace go. */
export interface TraceOutput {
  /** Sends each value as a line. Returns false if it is full; `drained` is called later. */
  send(lines: readonly object[]): boolean
  end(): void
}

/** Called by the owner of the output. */
export interface TraceReceiver {
  drained(): void
  /** The other end was closed. */
  gone(): void
}

/**
 * Why a trace ended: its time was over, the watcher disconnected, or the service took another
 * configuration, forgets queries, or stops.
 */
export type TraceEnd = 'time' | 'gone' | 'reload' | 'forget' | 'stop'

/**
 * Shows queries to one watcher for a limited time: from memory to its socket, never to a file,
 * never to the log. At most one trace at a time. Before the first line is sent, the event `trace`
 * has announced it in the status.
 */
export class QueryTrace {
  readonly tracer: Tracer
  readonly #clock: Clock
  readonly #emit: Emit
  #outlet: TraceOutput | undefined
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

  /**
   * Starts a trace of `forMs`, at most `LONGEST_TRACE_MS`. If a trace is active already, reports
   * this to `outlet` and ends the new one.
   */
  begin(forMs: number, outlet: TraceOutput): TraceReceiver {
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

  /** Adds traced questions of this or another thread; `missed` were dropped there. */
  take(traced: readonly Traced[], missed = 0): void {
    if (this.#outlet === undefined) return
    // Timers stop while the machine sleeps, but the time of a trace does not.
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
    // One write per turn, not one per question.
    setImmediate(() => this.#flush())
  }

  /** Ends the trace, if there is one, and drops its lines. */
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

/** One question and its result. Texts are printable ASCII. Never the client. */
export interface Traced {
  /** Wall-clock time of the reply. */
  readonly at: string
  readonly name: string
  readonly type: string
  /**
   * `cache`, `stale`, `policy`, `failure` (a stored one), `<resolver>/<transport>`, or the code of
   * the error.
   */
  readonly outcome: string
  readonly rcode: string
  /** The extended error's code (RFC 8914), if there is one. */
  readonly ede?: number
  /** From the query's arrival to its reply. */
  readonly ms: number
}

/**
 * Reports answered questions to a trace; one in each thread that answers. All of them follow one
 * switch, which only the main thread sets.
 */
export class Tracer {
  readonly shared: SharedArrayBuffer
  readonly #word: Int32Array
  readonly #clock: Clock
  readonly #take: (traced: Traced) => void

  /** Uses the switch of another thread's tracer, or one of its own, which is off. */
  constructor(clock: Clock, take: (traced: Traced) => void, shared = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)) {
    this.shared = shared
    this.#word = new Int32Array(shared)
    this.#clock = clock
    this.#take = take
  }

  /** A plain read, as for the policy's gate: the only cost of a query without a trace. */
  get on(): boolean {
    return this.#word[0] !== 0
  }

  set on(on: boolean) {
    Atomics.store(this.#word, 0, on ? 1 : 0)
  }

  /** Reports an answered question; must be called only while `on`. `arrivedMs` is boot time. */
  note(question: Question, from: Source | ErrorCode, rcode: Rcode, ede: Ede | undefined, arrivedMs: number): void {
    this.#take({
      at: new Date(this.#clock.wallMs()).toISOString(),
      name: textFromName(question.lower),
      type: textFromType(question.type),
      outcome: typeof from === 'string' ? from : `${from.upstream}/${from.transport}`,
      rcode: rcodeText(rcode),
      ...(ede === undefined ? {} : { ede: ede.code }),
      ms: Math.round((this.#clock.nowMs() - arrivedMs) * 100) / 100,
    })
  }
}
