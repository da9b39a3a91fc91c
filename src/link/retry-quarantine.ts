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

/** More lanes than this are never up at once. */
const MOST_LANES = 8
/** A lane is added for so much work that waits, in round trips of one question after the other. */
const LANE_WORK_MS = 400
/** And where as many as there may be have more than this, so many go at once that they are done in it. */
const ALL_WORK_MS = 2000
/** Before the first round trip is measured. */
const UNKNOWN_RTT_MS = 100
/** After so many lanes in a row that died before they showed that the resolver answers, the connection that all use must do, while it lives. */
const LOST_LANES = 10
/** For so long after a death others may ask something, whose answer shows that the resolver answers. */
const GRACE_MS = 30
/** How long after an answer the next question is written on the same lane. */
const REST_MS = 2

/** The link whose questions they are. */
export interface QuarantineLink<P extends Protection> {
  /** Writes one out of the quarantine, with so many at once. */
  send(connection: PooledConnection<P>, pending: Pending<P>, atOnce: number): void
  /** There is room, or somebody waits for another connection. */
  goOn(): void
  /** Nobody can be asked. */
  dialFailed(error: EnigmError): void
}

/**
 * Questions whose connection died under them (RFC 7766 section 6.2.4). One of them may be why, so each is asked once more, alone on a connection apart from the one that
 * all others use, a lane: a second death convicts one question, and the others, which were not written, have lost nothing. Who was written last is suspected most and
 * waits for all others. Before a lane is trusted with one, something must show that the resolver answers on new connections: what others ask on the next one, or
 * else a question of the lane's own for the root.
 */
export class RetryQuarantine<P extends Protection> {
  /** Some wait for a lane instead of a dial: it is to be the connection that all use. */
  laneToBeCurrent = false
  readonly #liveness: Liveness<P>
  readonly #pool: Pool<P>
  readonly #clock: Clock
  readonly #link: QuarantineLink<P>
  readonly #probe: Uint8Array
  #arrived: Pending<P>[] = []
  readonly #first = new TurnQueue<QuarantineEntry<P>>()
  readonly #last = new TurnQueue<QuarantineEntry<P>>()
  /** A connection with a higher number has answered since the last death; and when that was. */
  #proven = true
  #diedUpTo = 0
  #diedMs = 0
  #lostLanes = 0
  /** The resolver closes after so few answers that none is spent on a proof. */
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

  /** Nobody waits, and no lane is up. */
  get idle(): boolean {
    return this.size === 0 && this.#arrived.length === 0 && this.#pool.lanes.length === 0
  }

  /** Those that wait in their places. */
  get size(): number {
    return this.#first.size + this.#last.size
  }

  /** The connection of `pending`, that had `answered` others or not, died just now. */
  add(pending: Pending<P>, answered: boolean): void {
    pending.quarantined = { pending, needsNoProof: answered, before: undefined, after: undefined, holder: undefined }
    if (this.#arrived.push(pending) > 1) return
    queueMicrotask(() => {
      this.#settle()
      this.#link.goOn()
    })
  }

  /** Those that arrived together take their places. */
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

  /** Takes out whose turn it is. */
  next(): Pending<P> | undefined {
    const entry = this.#queue.next(1)
    if (entry !== undefined) entry.pending.quarantined = undefined
    return entry?.pending
  }

  /** It is answered, failed or out of time. */
  delete(pending: Pending<P>): void {
    const { quarantined: entry } = pending
    if (entry === undefined) return
    pending.quarantined = undefined
    if (!this.#first.delete(entry) && !this.#last.delete(entry)) this.#arrived = this.#arrived.filter((other) => other !== pending)
  }

  /** Something was answered on `connection`; `trial`: one of ours. */
  answered(connection: PooledConnection<P>, trial: boolean): void {
    if (connection.number > this.#diedUpTo) this.#proven = true
    if (trial && this.size > 0) this.#pause(connection)
  }

  /** A connection died under a question. */
  connectionDied(): void {
    this.#diedUpTo = this.#pool.newest
    this.#diedMs = this.#clock.nowMs()
    this.#proven = false
    this.laneToBeCurrent = false
  }

  /** A connection took no more: after so many answers, maybe, as any other one will. */
  tookNoMore({ served }: PooledConnection<P>): void {
    if (served > 0) this.#answersEach = Math.min(this.#answersEach, served)
  }

  /** Whether a connection answered as many as one does before it takes no more. */
  isUsedUp({ served }: PooledConnection<P>): boolean {
    return served >= this.#answersEach
  }

  /** A lane took no more before it was done. */
  cutShort(): void {
    this.#closesEarly = true
  }

  /** Another network, whose resolver may be another machine. Gives back all that wait. */
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

  /** Free lanes get their next question, and there are lanes enough. */
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

  /** No lane can be dialled: the connection that all use must do, or the next one. Without either nobody is asked. */
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

  /** The queue whose turn it is. */
  get #queue(): TurnQueue<QuarantineEntry<P>> {
    const fits = this.#first.sizeFirst > 0 || (this.#last.sizeFirst === 0 && this.#first.size > 0)
    return fits ? this.#first : this.#last
  }

  /** The next question onto `connection`, if it is free. */
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

  /** Whether the next one may go onto a connection on which nothing was answered yet. While another one is under way it may be what kills the next ones. */
  #trusts(): boolean {
    if (this.#closesEarly || this.#queue.peek?.needsNoProof === true) return true
    return this.#proven && this.#pool.lanes.every(({ owed }) => owed === 0)
  }

  /** Whether what others ask on the next connection is about to show that the resolver answers. */
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

  /** Some servers close after each answer, and do not say so before: what was written into that would seem to be why. */
  #pause(connection: PooledConnection<P>): void {
    connection.trialStep = { is: 'pausing' }
    this.#clock.setTimer(REST_MS, () => {
      if (connection.trialStep.is === 'pausing') connection.trialStep = { is: 'free' }
      if (connection.state === 'draining' || isGone(connection)) this.#closesEarly = true
      this.#link.goOn()
    })
  }

  /** Asks for the root, in a query as long as the next one. */
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
    // One that spoke, be it to refuse, is no connection that dies.
    const failed = (_error: EnigmError, loss: Loss) => {
      if (loss === 'final') this.#pool.answered(lane)
      lane.trialStep = { is: 'free' }
      over(loss === 'final')
    }
    const octets = this.#queue.peek?.pending.request.length ?? 0
    lane.trialStep = { is: 'proving', probe: lane.carrier.send(repadded(this.#probe, octets) ?? this.#probe, { answered, failed }) }
    this.#liveness.sent(lane)
  }
}
