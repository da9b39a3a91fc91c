import { clientOf, hashOf } from '../client-shares.ts'
import type { Random } from '../clock.ts'
import { refusal } from './in-flight.ts'

const BUCKETS = 8192
/** After this many refusals per allowed query, a client gets no reply. */
const REFUSALS_TIMES = 4

/**
 * Limits the queries per second of one client: an IPv4 address, or an IPv6 /64. The same number may
 * come at once. Above the limit a query is refused, whatever is in memory; far above it gets no
 * reply. Memory is bounded: clients share buckets by a seeded hash. All threads share the memory,
 * so that the limit is the same for any number of workers; two of them may rarely count one query
 * for two that come in the same instant.
 */
export class QueryRate {
  readonly shared: SharedArrayBuffer
  readonly #usedUntilMs: Float64Array
  readonly #seed: number
  readonly #limited: () => void
  /** Queries per second; 0: no limit. */
  perSecond = 0

  /**
   * `limited` is called for each query above the limit. Uses `shared` of another thread, or memory
   * of its own; the first number in it is the seed.
   */
  constructor(random: Random, limited: () => void, shared?: SharedArrayBuffer) {
    this.shared = shared ?? new SharedArrayBuffer((1 + 2 * BUCKETS) * Float64Array.BYTES_PER_ELEMENT)
    const all = new Float64Array(this.shared)
    if (shared === undefined) all[0] = random.below(2 ** 32)
    this.#seed = all[0] ?? 0
    this.#usedUntilMs = all.subarray(1)
    this.#limited = limited
  }

  /**
   * Counts a query from `address` (numeric, without zone). Undefined: it is answered. Otherwise the
   * length of the reply written at `at` of `out`; 0: no reply.
   */
  limitedReply(address: string, nowMs: number, packet: Uint8Array, out: Uint8Array, at: number): number | undefined {
    if (this.perSecond === 0) return undefined
    const bucket = hashOf(clientOf(address), this.#seed) % BUCKETS
    if (this.#take(bucket, this.perSecond, nowMs)) return undefined
    this.#limited()
    return this.#take(BUCKETS + bucket, this.perSecond * REFUSALS_TIMES, nowMs) ? refusal(packet, out, at) : 0
  }

  #take(bucket: number, perSecond: number, nowMs: number): boolean {
    const used = this.#usedUntilMs
    const untilMs = Math.max(used[bucket] ?? 0, nowMs) + 1000 / perSecond
    // One second ahead: the size of a burst.
    if (untilMs > nowMs + 1000) return false
    used[bucket] = untilMs
    return true
  }
}
