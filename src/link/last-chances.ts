import type { Protection } from '../resolve.ts'
import { TurnQueue } from './carriers/turn-queue.ts'
import type { Kept } from './kept.ts'
import type { Again, Pending } from './pending.ts'

/** So few share the next connection with whatever else is asked: that one dies as well is too seldom to make others wait. */
const FEW = 4
/** At once on one connection: if one of them is what kills connections, no more than these go with it. */
const AT_ONCE = 32

/**
 * Queries whose connection died under them. Each may be asked once more, so when there are many of them they have the next connection to themselves until they are
 * answered: where every 100th query is reset, and a hundred are in flight, each fresh one among them would be the next reset, and nobody would ever be answered.
 */
export class LastChances<P extends Protection> {
  readonly #waiting = new TurnQueue<Again<P>>()
  #under: { readonly kept: Kept<P>; owed: number; owedFirst: number } | undefined

  get waiting(): number {
    return this.#waiting.size
  }

  add(pending: Pending<P>): void {
    pending.again = { pending, before: undefined, after: undefined, holder: undefined }
    this.#waiting.add(pending.again, pending.ask.givesWay === true)
  }

  /** Those that may be written on `kept` now. */
  *next(kept: Kept<P>): Iterable<Pending<P>> {
    if (this.#waiting.size === 0) return
    if (this.#under?.kept !== kept) this.#under = { kept, owed: 0, owedFirst: 0 }
    for (;;) {
      const pending = this.#waiting.next(AT_ONCE - this.#under.owed, FEW)?.pending
      if (pending === undefined) return
      pending.again = undefined
      this.#under.owed++
      if (pending.ask.givesWay !== true) this.#under.owedFirst++
      pending.lastChance = this.#under
      yield pending
    }
  }

  /** It is answered, failed or out of time. */
  settled(pending: Pending<P>): void {
    if (pending.again !== undefined) this.#waiting.delete(pending.again)
    pending.again = undefined
    if (pending.lastChance !== undefined) {
      pending.lastChance.owed--
      if (pending.ask.givesWay !== true) pending.lastChance.owedFirst--
    }
    pending.lastChance = undefined
  }

  /**
   * Whether others have to wait before they may use `kept`; one that does not give way waits for
   * none that do.
   */
  reserve(kept: Kept<P>, givesWay: boolean): boolean {
    const under = this.#under?.kept === kept ? this.#under : undefined
    const [owed, waiting] = givesWay ? [under?.owed, this.#waiting.size] : [under?.owedFirst, this.#waiting.sizeFirst]
    return (owed ?? 0) + waiting > FEW
  }
}
