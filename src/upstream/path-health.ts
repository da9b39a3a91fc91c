import { type EnigmError, speaksAgainst } from '../errors.ts'

/**
 * How resolvers are asked. Made once, by who makes the links (trusted-resolvers.ts); nobody else
 * asks whether a link keeps a schedule.
 */
export interface Manner {
  /**
   * Whether probes are sent: what failed is tried with one, by a timer. Else a real query is the
   * trial, once the backoff is over.
   */
  readonly probes: boolean
  /**
   * Whether what was asked is asked again for a reason of ours: another transport while there is
   * time, a plainer query, another resolver beside one that is slow.
   */
  readonly asksAgain: boolean
  /**
   * Whether links say themselves who is asked (`Link.state`): the first one that serves, in the
   * order of the set, however others may have done.
   */
  readonly byLinks: boolean
}

/** Whatever is asked goes when it is asked. */
export const ON_DEMAND: Manner = { probes: true, asksAgain: true, byLinks: false }
/**
 * The links keep schedules: what is sent beside queries of clients is theirs to say, and what a
 * query meets must not show.
 */
export const ON_SCHEDULE: Manner = { probes: false, asksAgain: false, byLinks: false }
/** And one of the schedules never stops: no query, and nothing that one meets, opens another. */
export const ALWAYS_ON: Manner = { probes: false, asksAgain: false, byLinks: true }

/** The first wait after a failure, doubled by each further one. */
const FIRST_BACKOFF_MS = 1000
/**
 * The longest wait: with the spread of a probe timer (a sixteenth, see health.ts) and the 2 s of a
 * probe that fails, two are less than a minute apart.
 */
const LONGEST_BACKOFF_MS = 54_000
/**
 * A sample counts at most as twice the smoothed value and this: one name that took seconds must not
 * make a fast resolver look slow.
 */
const OUTLIER_MS = 10

/**
 * How one path (a transport, or a whole resolver) has done lately. Pure state: whoever owns it says
 * what happened and when.
 */
export class PathHealth {
  /** Failures in a row; 0 is healthy. */
  failures = 0
  /** Not to be probed before this. */
  retryAtMs = Number.NEGATIVE_INFINITY
  lastAnswerMs = Number.NEGATIVE_INFINITY
  lastTriedMs = Number.NEGATIVE_INFINITY
  /** Replies in a row that another operator bettered or that speak of the hop, see health.ts. */
  bettered = 0
  /** Smoothed round trip of the path, to compare paths by. */
  rttMs: number | undefined
  /**
   * Smoothed time from the call to its answer (a shaper's wait and the resolver's work are in it),
   * to be patient by.
   */
  waitMs: number | undefined

  get healthy(): boolean {
    return this.failures === 0
  }

  /** It has failed last time, or has never answered anything. */
  get suspect(): boolean {
    return this.failures > 0 || this.lastAnswerMs === Number.NEGATIVE_INFINITY
  }

  /**
   * Whether nothing at all came back since then: the sign of a dead path, where a slow name is
   * none.
   */
  silentSince(startedMs: number): boolean {
    return this.lastAnswerMs < startedMs
  }

  /**
   * A sample of an RTT holds the resolver's own work on a name that it had to look up, which says
   * nothing of the path: falls count half, rises an eighth.
   */
  answered(rttMs: number, waitMs: number, nowMs: number): void {
    this.failures = 0
    this.bettered = 0
    this.retryAtMs = Number.NEGATIVE_INFINITY
    this.lastAnswerMs = nowMs
    this.rttMs = smoothed(this.rttMs, rttMs, 0.5)
    this.waitMs = smoothed(this.waitMs, waitMs, 0.125)
  }

  /**
   * One failure of an exchange begun at `startedMs`. Counted once a backoff window: a hundred
   * exchanges that die together are one event. Returns whether it counted.
   */
  failed(startedMs: number, nowMs: number): boolean {
    if (startedMs < this.retryAtMs) return false
    this.failures++
    this.retryAtMs = nowMs + this.backoffMs
    return true
  }

  /**
   * A probe that said nothing of the path (a full queue of ours): the next one waits as long again.
   */
  postpone(nowMs: number): void {
    if (this.failures > 0) this.retryAtMs = Math.max(this.retryAtMs, nowMs + this.backoffMs)
  }

  get backoffMs(): number {
    return Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** Math.min(this.failures - 1, 10))
  }

  /**
   * Another network, or another day: what failed on the last one is as good as any, and is told by
   * its time again.
   */
  reset(): void {
    this.failures = 0
    this.bettered = 0
    this.retryAtMs = Number.NEGATIVE_INFINITY
  }

  /** What failed while everything failed is not to blame: its backoff begins anew. */
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

/**
 * Below this an exchange that ran out of time says nothing of its path: the caller had no time to
 * give.
 */
const PROOF_MS = 300

/** Whether an exchange had time to say something of its path. */
export function hadTime(startedMs: number, nowMs: number): boolean {
  return nowMs - startedMs >= PROOF_MS
}

/** Whether an exchange that ended so speaks against the path of `standing`. */
export function isAgainst(error: EnigmError, standing: PathHealth, startedMs: number, nowMs: number, probe: boolean): boolean {
  return speaksAgainst(error, { silent: standing.silentSince(startedMs), hadTime: hadTime(startedMs, nowMs), probe })
}
