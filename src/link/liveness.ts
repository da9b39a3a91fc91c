import type { Deadlines } from '../deadlines.ts'
import { EnigmError } from '../errors.ts'
import type { Protection } from '../resolve.ts'
import { IDLE_MS } from './carriers/carrier.ts'
import type { DialTarget, DialTools } from './dial/dialler.ts'
import { Pool } from './pool.ts'
import { isGone, newSilence, type PooledConnection, type PoolListener, type PoolStrategy, type Silence } from './pooled-connection.ts'
import { HedgeBudget, IdleWindow, SilenceDetector } from './silence-detector.ts'

/** One that looks dead and must not be replaced yet is looked at again after this. */
const LOOK_AGAIN_MS = 500

/**
 * What silence means on the connections of a link that is asked on demand: when one is probed, when a second one is dialled beside it, when it is left, and how
 * long one may be idle; learnt from those that answered and those that died.
 */
export class Liveness<P extends Protection> implements PoolStrategy<P> {
  readonly pool: Pool<P>
  readonly #tools: DialTools
  readonly #deadlines: Deadlines
  readonly #listener: PoolListener
  readonly #detector = new SilenceDetector()
  readonly #window = new IdleWindow()
  readonly #budget: HedgeBudget
  /** A sign of life was asked for on this path, and came: one that does not come means something. */
  #probesAnswered = false
  /** The one in whose place the dial under way puts another if it goes on being silent. */
  #hedging: PooledConnection<P> | undefined
  /** Asked lately: worth a dial before anybody asks. */
  #inUse = false
  /** The last one that fell silent had never answered. */
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

  /** The smoothed round trip, once there is one. */
  get rttMs(): number | undefined {
    return this.#detector.rttMs
  }
  /** Silence after which a connection is left. */
  get silenceMs(): number {
    return this.#detector.afterMs
  }

  newSilence(): Silence<P> {
    return newSilence(this.#tools.clock.nowMs())
  }

  /** Sees to it that a dial is under way or will be; the last error instead while backing off. */
  dial(): EnigmError | undefined {
    this.#inUse = true
    return this.pool.dial()
  }

  /** Something was written on it: from now on silence counts. */
  sent(connection: PooledConnection<P>): void {
    const { silentSinceMs, inFlight } = connection.carrier
    const sinceMs = silentSinceMs ?? this.#tools.clock.nowMs()
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
    this.#listener.ready()
  }

  /** What `connection` left unanswered was answered on another one: it is dead, and the other one was needed. */
  answeredElsewhere(connection: PooledConnection<P>): void {
    const { silence } = connection
    if (!isDoubted(connection) || silence.answeredElsewhere) return
    silence.answeredElsewhere = true
    this.#detector.confirmed()
    if (silence.charged) this.#budget.needed()
    silence.charged = false
  }

  /** Drops all and forgets what was learnt on the last path. A link that was in use is dialled at once if somebody waits (`wanted`), soon if nobody does and `online`. */
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

  up(connection: PooledConnection<P>): void {
    this.#watch(connection, connection.silence.idleSinceMs + this.#idleMs(connection))
  }

  becameCurrent(connection: PooledConnection<P>, before: PooledConnection<P> | undefined): void {
    if (before !== undefined && before === this.#hedging) {
      this.pool.suspect(before)
      before.silence.doubt = 'late'
      connection.silence.superseded = before
    } else if (before !== undefined) this.pool.leave(before)
    this.#hedging = undefined
  }

  /** A suspect that speaks was only slow: it is good again, unless another has taken its place. */
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
      this.pool.endDial(new EnigmError('closed', 'the other connection spoke'))
    }
    silence.doubt = 'none'
    if (connection.state === 'suspect') this.pool.reinstate(connection)
    else if (doubted) this.pool.leave(connection)
  }

  idle(connection: PooledConnection<P>): void {
    const nowMs = this.#tools.clock.nowMs()
    connection.silence.idleSinceMs = nowMs
    // Of a suspect, its queries were answered elsewhere. Whether it would have spoken is worth a moment: it tells slow from dead.
    if (isDoubted(connection)) this.#watch(connection, nowMs + this.#detector.afterMs)
    else if (connection.state === 'draining') this.pool.leave(connection)
    else this.#watch(connection, nowMs + this.#idleMs(connection))
  }

  died(connection: PooledConnection<P>, error: EnigmError): void {
    if (connection.state === 'current' && connection.carrier.inFlight === 0) this.#inUse = false
    this.#learn(connection, error)
  }

  gone({ silence }: PooledConnection<P>): void {
    if (silence.watch !== undefined) this.#deadlines.remove(silence.watch)
  }

  /** How long a connection may be idle. What the resolver says is believed where it is less than usual. */
  #idleMs({ carrier: { idleMs } }: PooledConnection<P>): number {
    return idleMs < IDLE_MS ? idleMs : this.#window.ms
  }

  /** Silence after which a second connection is worth its cost: sooner where others wait behind what is not answered. */
  #hedgeMs({ carrier: { waiting = 0 } }: PooledConnection<P>): number {
    const { hedgeMs, heldUpMs } = this.#detector
    return waiting > 0 ? Math.min(hedgeMs, heldUpMs) : hedgeMs
  }

  /** One that was doubted spoke after all. One that had only been hedged is none of the false alarms. */
  #spoke({ doubt, doubtedSinceMs }: Silence<P>): void {
    const silentMs = this.#tools.clock.nowMs() - doubtedSinceMs
    if (doubt === 'dead') this.#detector.falseAlarm(silentMs)
    else this.#detector.toleratedSilence(silentMs)
  }

  /** The resolver ended it, or went silent. One that is silent about what nobody answers need not be dead. */
  #learn(connection: PooledConnection<P>, error: EnigmError): void {
    const { answeredElsewhere, idleBeforeMs, idleSinceMs } = connection.silence
    if (isDoubted(connection)) {
      if (answeredElsewhere) this.#window.diedAfter(idleBeforeMs)
    } else if (connection.carrier.inFlight === 0 && error.code === 'connection-lost') {
      this.#window.closedAfter(this.#tools.clock.nowMs() - idleSinceMs)
    }
  }

  /** Makes sure that the connection is looked at by `dueMs`. */
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

  /** After the p95: a sign of life where the protocol has one, and where none comes, or none can, a second connection. At full time the connection is suspect. */
  #lookAtSilence(connection: PooledConnection<P>, nowMs: number, silentSinceMs: number): void {
    const { silence } = connection
    const { afterMs, pongMs } = this.#detector
    const hedgeMs = this.#hedgeMs(connection)
    const silentMs = nowMs - silentSinceMs
    if (silentMs >= afterMs) {
      if (this.#mayReplace(silence)) this.#suspect(connection)
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

  /** Nobody is asked elsewhere because a lane is silent: its question has had its second try. But those that wait behind it are worth another one. */
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
   * Whether a second connection may be dialled for one that is silent for so long that it looks
   * dead. Not without end where it cannot be asked whether it is.
   */
  #mayReplace(silence: Silence<P>): boolean {
    if (silence.charged || (silence.probed && this.#probesAnswered)) return true
    silence.charged = this.#budget.take()
    return silence.charged
  }

  /** New queries go elsewhere, and those under way are asked there once more; this one may still answer. */
  #suspect(connection: PooledConnection<P>): void {
    const { silence, served } = connection
    silence.doubt = 'dead'
    silence.doubtedSinceMs = connection.carrier.silentSinceMs ?? silence.doubtedSinceMs
    this.#hedging = undefined
    // Two in a row: the resolver takes connections and answers nothing.
    if (this.#lastSuspectWasMute && served === 0) this.pool.mute(connection)
    this.#lastSuspectWasMute = served === 0
    this.pool.suspect(connection)
    if (this.pool.current !== undefined) this.#listener.ready()
    else this.dial()
  }

  /** One that has come up just now is not doubted, for a name may be slow; unless others wait behind that name. */
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

/** Whether others are asked in its place. */
function isDoubted<P extends Protection>({ silence, state }: PooledConnection<P>): boolean {
  return silence.doubt !== 'none' && state !== 'lane'
}
