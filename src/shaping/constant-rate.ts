import type { Clock, Random, Timer } from '../clock.ts'
import { repadded } from '../dns/edns.ts'
import { asEnigmError, EnigmError } from '../errors.ts'
import type { Emit } from '../events.ts'
import type { Ask, Carried, Protection, Receiver, ScheduledLink, Transport } from '../resolve.ts'
import { type CoverRequest, CoverTraffic } from './cover-traffic.ts'
import type { Pace } from './profiles.ts'
import { createSchedule, type Schedule } from './schedule.ts'
import { SlotQueue, type WaitingQuery } from './slot-queue.ts'
import type { ShapedLink } from './standby.ts'
import { Vitals } from './vitals.ts'

/** The block of RFC 8467 for queries, to which those in cells of one record are padded. */
const BLOCK_OCTETS = 128
/** A query of 255 octets of name with all of its OPT. */
const LONGEST_OCTETS = 290

/**
 * `request` padded to a block, or where it is longer to the `octets` of its cell; undefined: it
 * does not fit, or is no query of ours.
 */
const cellOf = (request: Uint8Array, octets: number, records: number) =>
  (records === 1 ? repadded(request, BLOCK_OCTETS) : undefined) ?? repadded(request, octets)

/**
 * Real queries that wait for slots; beyond it `overloaded`. At 20 slots a second half of these
 * would wait longer than any deadline.
 */
const MAX_WAITING = 400
/** Of these, for queries that do not give way. */
const HELD_BACK = 50
/**
 * A dial that takes longer fails those that wait, so that another transport or resolver may be
 * asked; it goes on for the next ones.
 */
const DIAL_PATIENCE_MS = 1500
/** What a cover may wait for its reply. */
const COVER_DEADLINE_MS = 5000

export interface ConstantRateOptions {
  readonly pace: Pace
  readonly clock: Clock
  readonly random: Random
  readonly emit: Emit
  /** The resolver's id in the trusted set, for events. */
  readonly resolver: string
  /** Whether its operator puts up with cover traffic; false only where it says that it does not. */
  readonly coverWanted: boolean
  /** A query that shows whether the resolver lives, with its OPT. */
  readonly probe: Uint8Array
  /** This program validates, so all that it asks has DO. Default: it passes DO on as it comes. */
  readonly validates?: boolean
  /** Takes each reply to a cover or to a probe of the link itself: a sign of life of its path. */
  readonly onSignOfLife?: (carried: Carried) => void
}

/**
 * A link on a schedule that what is asked cannot move: one cell a slot, a real query if one waits
 * and else a cover, all of one size and made in one way. A real query waits for a slot until its
 * deadline, a long one for a slot in which a cell of several records begins. Only a client's query
 * opens a session: a probe or a refresh goes in a slot of an open one or fails with `overloaded`;
 * so does a client's on a link that stands by. A slot that finds no connection is lost, for real
 * queries and covers alike. `close` goes on until what waits is answered or late.
 */
export function constantRate<P extends Protection>(link: ScheduledLink<P>, o: ConstantRateOptions): ShapedLink<P> {
  return new ConstantRateLink(link, o)
}

/**
 * What leaves in the next slot, if it is not the session's end. `sent` is told as soon as it has
 * left.
 */
interface PreparedCell<P extends Protection> {
  /** Undefined: it is no query of ours. */
  readonly cell: Uint8Array | undefined
  readonly ask: Ask
  readonly sent: (carried: Promise<Carried<P>>, nowMs: number) => void
}

class ConstantRateLink<P extends Protection> implements ShapedLink<P> {
  readonly id: string
  readonly transport: Transport
  readonly #link: ScheduledLink<P>
  readonly #o: ConstantRateOptions
  readonly #schedule: Schedule
  readonly #covers: CoverTraffic
  readonly #vitals = new Vitals()
  onVitals: (() => void) | undefined
  /** A link that stands by is needed now. */
  #needed = false
  #failing = false
  readonly #queue = new SlotQueue<P>()
  #answers = 0
  /** A cell of several records was answered. */
  #longAnswered = false
  #prepared: PreparedCell<P> | undefined
  #underWay = 0
  #timer: Timer | undefined
  #dialSinceMs: number | undefined
  #closed: (() => void) | undefined
  #finished = false

  constructor(link: ScheduledLink<P>, o: ConstantRateOptions) {
    this.id = link.id
    this.transport = link.transport
    this.#link = link
    this.#o = o
    this.#schedule = createSchedule(o.pace, o.random)
    const { random, emit, resolver } = o
    const setup = {
      random,
      emit,
      resolver,
      transport: link.transport,
      wanted: o.coverWanted,
      coversADay: o.pace.coversADay,
      validates: o.validates === true,
    }
    this.#covers = new CoverTraffic(setup, () => this.#schedule.endAtStep())
    const nowMs = o.clock.nowMs()
    this.#covers.flowing(nowMs)
    if (o.pace.alwaysOn) {
      this.#schedule.begin(nowMs)
      this.#began(nowMs)
    }
  }

  send(request: Uint8Array, ask: Ask, to: Receiver<P>): void {
    const nowMs = this.#o.clock.nowMs()
    const refusal = this.#refusal(ask, nowMs)
    if (refusal !== undefined) {
      to.failed(refusal)
      return
    }
    this.#covers.asked(this.#queue.add(request, ask, to).dnssecOk)
    if (ask.purpose === 'client' && !this.#standsBy) this.#arrived(nowMs)
  }

  get state(): ShapedLink['state'] {
    if (!this.#schedule.open) return 'standby'
    return this.#vitals.failing ? 'failing' : 'serving'
  }

  need(needed: boolean): void {
    this.#needed = needed
    if (needed && this.#standsBy && this.#closed === undefined) this.#arrived(this.#o.clock.nowMs())
  }

  get #standsBy(): boolean {
    return this.#o.pace.standsBy === true
  }

  #refusal(ask: Ask, nowMs: number): EnigmError | undefined {
    if (this.#closed !== undefined) return new EnigmError('closed', `the link to ${this.id} is closed`)
    if (nowMs >= ask.deadlineMs) return late()
    if (this.#queue.size >= MAX_WAITING - (ask.givesWay === true ? HELD_BACK : 0))
      return new EnigmError('overloaded', 'too many queries wait for a slot')
    if ((ask.purpose !== 'client' || this.#standsBy) && !this.#schedule.open)
      return new EnigmError('overloaded', this.#standsBy ? 'the link stands by' : 'only a client opens a session on a shaped link')
    return undefined
  }

  async close(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#closed = resolve
      this.#finishIfDone()
    })
    await this.#link.close()
  }

  #arrived(nowMs: number): void {
    const wasOpen = this.#schedule.open
    this.#schedule.arrived(nowMs)
    if (wasOpen) return
    if (!this.#standsBy) this.#covers.opened(nowMs)
    this.#began(nowMs)
  }

  /** A session has begun: the only time that a dial may be due to a query. */
  #began(nowMs: number): void {
    this.#arm()
    if (!this.#link.ready) this.#connect(nowMs)
  }

  /** Exactly: a slot that is later or earlier by what else happened tells that something did. */
  #arm(): void {
    const { dueMs } = this.#schedule
    this.#timer?.cancel()
    this.#timer = undefined
    if (!Number.isFinite(dueMs)) return
    this.#timer = this.#o.clock.setExactTimer(
      dueMs,
      () => this.#prepare(dueMs),
      () => this.#slot(),
    )
  }

  /**
   * Makes the cell before its moment: a cover takes longer to make than a real query, and would
   * leave later.
   */
  #prepare(dueMs: number): void {
    this.#expire(dueMs)
    this.#prepared = this.#link.ready && !this.#link.unfinished ? this.#nextCell(dueMs) : undefined
  }

  #nextCell(dueMs: number): PreparedCell<P> | undefined {
    const records = this.#records
    const octets = this.#link.octets(records)
    if (records === 0 || octets === undefined) return undefined
    const deadlineMs = dueMs + COVER_DEADLINE_MS
    // What the resolver has never answered in so many records is not trusted to it.
    const trusted = records === 1 || this.#longAnswered
    if (this.#link.doubtful && trusted) {
      const sent = (carried: Promise<Carried<P>>, nowMs: number) => this.#onProbe(carried, nowMs)
      return { cell: cellOf(this.#o.probe, octets, records), ask: { purpose: 'probe', deadlineMs }, sent }
    }
    const waiting = this.#waitingFor(records, octets, trusted)
    if (waiting !== undefined)
      return {
        cell: cellOf(waiting.request, octets, records),
        ask: waiting.ask,
        sent: (carried) => this.#onReal(carried, waiting, records),
      }
    const cover = this.#covers.next(dueMs)
    if (cover === undefined) return undefined
    const sent = (carried: Promise<Carried<P>>, nowMs: number) => this.#onCover(carried, cover, nowMs, records)
    return { cell: cellOf(cover.request, octets, records), ask: { purpose: 'cover', deadlineMs }, sent }
  }

  /** Of the next cell. Where one record holds any query, no other cells are needed. */
  get #records(): number {
    return (this.#link.octets(1) ?? 0) >= LONGEST_OCTETS ? 1 : this.#schedule.records
  }

  /** Long queries wait for a long cell, and come first there. */
  #waitingFor(records: number, octets: number, trusted: boolean): WaitingQuery<P> | undefined {
    const oneRecord = this.#link.octets(1) ?? octets
    const long = records === 1 ? undefined : this.#queue.first(oneRecord, octets)
    return long ?? (trusted ? this.#queue.first(0, oneRecord) : undefined)
  }

  #slot(): void {
    if (this.#finished) return
    const nowMs = this.#o.clock.nowMs()
    if (nowMs >= this.#schedule.dueMs) this.#take(nowMs)
    if (!this.#finished) this.#arm()
  }

  #take(nowMs: number): void {
    this.#vitals.look(nowMs)
    this.#reportVitals()
    if (this.#standsBy && this.#needed) this.#schedule.arrived(nowMs)
    const { slot } = this.#schedule.take(nowMs, this.#standsBy ? 0 : this.#queue.size)
    if (slot === 'close') this.#onSessionEnd(nowMs)
    else if (this.#link.unfinished) this.#link.more()
    else if (!this.#link.ready) this.#connect(nowMs)
    else this.#send(nowMs)
  }

  #onSessionEnd(nowMs: number): void {
    // Told to end though queries wait: they are the next session's first.
    if (this.#standsBy ? this.#needed : this.#queue.size > 0) this.#arrived(nowMs)
    else this.#failAll(new EnigmError('connection-lost', 'the session is over'))
  }

  /** One way for both until it has left. */
  #send(nowMs: number): void {
    if (this.#prepared === undefined) return
    const { cell, ask, sent } = this.#prepared
    this.#prepared = undefined
    sent(cell === undefined ? Promise.reject(new EnigmError('internal', 'fits no cell')) : this.#link.exchange(cell, ask), nowMs)
  }

  #onReal(carried: Promise<Carried<P>>, waiting: WaitingQuery<P>, records: number): void {
    this.#queue.leaves(waiting)
    this.#underWay++
    const answered = (answer: Carried<P>) => {
      this.#onAnswer(records)
      this.#covers.real(answer, waiting.dnssecOk)
      waiting.to.carried(answer)
    }
    const failed = (error: unknown) => this.#onRealFailed(waiting, asEnigmError(error))
    void carried.then(answered, failed).then(() => {
      this.#underWay--
      this.#queue.settled(waiting)
      this.#finishIfDone()
    })
  }

  /**
   * Lost with its connection: once more in a later slot. What is asked again is not seen: a slot is
   * a slot. Lost again, though the resolver answered others since, it is itself to blame.
   */
  #onRealFailed(waiting: WaitingQuery<P>, error: EnigmError): void {
    const { lostAfter, ask, to } = waiting
    if (error.code !== 'connection-lost') to.failed(error)
    else if (lostAfter !== undefined)
      to.failed(new EnigmError(error.code, error.message, { cause: error.cause, ofTheName: this.#answers > lostAfter }))
    else if (!this.#schedule.open || this.#o.clock.nowMs() >= ask.deadlineMs) to.failed(late(waiting))
    else this.#queue.lost(waiting, this.#answers)
  }

  #onCover(carried: Promise<Carried<P>>, cover: CoverRequest, nowMs: number, records: number): void {
    this.#covers.sent(nowMs)
    this.#vitals.sent(nowMs)
    carried.then(
      (answer) => {
        this.#onAnswer(records)
        this.#covers.answered(cover, answer, this.#o.clock.nowMs())
        this.#onSignOfLife(answer)
      },
      (error: unknown) => {
        if (asEnigmError(error).code !== 'http-status') return
        this.#vitals.heard()
        this.#covers.refused(this.#o.clock.nowMs())
      },
    )
  }

  #onAnswer(records: number): void {
    this.#answers++
    this.#longAnswered ||= records > 1
  }

  #onProbe(carried: Promise<Carried<P>>, nowMs: number): void {
    this.#vitals.sent(nowMs)
    carried.then(
      (answer) => this.#onSignOfLife(answer),
      () => {},
    )
  }

  #onSignOfLife(carried: Carried<P>): void {
    this.#vitals.answered(carried)
    this.#o.onSignOfLife?.(carried)
    this.#reportVitals()
  }

  /** Before what waits fails, so that the next link is there to be asked. */
  #reportVitals(): void {
    const { failing } = this.#vitals
    if (failing === this.#failing) return
    this.#failing = failing
    this.onVitals?.()
  }

  #connect(nowMs: number): void {
    this.#dialSinceMs ??= nowMs
    if (nowMs - this.#dialSinceMs >= DIAL_PATIENCE_MS)
      this.#dialFailed(new EnigmError('connect-timeout', `no connection to ${this.id} in time`))
    this.#link.open().then(
      () => {
        this.#dialSinceMs = undefined
        this.#vitals.dialled(true)
        this.#reportVitals()
      },
      (error: unknown) => {
        this.#dialSinceMs = undefined
        this.#dialFailed(asEnigmError(error))
      },
    )
  }

  #dialFailed(error: EnigmError): void {
    this.#vitals.dialled(false)
    this.#reportVitals()
    this.#failAll(error)
  }

  #failAll(error: EnigmError): void {
    this.#queue.failAll(error)
    this.#finishIfDone()
  }

  #expire(nowMs: number): void {
    this.#queue.expire(nowMs, late)
    this.#finishIfDone()
  }

  #finishIfDone(): void {
    if (this.#closed === undefined || this.#queue.size > 0 || this.#underWay > 0) return
    this.#finished = true
    this.#timer?.cancel()
    this.#closed()
  }
}

/** What was lost and could not be asked again is not one that nobody answered. */
const late = (waiting?: { readonly lostAfter: number | undefined }) =>
  waiting?.lostAfter === undefined
    ? new EnigmError('deadline', 'no slot and answer in time')
    : new EnigmError('connect-timeout', 'no slot on another connection in time')
