import type { Clock } from '../clock.ts'
import type { EnigmError } from '../errors.ts'
import type { Protection } from '../resolve.ts'
import { type Carrier, IDLE_MS } from './carriers/carrier.ts'
import { HedgeBudget } from './hedge-budget.ts'
import { IdleWindow } from './idle-window.ts'
import type { Kept } from './kept.ts'
import { Suspicion } from './suspicion.ts'

/** What a link has learnt of its resolver and of the path to it, from connections that answered and connections that died. */
export class Experience {
  readonly suspicion = new Suspicion()
  readonly budget: HedgeBudget
  readonly #window = new IdleWindow()
  /**
   * A sign of life was asked for on this path, and came: one that does not come means something.
   */
  #pongs = false

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
    this.suspicion.measured(rttMs)
  }

  /** A sign of life that was asked for. */
  ponged(): void {
    this.#pongs = true
  }

  /**
   * Whether a second connection may be dialled for one that is silent for so long that it looks
   * dead. Not without end where it cannot be asked whether it is.
   */
  mayReplace<P extends Protection>(kept: Kept<P>): boolean {
    if (kept.charged || (kept.probed && this.#pongs)) return true
    kept.charged = this.budget.take()
    return kept.charged
  }

  /**
   * What it left unanswered was answered on another one: it is dead, and the other one was needed.
   */
  outdone<P extends Protection>(kept: Kept<P>): void {
    kept.outdone = true
    this.suspicion.confirmed()
    if (kept.charged) this.budget.needed()
    kept.charged = false
  }

  /** One that was doubted spoke after all. One that had only been hedged is none of the false alarms. */
  spoke<P extends Protection>({ overdue, doubtedSinceMs }: Kept<P>, nowMs: number): void {
    if (overdue) this.suspicion.falseAlarm(nowMs - doubtedSinceMs)
    else this.suspicion.borne(nowMs - doubtedSinceMs)
  }

  /**
   * The resolver ended it, or went silent. One that is silent about what nobody answers need not be
   * dead.
   */
  died<P extends Protection>(kept: Kept<P>, error: EnigmError, nowMs: number): void {
    if (kept.suspect) {
      if (kept.outdone) this.#window.diedAfter(kept.rustedMs)
    } else if (kept.carrier.inFlight === 0 && error.code === 'connection-lost') this.#window.closedAfter(nowMs - kept.idleSinceMs)
  }

  anotherPath(): void {
    this.suspicion.forget()
    this.#pongs = false
    this.#window.anotherPath()
  }
}
