/**
 * How many openings are remembered. The next number says how many gaps between them must be alike.
 */
const OPENINGS = 12
const ALIKE = 10
/** A gap counts as alike if it differs from the median by at most this part of it. */
const TOLERANCE = 0.25
/** Longer gaps do not count: such sessions cost little, and people have habits too. */
const LONGEST_GAP_MS = 900_000
/** If a session lasts for this long, a program keeps it open that does not stop. */
const ENDLESS_MS = 3_600_000

/**
 * Finds out whether a program sends queries at regular intervals. It uses only the times at which
 * sessions open, and no names. People open sessions irregularly, and close them at night.
 */
export class BeaconWatch {
  #openings: number[] = []

  /** A session opens. */
  opened(nowMs: number): void {
    this.#openings.push(nowMs)
    if (this.#openings.length > OPENINGS) this.#openings.shift()
  }

  /** Whether a program asks at regular intervals. Called while a session is open. */
  found(nowMs: number): boolean {
    const last = this.#openings.at(-1)
    return last !== undefined && (nowMs - last >= ENDLESS_MS || this.#regular)
  }

  get #regular(): boolean {
    if (this.#openings.length < OPENINGS) return false
    const gaps = this.#openings.slice(1).map((atMs, i) => atMs - (this.#openings[i] ?? 0))
    const median = gaps.toSorted((a, b) => a - b)[Math.floor(gaps.length / 2)] ?? 0
    const alike = gaps.filter((gapMs) => Math.abs(gapMs - median) <= TOLERANCE * median)
    return median <= LONGEST_GAP_MS && alike.length >= ALIKE
  }
}
