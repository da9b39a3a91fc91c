import type { Random } from '../clock.ts'
import { withPaddedOpt } from '../dns/edns.ts'
import { rcodeOf } from '../dns/message.ts'
import { readingOf } from '../dns/response.ts'
import type { Emit } from '../events.ts'
import type { Carried, Transport } from '../resolve.ts'
import { TRANSPORTS } from '../transports.ts'
import { BeaconWatch } from './beacon.ts'
import { type CoverQuestion, CoverQuestions, question, REMIX_MS } from './cover.ts'
import { DnssecCovers, type DnssecManner, PROOF_ZONES } from './dnssec-covers.ts'
import type { Unlikeness } from './likeness.ts'

/**
 * Why no cover is sent: the operator wants none, it refused them, or the day's share is used up;
 * otherwise `flowing`.
 */
export type CoverState = 'flowing' | 'claim' | 'refused' | 'used-up'

/** The same, or how real queries differ from the covers that flow. */
export type CoverReport = CoverState | Unlikeness

/**
 * How many outcomes are considered, and how many refusals among them are too many: a popular name
 * may be refused for its own sake.
 */
const WINDOW = 32
const TOO_MANY = 12
/** After this many accepted in a row, earlier refusals are forgotten. */
const FORGIVEN = 2000
const DAY_MS = 86_400_000
const FIRST_PAUSE_MS = 600_000
const LONGEST_PAUSE_MS = DAY_MS

/** The reaction that `refused` requests. */
export type RefusalReaction = 'go on' | 'change content' | 'end at step'

/**
 * Decides whether covers may be sent over one link: by the operator's claim, its refusals and the
 * budget. Too many refusals change the content. If they continue, covers pause for 10 minutes,
 * doubling up to a day. Pure state; its owner provides the time.
 */
export class CoverPermission {
  readonly #wanted: boolean
  readonly #coversADay: number
  #daySinceMs = Number.NEGATIVE_INFINITY
  #sentToday = 0
  #outcomes: boolean[] = []
  #accepted = 0
  #changed = false
  #pauses = 0
  #pausedUntilMs = Number.NEGATIVE_INFINITY

  /** `wanted`: false if the operator claims that it wants no cover traffic. */
  constructor(o: { readonly wanted: boolean; readonly coversADay: number }) {
    this.#wanted = o.wanted
    this.#coversADay = o.coversADay
  }

  state(nowMs: number): CoverState {
    if (!this.#wanted) return 'claim'
    if (nowMs < this.#pausedUntilMs) return 'refused'
    return this.#sentToday >= this.#coversADay && nowMs - this.#daySinceMs < DAY_MS ? 'used-up' : 'flowing'
  }

  /** A cover was sent. Returns whether it was the last one of the day. */
  sent(nowMs: number): boolean {
    if (nowMs - this.#daySinceMs >= DAY_MS) {
      this.#daySinceMs = nowMs
      this.#sentToday = 0
    }
    return ++this.#sentToday === this.#coversADay
  }

  accepted(): void {
    this.#note(false)
    if (++this.#accepted < FORGIVEN) return
    this.#accepted = 0
    this.#changed = false
    this.#pauses = 0
  }

  /** REFUSED, or an HTTP status such as 429. */
  refused(nowMs: number): RefusalReaction {
    this.#accepted = 0
    if (nowMs < this.#pausedUntilMs) return 'go on'
    this.#note(true)
    if (this.#outcomes.filter((refused) => refused).length < TOO_MANY) return 'go on'
    this.#outcomes = []
    if (!this.#changed) {
      this.#changed = true
      return 'change content'
    }
    this.#pausedUntilMs = nowMs + Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#pauses++)
    this.#changed = false
    return 'end at step'
  }

  #note(refused: boolean): void {
    this.#outcomes.push(refused)
    if (this.#outcomes.length > WINDOW) this.#outcomes.shift()
  }
}

const PADDING_BLOCK = 128
const REFUSED = 5

export interface CoverOptions {
  readonly random: Random
  readonly emit: Emit
  /** The resolver's id in the trusted set, for events. */
  readonly resolver: string
  readonly transport: Transport
  /** False only if the operator states that it wants no cover traffic. */
  readonly wanted: boolean
  readonly coversADay: number
  /** True if this program validates: then all its own queries have DO. */
  readonly validates?: boolean
}

const DS = 43
/** Whether something asks at regular intervals is looked at this often while a session is open. */
const BEACON_LOOK_MS = 5000

/** One cover, made in the way in which an upstream makes a query. */
export interface CoverRequest {
  readonly request: Uint8Array
  readonly question: CoverQuestion
  readonly manner: DnssecManner
}

/**
 * The covers of one link: their questions, whether they may be sent, and the evidence of their
 * replies. `endSession` is called when covers must end at the session's step.
 */
export class CoverTraffic {
  readonly #o: CoverOptions
  readonly #endSession: () => void
  readonly #cover: CoverQuestions
  readonly #permission: CoverPermission
  readonly #dnssec: DnssecCovers
  readonly #beacon = new BeaconWatch()
  #beaconFound = false
  #lookAtMs = 0
  #mixedMs = Number.NEGATIVE_INFINITY
  #reported: CoverReport = 'flowing'

  constructor(o: CoverOptions, endSession: () => void) {
    this.#o = o
    this.#endSession = endSession
    this.#cover = new CoverQuestions(o.random)
    this.#permission = new CoverPermission(o)
    this.#dnssec = new DnssecCovers(o.random, o.validates === true)
  }

  /** A query has opened a session. */
  opened(nowMs: number): void {
    this.#beacon.opened(nowMs)
    this.#lookForBeacon(nowMs)
  }

  #lookForBeacon(nowMs: number): void {
    if (nowMs < this.#lookAtMs) return
    this.#lookAtMs = nowMs + BEACON_LOOK_MS
    const found = this.#beacon.found(nowMs)
    if (found === this.#beaconFound) return
    this.#beaconFound = found
    this.#o.emit({ type: 'shaping.beacon', resolver: this.#o.resolver, transport: this.#o.transport, found })
  }

  /**
   * The next cover, to be sent once; undefined while none may be sent. Changes of whether they
   * flow, and whether they look like real queries, are reported as an event: if not, the profile is
   * not in force.
   */
  next(nowMs: number): CoverRequest | undefined {
    this.#lookForBeacon(nowMs)
    if (!this.flowing(nowMs)) return undefined
    if (nowMs - this.#mixedMs >= REMIX_MS) {
      this.#mixedMs = nowMs
      this.#dnssec.remix()
    }
    const manner = this.#dnssec.next()
    return this.#requestFor(manner === 'proof' ? this.#proof() : this.#cover.next(nowMs), manner)
  }

  /**
   * A cover that goes before whatever waits: a large one in a small share of slots, any where what
   * waits lets the slot pass. Asked once a slot.
   */
  first(nowMs: number, passes: boolean): CoverRequest | undefined {
    const question = this.flowing(nowMs) ? this.#cover.unconditional() : undefined
    if (question !== undefined) return this.#requestFor(question, 'without')
    return passes ? this.next(nowMs) : undefined
  }

  #requestFor(question: CoverQuestion, manner: DnssecManner): CoverRequest {
    const options = { dnssecOk: manner !== 'without', block: PADDING_BLOCK, keepalive: TRANSPORTS[this.#o.transport].keepalive }
    return { request: withPaddedOpt(question.message, options), question, manner }
  }

  /** A question of a validator about a zone. */
  #proof(): CoverQuestion {
    const number = this.#o.random.below(PROOF_ZONES.length)
    return { message: question(PROOF_ZONES[number] ?? '', DS), kind: 'usual', number }
  }

  /** A cover from `next` was sent: it counts for the day. */
  sent(nowMs: number): void {
    if (this.#permission.sent(nowMs)) this.#endSession()
  }

  flowing(nowMs: number): boolean {
    const state = this.#permission.state(nowMs)
    const covers = state === 'flowing' ? (this.#unlikeness ?? state) : state
    if (covers !== this.#reported) {
      this.#reported = covers
      this.#o.emit({ type: 'shaping.covers', resolver: this.#o.resolver, transport: this.#o.transport, covers })
    }
    return state === 'flowing'
  }

  get #unlikeness(): Unlikeness | undefined {
    return this.#cover.unlikeness ?? (this.#dnssec.unmatched ? 'larger' : undefined)
  }

  /** A cover's reply is only inspected and dropped; it never reaches the cache. */
  answered({ question, manner }: CoverRequest, carried: Carried, nowMs: number): void {
    const { wire, rttMs } = carried
    const dnssecOk = manner !== 'without'
    this.#cover.answered(question, { nowMs, rttMs, octets: wire.length, dnssecOk, ttlS: () => lifetimeS(carried) })
    if (dnssecOk) this.#dnssec.answered(manner, wire.length)
    if (rcodeOf(wire) === REFUSED) this.refused(nowMs)
    else this.#permission.accepted()
  }

  /** REFUSED, or an HTTP status such as 429. */
  refused(nowMs: number): void {
    const reaction = this.#permission.refused(nowMs)
    if (reaction === 'change content') this.#cover.change()
    if (reaction === 'end at step') this.#endSession()
  }

  /** A real query will be sent: the share of covers with DO follows. */
  asked(dnssecOk: boolean): void {
    this.#dnssec.asked(dnssecOk)
  }

  /** A real query was answered: the shares of slow and of large covers follow. */
  real({ wire, rttMs }: Carried, dnssecOk = false): void {
    this.#cover.real(rttMs, dnssecOk ? undefined : wire.length)
    if (dnssecOk) this.#dnssec.answered('real', wire.length)
  }
}

/** How long the resolver keeps it in its cache: the TTL of the name, or of its absence. */
function lifetimeS(carried: Carried): number | undefined {
  const { lowestTtlS, negativeTtlS, hasType } = readingOf(carried)
  return hasType ? lowestTtlS : (negativeTtlS ?? lowestTtlS)
}
