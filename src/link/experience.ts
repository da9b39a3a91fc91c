import type { Clock } from '../clock.ts'
import type { EnigmError } from '../errors.ts'
import type { Protection } from '../resolve.ts'
import { type Carrier, IDLE_MS } from './carrier.ts'
import { HedgeBudget } from './hedge-budget.ts'
import { IdleWindow } from './idle-window.ts'
import type { Kept } from './kept.ts'
import { Suspicion } from './suspicion.ts'

/** What a link has learnt of its resolver and of the path to it, from connections that answered and connections that died. */
export class Experience {
  readonly suspicion = new Suspicion()
  readonly budget: HedgeBudget
  readonly #window = new IdleWindow()

  constructor(clock: Clock) {
    this.budget = new HedgeBudget(clock)
  }

  /** How long a connection may be idle. What the resolver says is believed where it is less than usual. */
  idleMs({ idleMs }: Carrier): number {
    return idleMs < IDLE_MS ? idleMs : this.#window.ms
  }

  /** Silence after which a second connection is worth its cost: sooner where others wait behind what is not answered. */
  hedgeMs({ waiting = 0 }: Carrier): number {
    const { hedgeMs, heldUpMs } = this.suspicion
    return waiting > 0 ? Math.min(hedgeMs, heldUpMs) : hedgeMs
  }

  answered<P extends Protection>(kept: Kept<P>, rttMs: number): void {
    if (kept.rustedMs > 0) this.#window.survived(kept.rustedMs)
    kept.rustedMs = 0
    this.budget.answered()
    this.suspicion.measured(rttMs)
  }

  /** One that was doubted spoke after all. One that had only been hedged is none of the false alarms. */
  spoke<P extends Protection>({ overdue, doubtedSinceMs }: Kept<P>, nowMs: number): void {
    if (overdue) this.suspicion.falseAlarm(nowMs - doubtedSinceMs)
    else this.suspicion.borne(nowMs - doubtedSinceMs)
  }

  /** The resolver ended it, or went silent. */
  died<P extends Protection>(kept: Kept<P>, error: EnigmError, nowMs: number): void {
    if (kept.suspect) {
      this.suspicion.confirmed()
      if (kept.hedged) this.budget.needed()
      this.#window.diedAfter(kept.rustedMs)
    } else if (kept.carrier.inFlight === 0 && error.code === 'connection-lost') this.#window.closedAfter(nowMs - kept.idleSinceMs)
  }

  anotherPath(): void {
    this.suspicion.forget()
    this.#window.anotherPath()
  }
}
