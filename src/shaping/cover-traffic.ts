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
 * Why no cover is sent: the operator wants none (`claim`), it refused them, or the daily limit is
 * used up. `flowing`: covers are sent.
 */
export type CoverState = 'flowing' | 'claim' | 'refused' | 'used-up'

/** The same, or how real queries differ from the covers that are sent. */
export type CoverReport = CoverState | Unlikeness

/**
 * How many results are considered. The next number says how many refusals among them are too many.
 * A few are normal, because a filter may refuse a popular name.
 */
const WINDOW = 32
const TOO_MANY = 12
/** After this many accepted in a row, earlier refusals are forgotten. */
const FORGIVEN = 2000
const DAY_MS = 86_400_000
const FIRST_PAUSE_MS = 600_000
const LONGEST_PAUSE_MS = DAY_MS

/** How the owner must react to a refusal. */
export type RefusalReaction = 'go on' | 'change content' | 'end at step'

/**
 * Decides whether covers may be sent over one link. The operator's claim, its refusals and the
 * budget decide. After too many refusals the content changes. If they continue, covers pause for 10
 * minutes, then for double the time, up to a day. It is pure state: its owner provides the time.
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

  /** A cover was refused: RCODE REFUSED, or an HTTP status such as 429. */
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
}

const DS = 43
/** The interval of checks for regular queries, while a session is open. */
const BEACON_LOOK_MS = 5000

/** One cover, made in the same way as an upstream makes a query. */
export interface CoverRequest {
  readonly request: Uint8Array
  readonly question: CoverQuestion
  readonly manner: DnssecManner
}

/**
 * Makes the covers of one link. It chooses their questions, decides whether they may be sent, and
 * learns from their replies. `endSession` is called when covers must end at the session's next
 * step.
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
    this.#dnssec = new DnssecCovers(o.random)
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
   * The next cover. It must be sent once. Undefined: none may be sent now. An event reports when
   * covers stop or start, and when real queries can or cannot be distinguished from covers. If
   * covers stop or can be distinguished, the profile is not in force.
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
   * A cover that is sent even if a real query waits: a large one in a small share of slots, or any
   * one if the waiting query lets this slot pass (`passes`). Called once per slot.
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

  /** A question as a validator asks it about a zone. */
  #proof(): CoverQuestion {
    const number = this.#o.random.below(PROOF_ZONES.length)
    return { message: question(PROOF_ZONES[number] ?? '', DS), kind: 'usual', number }
  }

  /** A cover from `next` was sent. It counts for the daily limit. */
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

  /** Inspects the reply to a cover. The reply is then dropped and never reaches the cache. */
  answered({ question, manner }: CoverRequest, carried: Carried, nowMs: number): void {
    const { wire, rttMs } = carried
    const dnssecOk = manner !== 'without'
    this.#cover.answered(question, { nowMs, rttMs, octets: wire.length, dnssecOk, ttlS: () => lifetimeS(carried) })
    if (dnssecOk) this.#dnssec.answered(manner, wire.length)
    if (rcodeOf(wire) === REFUSED) this.refused(nowMs)
    else this.#permission.accepted()
  }

  /** A cover was refused: RCODE REFUSED, or an HTTP status such as 429. */
  refused(nowMs: number): void {
    const reaction = this.#permission.refused(nowMs)
    if (reaction === 'change content') this.#cover.change()
    if (reaction === 'end at step') this.#endSession()
  }

  /** A real query will be sent. The share of covers with DO follows the real queries. */
  asked(dnssecOk: boolean): void {
    this.#dnssec.asked(dnssecOk)
  }

  /** A real query was answered. The shares of slow and of large covers follow the real replies. */
  real({ wire, rttMs }: Carried, dnssecOk = false): void {
    this.#cover.real(rttMs, dnssecOk ? undefined : wire.length)
    if (dnssecOk) this.#dnssec.answered('real', wire.length)
  }
}

/** How long the resolver keeps a reply in its cache: its TTL, or the negative TTL. */
function lifetimeS(carried: Carried): number | undefined {
  const { lowestTtlS, negativeTtlS, hasType } = readingOf(carried)
  return hasType ? lowestTtlS : (negativeTtlS ?? lowestTtlS)
}
