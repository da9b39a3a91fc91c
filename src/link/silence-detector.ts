import type { Clock } from '../clock.ts'

/**
 * A silence this long is suspicious: a peer that has vanished is noticed, and a new connection
 * dialled, within 300 ms + 3 RTT (timers fire up to 8 ms late).
 */
const FLOOR_MS = 270
/**
 * The floor grows up to this value if false alarms have shown that this resolver takes longer (a
 * cold name over DoT, which has no ping).
 */
const CAREFUL_FLOOR_MS = 1200
const RTTS = 2
/** RFC 6298: alpha. */
const GAIN = 1 / 8

/** Round trips remembered for the p95. */
const WINDOW = 64
/**
 * With fewer round trips nothing is known about the tail; it is computed again after this many
 * more.
 */
const ENOUGH = 8
/**
 * Above the p95 by this factor and this much: in the slowest twentieth, those that are only a
 * little slower do not justify a second connection.
 */
const TAIL = { factor: 1.25, ms: 5 }
const LEAST_HEDGE_MS = 30
const UNKNOWN_HEDGE_MS = 200
/**
 * A PONG takes one round trip of the path, without the resolver's work; on a short path, the delay
 * of a busy machine is longer than the path.
 */
const PONG = { rtts: 1.5, ms: 10, least: 25 }

const SLOWEST = new Float64Array(4)

/** The smoothed round trip after one more (RFC 6298 section 2). */
export function smoothedRtt(beforeMs: number | undefined, rttMs: number): number {
  return beforeMs === undefined ? rttMs : beforeMs + GAIN * (rttMs - beforeMs)
}

/**
 * Decides how long a query may meet silence before the link reacts. It learns from past round
 * trips.
 */
export class SilenceDetector {
  readonly #rtts = new Float64Array(WINDOW)
  #measuredTimes = 0
  #hedgeMs = UNKNOWN_HEDGE_MS
  #floorMs = FLOOR_MS
  #smoothedRttMs: number | undefined

  /** The smoothed round trip, once there is one. */
  get rttMs(): number | undefined {
    return this.#smoothedRttMs
  }

  /** Silence after which a connection is suspect. */
  get afterMs(): number {
    return Math.max(this.#floorMs, RTTS * (this.#smoothedRttMs ?? 0))
  }

  /**
   * Silence after which a second connection is worth its cost: a little more than the p95 of the
   * round trips.
   */
  get hedgeMs(): number {
    return Math.min(this.#hedgeMs, this.afterMs)
  }

  /** How long a PING may take. */
  get pongMs(): number {
    return Math.max(PONG.least, PONG.ms + PONG.rtts * (this.#measuredTimes === 0 ? 100 : this.#least()))
  }

  /**
   * The same if others wait behind the silent one: until the p95 is known, one round trip of the
   * path and a little time for the resolver's work.
   */
  get heldUpMs(): number {
    return this.#measuredTimes < ENOUGH ? Math.max(LEAST_HEDGE_MS, this.pongMs) : this.hedgeMs
  }

  /**
   * What a round trip is expected to take, until one is measured: a circuit of Tor is slower than
   * any silence that is suspicious on a direct path.
   */
  expected(rttMs: number): void {
    if (this.#measuredTimes > 0) return
    this.#smoothedRttMs = rttMs
    this.#hedgeMs = Math.max(UNKNOWN_HEDGE_MS, TAIL.factor * rttMs + TAIL.ms)
  }

  measured(rttMs: number): void {
    this.#rtts[this.#measuredTimes++ % WINDOW] = rttMs
    if (this.#measuredTimes % ENOUGH === 0) this.#hedgeMs = Math.max(LEAST_HEDGE_MS, TAIL.factor * this.#p95() + TAIL.ms)
    this.#smoothedRttMs = smoothedRtt(this.#smoothedRttMs, rttMs)
  }

  /**
   * The first connection sent data after a second one was dialled: until the p95 is measured again,
   * a silence this long is tolerated.
   */
  toleratedSilence(silentMs: number): void {
    this.#hedgeMs = Math.max(this.#hedgeMs, TAIL.factor * silentMs + TAIL.ms)
  }

  /** A suspect sent data after `silentMs`. */
  falseAlarm(silentMs: number): void {
    this.toleratedSilence(silentMs)
    this.#floorMs = Math.min(CAREFUL_FLOOR_MS, Math.max(this.#floorMs * 2, TAIL.factor * silentMs))
  }

  /** A suspect was really dead. */
  confirmed(): void {
    this.#floorMs = FLOOR_MS
  }

  /** The network changed: its round trips are not yet known. */
  forget(): void {
    this.#measuredTimes = 0
    this.#hedgeMs = UNKNOWN_HEDGE_MS
    this.#smoothedRttMs = undefined
    this.#floorMs = FLOOR_MS
  }

  get #remembered(): number {
    return Math.min(WINDOW, this.#measuredTimes)
  }

  #least(): number {
    let least = Number.POSITIVE_INFINITY
    for (let i = 0; i < this.#remembered; i++) least = Math.min(least, this.#rtts[i] ?? least)
    return least
  }

  /**
   * The slowest twentieth is at most four of them, which are found in one pass; a sort cost 2 us.
   */
  #p95(): number {
    const count = this.#remembered
    const slowest = count - Math.min(count - 1, Math.floor(0.95 * count))
    SLOWEST.fill(0)
    for (let i = 0; i < count; i++) {
      let rttMs = this.#rtts[i] ?? 0
      for (let at = 0; at < slowest; at++) {
        const other = SLOWEST[at] ?? 0
        if (rttMs <= other) continue
        SLOWEST[at] = rttMs
        rttMs = other
      }
    }
    return SLOWEST[slowest - 1] ?? 0
  }
}

/**
 * Four at once, then one every 10 s: a new connection shows an observer that an answer was late,
 * and any web page can cause names that are late.
 */
const HEDGES = { most: 4, perMs: 1 / 10_000 }

/**
 * Limits second connections for queries that are late but not lost: four, and then six per minute,
 * for any queries. A second connection that was needed does not count.
 */
export class HedgeBudget {
  readonly #clock: Clock
  #left = HEDGES.most
  #filledMs: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#filledMs = clock.nowMs()
  }

  take(): boolean {
    const nowMs = this.#clock.nowMs()
    this.#left = Math.min(HEDGES.most, this.#left + (nowMs - this.#filledMs) * HEDGES.perMs)
    this.#filledMs = nowMs
    if (this.#left < 1) return false
    this.#left--
    return true
  }

  /** The first connection was really dead. */
  needed(): void {
    this.#left++
  }
}

/**
 * A time that every resolver and nearly every NAT keeps; resolvers were seen to keep 30 s (Quad9)
 * to over 240 s (Cloudflare).
 */
const FIRST_IDLE_MS = 30_000
const LONGEST_IDLE_MS = 240_000
const SHORTEST_IDLE_MS = 5000
/** The resolver's timer started earlier than ours: a query must not cross its FIN. */
const BEFORE_CLOSE = 0.9

/**
 * Learns how long a connection to one resolver may be idle before we close it. The time is doubled
 * when a connection answers after more than half of it, halved below a time that a connection did
 * not survive, and kept below the time after which the resolver closes.
 */
export class IdleWindow {
  #ms = FIRST_IDLE_MS
  #pathMs = LONGEST_IDLE_MS
  #peerMs = LONGEST_IDLE_MS

  get ms(): number {
    return Math.min(this.#ms, this.#pathMs, this.#peerMs)
  }

  /** A connection answered after it had been idle for `idleMs`. */
  survived(idleMs: number): void {
    if (idleMs > this.#ms / 2) this.#ms = Math.min(LONGEST_IDLE_MS, this.#ms * 2)
  }

  /**
   * A connection had been idle for `idleMs`, and was dead without notice: a device on the path
   * forgot it.
   */
  diedAfter(idleMs: number): void {
    if (idleMs >= SHORTEST_IDLE_MS) this.#pathMs = Math.min(this.#pathMs, Math.max(SHORTEST_IDLE_MS, idleMs / 2))
  }

  /** The resolver closed a connection that had been idle for `idleMs`. */
  closedAfter(idleMs: number): void {
    if (idleMs >= SHORTEST_IDLE_MS) this.#peerMs = Math.min(this.#peerMs, idleMs * BEFORE_CLOSE)
  }

  /** The network changed: the devices on the path are others. The resolver is the same. */
  anotherPath(): void {
    this.#ms = FIRST_IDLE_MS
    this.#pathMs = LONGEST_IDLE_MS
  }
}
