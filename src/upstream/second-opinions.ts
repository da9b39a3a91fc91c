import { createHmac } from 'node:crypto'
import type { Clock, Random } from '../clock.ts'

/** Some at once, then one in so long. One that had an answer costs nothing. */
const MOST = 3
const PER_MS = 1 / 20_000
/**
 * For so long no second operator is asked for a name again that it had no answer for either: as
 * long as a failure may be kept (RFC 9520 section 3.2).
 */
const IN_VAIN_MS = 300_000
const MOST_NAMES = 1024

/**
 * Which names a second operator may learn though the path to the first one lives, since there is no
 * answer. Mostly nobody has one: the servers of such names are silent, and a page can hold any
 * number of them. No name is kept: what was asked in vain is known by a keyed hash.
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

  /** Takes one for the query `message`, if there is one. */
  take(message: Uint8Array): boolean {
    const nowMs = this.#clock.nowMs()
    this.#left = Math.min(MOST, this.#left + (nowMs - this.#filledMs) * PER_MS)
    this.#filledMs = nowMs
    if (this.#left < 1 || nowMs < (this.#inVain.get(this.#tagOf(message)) ?? 0)) return false
    this.#left--
    return true
  }

  /** The second operator had an answer: it was the first one's fault. */
  helped(): void {
    this.#left++
  }

  /** It had none either. */
  inVain(message: Uint8Array): void {
    const tag = this.#tagOf(message)
    this.#inVain.delete(tag)
    this.#inVain.set(tag, this.#clock.nowMs() + IN_VAIN_MS)
    for (const oldest of this.#inVain.keys()) {
      if (this.#inVain.size <= MOST_NAMES) break
      this.#inVain.delete(oldest)
    }
  }

  /** Another network: other operators may answer there. */
  clear(): void {
    this.#inVain.clear()
  }

  #tagOf(message: Uint8Array): string {
    return createHmac('sha256', this.#key).update(message).digest('base64url').slice(0, 16)
  }
}
