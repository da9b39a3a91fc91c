import type { Random } from '../clock.ts'
import { leastOctets, readOpt } from '../dns/edns.ts'
import { EnigmError } from '../errors.ts'
import type { Ask, Protection, Receiver } from '../resolve.ts'

/** A real query that waits for a slot, or was sent in one. */
export interface WaitingQuery<P extends Protection> {
  readonly request: Uint8Array
  readonly ask: Ask
  readonly to: Receiver<P>
  /** The octets that its cell needs at least. */
  readonly octets: number
  readonly dnssecOk: boolean
  /** Its position in the order of sending. */
  turn: number
  /** The number of answers when its connection died. Undefined: it was not lost. */
  lostAfter: number | undefined
}

/** A query that comes after a pause of this length begins a page. */
const PAUSE_MS = 1000

/**
 * The real queries that wait for slots of one link, in random order. After a pause, the first
 * queries let up to `leadSlots` slots pass. So the first names of a page mix with those that
 * follow.
 */
export class SlotQueue<P extends Protection> {
  readonly #random: Random
  readonly #leadSlots: number
  #lastMs = Number.NEGATIVE_INFINITY
  #lead = 0
  #queue: WaitingQuery<P>[] = []
  /**
   * The queries that were lost with their connection, in the order of sending. One of them may be
   * the cause, so they are retried one at a time.
   */
  #lost: WaitingQuery<P>[] = []
  #again: WaitingQuery<P> | undefined
  #turn = 0

  constructor(random: Random, leadSlots = 0) {
    this.#random = random
    this.#leadSlots = leadSlots
  }

  get size(): number {
    return this.#queue.length + this.#lost.length
  }

  /**
   * The query for the next slot that needs more than `least` octets and at most `most`.
   */
  first(least: number, most: number): WaitingQuery<P> | undefined {
    const fits = ({ octets }: WaitingQuery<P>) => octets > least && octets <= most
    return (this.#again === undefined ? this.#lost.find(fits) : undefined) ?? this.#queue.find(fits)
  }

  /** Whether the waiting queries let this slot pass. Must be called once per slot. */
  passes(): boolean {
    if (this.size === 0 || this.#lead === 0) return false
    this.#lead--
    return true
  }

  /**
   * Adds a query at a random place. Otherwise an observer could recognize a page: its order of
   * names, and which of them are slow, are the same at each visit. Queries that give way come after
   * all others.
   */
  add(request: Uint8Array, ask: Ask, to: Receiver<P>, nowMs: number): WaitingQuery<P> {
    if (this.#leadSlots > 0 && nowMs - this.#lastMs > PAUSE_MS) this.#lead = this.#random.below(this.#leadSlots + 1)
    this.#lastMs = nowMs
    const givesWay = this.#queue.findIndex((waiting) => waiting.ask.givesWay === true)
    const before = givesWay < 0 ? this.#queue.length : givesWay
    const [least, most] = ask.givesWay === true ? [before, this.#queue.length] : [0, before]
    const dnssecOk = readOpt(request)?.dnssecOk === true
    const waiting = { request, ask, to, octets: leastOctets(request), dnssecOk, turn: 0, lostAfter: undefined }
    this.#queue.splice(least < most ? least + this.#random.below(most - least + 1) : least, 0, waiting)
    return waiting
  }

  /**
   * A query leaves the queue. It may not be the first one any more: after it was prepared, a query
   * that does not give way may have come before it.
   */
  leaves(waiting: WaitingQuery<P>): void {
    for (const queue of [this.#queue, this.#lost]) {
      const at = queue.indexOf(waiting)
      if (at >= 0) queue.splice(at, 1)
    }
    waiting.turn = ++this.#turn
    if (waiting.lostAfter !== undefined) this.#again = waiting
  }

  /** A query was sent, and its result is known. */
  settled(waiting: WaitingQuery<P>): void {
    if (this.#again === waiting) this.#again = undefined
  }

  /** A query was lost with its connection, and will be retried. */
  lost(waiting: WaitingQuery<P>, answersSoFar: number): void {
    waiting.lostAfter = answersSoFar
    const behind = this.#lost.findIndex(({ turn }) => turn > waiting.turn)
    this.#lost.splice(behind < 0 ? this.#lost.length : behind, 0, waiting)
  }

  /** Fails late queries. */
  expire(nowMs: number): void {
    for (const queue of [this.#lost, this.#queue]) {
      if (!queue.some(({ ask }) => ask.deadlineMs <= nowMs)) continue
      for (const waiting of queue.splice(0)) {
        if (waiting.ask.deadlineMs <= nowMs) waiting.to.failed(late(waiting))
        else queue.push(waiting)
      }
    }
  }

  failAll(error: EnigmError): void {
    for (const waiting of [...this.#lost.splice(0), ...this.#queue.splice(0)]) waiting.to.failed(error)
  }
}

/**
 * The error of a query whose deadline is over. If it was lost with its connection before, the path
 * is the cause, and not the wait for a slot.
 */
export const late = (waiting?: { readonly lostAfter: number | undefined }): EnigmError =>
  waiting?.lostAfter === undefined
    ? new EnigmError('deadline', 'no slot and answer in time')
    : new EnigmError('connect-timeout', 'no slot on another connection in time')
