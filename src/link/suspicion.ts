/** A silence this long is suspicious: a peer that has vanished is noticed, and a new connection dialled, within 300 ms + 3 RTT. */
const FLOOR_MS = 300
/** Where false alarms have shown that this resolver thinks longer (a cold name over DoT, which has no ping), up to here. */
const CAREFUL_FLOOR_MS = 1200
const RTTS = 2
/** RFC 6298: alpha. */
const GAIN = 1 / 8

/** How long something written may meet silence before the connection is taken for dead, learnt from what came back. */
export class Suspicion {
  #floorMs = FLOOR_MS
  #smoothedRttMs: number | undefined

  /** Silence after which a connection is suspect. */
  get afterMs(): number {
    return Math.max(this.#floorMs, RTTS * (this.#smoothedRttMs ?? 0))
  }

  measured(rttMs: number): void {
    this.#smoothedRttMs = this.#smoothedRttMs === undefined ? rttMs : this.#smoothedRttMs + GAIN * (rttMs - this.#smoothedRttMs)
  }

  /** A suspect spoke after all. */
  falseAlarm(): void {
    this.#floorMs = Math.min(CAREFUL_FLOOR_MS, this.#floorMs * 2)
  }

  /** A suspect was dead indeed. */
  confirmed(): void {
    this.#floorMs = FLOOR_MS
  }
}
