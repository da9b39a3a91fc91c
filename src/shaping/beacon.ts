/** Openings that are looked back on, and how many of the gaps between them must be alike. */
const OPENINGS = 12
const ALIKE = 10
/** A gap is like the median if it differs by no more than this part of it. */
const TOLERANCE = 0.25
/** Sessions that open less often cost little, and people have habits too. */
const LONGEST_GAP_MS = 900_000
/** A session that lasts for this long is kept open by something that does not stop. */
const ENDLESS_MS = 3_600_000

/**
 * Whether something asks at regular intervals, told by when sessions open and by nothing else: no
 * name is looked at. People open sessions irregularly, and close them at night.
 */
export class BeaconWatch {
  #openings: number[] = []

  /** A session opens. */
  opened(nowMs: number): void {
    this.#openings.push(nowMs)
    if (this.#openings.length > OPENINGS) this.#openings.shift()
  }

  /** While a session is open. */
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
