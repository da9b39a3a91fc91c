import type { Clock } from '../../clock.ts'
import { asEnigmError, EnigmError } from '../../errors.ts'
import type { Ask, Carried, Protection, Receiver, Transport } from '../../resolve.ts'
import type { SealingKeys } from '../dial/endpoint.ts'
import type { RenewableLink } from '../on-demand.ts'
import type { RenewableScheduledLink } from '../scheduled.ts'

const isRefusedKey = ({ code }: EnigmError) => code === 'target-key'

/**
 * A link whose queries are encrypted to a target. Closing the link also closes the target's keys.
 */
abstract class Sealed<L extends Pick<RenewableLink<Protection>, 'id' | 'transport' | 'renew' | 'reconsider' | 'close'>> {
  readonly id: string
  readonly transport: Transport
  protected readonly link: L
  protected readonly keys: SealingKeys

  constructor(link: L, keys: SealingKeys) {
    this.id = link.id
    this.transport = link.transport
    this.link = link
    this.keys = keys
  }

  renew(online: boolean): void {
    this.keys.reset()
    this.link.renew(online)
  }

  reconsider(): void {
    this.link.reconsider()
  }

  close(): Promise<void> {
    this.keys.close()
    return this.link.close()
  }
}

/**
 * A link to a relay whose queries are encrypted to a target. A query waits for the target's key if
 * none is known yet. If the target refuses the key, the query is retried once with the new key,
 * within its deadline.
 */
export class ObliviousLink<P extends Protection> extends Sealed<RenewableLink<P>> implements RenewableLink<P> {
  readonly #clock: Clock

  constructor(link: RenewableLink<P>, keys: SealingKeys, clock: Clock) {
    super(link, keys)
    this.#clock = clock
  }

  send(request: Uint8Array, ask: Ask, to: Receiver<P>): void {
    if (this.keys.known) this.#send(request, ask, to)
    else this.#after(this.keys.ready(), ask, to, () => this.#send(request, ask, to))
  }

  #send(request: Uint8Array, ask: Ask, to: Receiver<P>): void {
    const { version } = this.keys
    this.link.send(request, ask, {
      carried: (carried) => to.carried(carried),
      failed: (error) => {
        if (isRefusedKey(error)) this.#after(this.keys.renew(version), ask, to, () => this.link.send(request, ask, to))
        else to.failed(error)
      },
    })
  }

  /** Calls `goOn` when there is a key, unless the deadline of `ask` comes first. */
  #after(key: Promise<void>, ask: Ask, to: Receiver<P>, goOn: () => void): void {
    let waits = true
    const end = (then: () => void) => {
      if (!waits) return
      waits = false
      timer.cancel()
      then()
    }
    const leftMs = Math.max(0, ask.deadlineMs - this.#clock.nowMs())
    const late = () => to.failed(new EnigmError('deadline', 'the key of the target did not come in time'))
    const timer = this.#clock.setTimer(leftMs, () => end(late))
    key.then(
      () => end(goOn),
      (error: unknown) => end(() => to.failed(asEnigmError(error))),
    )
  }
}

/**
 * A scheduled link to a relay whose queries are encrypted to a target. No query is retried. The key
 * is fetched before the link opens, and again after the target has refused it.
 */
export class ObliviousScheduledLink<P extends Protection> extends Sealed<RenewableScheduledLink<P>> implements RenewableScheduledLink<P> {
  get ready(): boolean {
    return this.link.ready
  }
  get doubtful(): boolean {
    return this.link.doubtful
  }
  get unfinished(): boolean {
    return this.link.unfinished
  }
  more(): void {
    this.link.more()
  }
  octets(records: number): number | undefined {
    return this.link.octets(records)
  }

  async open(): Promise<void> {
    if (!this.keys.known) await this.keys.ready()
    await this.link.open()
  }

  async exchange(request: Uint8Array, ask: Ask): Promise<Carried<P>> {
    const { version } = this.keys
    // Called in this turn: the schedule must know at once whether a record was written.
    return this.link.exchange(request, ask).catch((error: unknown) => {
      const fault = asEnigmError(error)
      if (isRefusedKey(fault)) this.keys.renew(version).catch(() => {})
      throw fault
    })
  }
}
