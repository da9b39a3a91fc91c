import type { Clock, Random, Timer } from '../clock.ts'
import { repadded } from '../dns/edns.ts'
import { asEnigmError, EnigmError } from '../errors.ts'
import type { Emit } from '../events.ts'
import type { Ask, Carried, Protection, Receiver, ScheduledLink, Transport } from '../resolve.ts'
import { type CoverRequest, CoverTraffic } from './cover-traffic.ts'
import type { Pace } from './profiles.ts'
import { createSchedule, type Schedule } from './schedule.ts'
import { late, SlotQueue, type WaitingQuery } from './slot-queue.ts'
import type { ShapedLink } from './standby.ts'
import { Vitals } from './vitals.ts'

/** The padding block for queries (RFC 8467). Queries in cells of one record are padded to it. */
const BLOCK_OCTETS = 128
/** The length of a query with a name of 255 octets and its OPT. */
const LONGEST_OCTETS = 290

/**
 * Pads `request` to the `octets` of its cell. In a cell of one record it pads to a block instead,
 * if `request` fits in one. Undefined: it does not fit in the cell, or it is not one of our
 * queries.
 */
const cellOf = (request: Uint8Array, octets: number, records: number) =>
  (records === 1 ? repadded(request, BLOCK_OCTETS) : undefined) ?? repadded(request, octets)

/**
 * Limit of real queries that wait for slots. Further queries get `overloaded`. At 20 slots per
 * second half of these would wait longer than any deadline.
 */
const MAX_WAITING = 400
/** How many of these are reserved for clients with few queries in progress: see `Ask.givesWay`. */
const HELD_BACK = 50
/**
 * If a dial takes longer than this, the waiting queries fail, so that another transport or resolver
 * can be asked. The dial continues for later queries.
 */
const DIAL_PATIENCE_MS = 1500
/** Limit for the reply to a cover. */
const COVER_DEADLINE_MS = 5000

export interface ConstantRateOptions {
  readonly pace: Pace
  readonly clock: Clock
  readonly random: Random
  readonly emit: Emit
  /** The resolver's id in the trusted set, for events. */
  readonly resolver: string
  /** False only if the operator states that it wants no cover traffic. */
  readonly coverWanted: boolean
  /** The query with its OPT that tests whether the resolver is alive. */
  readonly probe: Uint8Array
  /** Called with each reply to a cover or a probe of the link. It shows that the path is alive. */
  readonly onSignOfLife?: (carried: Carried) => void
}

/**
 * Makes a link that sends on a schedule. Queries decide only when a session opens and at which step
 * it ends (schedule.ts). Each slot sends one record, and all records have one size. A cell is one
 * record, or at fixed slots two or three. It holds the first of these that there is: a probe, if
 * the connection is in doubt; a cover that must go before queries; a waiting query; another cover.
 *
 * A query waits for a slot until its deadline. A long query waits for a slot in which a cell of
 * several records begins. Probes and refreshes never open a session: they use an open one, or fail
 * with `overloaded`. This is also true for the queries of clients on a spare link (`Pace.isSpare`).
 * A slot without a connection is lost, for queries and for covers. `close` waits until the waiting
 * queries are answered or late.
 */
export function constantRate<P extends Protection>(link: ScheduledLink<P>, o: ConstantRateOptions): ShapedLink<P> {
  return new ConstantRateLink(link, o)
}

/**
 * What the next slot sends. It is not sent if the session ends at that slot. `sent` is called when
 * the cell is written.
 */
interface PreparedCell<P extends Protection> {
  /** Undefined: the request does not fit in the cell, or it is not one of our queries. */
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
  /** Whether the links before this spare link fail, so that its session must be open. */
  #needed = false
  #failing = false
  readonly #queue: SlotQueue<P>
  #answers = 0
  /** Whether a cell of several records was ever answered. */
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
    this.#queue = new SlotQueue(o.random, o.pace.leadSlots)
    const { random, emit, resolver } = o
    const setup = {
      random,
      emit,
      resolver,
      transport: link.transport,
      wanted: o.coverWanted,
      coversADay: o.pace.coversADay,
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
    this.#covers.asked(this.#queue.add(request, ask, to, nowMs).dnssecOk)
    if (ask.purpose === 'client' && !this.#isSpare) this.#arrived(nowMs)
  }

  get state(): ShapedLink['state'] {
    if (!this.#schedule.open) return 'standby'
    return this.#vitals.failing ? 'failing' : 'serving'
  }

  need(needed: boolean): void {
    this.#needed = needed
    if (needed && this.#isSpare && this.#closed === undefined) this.#arrived(this.#o.clock.nowMs())
  }

  /** Whether `need` opens its sessions, and never a query. */
  get #isSpare(): boolean {
    return this.#o.pace.isSpare === true
  }

  #refusal(ask: Ask, nowMs: number): EnigmError | undefined {
    if (this.#closed !== undefined) return new EnigmError('closed', `the link to ${this.id} is closed`)
    if (nowMs >= ask.deadlineMs) return late()
    if (this.#queue.size >= MAX_WAITING - (ask.givesWay === true ? HELD_BACK : 0))
      return new EnigmError('overloaded', 'too many queries wait for a slot')
    if ((ask.purpose !== 'client' || this.#isSpare) && !this.#schedule.open)
      return new EnigmError('overloaded', this.#isSpare ? 'the link stands by' : 'only a client opens a session on a shaped link')
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
    if (!this.#isSpare) this.#covers.opened(nowMs)
    this.#began(nowMs)
  }

  /** Starts a session, and dials. Later each slot without a connection dials, and nothing else. */
  #began(nowMs: number): void {
    this.#arm()
    if (!this.#link.ready) this.#connect(nowMs)
  }

  /**
   * Sets an exact timer for the next slot. A slot that depends on other events would reveal them.
   */
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
   * Makes the next cell before its slot. A cover takes longer to make than a real query, and would
   * otherwise be sent later.
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
    // A cell of several records holds real queries only after the resolver has answered one.
    const trusted = records === 1 || this.#longAnswered
    if (this.#link.doubtful && trusted) {
      const sent = (carried: Promise<Carried<P>>, nowMs: number) => this.#onProbe(carried, nowMs)
      return { cell: cellOf(this.#o.probe, octets, records), ask: { purpose: 'probe', deadlineMs }, sent }
    }
    const first = records === 1 ? this.#covers.first(dueMs, this.#queue.passes()) : undefined
    const waiting = first === undefined ? this.#waitingFor(records, octets, trusted) : undefined
    if (waiting !== undefined)
      return {
        cell: cellOf(waiting.request, octets, records),
        ask: waiting.ask,
        sent: (carried) => this.#onReal(carried, waiting, records),
      }
    const cover = first ?? this.#covers.next(dueMs)
    if (cover === undefined) return undefined
    const sent = (carried: Promise<Carried<P>>, nowMs: number) => this.#onCover(carried, cover, nowMs, records)
    return { cell: cellOf(cover.request, octets, records), ask: { purpose: 'cover', deadlineMs }, sent }
  }

  /** The number of records of the next cell. It is 1 if one record holds any query. */
  get #records(): number {
    return (this.#link.octets(1) ?? 0) >= LONGEST_OCTETS ? 1 : this.#schedule.records
  }

  /** The query for a cell. Long queries wait for a long cell, and have precedence in it. */
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
    if (this.#isSpare && this.#needed) this.#schedule.arrived(nowMs)
    const { slot } = this.#schedule.take(nowMs, this.#isSpare ? 0 : this.#queue.size)
    if (slot === 'close') this.#onSessionEnd(nowMs)
    else if (this.#link.unfinished) this.#link.more()
    else if (!this.#link.ready) this.#connect(nowMs)
    else this.#send(nowMs)
  }

  #onSessionEnd(nowMs: number): void {
    // The session ended, but queries wait: they start the next session.
    if (this.#isSpare ? this.#needed : this.#queue.size > 0) this.#arrived(nowMs)
    else this.#failAll(new EnigmError('connection-lost', 'the session is over'))
  }

  /** Sends the cell. Real queries and covers take the same code path until the cell is written. */
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
   * Retries a query once in a later slot if it was lost with its connection. An observer cannot see
   * a retry, because all slots look the same. If the query is lost again although the resolver
   * answered others meanwhile, the query itself is the cause.
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

  /**
   * Reports the health of the link. Called before waiting queries fail, so that the
   * spare link to which they then go opens in time.
   */
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
    this.#queue.expire(nowMs)
    this.#finishIfDone()
  }

  #finishIfDone(): void {
    if (this.#closed === undefined || this.#queue.size > 0 || this.#underWay > 0) return
    this.#finished = true
    this.#timer?.cancel()
    this.#closed()
  }
}
