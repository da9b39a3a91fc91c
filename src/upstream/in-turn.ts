import type { Clock } from '../clock.ts'
import { EnigmError, isOurs, mayBeTheName } from '../errors.ts'
import type { Ask, Carried, Protection, Receiver, ReplyVerdict, Transport } from '../resolve.ts'
import type { Asker } from './asker.ts'
import { type FailedTry, hopError, mostTelling } from './classification.ts'
import { MAX_INFORMED } from './flight.ts'
import type { Health } from './health.ts'
import type { Order } from './order.ts'
import type { ResolverHealth } from './resolver-health.ts'
import type { Ranks } from './split.ts'

/**
 * Asks one query over shaped links, one resolver at a time. The next resolver is asked only if the
 * network failed, or if the last resolver could not read the query. A slow or bad answer is no
 * reason to ask another one. Otherwise the result of a query could open a session on a second link,
 * and an observer would learn about the query.
 */
export function askInTurn<P extends Protection>(
  health: Health<P>,
  order: Order<ResolverHealth<P>>,
  clock: Clock,
  message: Uint8Array,
  dnssecOk: boolean,
  ask: Ask,
  to: Receiver<P, [transport: Transport, upstream: string]>,
  ranks?: Ranks,
): void {
  new Turns(health, order, clock, message, dnssecOk, ask, to, ranks).next()
}

class Turns<P extends Protection> implements Asker<P, [transport: Transport, verdict: ReplyVerdict]> {
  readonly purpose: Ask['purpose']
  readonly deadlineMs: number
  readonly givesWay: true | undefined
  readonly #health: Health<P>
  readonly #order: Order<ResolverHealth<P>>
  readonly #clock: Clock
  readonly #message: Uint8Array
  readonly #dnssecOk: boolean
  readonly #ranks: Ranks | undefined
  readonly #to: Receiver<P, [transport: Transport, upstream: string]>
  readonly #failures: FailedTry[] = []
  readonly #asked: ResolverHealth<P>[] = []
  startedMs = 0
  open = false
  /** To how many resolvers the query was written, and whether the current one is one of them. */
  #informed = 0
  #informsCurrent = false

  constructor(
    health: Health<P>,
    order: Order<ResolverHealth<P>>,
    clock: Clock,
    message: Uint8Array,
    dnssecOk: boolean,
    { purpose, deadlineMs, givesWay }: Ask,
    to: Receiver<P, [transport: Transport, upstream: string]>,
    ranks: Ranks | undefined,
  ) {
    this.#health = health
    this.#ranks = ranks
    this.#order = order
    this.#clock = clock
    this.#message = message
    this.#dnssecOk = dnssecOk
    this.purpose = purpose
    this.deadlineMs = deadlineMs
    this.givesWay = givesWay
    this.#to = to
  }

  mayLeave(): boolean {
    if (!this.#informsCurrent) this.#informed++
    this.#informsCurrent = true
    return true
  }

  /** Asks the next resolver. If there is none, the query ends. */
  next(): void {
    const startedMs = this.#clock.nowMs()
    const mayAsk = this.#informed < MAX_INFORMED && startedMs < this.deadlineMs
    const candidate = mayAsk ? this.#health.nextToInform(this.#order, this.#asked, this.#ranks) : undefined
    if (candidate === undefined) {
      this.#giveUp()
      return
    }
    this.#asked.push(candidate)
    this.startedMs = startedMs
    this.#informsCurrent = false
    this.open = true
    this.#health.ask(candidate, this.#message, this.#dnssecOk, this)
  }

  carried(carried: Carried<P>, transport: Transport, { ofHop }: ReplyVerdict): void {
    this.open = false
    const candidate = this.#asked.at(-1)
    if (candidate === undefined) return
    if (ofHop) {
      this.#failures.push({ who: candidate.id, error: hopError(candidate.id, carried) })
      this.next()
    } else this.#to.carried(carried, transport, candidate.id)
  }

  failed(error: EnigmError): void {
    this.open = false
    const candidate = this.#asked.at(-1)
    if (candidate === undefined) return
    this.#failures.push({ who: candidate.id, error })
    if (isOurs(error.code) || mayBeTheName(error)) this.#giveUp()
    else this.next()
  }

  #giveUp(): void {
    const none = this.#failures.length === 0
    this.#to.failed(none ? new EnigmError('deadline', 'no time left to ask') : mostTelling('no resolver answered', this.#failures))
  }
}
