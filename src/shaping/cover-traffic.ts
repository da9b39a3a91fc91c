import type { Random } from '../clock.ts'
import { withPaddedOpt } from '../dns/edns.ts'
import { rcodeOf } from '../dns/message.ts'
import type { Emit } from '../events.ts'
import type { Carried, Transport } from '../resolve.ts'
import { TRANSPORTS } from '../transports.ts'
import { Cover } from './cover.ts'
import { CoverStanding, type Covers } from './cover-standing.ts'
import type { CoverKind } from './latencies.ts'

const PADDING_BLOCK = 128
const REFUSED = 5

export interface CoverOptions {
  readonly random: Random
  readonly emit: Emit
  /** The resolver's id in the trusted set, for events. */
  readonly resolver: string
  readonly transport: Transport
  /** False only where the operator says that it wants no cover traffic. */
  readonly wanted: boolean
  readonly coversADay: number
}

/** One cover, made as an upstream makes a query. */
export interface CoverRequest {
  readonly request: Uint8Array
  readonly kind: CoverKind
}

/** The covers of one link: what they ask, whether they may be sent, and what their replies say. `endSession` is called when covers must cease at the session's step. */
export class CoverTraffic {
  readonly #o: CoverOptions
  readonly #endSession: () => void
  readonly #cover: Cover
  readonly #standing: CoverStanding
  #told: Covers = 'flowing'

  constructor(o: CoverOptions, endSession: () => void) {
    this.#o = o
    this.#endSession = endSession
    this.#cover = new Cover(o.random)
    this.#standing = new CoverStanding(o)
  }

  /** The next cover, to be sent once, or undefined while none may be sent. Whether they flow is told as an event when it changes: without them the profile is not in force. */
  next(nowMs: number): CoverRequest | undefined {
    if (!this.flowing(nowMs)) return undefined
    const { message, kind } = this.#cover.next(nowMs)
    return {
      request: withPaddedOpt(message, { dnssecOk: false, block: PADDING_BLOCK, keepalive: TRANSPORTS[this.#o.transport].keepalive }),
      kind,
    }
  }

  /** One that `next` gave goes out: it counts for the day. */
  sent(nowMs: number): void {
    if (this.#standing.sent(nowMs)) this.#endSession()
  }

  flowing(nowMs: number): boolean {
    const covers = this.#standing.state(nowMs)
    if (covers !== this.#told) {
      this.#told = covers
      this.#o.emit({ type: 'shaping.covers', resolver: this.#o.resolver, transport: this.#o.transport, covers })
    }
    return covers === 'flowing'
  }

  /** A cover's reply: looked at and dropped, it never comes near the cache. */
  answered(kind: CoverKind, { wire, rttMs }: Carried, nowMs: number): void {
    this.#cover.latencies.add(kind, rttMs)
    if (rcodeOf(wire) === REFUSED) this.refused(nowMs)
    else this.#standing.accepted()
  }

  /** REFUSED, or an HTTP status such as 429. */
  refused(nowMs: number): void {
    const reaction = this.#standing.refused(nowMs)
    if (reaction === 'change content') this.#cover.change()
    if (reaction === 'end at step') this.#endSession()
  }

  /** A real query's round trip: covers are slow as often. */
  real(rttMs: number): void {
    this.#cover.latencies.add('real', rttMs)
  }
}
