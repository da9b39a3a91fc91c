import type { Clock } from '../clock.ts'
import type { Manner, PathHealth } from './path-health.ts'
import { STANDBY_RANK } from './resolver-health.ts'
import type { Ranks } from './split.ts'

/**
 * The current resolver is replaced only by one whose RTT is below 0.8 times its own, minus 5 ms.
 * Each change lets one more operator see names.
 */
const STAY = { factor: 0.8, ms: 5 }

/**
 * The RTT of an unused resolver is measured again after this time, while another one answers.
 */
const REMEASURE_MS = 600_000
/**
 * At most one probe per second measures an RTT. If nothing must be measured, the list is read once
 * a minute.
 */
const MEASURE_EVERY_MS = 1000
const NOTHING_TO_MEASURE_MS = 60_000

interface Ranked {
  readonly id: string
  readonly pathHealth: PathHealth
  readonly probing: unknown
  readonly linkRank: number
}

/**
 * Decides the order in which resolvers are asked. It reads the health of the resolvers, and does
 * not change it.
 */
export class Order<R extends Ranked> {
  readonly #resolvers: readonly R[]
  readonly #manner: Manner
  readonly #clock: Clock
  /** The resolver that was asked first the last time. */
  #current: R | undefined
  #measureAtMs = Number.NEGATIVE_INFINITY

  /** `resolvers` in the order of the trusted set. */
  constructor(resolvers: readonly R[], manner: Manner, clock: Clock) {
    this.#resolvers = resolvers
    this.#manner = manner
    this.#clock = clock
  }

  /**
   * The best resolver that is not in `asked`. Healthy ones come first, by smoothed RTT; unmeasured
   * ones follow in the configured order. Failed ones come last, the least recently tried first, so
   * that all of them are tried if all are down. `ranks`: the order of operators for the site of
   * this query, which counts before that.
   */
  next(asked: readonly R[], ranks?: Ranks): R | undefined {
    if (this.#manner.byLinks) return this.#nextByLinks(asked, ranks)
    let best: R | undefined
    for (const r of this.#resolvers) if (!asked.includes(r) && (best === undefined || this.#before(r, best, ranks))) best = r
    if (asked.length === 0 && best?.pathHealth.healthy) this.#current = best
    return best
  }

  /**
   * Whether a query of a site may go to `r`. It may if no operator that comes before the operator
   * of `r` has a healthy resolver. A healthy resolver that is slow or has no answer is no reason to
   * ask another operator.
   */
  mayLearn(r: R, ranks: Ranks): boolean {
    const lives = ({ linkRank, pathHealth }: R) => (this.#manner.byLinks ? linkRank === 0 : pathHealth.healthy)
    return !this.#resolvers.some((other) => lives(other) && ranks(other.id) < ranks(r.id))
  }

  #nextByLinks(asked: readonly R[], ranks: Ranks = () => 0): R | undefined {
    const open = this.#resolvers.filter((r) => r.linkRank < STANDBY_RANK && !asked.includes(r))
    return open.toSorted((a, b) => a.linkRank - b.linkRank || ranks(a.id) - ranks(b.id))[0]
  }

  #before(a: R, b: R, ranks: Ranks | undefined): boolean {
    const [fit, fitToo] = [this.#fit(a), this.#fit(b)]
    if (fit !== fitToo) return fit
    const apart = ranks === undefined ? 0 : ranks(a.id) - ranks(b.id)
    if (fit && apart !== 0) return apart < 0
    return fit ? this.#cost(a) < this.#cost(b) : a.pathHealth.lastTriedMs < b.pathHealth.lastTriedMs
  }

  /**
   * Whether a resolver is healthy, or may be tried. Without probes, a query tries it after its
   * backoff.
   */
  #fit({ pathHealth }: R): boolean {
    return pathHealth.healthy || (!this.#manner.probes && this.#clock.nowMs() >= pathHealth.retryAtMs)
  }

  #cost(r: R): number {
    const rttMs = r.pathHealth.rttMs ?? Number.POSITIVE_INFINITY
    return r === this.#current ? rttMs * STAY.factor - STAY.ms : rttMs
  }

  /**
   * A resolver whose RTT must be measured now, if there is one. Called when another resolver
   * answers.
   */
  toMeasure(nowMs: number): R | undefined {
    if (nowMs < this.#measureAtMs) return undefined
    const unknown = this.#resolvers.find((r) => r.pathHealth.healthy && !r.probing && nowMs - r.pathHealth.lastReplyMs >= REMEASURE_MS)
    this.#measureAtMs = nowMs + (unknown === undefined ? NOTHING_TO_MEASURE_MS : MEASURE_EVERY_MS)
    return unknown
  }
}
