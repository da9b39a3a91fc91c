import type { Clock } from '../clock.ts'

/** While a resolver is away, its links together dial it once in this time, all addresses and transports counted. */
const EVERY_MS = 1000

/** Whatever can say that its last dial failed. */
interface Failing {
  readonly failing: boolean
}

/** Paces the dials of one resolver's links while all of them fail. While one works, nothing is held back. */
export class DialPace {
  readonly #clock: Clock
  readonly #forbidden: () => boolean
  readonly #links: Failing[] = []
  #lastMs = Number.NEGATIVE_INFINITY

  /** `forbidden`: nothing may be dialled now, by whatever it is wanted for. */
  constructor(clock: Clock, forbidden: () => boolean = () => false) {
    this.#clock = clock
    this.#forbidden = forbidden
  }

  add(link: Failing): void {
    this.#links.push(link)
  }

  /** Takes the turn and gives 0, or the time to wait before asking again. */
  turnInMs(): number {
    const nowMs = this.#clock.nowMs()
    if (this.#forbidden()) return EVERY_MS
    const waitMs = this.#links.every((link) => link.failing) ? this.#lastMs + EVERY_MS - nowMs : 0
    if (waitMs > 0) return waitMs
    this.#lastMs = nowMs
    return 0
  }
}
