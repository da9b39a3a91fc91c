import type { Clock } from '../../../clock.ts'
import { H2 } from './codes.ts'

/** Frames in a row that bring nothing: a thousand is more than any server was seen to send, and costs a millisecond. */
const MOST = 1000
/** A server sends a few frames besides each reply: WINDOW_UPDATE, PING, an empty DATA. */
const PER_REPLY = 50
/** An idle connection may see a thousand of them again after this. */
const REFILL_MS = 10_000

/**
 * Bounds every flood of cheap frames alike (CVE-2019-9512, 9514, 9515, 9518, CVE-2023-44487 turned against a client): each that brings no reply forward
 * costs one, each reply earns some back. Time is read only when it has run out.
 */
export class Patience {
  readonly #clock: Clock
  #left = MOST
  #filledMs: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#filledMs = clock.nowMs()
  }

  /** ENHANCE_YOUR_CALM when there is none left, else 0. */
  spend(): number {
    if (this.#left-- > 0) return H2.none
    const nowMs = this.#clock.nowMs()
    if (nowMs - this.#filledMs < REFILL_MS) return H2.enhanceYourCalm
    this.#filledMs = nowMs
    this.#left = MOST
    return H2.none
  }

  earn(): void {
    this.#left = Math.min(MOST, this.#left + PER_REPLY)
  }
}
