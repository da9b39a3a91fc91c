import type { Clock, Timer } from '../clock.ts'
import type { ErrorCode } from '../errors.ts'
import type { Emit } from '../events.ts'
import type { StatusDocument } from './document.ts'
import type { AtomicFile } from './file.ts'
import { failClosed, type RuleVerdict, ruleVerdicts } from './policy.ts'
import { reduce } from './reduce.ts'
import { type Beat, type Facts, report, type Writer } from './report.ts'
import { noteMedian } from './rtt.ts'
import { sameAnswers } from './same-answers.ts'
import { ASLEEP_MS, judge, type Signals, type TopState, type Verdict } from './signals.ts'
import { initialState, type PostureSetup, reconfigured, type State } from './state.ts'
import { SIGNAL_NAMES } from './verdict.ts'

export interface MonitorOptions {
  readonly setup: PostureSetup
  readonly writer: Writer
  readonly clock: Clock
  readonly file: AtomicFile
  /** Asked at each writing; must be cheap and must not throw. */
  readonly facts: () => Facts
  /** Told whenever it may have changed, before `emit` returns: why the policy lets nothing through now, or undefined. */
  readonly gate: (closed: ErrorCode | undefined) => void
  /** Called at each heartbeat after the status is written: what is seen then is in the next one, or at once where it changes a verdict. */
  readonly beat?: () => void
  /** Told of each judgement that goes on file, for a log of changes. */
  readonly judged?: (verdict: Verdict, rules: readonly RuleVerdict[]) => void
}

/** Joins reducer, verdict and file. Everything is synchronous: when `emit` returns, a change for the worse is on file. */
export interface Monitor {
  /** Takes every event of the program. Never throws. */
  readonly emit: Emit
  /** Writes the first document and starts the heartbeat. */
  start(): void
  /** Writes if the verdict is not the one on file, at once; `emit` does this by itself. */
  flushIfChanged(): void
  /**
   * Takes the setup of an accepted reload; the gate is told before it returns. `looks`: whether what was seen around the daemon still holds for it; where it does
   * not, nothing was seen.
   */
  reconfigure(setup: PostureSetup, looks: 'hold' | 'gone'): void
  /** The document of this moment. */
  document(): StatusDocument
  /** Writes the last document (offline, reason `stopped`) and ends the heartbeat. Events after it change nothing. */
  stop(): void
}

/**
 * Changes for the better that are written at once, per heartbeat; further ones wait for the heartbeat. Changes for the worse never wait, so the
 * file is never better than the truth, and a resolver that fails and answers by turns cannot make the file's mtime follow the queries.
 */
const BETTER_PER_HEARTBEAT = 5

const TOP_RANK: Readonly<Record<TopState, number>> = { exposed: 0, offline: 1, degraded: 2, protected: 3 }
const SIGNAL_RANK = { bad: 0, off: 1, unknown: 2, warn: 3, ok: 4 } as const

/** A monitor; nothing is written before `start`. */
export function createMonitor(o: MonitorOptions): Monitor {
  const moment = () => ({ ms: o.clock.nowMs(), wallMs: o.clock.wallMs() })
  let state: State = initialState(o.setup, moment())
  let judgedShape = -1
  let verdict: Verdict | undefined
  let onFile: Verdict | undefined
  let writable = true
  let betterLeft = BETTER_PER_HEARTBEAT
  let heartbeatLateMs = 0
  let worstLateMs = 0
  let timer: Timer | undefined
  let live = false
  const same = sameAnswers()

  const judged = (): Verdict => {
    const previous: Signals | undefined = verdict?.signals
    const { shaping } = o.facts()
    verdict = judge(state, { now: moment(), shaping, heartbeatLateMs }, previous)
    judgedShape = state.shape
    o.judged?.(verdict, ruleVerdicts(state, shaping))
    return verdict
  }
  const kept = (): Beat => ({ nowMs: o.clock.nowMs(), lateMs: heartbeatLateMs, worstLateMs })
  const write = (v: Verdict) => {
    const text = `${JSON.stringify(report(state, v, o.writer, o.facts(), o.clock.wallMs(), kept()), undefined, 1)}\n`
    writable = o.file.replace(text)
    if (writable) onFile = v
    else withdrawIfBetterThan(v)
  }
  /** What cannot be corrected must not go on saying something better than the truth. */
  const withdrawIfBetterThan = (v: Verdict) => {
    if (onFile === undefined || !worse(onFile, v)) return
    o.file.withdraw()
    onFile = undefined
  }
  const beat = (dueMs: number) => {
    heartbeatLateMs = Math.max(0, o.clock.nowMs() - dueMs)
    if (heartbeatLateMs <= ASLEEP_MS) worstLateMs = Math.max(worstLateMs, heartbeatLateMs)
    betterLeft = BETTER_PER_HEARTBEAT
    schedule()
    for (const { rtt } of state.resolvers) noteMedian(rtt)
    write(judged())
    o.beat?.()
  }
  const schedule = () => {
    const periodMs = o.writer.heartbeatS * 1000
    const dueMs = o.clock.nowMs() + periodMs
    timer = o.clock.setTimer(periodMs, () => beat(dueMs))
  }
  const flushIfChanged = () => {
    const now = judged()
    if (!live) return
    // After a failed write the heartbeat tries again: a full disk must not cost system calls for every event.
    if (!writable) return withdrawIfBetterThan(now)
    if (onFile !== undefined && !differs(onFile, now)) return
    if (onFile !== undefined && !worse(onFile, now) && betterLeft-- <= 0) return
    write(now)
  }

  /** The one place that changes the state: the gate is told of every other shape, whatever led to it. */
  const become = (next: State) => {
    const reshaped = next.shape !== state.shape
    state = next
    if (reshaped) o.gate(failClosed(state))
  }

  o.gate(failClosed(state))
  return {
    emit(event) {
      if (state.phase === 'stopped') return
      if (event.type === 'upstream.answered' && same.again(event, o.clock.nowMs())) return
      become(reduce(state, event, o.clock.nowMs(), o.clock.wallMs()))
      same.took(event, state, o.clock.nowMs())
      if (state.shape !== judgedShape && live) flushIfChanged()
    },
    start() {
      live = true
      write(judged())
      schedule()
    },
    flushIfChanged,
    reconfigure(setup, looks) {
      become(reconfigured(state, setup, looks))
      same.forget()
      if (live) flushIfChanged()
    },
    document: () => report(state, judged(), o.writer, o.facts(), o.clock.wallMs(), kept()),
    stop() {
      timer?.cancel()
      become({ ...state, phase: 'stopped', shape: state.shape + 1 })
      if (live) write(judged())
      live = false
    },
  }
}

function differs(a: Verdict, b: Verdict): boolean {
  return a.state !== b.state || SIGNAL_NAMES.some((n) => a.signals[n].state !== b.signals[n].state)
}

function worse(was: Verdict, is: Verdict): boolean {
  if (TOP_RANK[is.state] !== TOP_RANK[was.state]) return TOP_RANK[is.state] < TOP_RANK[was.state]
  return SIGNAL_NAMES.some((n) => SIGNAL_RANK[is.signals[n].state] < SIGNAL_RANK[was.signals[n].state])
}
