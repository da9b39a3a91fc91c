import type { Clock, Timer } from '../clock.ts'
import type { ErrorCode } from '../errors.ts'
import type { Emit, Event } from '../events.ts'
import type { StatusDocument } from './document.ts'
import { reduce, repeatedAnswers } from './reduce.ts'
import { type CacheCounts, type Heartbeat, report, type StatusWriter } from './report.ts'
import { ASLEEP_MS, judge } from './signals.ts'
import { initialState, noteMedian, type PostureSetup, reconfigured, type State } from './state.ts'
import type { AtomicFile } from './status-file.ts'
import { SIGNAL_NAMES, type TopState, type Verdict, verdictInput } from './verdict.ts'

export interface MonitorOptions {
  readonly setup: PostureSetup
  readonly writer: StatusWriter
  readonly clock: Clock
  readonly file: AtomicFile
  /**
   * Returns the counts of the cache. Called for each document: must be cheap and must not throw.
   */
  readonly counts: () => CacheCounts
  /** Returns the state of the lists. Called for each document. Absent: there are no lists. */
  readonly lists?: () => NonNullable<StatusDocument['lists']>
  /**
   * Called before each write with the reason why the policy lets no query through, or undefined.
   */
  readonly gate: (closed: ErrorCode | undefined) => void
  /** Called for each event after its consequences are written. */
  readonly onEvent?: Emit
  /**
   * Called at each heartbeat after the status is written. Its observations appear in the next
   * document, or at once if they change a verdict.
   */
  readonly onHeartbeat?: () => void
  /** Called for each verdict that is written, for a log of changes. */
  readonly onVerdict?: (verdict: Verdict) => void
}

/**
 * Keeps the status file up to date: events change the state, the state gives a verdict, and the
 * verdict is written. A change for the worse is written before `emit` returns. A change for the
 * better is written at the end of this turn of the event loop, so that the first answer after a
 * start or a failure does not wait for a disk. Events that are emitted while another one is handled
 * are queued. They are handled in order before the outermost `emit` returns.
 */
export interface Monitor {
  /** Handles every event of the program. Never throws. */
  readonly emit: Emit
  /** Writes the first document and starts the heartbeat. */
  start(): void
  /**
   * Uses the setup of an accepted reload. `gate` is called before it returns. `looks`: whether the
   * observations of the host still hold for the new setup; if not, they are discarded.
   */
  reconfigure(setup: PostureSetup, looks: 'hold' | 'gone'): void
  /** Writes the current document now, also if only reasons differ. Not for queries: see `emit`. */
  write(): void
  /** The current document. Changes nothing: the next event or heartbeat records the verdict. */
  document(): StatusDocument
  /**
   * Writes the last document (offline, reason `stopped`) and ends the heartbeat. Later events
   * change nothing.
   */
  stop(): void
}

/**
 * Limit of changes for the better that are written at once, per heartbeat. Further ones wait for
 * the next heartbeat. So the file's mtime does not follow the queries if a resolver alternately
 * fails and answers. Changes for the worse never wait, so the file never overstates the protection.
 */
const BETTER_PER_HEARTBEAT = 5

const TOP_RANK: Readonly<Record<TopState, number>> = { exposed: 0, offline: 1, degraded: 2, protected: 3 }
const SIGNAL_RANK = { bad: 0, off: 1, unknown: 2, warn: 3, ok: 4 } as const

/** Creates a monitor; nothing is written before `start`. */
export function createMonitor(o: MonitorOptions): Monitor {
  const instant = () => ({ ms: o.clock.nowMs(), wallMs: o.clock.wallMs() })
  let state: State = initialState(o.setup, instant())
  let verdict: Verdict | undefined
  let onFile: Verdict | undefined
  let writable = true
  let betterLeft = BETTER_PER_HEARTBEAT
  let heartbeatLateMs = 0
  let worstLateMs = 0
  let timer: Timer | undefined
  /** The timer that will write a change for the better. */
  let soon: Timer | undefined
  let live = false
  const repeated = repeatedAnswers()
  const turn = oneAtATime((event, atMs) => take(event, atMs))

  const judgement = () => judge(verdictInput(state, o.clock.nowMs()), { now: instant(), heartbeatLateMs }, verdict?.signals)
  const documentOf = (v: Verdict) => {
    const beat: Heartbeat = { nowMs: o.clock.nowMs(), lateMs: heartbeatLateMs, worstLateMs }
    return report(state, v, o.writer, o.counts(), o.clock.wallMs(), beat, o.lists?.())
  }
  /** Acts on the current state: first the gate, then the audit record, then the file. */
  const conclude = (write: 'always' | 'in its time' | 'now if it differs') => {
    const now = judgement()
    o.gate(now.closed)
    if (!live) return
    verdict = now
    o.onVerdict?.(now)
    if (write === 'always') put(now)
    else if (onFile === undefined || differs(onFile, now)) putInTime(now, write === 'now if it differs')
  }
  const put = (v: Verdict) => {
    soon?.cancel()
    soon = undefined
    writable = o.file.replace(`${JSON.stringify(documentOf(v), undefined, 1)}\n`)
    if (writable) onFile = v
    else withdrawIfBetterThan(v)
  }
  const putInTime = (v: Verdict, now: boolean) => {
    // After a failed write only the heartbeat tries again, so that on a full disk not every event
    // causes system calls.
    if (!writable) return withdrawIfBetterThan(v)
    if (now || onFile === undefined || worse(onFile, v)) return put(v)
    if (soon !== undefined || betterLeft-- <= 0) return
    soon = o.clock.setTimer(0, () => {
      soon = undefined
      turn(() => conclude('now if it differs'))
    })
  }
  /** Removes the file if it cannot be updated and shows a better state than the true one. */
  const withdrawIfBetterThan = (v: Verdict) => {
    if (onFile === undefined || !worse(onFile, v)) return
    o.file.withdraw()
    onFile = undefined
  }
  const take = (event: Event, nowMs = o.clock.nowMs()) => {
    if (state.phase !== 'stopped' && !(event.type === 'upstream.answered' && repeated.isRepeat(event, nowMs))) {
      const { shape } = state
      state = reduce(state, event, nowMs, o.clock.wallMs())
      repeated.reduced(event, state, nowMs)
      if (state.shape !== shape) conclude('in its time')
    }
    o.onEvent?.(event)
  }
  const beat = (dueMs: number) => {
    turn(() => {
      heartbeatLateMs = Math.max(0, o.clock.nowMs() - dueMs)
      if (heartbeatLateMs <= ASLEEP_MS) worstLateMs = Math.max(worstLateMs, heartbeatLateMs)
      betterLeft = BETTER_PER_HEARTBEAT
      schedule()
      for (const { rtt } of state.resolvers) noteMedian(rtt)
      conclude('always')
    })
    o.onHeartbeat?.()
  }
  const schedule = () => {
    const periodMs = o.writer.heartbeatS * 1000
    const dueMs = o.clock.nowMs() + periodMs
    timer = o.clock.setTimer(periodMs, () => beat(dueMs))
  }

  conclude('in its time')
  return {
    emit: turn,
    start() {
      turn(() => {
        live = true
        conclude('always')
        schedule()
      })
    },
    reconfigure(setup, looks) {
      turn(() => {
        state = reconfigured(state, setup, looks)
        repeated.reset()
        conclude('in its time')
      })
    },
    write: () => turn(() => conclude('always')),
    document: () => documentOf(judgement()),
    stop() {
      turn(() => {
        timer?.cancel()
        soon?.cancel()
        state = { ...state, phase: 'stopped', shape: state.shape + 1 }
        conclude('always')
        live = false
      })
    },
  }
}

/**
 * Runs one task at a time. A task that is submitted during another one runs after it. When the
 * outermost call returns, all tasks have run.
 */
function oneAtATime(take: Emit): (next: Event | (() => void), atMs?: number) => void {
  const waiting: (Event | (() => void))[] = []
  let busy = false
  const run = (next: Event | (() => void), atMs?: number) => (typeof next === 'function' ? next() : take(next, atMs))
  return (asked, atMs) => {
    if (busy) {
      waiting.push(asked)
      return
    }
    busy = true
    try {
      run(asked, atMs)
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) run(next)
    } finally {
      busy = false
    }
  }
}

function differs(a: Verdict, b: Verdict): boolean {
  return a.state !== b.state || SIGNAL_NAMES.some((n) => a.signals[n].state !== b.signals[n].state)
}

function worse(was: Verdict, is: Verdict): boolean {
  if (TOP_RANK[is.state] !== TOP_RANK[was.state]) return TOP_RANK[is.state] < TOP_RANK[was.state]
  return SIGNAL_NAMES.some((n) => SIGNAL_RANK[is.signals[n].state] < SIGNAL_RANK[was.signals[n].state])
}
