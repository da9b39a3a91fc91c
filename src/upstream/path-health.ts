import { type EnigmError, speaksAgainst } from '../errors.ts'

/**
 * How resolvers are asked. The code that makes the links chooses it (trusted-resolvers.ts), so that
 * no other code must know whether a link keeps a schedule.
 */
export interface Manner {
  /**
   * Whether probes are sent. If true, a timer sends a probe to a failed resolver. If false, a real
   * query tries it once its backoff is over.
   */
  readonly probes: boolean
  /**
   * Whether a query may be sent again: over another transport while there is time, without an
   * option, or to another resolver while the first one is slow.
   */
  readonly asksAgain: boolean
  /**
   * Whether the links decide which resolver is asked (`Link.state`). If true, the first resolver
   * whose link serves is asked, in the order of the set; results of queries do not matter.
   */
  readonly byLinks: boolean
}

/** On-demand links: each query is sent when it comes. */
export const ON_DEMAND: Manner = { probes: true, asksAgain: true, byLinks: false }
/**
 * Links that keep schedules (docs/shaping.md): they send records of one size at fixed times, and a
 * cover if no query waits. Only the links decide what is sent in addition to client queries. The
 * result of a query must not be visible on the network.
 */
export const ON_SCHEDULE: Manner = { probes: false, asksAgain: false, byLinks: false }
/**
 * As `ON_SCHEDULE`, but one link is always open, and the links choose the resolver. So neither a
 * query nor its failure opens another link.
 */
export const ALWAYS_ON: Manner = { probes: false, asksAgain: false, byLinks: true }

/** The wait after the first failure. Each further failure doubles it. */
const FIRST_BACKOFF_MS = 1000
/**
 * The longest wait. It leaves room for the spread of the probe timer (a sixteenth, see health.ts)
 * and for a failing probe (2 s), so that two probes are less than a minute apart.
 */
const LONGEST_BACKOFF_MS = 54_000
/**
 * A sample counts as at most 2 * the smoothed value + this. One name that takes seconds must
 * not make a fast resolver look slow.
 */
const OUTLIER_MS = 10

/**
 * The recent health of one transport, or of a whole resolver; here both are called path. It is pure
 * state, without clock and timers. Its owner reports what happened, and when.
 */
export class PathHealth {
  /** The failures in a row that counted (see `failed`). 0: healthy. */
  failures = 0
  /** The end of the backoff. Before it no probe is sent, and without probes no query. */
  retryAtMs = Number.NEGATIVE_INFINITY
  /** When the last reply of any kind came. */
  lastReplyMs = Number.NEGATIVE_INFINITY
  lastTriedMs = Number.NEGATIVE_INFINITY
  /**
   * When the last reply, to a query or a cover, came that settled its question
   * (`ReplyVerdict.final`).
   */
  lastFinalMs = Number.NEGATIVE_INFINITY
  /**
   * The number of bad replies in a row. A reply is bad if its error concerns only this connection
   * (`ReplyVerdict.ofHop`), or if another operator had a better one, see health.ts.
   */
  badReplies = 0
  /** The smoothed round-trip time of the path in ms. It is used to compare paths. */
  rttMs: number | undefined
  /**
   * The smoothed time in ms from a call to its answer. It includes the wait in a shaper and the
   * resolver's work. It is used to choose how long to wait.
   */
  waitMs: number | undefined

  get healthy(): boolean {
    return this.failures === 0
  }

  /** Whether the last exchange failed, or the path has never answered. */
  get suspect(): boolean {
    return this.failures > 0 || this.lastReplyMs === Number.NEGATIVE_INFINITY
  }

  /**
   * Whether no reply to any query came since `startedMs`. This is the sign of a dead path. One slow
   * name is not.
   */
  silentSince(startedMs: number): boolean {
    return this.lastReplyMs < startedMs
  }

  /**
   * Records an answer. An RTT sample includes the time in which the resolver looked up the name,
   * which is no evidence about the path. So for `rttMs` a lower sample has weight 1/2, and a higher
   * one 1/8.
   */
  answered(rttMs: number, waitMs: number, nowMs: number): void {
    this.failures = 0
    this.badReplies = 0
    this.retryAtMs = Number.NEGATIVE_INFINITY
    this.lastReplyMs = nowMs
    this.lastFinalMs = nowMs
    this.rttMs = smoothed(this.rttMs, rttMs, 0.5)
    this.waitMs = smoothed(this.waitMs, waitMs, 0.125)
  }

  /**
   * Records a failure of an exchange that began at `startedMs`. Failures count once per backoff: a
   * hundred exchanges that fail together are one event. Returns whether it counted.
   */
  failed(startedMs: number, nowMs: number): boolean {
    if (startedMs < this.retryAtMs) return false
    this.failures++
    this.retryAtMs = nowMs + this.backoffMs
    return true
  }

  /**
   * Postpones the next probe by the same backoff, because the last probe was no evidence about the
   * path (for example, our own queue was full).
   */
  postpone(nowMs: number): void {
    if (this.failures > 0) this.retryAtMs = Math.max(this.retryAtMs, nowMs + this.backoffMs)
  }

  get backoffMs(): number {
    return Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** Math.min(this.failures - 1, 10))
  }

  /**
   * Forgets the failures, because the network changed or much time passed. The path is then ranked
   * by its RTT again.
   */
  reset(): void {
    this.failures = 0
    this.badReplies = 0
    this.retryAtMs = Number.NEGATIVE_INFINITY
  }

  /** Restarts the backoff: everything failed at the same time, so the cause was not this path. */
  forgive(nowMs: number): void {
    if (this.failures === 0) return
    this.failures = 1
    this.retryAtMs = nowMs + FIRST_BACKOFF_MS
  }
}

function smoothed(old: number | undefined, sampleMs: number, lowerWeight: number): number {
  if (old === undefined) return sampleMs
  return sampleMs < old ? old + (sampleMs - old) * lowerWeight : old + (Math.min(sampleMs, 2 * old + OUTLIER_MS) - old) * 0.125
}

/** If an exchange had less time than this and got no answer, this is no evidence about its path. */
const PROOF_MS = 300

/** Whether an exchange had enough time to be evidence about its path. */
export function hadTime(startedMs: number, nowMs: number): boolean {
  return nowMs - startedMs >= PROOF_MS
}

/** Whether an exchange that ended with `error` is evidence against the path. */
export function isAgainst(error: EnigmError, pathHealth: PathHealth, startedMs: number, nowMs: number, probe: boolean): boolean {
  return speaksAgainst(error, { silent: pathHealth.silentSince(startedMs), hadTime: hadTime(startedMs, nowMs), probe })
}
