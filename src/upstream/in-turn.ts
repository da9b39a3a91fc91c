import type { Clock } from '../clock.ts'
import { readingOf } from '../dns/reading.ts'
import { EnigmError, isOurs, mayBeTheName } from '../errors.ts'
import type { Ask, Carried, Protection, Receiver, Transport } from '../resolve.ts'
import { MOST_TOLD } from './flight.ts'
import type { Candidate, Roster } from './roster.ts'
import { type Failure, mostTelling } from './telling.ts'
import { verdictOn } from './verdict.ts'

/**
 * One query over shaped links: one resolver at a time, the next only where the network failed the one before or the resolver could not read what came. Nothing is asked twice at once, nothing because an
 * answer is slow or of a kind that another operator might better: a session that opens on a second link because of what a query met would tell of the query.
 */
export function askInTurn<P extends Protection>(
  roster: Roster<P>,
  clock: Clock,
  message: Uint8Array,
  dnssecOk: boolean,
  ask: Ask,
  to: Receiver<P, [transport: Transport, upstream: string]>,
): void {
  new Turns(roster, clock, message, dnssecOk, ask, to).next()
}

class Turns<P extends Protection> implements Ask, Receiver<P, [transport: Transport]> {
  readonly purpose: Ask['purpose']
  readonly deadlineMs: number
  readonly givesWay: true | undefined
  readonly #roster: Roster<P>
  readonly #clock: Clock
  readonly #message: Uint8Array
  readonly #dnssecOk: boolean
  readonly #to: Receiver<P, [transport: Transport, upstream: string]>
  readonly #failures: Failure[] = []
  readonly #asked: Candidate<P>[] = []
  #startedMs = 0
  /**
   * Resolvers that the query was written to, and whether the one that is asked now is among them.
   */
  #told = 0
  #tells = false

  constructor(
    roster: Roster<P>,
    clock: Clock,
    message: Uint8Array,
    dnssecOk: boolean,
    { purpose, deadlineMs, givesWay }: Ask,
    to: Receiver<P, [transport: Transport, upstream: string]>,
  ) {
    this.#roster = roster
    this.#clock = clock
    this.#message = message
    this.#dnssecOk = dnssecOk
    this.purpose = purpose
    this.deadlineMs = deadlineMs
    this.givesWay = givesWay
    this.#to = to
  }

  mayLeave(): boolean {
    if (!this.#tells) this.#told++
    this.#tells = true
    return true
  }

  /** Asks the next one, or ends. */
  next(): void {
    const startedMs = this.#clock.nowMs()
    const mayAsk = this.#told < MOST_TOLD && startedMs < this.deadlineMs
    const candidate = mayAsk ? this.#roster.next(this.#asked) : undefined
    if (candidate === undefined) {
      this.#giveUp()
      return
    }
    this.#asked.push(candidate)
    this.#startedMs = startedMs
    this.#tells = false
    candidate.standing.lastTriedMs = startedMs
    candidate.upstream.ask(this.#message, this.#dnssecOk, this, this)
  }

  carried(carried: Carried<P>, transport: Transport): void {
    const candidate = this.#asked.at(-1)
    if (candidate === undefined) return
    const nowMs = this.#clock.nowMs()
    const reading = readingOf(carried)
    const { final, ofHop } = verdictOn(reading)
    if (ofHop) {
      this.#failures.push({ who: candidate.upstream.id, error: this.#roster.spokeOfHop(candidate, reading.rcode) })
      this.next()
      return
    }
    if (final) this.#roster.answered(candidate, carried.rttMs, nowMs - this.#startedMs, nowMs)
    else this.#roster.unsettled(candidate)
    this.#to.carried(carried, transport, candidate.upstream.id)
  }

  failed(error: EnigmError): void {
    const candidate = this.#asked.at(-1)
    if (candidate === undefined) return
    const fault = this.#roster.rejected(candidate, error, this.#startedMs)
    this.#failures.push({ who: candidate.upstream.id, error: fault })
    if (isOurs(fault.code) || mayBeTheName(fault)) this.#giveUp()
    else this.next()
  }

  #giveUp(): void {
    const none = this.#failures.length === 0
    this.#to.failed(none ? new EnigmError('deadline', 'no time left to ask') : mostTelling('no resolver answered', this.#failures))
  }
}
