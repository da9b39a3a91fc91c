import type { Clock } from '../../clock.ts'
import type { EnigmError } from '../../errors.ts'

/**
 * While a resolver is away, its links together dial it once in this time, all addresses and
 * transports counted.
 */
const EVERY_MS = 1000

/** Whatever can say that its last dial failed. */
interface Failing {
  readonly failing: boolean
}

/**
 * Paces the dials of one resolver's links while all of them fail. While one works, nothing is held
 * back but what the policy refuses.
 */
export class DialPace {
  readonly #clock: Clock
  /** Why nothing may be dialled now, by whatever it is wanted for; undefined: it may. */
  readonly refusal: () => EnigmError | undefined
  readonly #links: Failing[] = []
  #lastMs = Number.NEGATIVE_INFINITY
  #beforeMs = Number.NEGATIVE_INFINITY

  constructor(clock: Clock, refusal: () => EnigmError | undefined) {
    this.#clock = clock
    this.refusal = refusal
  }

  add(link: Failing): void {
    this.#links.push(link)
  }

  /** Takes the turn and gives 0, or the time to wait before asking again. */
  turnInMs(): number {
    const nowMs = this.#clock.nowMs()
    if (this.refusal() !== undefined) return EVERY_MS
    const allFail = this.#links.length > 0 && this.#links.every((link) => link.failing)
    const waitMs = allFail ? this.#lastMs + EVERY_MS - nowMs : 0
    if (waitMs > 0) return waitMs
    this.#beforeMs = this.#lastMs
    this.#lastMs = nowMs
    return 0
  }

  /** The turn taken last sent nothing: there was no route. It is as if it had not been taken. */
  giveBack(): void {
    this.#lastMs = this.#beforeMs
  }
}
