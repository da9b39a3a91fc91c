import type { Clock, Timer } from '../clock.ts'
import { textFromName } from '../dns/name.ts'
import { rcodeText, textFromType } from '../dns/registries.ts'
import type { Ede, ErrorCode, Rcode } from '../errors.ts'
import type { Emit } from '../events.ts'
import type { Question, Source } from '../resolve.ts'

/** The longest that one trace may last. */
export const LONGEST_TRACE_MS = 3_600_000
/**
 * What waits for a terminal that is slow, at most; older ones make room, and the trace says how
 * many.
 */
const RING = 1024

/** Where the lines of a trace go. */
export interface TraceOutput {
  /** Sends each value as a line. False: it is full, and `drained` will be called. */
  send(lines: readonly object[]): boolean
  end(): void
}

/** What whoever holds the other end of an outlet tells. */
export interface TraceReceiver {
  drained(): void
  /** The other end has hung up. */
  gone(): void
}

/**
 * Why a trace ended: its time was over, whoever watched it went away, or the service took another
 * configuration, forgets what was asked, or stops.
 */
export type TraceEnd = 'time' | 'gone' | 'reload' | 'forget' | 'stop'

/**
 * Shows what is asked to one watcher for a limited time: from memory to its socket, never to a
 * file, never to the log. At most one trace at a time. Before the first line leaves, the event
 * `trace` has named it in the status.
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
   * Begins a trace of `forMs`, at most `LONGEST_TRACE_MS`. Where one is on already, says so to
   * `outlet` and ends it.
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

/** One question and what became of it. Texts are printable ASCII. Never who asked. */
export interface Traced {
  /** Wall clock, when the reply was made. */
  readonly at: string
  readonly name: string
  readonly type: string
  /**
   * `cache`, `stale`, `policy`, `failure` (one that was kept), `<resolver>/<transport>`, or the
   * error code of what failed.
   */
  readonly outcome: string
  readonly rcode: string
  /** The extended error's code (RFC 8914), if there is one. */
  readonly ede?: number
  /** From the query's arrival to its reply. */
  readonly ms: number
}

/**
 * What responders tell a trace; one in each thread that answers. All of them follow one switch,
 * which the main thread alone sets.
 */
export class Tracer {
  readonly shared: SharedArrayBuffer
  readonly #word: Int32Array
  readonly #clock: Clock
  readonly #take: (traced: Traced) => void

  /** Over the switch of another thread's tracer, or over one of its own, off. */
  constructor(clock: Clock, take: (traced: Traced) => void, shared = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)) {
    this.shared = shared
    this.#word = new Int32Array(shared)
    this.#clock = clock
    this.#take = take
  }

  /** A plain read, as of the policy's gate: all that a query costs while nobody traces. */
  get on(): boolean {
    return this.#word[0] !== 0
  }

  set on(on: boolean) {
    Atomics.store(this.#word, 0, on ? 1 : 0)
  }

  /**
   * Tells of a question that was answered; to be called only while `on`. `arrivedMs` is boot time.
   */
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
