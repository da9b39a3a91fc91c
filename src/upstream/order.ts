import type { Clock } from '../clock.ts'
import type { Manner, PathHealth } from './path-health.ts'
import { STANDBY_RANK } from './resolver-health.ts'

/**
 * The current resolver is left only for one that is clearly faster: each change lets one more
 * operator see names.
 */
const STAY = { factor: 0.8, ms: 5 }

/**
 * The RTT of a resolver that is not in use is measured again after this, while another one answers.
 */
const REMEASURE_MS = 600_000
/**
 * At most one measuring probe in this time; with nothing to measure the list is read once a minute.
 */
const MEASURE_EVERY_MS = 1000
const NOTHING_TO_MEASURE_MS = 60_000

interface Ranked {
  readonly standing: PathHealth
  readonly probing: unknown
  readonly linkRank: number
}

/**
 * The order in which resolvers are asked. Reads the health of the resolvers, and changes nothing in
 * it.
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
   * The best resolver that is not in `asked`. Healthy ones come first, by smoothed RTT (unmeasured
   * ones after those, in the configured order). Failed ones follow, the least recently tried first,
   * so that each gets its turn when all are down.
   */
  next(asked: readonly R[]): R | undefined {
    if (this.#manner.byLinks) return this.#nextByLinks(asked)
    let best: R | undefined
    for (const r of this.#resolvers) if (!asked.includes(r) && (best === undefined || this.#before(r, best))) best = r
    if (asked.length === 0 && best?.standing.healthy) this.#current = best
    return best
  }

  #nextByLinks(asked: readonly R[]): R | undefined {
    const open = this.#resolvers.filter((r) => r.linkRank < STANDBY_RANK && !asked.includes(r))
    return open.toSorted((a, b) => a.linkRank - b.linkRank)[0]
  }

  #before(a: R, b: R): boolean {
    const [fit, fitToo] = [this.#fit(a), this.#fit(b)]
    if (fit !== fitToo) return fit
    return fit ? this.#cost(a) < this.#cost(b) : a.standing.lastTriedMs < b.standing.lastTriedMs
  }

  /** Without probes, a resolver whose backoff is over is tried with a query. */
  #fit({ standing }: R): boolean {
    return standing.healthy || (!this.#manner.probes && this.#clock.nowMs() >= standing.retryAtMs)
  }

  #cost(r: R): number {
    const rttMs = r.standing.rttMs ?? Number.POSITIVE_INFINITY
    return r === this.#current ? rttMs * STAY.factor - STAY.ms : rttMs
  }

  /**
   * A resolver whose RTT was not measured for long, if a measurement is due. Called when another
   * resolver answers.
   */
  toMeasure(nowMs: number): R | undefined {
    if (nowMs < this.#measureAtMs) return undefined
    const unknown = this.#resolvers.find((r) => r.standing.healthy && !r.probing && nowMs - r.standing.lastAnswerMs >= REMEASURE_MS)
    this.#measureAtMs = nowMs + (unknown === undefined ? NOTHING_TO_MEASURE_MS : MEASURE_EVERY_MS)
    return unknown
  }
}
