import type { Clock } from '../clock.ts'

/**
 * The shortest silence that is suspicious. With it, a peer that vanished is noticed and a new
 * connection is dialled within 300 ms + 3 RTT (timers fire up to 8 ms late).
 */
const FLOOR_MS = 270
/**
 * False alarms raise the floor up to this value: they show that this resolver takes longer. For
 * example, a name that is not in the resolver's cache is slow, and DoT has no ping.
 */
const CAREFUL_FLOOR_MS = 1200
const RTTS = 2
/** The weight of the newest round trip (alpha of RFC 6298). */
const GAIN = 1 / 8

/** How many round trips are remembered for the p95. */
const WINDOW = 64
/**
 * The p95 needs at least this many round trips. It is computed again after this many more.
 */
const ENOUGH = 8
/**
 * A second connection is dialled at the p95 times this factor plus these ms. Queries that are only
 * a little slower than the p95 do not justify it.
 */
const TAIL = { factor: 1.25, ms: 5 }
const LEAST_HEDGE_MS = 30
const UNKNOWN_HEDGE_MS = 200
/**
 * Limits for a PONG. It takes one round trip of the path, without the resolver's work. On a short
 * path, the delay of a busy machine is longer than the round trip.
 */
const PONG = { rtts: 1.5, ms: 10, least: 25 }

const SLOWEST = new Float64Array(4)

/** The smoothed round trip in ms, with `rttMs` added (RFC 6298 section 2). */
export function smoothedRtt(beforeMs: number | undefined, rttMs: number): number {
  return beforeMs === undefined ? rttMs : beforeMs + GAIN * (rttMs - beforeMs)
}

/**
 * Decides how long a peer may be silent before the link reacts. It learns from past round trips.
 */
export class SilenceDetector {
  readonly #rtts = new Float64Array(WINDOW)
  #measuredTimes = 0
  #hedgeMs = UNKNOWN_HEDGE_MS
  #floorMs = FLOOR_MS
  #smoothedRttMs: number | undefined

  /** The smoothed round trip in ms. Undefined: none was measured yet. */
  get rttMs(): number | undefined {
    return this.#smoothedRttMs
  }

  /** The silence in ms after which a connection is a suspect. */
  get afterMs(): number {
    return Math.max(this.#floorMs, RTTS * (this.#smoothedRttMs ?? 0))
  }

  /**
   * The silence in ms after which a second connection is worth its cost: a little more than the p95
   * of the round trips.
   */
  get hedgeMs(): number {
    return Math.min(this.#hedgeMs, this.afterMs)
  }

  /** How many ms a PING may take. */
  get pongMs(): number {
    return Math.max(PONG.least, PONG.ms + PONG.rtts * (this.#measuredTimes === 0 ? 100 : this.#least()))
  }

  /**
   * The same as `hedgeMs` if other queries wait behind the silent one. Until the p95 is known, it
   * is one round trip of the path and a little time for the resolver's work.
   */
  get heldUpMs(): number {
    return this.#measuredTimes < ENOUGH ? Math.max(LEAST_HEDGE_MS, this.pongMs) : this.hedgeMs
  }

  /**
   * Sets the expected round trip until one is measured. Over Tor, a normal round trip is longer
   * than a suspicious silence on a direct path.
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
   * The first connection sent data after a second one was dialled. Until the p95 is measured again,
   * a silence of this length is tolerated.
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

  /** Forgets all round trips, because the network changed. */
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
   * The p95 of the remembered round trips. The slowest 5% are at most four, which one pass finds; a
   * sort would cost 2 us.
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
 * The budget of second connections: 4 at once, then one every 10 s. A new connection shows an
 * observer that an answer was late, and any web page can cause late answers.
 */
const HEDGES = { most: 4, perMs: 1 / 10_000 }

/**
 * Limits second connections for queries that are late but not lost: four, then six per minute, for
 * all queries together. A second connection that was needed does not count.
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

  /** A second connection was needed, because the first one was dead. It does not count. */
  needed(): void {
    this.#left++
  }
}

/**
 * The first limit of idle time. Nearly every NAT and every observed resolver keeps an idle
 * connection for this time: from 30 s (Quad9) to over 240 s (Cloudflare).
 */
const FIRST_IDLE_MS = 30_000
const LONGEST_IDLE_MS = 240_000
const SHORTEST_IDLE_MS = 5000
/** We close at this share of the resolver's limit. Otherwise a query might cross its FIN. */
const BEFORE_CLOSE = 0.9

/**
 * Learns how long a connection to one resolver may be idle before we close it. If a connection
 * answers after more than half of that time, the time is doubled. If a connection did not survive
 * an idle time, the limit becomes half of that. It always stays below the time after which the
 * resolver closes.
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
   * A connection that had been idle for `idleMs` was dead without notice. A device on the path (a
   * NAT) had forgotten it.
   */
  diedAfter(idleMs: number): void {
    if (idleMs >= SHORTEST_IDLE_MS) this.#pathMs = Math.min(this.#pathMs, Math.max(SHORTEST_IDLE_MS, idleMs / 2))
  }

  /** The resolver closed a connection that had been idle for `idleMs`. */
  closedAfter(idleMs: number): void {
    if (idleMs >= SHORTEST_IDLE_MS) this.#peerMs = Math.min(this.#peerMs, idleMs * BEFORE_CLOSE)
  }

  /** Forgets the limits of devices on the path, because the network changed. */
  anotherPath(): void {
    this.#ms = FIRST_IDLE_MS
    this.#pathMs = LONGEST_IDLE_MS
  }
}
