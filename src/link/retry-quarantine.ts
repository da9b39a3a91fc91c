import type { Clock, Timer } from '../clock.ts'
import { repadded, withPaddedOpt } from '../dns/edns.ts'
import { ROOT_PROBE } from '../dns/message.ts'
import { EnigmError } from '../errors.ts'
import type { Carried, Protection } from '../resolve.ts'
import type { Loss } from './carriers/carrier.ts'
import { TurnQueue } from './carriers/turn-queue.ts'
import type { Liveness } from './liveness.ts'
import type { Pending, QuarantineEntry } from './pending.ts'
import type { Pool } from './pool.ts'
import { isGone, type PooledConnection } from './pooled-connection.ts'

/** Limit of lanes at once. */
const MOST_LANES = 8
/**
 * A lane is added for each 400 ms of waiting work. The work is one round trip per waiting question.
 */
const LANE_WORK_MS = 400
/**
 * If the waiting work is more than this for all lanes, each lane gets as many questions at once as
 * are needed to finish in this time.
 */
const ALL_WORK_MS = 2000
/** Assumed before the first round trip is measured. */
const UNKNOWN_RTT_MS = 100
/**
 * After this many lanes in a row died before they proved that the resolver answers, questions are
 * sent on `current` while it is alive.
 */
const LOST_LANES = 10
/** For 30 ms after a death, an answer to a new query may prove that the resolver answers. */
const GRACE_MS = 30
/** The pause between an answer and the next question on the same lane. */
const REST_MS = 2

/** The link whose questions are in quarantine. */
export interface QuarantineLink<P extends Protection> {
  /** Sends one question. At most `atOnce` questions may be in flight on the connection. */
  send(connection: PooledConnection<P>, pending: Pending<P>, atOnce: number): void
  /** Something changed, and the link must continue. */
  goOn(): void
  /** No connection can be dialled. */
  dialFailed(error: EnigmError): void
}

/**
 * Holds the questions that were in flight on a connection that died (RFC 7766 section 6.2.4). One
 * of them may be the cause, so each is retried alone on a lane: a connection that carries no other
 * queries. If the lane dies too, only this question fails; the others were not written yet. The
 * question written last is the most likely cause, so it waits for all others. Before a question is
 * sent on a lane, there must be a proof that the resolver answers on new connections: the answer to
 * another query on the next connection, or to a query for the root on the lane itself.
 */
export class RetryQuarantine<P extends Protection> {
  /** Whether queries wait for a lane instead of a dial, because the lane will become `current`. */
  laneToBeCurrent = false
  readonly #liveness: Liveness<P>
  readonly #pool: Pool<P>
  readonly #clock: Clock
  readonly #link: QuarantineLink<P>
  readonly #probe: Uint8Array
  #arrived: Pending<P>[] = []
  readonly #first = new TurnQueue<QuarantineEntry<P>>()
  readonly #last = new TurnQueue<QuarantineEntry<P>>()
  /**
   * Whether a connection has answered that is newer than the last death. `#diedUpTo`: the number of
   * the newest connection at that death. `#diedMs`: the time of that death.
   */
  #proven = true
  #diedUpTo = 0
  #diedMs = 0
  #lostLanes = 0
  /** Whether the resolver closes after so few answers that none is spent on a proof. */
  #closesEarly = false
  #answersEach = Number.POSITIVE_INFINITY
  #look: Timer | undefined

  constructor(liveness: Liveness<P>, clock: Clock, link: QuarantineLink<P>, probe: Uint8Array = ROOT_PROBE) {
    this.#liveness = liveness
    this.#pool = liveness.pool
    this.#clock = clock
    this.#link = link
    this.#probe = withPaddedOpt(probe, { dnssecOk: false, block: 0, keepalive: false })
  }

  /** Whether no question waits and no lane exists. */
  get idle(): boolean {
    return this.size === 0 && this.#arrived.length === 0 && this.#pool.lanes.length === 0
  }

  /** How many questions wait in the queues. */
  get size(): number {
    return this.#first.size + this.#last.size
  }

  /** Adds a query whose connection has just died. `answered`: it had answered other queries. */
  add(pending: Pending<P>, answered: boolean): void {
    pending.quarantined = { pending, needsNoProof: answered, before: undefined, after: undefined, holder: undefined }
    if (this.#arrived.push(pending) > 1) return
    queueMicrotask(() => {
      this.#settle()
      this.#link.goOn()
    })
  }

  /** Sorts the questions of one death into the queues. */
  #settle(): void {
    const arrived = this.#arrived.sort((a, b) => a.turn - b.turn)
    this.#arrived = []
    arrived.forEach(({ quarantined: entry, ask, refusals }, i) => {
      const most = i > 0 && i === arrived.length - 1
      if (entry === undefined) return
      if (arrived.length > 1 && refusals === 0) entry.needsNoProof = false
      const queue = most ? this.#last : this.#first
      queue.add(entry, ask.givesWay === true)
    })
  }

  /** Removes and returns the next question. */
  next(): Pending<P> | undefined {
    const entry = this.#queue.next(1)
    if (entry !== undefined) entry.pending.quarantined = undefined
    return entry?.pending
  }

  /** Removes a question that was answered, has failed or is out of time. */
  delete(pending: Pending<P>): void {
    const { quarantined: entry } = pending
    if (entry === undefined) return
    pending.quarantined = undefined
    if (!this.#first.delete(entry) && !this.#last.delete(entry)) this.#arrived = this.#arrived.filter((other) => other !== pending)
  }

  /** A query was answered on `connection`. `trial`: it was a question of the quarantine. */
  answered(connection: PooledConnection<P>, trial: boolean): void {
    if (connection.number > this.#diedUpTo) this.#proven = true
    if (trial && this.size > 0) this.#pause(connection)
  }

  /** A connection died under a query. */
  connectionDied(): void {
    this.#diedUpTo = this.#pool.newest
    this.#diedMs = this.#clock.nowMs()
    this.#proven = false
    this.laneToBeCurrent = false
  }

  /**
   * A connection drains. It may have given as many answers as all connections of the resolver do.
   */
  tookNoMore({ served }: PooledConnection<P>): void {
    if (served > 0) this.#answersEach = Math.min(this.#answersEach, served)
  }

  /** Whether a connection gave as many answers as others gave before they drained. */
  isUsedUp({ served }: PooledConnection<P>): boolean {
    return served >= this.#answersEach
  }

  /** A lane drained before its work was finished. */
  cutShort(): void {
    this.#closesEarly = true
  }

  /**
   * Forgets what was learnt, because the network changed and the resolver there may be another
   * machine. Returns all questions that wait.
   */
  renew(): readonly Pending<P>[] {
    this.#settle()
    const all: Pending<P>[] = []
    for (let pending = this.next(); pending !== undefined; pending = this.next()) all.push(pending)
    this.laneToBeCurrent = false
    this.#closesEarly = false
    this.#answersEach = Number.POSITIVE_INFINITY
    this.#lostLanes = 0
    return all
  }

  close(): void {
    this.#look?.cancel()
  }

  /** Gives free lanes their next question and dials as many lanes as needed. */
  drive(): void {
    const { lanes, current } = this.#pool
    const rttMs = this.#liveness.rttMs ?? UNKNOWN_RTT_MS
    for (const lane of lanes.slice()) this.#feed(lane)
    if (current !== undefined && current.served > 0 && this.#lostLanes >= LOST_LANES) this.#feed(current)
    if (this.size === 0) {
      if (lanes.length === 0 && this.#arrived.length === 0) this.laneToBeCurrent = false
      return
    }
    const wanted = Math.min(MOST_LANES, Math.ceil((this.size * rttMs) / LANE_WORK_MS))
    const refusal = this.#pool.wantLanes(wanted, this.laneToBeCurrent ? 1 : MOST_LANES)
    if (refusal !== undefined) this.laneFailed(refusal)
  }

  /**
   * No lane can be dialled. Questions are sent on `current`, or on the next connection. If there is
   * neither, they fail.
   */
  laneFailed(error: EnigmError): void {
    const { current, dialling } = this.#pool
    this.laneToBeCurrent = false
    if (current === undefined) {
      if (!dialling) this.#link.dialFailed(error)
    } else if (this.#lostLanes < LOST_LANES) {
      this.#lostLanes = LOST_LANES
      this.#link.goOn()
    }
  }

  /** The queue of the next question. */
  get #queue(): TurnQueue<QuarantineEntry<P>> {
    const fits = this.#first.sizeFirst > 0 || (this.#last.sizeFirst === 0 && this.#first.size > 0)
    return fits ? this.#first : this.#last
  }

  /** Sends the next question on `connection`, if it is free. */
  #feed(connection: PooledConnection<P>): void {
    const { answers } = this.#pool
    const { doubt } = connection.silence
    if (doubt === 'dead' || connection.state === 'draining') this.laneToBeCurrent = false
    if (doubt === 'dead' && connection.trialStep.is === 'proving')
      this.#pool.drop(connection, new EnigmError('connection-lost', 'the resolver went silent'))
    if (doubt !== 'none' || !(connection.state === 'lane' || connection.state === 'current')) return
    if (connection.owed > 0 || connection.trialStep.is !== 'free') return
    if (this.size > 0 && answers && connection.served === 0 && !this.#trusts()) {
      if (!this.#soonProven(connection)) this.#prove(connection)
      return
    }
    const all = this.size * (this.#liveness.rttMs ?? UNKNOWN_RTT_MS)
    const atOnce = Math.max(1, Math.ceil(all / (MOST_LANES * ALL_WORK_MS)))
    while (connection.owed < atOnce) {
      const pending = this.next()
      if (pending === undefined) break
      this.#link.send(connection, pending, atOnce)
    }
    if (connection.owed === 0 && connection.state === 'lane') this.#pool.release(connection)
  }

  /**
   * Whether the next question may be sent on a connection that has not answered anything yet. False
   * while another question is in flight, because it may kill the next connections too.
   */
  #trusts(): boolean {
    if (this.#closesEarly || this.#queue.peek?.needsNoProof === true) return true
    return this.#proven && this.#pool.lanes.every(({ owed }) => owed === 0)
  }

  /** Whether another query may soon prove that the resolver answers. */
  #soonProven(lane: PooledConnection<P>): boolean {
    const { current, dialling } = this.#pool
    const asked = current !== undefined && current.number > this.#diedUpTo && current.carrier.inFlight > 0
    const untilMs = dialling || asked ? lane.silence.idleSinceMs + this.#liveness.silenceMs : this.#diedMs + GRACE_MS
    const leftMs = untilMs - this.#clock.nowMs()
    if (leftMs <= 0) return false
    this.#look ??= this.#clock.setTimer(leftMs, () => {
      this.#look = undefined
      this.#link.goOn()
    })
    return true
  }

  /**
   * Waits after an answer. Some servers close after each answer without notice, and a question that
   * is written at that moment would look like the cause.
   */
  #pause(connection: PooledConnection<P>): void {
    connection.trialStep = { is: 'pausing' }
    this.#clock.setTimer(REST_MS, () => {
      if (connection.trialStep.is === 'pausing') connection.trialStep = { is: 'free' }
      if (connection.state === 'draining' || isGone(connection)) this.#closesEarly = true
      this.#link.goOn()
    })
  }

  /** Sends a query for the root that is as long as the next question. */
  #prove(lane: PooledConnection<P>): void {
    const over = (spoke: boolean) => {
      this.#lostLanes = spoke ? 0 : this.#lostLanes + 1
      if (!spoke) this.laneToBeCurrent = false
      this.#link.goOn()
    }
    const answered = ({ rttMs }: Carried<P>) => {
      this.#liveness.answered(lane, rttMs)
      this.#pause(lane)
      over(true)
    }
    // A connection that answers is alive, even if it refuses the query.
    const failed = (_error: EnigmError, loss: Loss) => {
      if (loss === 'final') this.#pool.answered(lane)
      lane.trialStep = { is: 'free' }
      over(loss === 'final')
    }
    const octets = this.#queue.peek?.pending.request.length ?? 0
    lane.trialStep = { is: 'proving', probe: lane.carrier.send(repadded(this.#probe, octets) ?? this.#probe, { answered, failed }) }
    this.#liveness.sent(lane, this.#clock.nowMs())
  }
}
