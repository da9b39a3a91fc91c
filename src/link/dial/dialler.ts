import type { Clock, Random, Timer } from '../../clock.ts'
import { asEnigmError, type EnigmError } from '../../errors.ts'
import type { Emit } from '../../events.ts'
import type { Protection, Transport } from '../../resolve.ts'
import type { Carrier, Opened } from '../carriers/carrier.ts'
import { Backoff } from './backoff.ts'
import type { DialPace } from './dial-pace.ts'

/** How to dial one resolver, and how to forget saved state. */
export interface DialTarget<P extends Protection, C extends Carrier<P> = Carrier<P>> {
  readonly resolver: string
  readonly transport: Transport
  /**
   * Dials the resolver. Rejects with an EnigmError, or with the signal's reason when aborted.
   * `first`: the address to try first. `onOverdue`: see RaceOptions.
   */
  dial(signal: AbortSignal, first: string | undefined, onOverdue: (overdue: () => EnigmError | undefined) => void): Promise<Opened<P, C>>
  forgetSessions(): void
  /**
   * The query that tests whether the resolver answers, a message without OPT. Default: a query for
   * the root.
   */
  readonly probe?: Uint8Array
}

export interface DialTools {
  readonly clock: Clock
  readonly random: Random
  readonly emit: Emit
  /**
   * Called before each dial. It may `renew` the link: if the network has just changed, the dial
   * must not use a TLS session of the last network.
   */
  readonly beforeDial?: () => void
  /** Shared by the links of one resolver; it also decides whether any dial is allowed. */
  readonly dialPace: DialPace
}

/**
 * A dial that no query waits for is delayed by a random time up to this. So devices that change
 * networks together (in a train, after a power cut) do not all dial at once.
 */
const EAGER_SPREAD_MS = 150

/** Receives the result of a dial. `lane`: the dial was started by `dialLane`. */
interface DialListener<P extends Protection, C extends Carrier<P>> {
  /** Takes the connection. */
  up(opened: Opened<P, C>, lane: boolean): void
  dialFailed(error: EnigmError, lane: boolean): void
  /** A postponed dial may begin if it is still needed. */
  mayDial(): void
}

interface Dial {
  readonly abort: AbortController
  readonly lane: boolean
  overdue: () => EnigmError | undefined
}

/**
 * Dials one resolver with backoff, first at the address that worked last. It runs one dial at a
 * time for the connection that all queries use, and in addition dials for lanes (pool.ts).
 */
export class Dialler<P extends Protection, C extends Carrier<P> = Carrier<P>> {
  readonly backoff: Backoff
  readonly #target: DialTarget<P, C>
  readonly #tools: DialTools
  readonly #listener: DialListener<P, C>
  readonly #dials = new Set<Dial>()
  #eager: Timer | undefined
  #later: Timer | undefined
  #lastAddress: string | undefined

  constructor(target: DialTarget<P, C>, tools: DialTools, listener: DialListener<P, C>) {
    this.#target = target
    this.#tools = tools
    this.#listener = listener
    this.backoff = new Backoff(tools.clock, tools.random)
    tools.dialPace.add(this.backoff)
  }

  get underWay(): boolean {
    for (const { lane } of this.#dials) if (!lane) return true
    return false
  }
  /** The error of the dials in progress if they take too long, if one is known. */
  get overdue(): EnigmError | undefined {
    for (const dial of this.#dials) {
      const error = dial.overdue()
      if (error !== undefined) return error
    }
    return undefined
  }
  /** Number of dials for lanes in progress. */
  get lanes(): number {
    return this.underWay ? this.#dials.size - 1 : this.#dials.size
  }

  /**
   * Ensures that a dial is in progress or scheduled. Returns the last error instead during the
   * backoff, or the reason why the policy allows no dial.
   */
  dial(): EnigmError | undefined {
    if (!this.underWay) this.#tools.beforeDial?.()
    return this.underWay ? undefined : this.#begin(false)
  }

  /**
   * Begins one more dial. If it is postponed, `mayDial` is called later. Returns the same errors as
   * `dial`.
   */
  dialLane(): EnigmError | undefined {
    return this.#begin(true)
  }

  /** Dials after a short random delay, before a query needs the connection. */
  dialSoon(): void {
    const { clock, random } = this.#tools
    this.#eager?.cancel()
    this.#eager = clock.setTimer(random.below(EAGER_SPREAD_MS), () => this.dial())
  }

  /** Forgets what was learnt on the previous network, because the network changed. */
  anotherPath(): void {
    this.backoff.reset()
    this.#lastAddress = undefined
  }

  /** Ends the dial for the connection that all queries use. `dialFailed` is not called. */
  end(error: EnigmError): void {
    this.#eager?.cancel()
    for (const dial of this.#dials) if (!dial.lane) this.#abort(dial, error)
  }

  /** Ends the dials for lanes. */
  endLanes(error: EnigmError): void {
    this.#later?.cancel()
    this.#later = undefined
    for (const dial of this.#dials) if (dial.lane) this.#abort(dial, error)
  }

  #abort(dial: Dial, error: EnigmError): void {
    this.#dials.delete(dial)
    dial.abort.abort(error)
  }

  #begin(lane: boolean): EnigmError | undefined {
    const refusal = this.#tools.dialPace.refusal() ?? this.backoff.refusal()
    if (refusal !== undefined) return refusal
    const { waitMs } = this.backoff
    if (waitMs === 0) this.#start(lane)
    else {
      this.#later ??= this.#tools.clock.setTimer(waitMs, () => {
        this.#later = undefined
        this.#listener.mayDial()
      })
    }
    return undefined
  }

  #start(lane: boolean): void {
    if (!lane) this.#eager?.cancel()
    const dial: Dial = { abort: new AbortController(), lane, overdue: () => undefined }
    const sinceMs = this.#tools.clock.nowMs()
    this.#dials.add(dial)
    const onOverdue = (overdue: Dial['overdue']) => {
      dial.overdue = overdue
    }
    this.#target.dial(dial.abort.signal, this.#lastAddress, onOverdue).then(
      (opened) => {
        if (!this.#dials.delete(dial)) return opened.close()
        this.#listener.up(opened, lane)
        this.#lastAddress = opened.address
        this.backoff.up()
      },
      (cause: unknown) => {
        if (this.#dials.delete(dial)) this.#failed(asEnigmError(cause), sinceMs, lane)
      },
    )
  }

  #failed(error: EnigmError, sinceMs: number, lane: boolean): void {
    const { resolver, transport } = this.#target
    this.backoff.failed(error, sinceMs)
    const { code, message: detail, hop } = error
    this.#tools.emit({ type: 'link.failed', resolver, transport, code, detail, ...(hop === undefined ? {} : { hop }) })
    this.#listener.dialFailed(error, lane)
  }
}
