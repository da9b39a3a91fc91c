import { createHmac } from 'node:crypto'
import type { Clock, Random } from '../clock.ts'

/**
 * This many second opinions at once, then one per interval. One that brought an answer does not
 * count.
 */
const MOST = 3
const PER_MS = 1 / 20_000
/**
 * If the second operator had no answer for a name either, no second operator is asked for that name
 * for this time. It is the longest time for which a failure may be cached (RFC 9520 section 3.2).
 */
const IN_VAIN_MS = 300_000
const MOST_NAMES = 1024

/**
 * Decides which names a second operator may learn if the first one is alive but has no answer. In
 * most cases no operator has an answer, because the servers of the name are silent, and a web page
 * can hold any number of these names. Names without an answer are remembered as keyed hashes only.
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

  /** Takes one second opinion for the query `message`. False: none is allowed. */
  take(message: Uint8Array): boolean {
    const nowMs = this.#clock.nowMs()
    this.#left = Math.min(MOST, this.#left + (nowMs - this.#filledMs) * PER_MS)
    this.#filledMs = nowMs
    if (this.#left < 1 || nowMs < (this.#inVain.get(this.#tagOf(message)) ?? 0)) return false
    this.#left--
    return true
  }

  /** The second operator had an answer, so the first one was at fault. It does not count. */
  helped(): void {
    this.#left++
  }

  /** The second operator had no answer either. The name is remembered. */
  inVain(message: Uint8Array): void {
    const tag = this.#tagOf(message)
    this.#inVain.delete(tag)
    this.#inVain.set(tag, this.#clock.nowMs() + IN_VAIN_MS)
    for (const oldest of this.#inVain.keys()) {
      if (this.#inVain.size <= MOST_NAMES) break
      this.#inVain.delete(oldest)
    }
  }

  /** Forgets all names, because the network changed and another operator may answer there. */
  clear(): void {
    this.#inVain.clear()
  }

  #tagOf(message: Uint8Array): string {
    return createHmac('sha256', this.#key).update(message).digest('base64url').slice(0, 16)
  }
}
