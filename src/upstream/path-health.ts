import { type EnigmError, speaksAgainst } from '../errors.ts'

/**
 * How resolvers are asked. Made once, by the code that makes the links (trusted-resolvers.ts).
 * Other code does not ask whether a link keeps a schedule.
 */
export interface Manner {
  /**
   * Whether probes are sent. If true, a timer sends a probe to a failed resolver. If false, a real
   * query tries it once its backoff is over.
   */
  readonly probes: boolean
  /**
   * Whether a query may be sent again for our own reasons: over another transport while there is
   * time, in a simpler form, or to another resolver while the first one is slow.
   */
  readonly asksAgain: boolean
  /**
   * Whether the links decide which resolver is asked (`Link.state`): the first one that serves, in
   * the order of the set, whatever the results of the others.
   */
  readonly byLinks: boolean
}

/** Each query is sent when it is asked. */
export const ON_DEMAND: Manner = { probes: true, asksAgain: true, byLinks: false }
/**
 * The links keep schedules: they alone decide what is sent besides client queries, and the fate of
 * a query must not be visible.
 */
export const ON_SCHEDULE: Manner = { probes: false, asksAgain: false, byLinks: false }
/**
 * As `ON_SCHEDULE`, and one of the schedules never stops: no query, and no failure of one, opens
 * another link.
 */
export const ALWAYS_ON: Manner = { probes: false, asksAgain: false, byLinks: true }

/** The first wait after a failure. Each further failure doubles it. */
const FIRST_BACKOFF_MS = 1000
/**
 * The longest wait. Together with the spread of a probe timer (a sixteenth, see health.ts) and the
 * 2 s of a failing probe, two probes are less than a minute apart.
 */
const LONGEST_BACKOFF_MS = 54_000
/**
 * A sample counts at most as twice the smoothed value plus this: one name that took seconds must
 * not make a fast resolver look slow.
 */
const OUTLIER_MS = 10

/**
 * The recent health of one path (a transport, or a whole resolver). Pure state: its owner reports
 * what happened and when.
 */
export class PathHealth {
  /** Failures in a row; 0 is healthy. */
  failures = 0
  /** Earliest time of the next probe. */
  retryAtMs = Number.NEGATIVE_INFINITY
  lastAnswerMs = Number.NEGATIVE_INFINITY
  lastTriedMs = Number.NEGATIVE_INFINITY
  /** The last reply that settled its question, to a query or to a cover. */
  lastFinalMs = Number.NEGATIVE_INFINITY
  /**
   * Replies in a row that are about the hop or to which another operator had a better one, see
   * health.ts.
   */
  bettered = 0
  /** Smoothed round-trip time of the path, used to compare paths. */
  rttMs: number | undefined
  /**
   * Smoothed time from the call to its answer, with the wait in a shaper and the resolver's work.
   * Used to choose how long to wait.
   */
  waitMs: number | undefined

  get healthy(): boolean {
    return this.failures === 0
  }

  /** The last exchange failed, or the path has never answered. */
  get suspect(): boolean {
    return this.failures > 0 || this.lastAnswerMs === Number.NEGATIVE_INFINITY
  }

  /**
   * Whether nothing at all came back since `startedMs`. That is the sign of a dead path; a slow
   * name is not.
   */
  silentSince(startedMs: number): boolean {
    return this.lastAnswerMs < startedMs
  }

  /**
   * An RTT sample includes the resolver's own work on a name that it had to look up, which is no
   * evidence about the path. So falls count half and rises an eighth.
   */
  answered(rttMs: number, waitMs: number, nowMs: number): void {
    this.failures = 0
    this.bettered = 0
    this.retryAtMs = Number.NEGATIVE_INFINITY
    this.lastAnswerMs = nowMs
    this.lastFinalMs = nowMs
    this.rttMs = smoothed(this.rttMs, rttMs, 0.5)
    this.waitMs = smoothed(this.waitMs, waitMs, 0.125)
  }

  /**
   * Records a failure of an exchange that began at `startedMs`. Counted once per backoff window: a
   * hundred exchanges that die together are one event. Returns whether it counted.
   */
  failed(startedMs: number, nowMs: number): boolean {
    if (startedMs < this.retryAtMs) return false
    this.failures++
    this.retryAtMs = nowMs + this.backoffMs
    return true
  }

  /**
   * A probe that was no evidence about the path (a full queue of ours): the next one waits as long
   * again.
   */
  postpone(nowMs: number): void {
    if (this.failures > 0) this.retryAtMs = Math.max(this.retryAtMs, nowMs + this.backoffMs)
  }

  get backoffMs(): number {
    return Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** Math.min(this.failures - 1, 10))
  }

  /**
   * The network changed, or much time passed: failures on the last network do not count here, and
   * the path is ranked by its RTT again.
   */
  reset(): void {
    this.failures = 0
    this.bettered = 0
    this.retryAtMs = Number.NEGATIVE_INFINITY
  }

  /** A failure while everything failed is not the fault of this path: its backoff starts again. */
  forgive(nowMs: number): void {
    if (this.failures === 0) return
    this.failures = 1
    this.retryAtMs = nowMs + FIRST_BACKOFF_MS
  }
}

function smoothed(old: number | undefined, sampleMs: number, fall: number): number {
  if (old === undefined) return sampleMs
  return sampleMs < old ? old + (sampleMs - old) * fall : old + (Math.min(sampleMs, 2 * old + OUTLIER_MS) - old) * 0.125
}

/** An exchange with less time than this that ran out of time is no evidence about its path. */
const PROOF_MS = 300

/** Whether an exchange had enough time to be evidence about its path. */
export function hadTime(startedMs: number, nowMs: number): boolean {
  return nowMs - startedMs >= PROOF_MS
}

/** Whether an exchange that ended with `error` is evidence against the path of `standing`. */
export function isAgainst(error: EnigmError, standing: PathHealth, startedMs: number, nowMs: number, probe: boolean): boolean {
  return speaksAgainst(error, { silent: standing.silentSince(startedMs), hadTime: hadTime(startedMs, nowMs), probe })
}
