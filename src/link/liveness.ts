import type { Deadlines } from '../deadlines.ts'
import { EnigmError } from '../errors.ts'
import type { Protection } from '../resolve.ts'
import type { DialTarget, DialTools } from './dial/dialler.ts'
import { Pool } from './pool.ts'
import { isGone, newSilence, type PooledConnection, type PoolListener, type PoolStrategy, type Silence } from './pooled-connection.ts'
import { HedgeBudget, IdleWindow, SilenceDetector } from './silence-detector.ts'

/** A connection that looks dead but must not be replaced yet is checked again after this time. */
const LOOK_AGAIN_MS = 500

/**
 * Watches whether the connections of an on-demand link are alive. It decides when a connection is
 * probed, when a second one is dialled in addition, when the first one counts as dead, and how long
 * a connection may be idle. It learns from connections that answered and from those that died.
 *
 * Terms, here and in pooled-connection.ts. Doubt: a connection is silent although it owes an answer
 * (`late`, then `dead`). Hedge: a second connection that is dialled because the first one is
 * silent. Suspect: a silent connection that gets no new queries and may still answer. Superseded:
 * the suspect that a hedge replaced. Charged: the budget of second connections paid for the dial.
 * Lane: a connection for one question that is retried alone (retry-quarantine.ts).
 */
export class Liveness<P extends Protection> implements PoolStrategy<P> {
  readonly pool: Pool<P>
  readonly #tools: DialTools
  readonly #deadlines: Deadlines
  readonly #listener: PoolListener
  readonly #detector = new SilenceDetector()
  readonly #window = new IdleWindow()
  readonly #budget: HedgeBudget
  /** Whether a probe was answered on this path. If so, an unanswered probe is evidence. */
  #probesAnswered = false
  /** The silent connection that caused the dial in progress. */
  #hedging: PooledConnection<P> | undefined
  /** Whether the link was in use recently, so that a dial before the next query is useful. */
  #inUse = false
  /** Whether the last connection that became silent had never answered. */
  #lastSuspectWasMute = false

  constructor(target: DialTarget<P>, tools: DialTools, deadlines: Deadlines, listener: PoolListener) {
    this.#tools = tools
    this.#deadlines = deadlines
    this.#listener = listener
    this.#budget = new HedgeBudget(tools.clock)
    this.pool = new Pool(target, tools, this, {
      ready: () => listener.ready(),
      lanesChanged: () => listener.lanesChanged(),
      dialFailed: (error, lane) => {
        if (!lane) this.#hedging = undefined
        listener.dialFailed(error, lane)
      },
    })
  }

  /** The smoothed round trip in ms. Undefined: none was measured yet. */
  get rttMs(): number | undefined {
    return this.#detector.rttMs
  }
  /** The silence after which a connection counts as dead, in ms. */
  get silenceMs(): number {
    return this.#detector.afterMs
  }

  newSilence(): Silence<P> {
    return newSilence(this.#tools.clock.nowMs())
  }

  /**
   * Makes sure that a dial is running or scheduled. During the backoff it returns the last error
   * instead.
   */
  dial(): EnigmError | undefined {
    this.#inUse = true
    return this.pool.dial()
  }

  /**
   * A query was written on `connection` at `nowMs`. Its silence counts from then on, or from an
   * earlier query if nothing came since that one.
   */
  sent(connection: PooledConnection<P>, nowMs: number): void {
    const { silentSinceMs, inFlight } = connection.carrier
    const sinceMs = silentSinceMs ?? nowMs
    if (inFlight === 1) connection.silence.idleBeforeMs = sinceMs - connection.silence.idleSinceMs
    this.#inUse = true
    this.#watch(connection, sinceMs + this.#hedgeMs(connection))
  }

  answered(connection: PooledConnection<P>, rttMs: number): void {
    const { silence } = connection
    this.#lastSuspectWasMute = false
    this.pool.answered(connection)
    if (silence.idleBeforeMs > 0) this.#window.survived(silence.idleBeforeMs)
    silence.idleBeforeMs = 0
    this.#detector.measured(rttMs)
    const { superseded } = silence
    if (superseded === undefined) return
    silence.superseded = undefined
    if (!isDoubted(superseded) || isGone(superseded)) return
    superseded.silence.doubt = 'dead'
    // Its queries can now be retried on `current`.
    this.#listener.ready()
  }

  /**
   * A query that `connection` did not answer was answered on another connection. So `connection` is
   * probably dead, and the second connection was needed.
   */
  answeredElsewhere(connection: PooledConnection<P>): void {
    const { silence } = connection
    if (!isDoubted(connection) || silence.answeredElsewhere) return
    silence.answeredElsewhere = true
    this.#detector.confirmed()
    if (silence.charged) this.#budget.needed()
    silence.charged = false
  }

  /**
   * Takes one unit of the budget, so that delayed queries may be retried alone, on lanes. False:
   * none is left. Lanes are limited like other second connections, because they show an observer
   * that an answer was late.
   */
  takeLaneBudget(): boolean {
    return this.#budget.take()
  }

  /**
   * Drops all connections and forgets what was learnt on the previous network. Dials at once if
   * queries wait (`wanted`), and soon if the link was in use and the host is `online`.
   */
  renew(wanted: boolean, online: boolean): void {
    const error = new EnigmError('connection-lost', 'the network changed')
    this.#hedging = undefined
    this.#probesAnswered = false
    this.#detector.forget()
    this.#window.anotherPath()
    this.pool.anotherPath(error)
    if (wanted) this.pool.dial()
    else if (online && this.#inUse) this.pool.dialSoon()
    this.pool.dropAll(error)
  }

  up(connection: PooledConnection<P>, routeRttMs: number | undefined): void {
    if (routeRttMs !== undefined) this.#detector.expected(routeRttMs)
    this.#watch(connection, connection.silence.idleSinceMs + this.#idleMs(connection))
  }

  becameCurrent(connection: PooledConnection<P>, before: PooledConnection<P> | undefined): void {
    if (before !== undefined && before === this.#hedging) {
      this.pool.suspect(before)
      before.silence.doubt = 'late'
      connection.silence.superseded = before
    } else if (before !== undefined) this.pool.drain(before)
    this.#hedging = undefined
  }

  /**
   * `connection` sent data. If it is a suspect, it was slow and not dead: it is usable again,
   * unless another connection has replaced it.
   */
  heard(connection: PooledConnection<P>): void {
    const { silence } = connection
    const doubted = isDoubted(connection)
    if (silence.probed) this.#probesAnswered = true
    silence.probed = false
    if (silence.hedged || doubted) this.#spoke(silence)
    silence.hedged = false
    silence.charged = false
    if (this.#hedging === connection || (connection.state === 'suspect' && this.pool.current === undefined)) {
      this.#hedging = undefined
      this.pool.endDial(new EnigmError('closed', 'the other connection sent data'))
    }
    silence.doubt = 'none'
    if (connection.state === 'suspect') this.pool.reinstate(connection)
    else if (doubted) this.pool.drain(connection)
  }

  idle(connection: PooledConnection<P>): void {
    const nowMs = this.#tools.clock.nowMs()
    connection.silence.idleSinceMs = nowMs
    // The queries of this suspect were answered on another connection. A short wait shows whether
    // it was slow or dead.
    if (isDoubted(connection)) this.#watch(connection, nowMs + this.#detector.afterMs)
    else if (connection.state === 'draining') this.pool.drain(connection)
    else this.#watch(connection, nowMs + this.#idleMs(connection))
  }

  died(connection: PooledConnection<P>, error: EnigmError): void {
    if (connection.state === 'current' && connection.carrier.inFlight === 0) this.#inUse = false
    this.#learn(connection, error)
  }

  gone({ silence }: PooledConnection<P>): void {
    if (silence.watch !== undefined) this.#deadlines.remove(silence.watch)
  }

  /**
   * How long a connection may be idle, in ms: the time that the link has learnt, or the time that
   * the resolver states, whichever is shorter.
   */
  #idleMs({ carrier: { idleMs } }: PooledConnection<P>): number {
    return Math.min(idleMs, this.#window.ms)
  }

  /**
   * The silence after which a second connection is worth its cost, in ms. It is shorter if queries
   * wait behind the silent one.
   */
  #hedgeMs({ carrier: { waiting = 0 } }: PooledConnection<P>): number {
    const { hedgeMs, heldUpMs } = this.#detector
    return waiting > 0 ? Math.min(hedgeMs, heldUpMs) : hedgeMs
  }

  /**
   * A connection in doubt sent data, so the detector learns to wait longer. If the connection was
   * taken for dead, the time after which that happens grows. If only a second connection was
   * dialled, only the time until such a dial grows.
   */
  #spoke({ doubt, doubtedSinceMs }: Silence<P>): void {
    const silentMs = this.#tools.clock.nowMs() - doubtedSinceMs
    if (doubt === 'dead') this.#detector.falseAlarm(silentMs)
    else this.#detector.toleratedSilence(silentMs)
  }

  /**
   * Learns from the end of a connection. A silent one counts only if another connection answered
   * the same query. Otherwise the query may be the cause.
   */
  #learn(connection: PooledConnection<P>, error: EnigmError): void {
    const { answeredElsewhere, idleBeforeMs, idleSinceMs } = connection.silence
    if (isDoubted(connection)) {
      if (answeredElsewhere) this.#window.diedAfter(idleBeforeMs)
    } else if (connection.carrier.inFlight === 0 && error.code === 'connection-lost') {
      this.#window.closedAfter(this.#tools.clock.nowMs() - idleSinceMs)
    }
  }

  /** Makes sure that the connection is checked at `dueMs` or sooner. */
  #watch(connection: PooledConnection<P>, dueMs: number): void {
    const { silence } = connection
    if (isGone(connection)) return
    if (silence.watch !== undefined) {
      if (silence.watchMs <= dueMs) return
      this.#deadlines.remove(silence.watch)
    }
    silence.watchMs = dueMs
    silence.watch = this.#deadlines.add(dueMs, () => {
      silence.watch = undefined
      this.#look(connection)
    })
  }

  #look(connection: PooledConnection<P>): void {
    const nowMs = this.#tools.clock.nowMs()
    const { silentSinceMs, inFlight } = connection.carrier
    if (inFlight > 0) {
      if (connection.silence.doubt === 'dead' || silentSinceMs === undefined) return
      if (connection.state === 'lane') this.#lookAtLane(connection, nowMs, silentSinceMs)
      else this.#lookAtSilence(connection, nowMs, silentSinceMs)
      return
    }
    const untilMs = connection.silence.idleSinceMs + this.#idleMs(connection)
    if (isDoubted(connection)) {
      const error = new EnigmError('connection-lost', 'the resolver went silent')
      this.#learn(connection, error)
      this.pool.drop(connection, error)
    } else if (nowMs < untilMs) this.#watch(connection, untilMs)
    else {
      this.#inUse = false
      this.pool.drop(connection, new EnigmError('closed', 'idle'))
    }
  }

  /**
   * Reacts to the silence of a connection. After `hedgeMs` (a little more than the p95 of round
   * trips) it sends a probe. If no answer comes, or if the protocol has no probe, it dials a second
   * connection. After `afterMs` the connection is a suspect.
   */
  #lookAtSilence(connection: PooledConnection<P>, nowMs: number, silentSinceMs: number): void {
    const { silence } = connection
    const { afterMs, pongMs } = this.#detector
    const hedgeMs = this.#hedgeMs(connection)
    const silentMs = nowMs - silentSinceMs
    if (silentMs >= afterMs) {
      if (this.#takeReplacement(silence)) this.#suspect(connection)
      else this.#watch(connection, nowMs + LOOK_AGAIN_MS)
    } else if (silentMs < hedgeMs) this.#watch(connection, silentSinceMs + hedgeMs)
    else if (silence.doubt === 'none' && !silence.probed && connection.carrier.probe()) {
      silence.probed = true
      this.#watch(connection, Math.min(silentSinceMs + afterMs, nowMs + pongMs))
    } else {
      if (silence.doubt === 'none') this.#hedge(connection, silentSinceMs)
      this.#watch(connection, silentSinceMs + afterMs)
    }
  }

  /**
   * Checks a silent lane. Its question was lost with a connection before, and is not retried again.
   * But if other questions wait for a lane, another lane is useful.
   */
  #lookAtLane(lane: PooledConnection<P>, nowMs: number, silentSinceMs: number): void {
    const { afterMs } = this.#detector
    const hedgeMs = this.#hedgeMs(lane)
    const silentMs = nowMs - silentSinceMs
    if (silentMs < hedgeMs) {
      this.#watch(lane, silentSinceMs + hedgeMs)
      return
    }
    lane.silence.doubt = silentMs < afterMs ? 'late' : 'dead'
    if (silentMs < afterMs) this.#watch(lane, silentSinceMs + afterMs)
    this.#listener.lanesChanged()
  }

  /**
   * Takes the right to replace a connection that looks dead. It costs one unit of the budget, if
   * the budget has not paid for a dial because of this silence already. It is free if a probe got
   * no answer although probes were answered on this path before. False: the budget is used up.
   */
  #takeReplacement(silence: Silence<P>): boolean {
    if (silence.charged || (silence.probed && this.#probesAnswered)) return true
    silence.charged = this.#budget.take()
    return silence.charged
  }

  /**
   * Makes a connection a suspect: new queries go to another connection, and those in flight are
   * retried there. The suspect may still answer.
   */
  #suspect(connection: PooledConnection<P>): void {
    const { silence, served } = connection
    silence.doubt = 'dead'
    silence.doubtedSinceMs = connection.carrier.silentSinceMs ?? silence.doubtedSinceMs
    this.#hedging = undefined
    // The second connection in a row that became silent without any answer: the resolver accepts
    // connections but answers nothing.
    if (this.#lastSuspectWasMute && served === 0) this.pool.countAsFailed(connection)
    this.#lastSuspectWasMute = served === 0
    this.pool.suspect(connection)
    // If there is another connection, its queries can now be retried there.
    if (this.pool.current !== undefined) this.#listener.ready()
    else this.dial()
  }

  /**
   * Dials a second connection. If the first one has not answered anything yet, a slow name is the
   * likely cause. Then it dials only if other queries wait behind that name.
   */
  #hedge(connection: PooledConnection<P>, silentSinceMs: number): void {
    const { silence, served, carrier } = connection
    if (connection.state !== 'current' || (served === 0 && (carrier.waiting ?? 0) === 0)) return
    if (this.pool.dialling || !this.#budget.take()) return
    silence.hedged = true
    silence.charged = true
    silence.doubtedSinceMs = silentSinceMs
    this.#hedging = connection
    if (this.dial() !== undefined) this.#hedging = undefined
  }
}

/** Whether queries of a connection are also asked on other connections, because it is silent. */
function isDoubted<P extends Protection>({ silence, state }: PooledConnection<P>): boolean {
  return silence.doubt !== 'none' && state !== 'lane'
}
