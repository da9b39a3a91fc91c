import { createHmac } from 'node:crypto'
import type { Clock, Random } from '../clock.ts'

/**
 * This many at first, then one per interval. A second opinion that had an answer does not count.
 */
const MOST = 3
const PER_MS = 1 / 20_000
/**
 * How long a name is not sent to a second operator again after that one had no answer either: as
 * long as a failure may be kept (RFC 9520 section 3.2).
 */
const IN_VAIN_MS = 300_000
const MOST_NAMES = 1024

/**
 * Decides which names a second operator may learn although the path to the first one is alive,
 * because there is no answer. Mostly no operator has an answer: the servers of such names are
 * silent, and a page can hold any number of them. No name is kept: a name without an answer is
 * recognized by a keyed hash.
 */
export class SecondOpinions {
  readonly #clock: Clock
  readonly #key: Uint8Array
  readonly #inVain = new Map<string, number>()
  #left = MOST
  #filledMs: number

  constructor(clock: Clock, random: Random) {
    this.#clock = clock
    this.#key = random.bytes(16)
    this.#filledMs = clock.nowMs()
  }

  /** Takes one second opinion for the query `message`; false if none is left. */
  take(message: Uint8Array): boolean {
    const nowMs = this.#clock.nowMs()
    this.#left = Math.min(MOST, this.#left + (nowMs - this.#filledMs) * PER_MS)
    this.#filledMs = nowMs
    if (this.#left < 1 || nowMs < (this.#inVain.get(this.#tagOf(message)) ?? 0)) return false
    this.#left--
    return true
  }

  /** The second operator had an answer, so the first one was at fault. */
  helped(): void {
    this.#left++
  }

  /** The second operator had no answer either. */
  inVain(message: Uint8Array): void {
    const tag = this.#tagOf(message)
    this.#inVain.delete(tag)
    this.#inVain.set(tag, this.#clock.nowMs() + IN_VAIN_MS)
    for (const oldest of this.#inVain.keys()) {
      if (this.#inVain.size <= MOST_NAMES) break
      this.#inVain.delete(oldest)
    }
  }

  /** The network changed: other operators may answer there. */
  clear(): void {
    this.#inVain.clear()
  }

  #tagOf(message: Uint8Array): string {
    return createHmac('sha256', this.#key).update(message).digest('base64url').slice(0, 16)
  }
}
