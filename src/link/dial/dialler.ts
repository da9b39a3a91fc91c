import type { Timer } from '../../clock.ts'
import { asEnigmError, type EnigmError } from '../../errors.ts'
import type { Protection } from '../../resolve.ts'
import type { Opened } from '../carriers/carrier.ts'
import type { KeeperTools, Wiring } from '../kept.ts'
import { Backoff } from './backoff.ts'

/** Devices that change networks together (a train, a power cut) do not dial together, unless somebody waits. */
const EAGER_SPREAD_MS = 150

/** Told how a dial ended. */
interface DialOwner<P extends Protection> {
  /**
   * Takes the connection, or closes it and says why it is of no use: then the dial has failed, and `dialFailed`
   * follows.
   */
  up(opened: Opened<P>): EnigmError | undefined
  dialFailed(error: EnigmError): void
}

/** Dials one resolver, one dial at a time, with backoff; first where it worked last. */
export class Dialler<P extends Protection> {
  readonly backoff: Backoff
  readonly #wiring: Wiring<P>
  readonly #tools: KeeperTools
  readonly #owner: DialOwner<P>
  #dial: AbortController | undefined
  #eager: Timer | undefined
  #lastAddress: string | undefined

  constructor(wiring: Wiring<P>, tools: KeeperTools, owner: DialOwner<P>) {
    this.#wiring = wiring
    this.#tools = tools
    this.#owner = owner
    this.backoff = new Backoff(tools.clock, tools.random)
    tools.dialPace.add(this.backoff)
  }

  get underWay(): boolean {
    return this.#dial !== undefined
  }

  /** Sees to it that a dial is under way; the last error instead while backing off, or why the policy lets nothing be dialled. */
  dial(): EnigmError | undefined {
    if (this.#dial === undefined) this.#tools.beforeDial?.()
    if (this.#dial !== undefined) return undefined
    const refusal = this.#tools.dialPace.refusal() ?? this.backoff.refusal()
    if (refusal === undefined) this.#start()
    return refusal
  }

  /** Before anybody asks. */
  dialSoon(): void {
    const { clock, random } = this.#tools
    this.#eager?.cancel()
    this.#eager = clock.setTimer(random.below(EAGER_SPREAD_MS), () => this.dial())
  }

  /** Nothing that was found out on the last network holds. */
  anotherPath(): void {
    this.backoff.reset()
    this.#lastAddress = undefined
  }

  /** Whoever waits for the dial is not told. */
  end(error: EnigmError): void {
    this.#eager?.cancel()
    this.#dial?.abort(error)
    this.#dial = undefined
  }

  #start(): void {
    this.#eager?.cancel()
    const dial = new AbortController()
    const sinceMs = this.#tools.clock.nowMs()
    this.#dial = dial
    this.#wiring.dial(dial.signal, this.#lastAddress).then(
      (opened) => {
        if (this.#dial !== dial) return opened.close()
        this.#dial = undefined
        const unfit = this.#owner.up(opened)
        if (unfit !== undefined) return this.#failed(unfit, sinceMs)
        this.#lastAddress = opened.address
        this.backoff.up()
      },
      (cause: unknown) => {
        if (this.#dial !== dial) return
        this.#dial = undefined
        this.#failed(asEnigmError(cause), sinceMs)
      },
    )
  }

  #failed(error: EnigmError, sinceMs: number): void {
    const { resolver, transport } = this.#wiring
    this.backoff.failed(error, sinceMs)
    this.#tools.emit({ type: 'link.failed', resolver, transport, code: error.code, detail: error.message })
    this.#owner.dialFailed(error)
  }
}
