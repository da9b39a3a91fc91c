import type { Deadlines } from '../deadlines.ts'
import { EnigmError } from '../errors.ts'
import type { Protection } from '../resolve.ts'
import { IDLE_MS } from './carriers/carrier.ts'
import type { KeeperTools, Wiring } from './dial/dialler.ts'
import { isGone, type Judge, type Kept, newSilence, type Owner, type Silence } from './kept.ts'
import { Pool } from './pool.ts'
import { HedgeBudget, IdleWindow, Suspicion } from './suspicion.ts'

/** One that looks dead and must not be replaced yet is looked at again after this. */
const LOOK_AGAIN_MS = 500

/**
 * What silence means on the connections of a link that is asked on demand: when one is probed, when a second one is dialled beside it, when it is left, and how
 * long one may be idle; learnt from those that answered and those that died.
 */
export class Liveness<P extends Protection> implements Judge<P> {
  readonly pool: Pool<P>
  readonly #tools: KeeperTools
  readonly #deadlines: Deadlines
  readonly #owner: Owner
  readonly #suspicion = new Suspicion()
  readonly #window = new IdleWindow()
  readonly #budget: HedgeBudget
  /** A sign of life was asked for on this path, and came: one that does not come means something. */
  #pongs = false
  /** The one in whose place the dial under way puts another if it goes on being silent. */
  #hedging: Kept<P> | undefined
  /** Asked lately: worth a dial before anybody asks. */
  #inUse = false
  /** The last one that fell silent had never answered. */
  #mute = false

  constructor(wiring: Wiring<P>, tools: KeeperTools, deadlines: Deadlines, owner: Owner) {
    this.#tools = tools
    this.#deadlines = deadlines
    this.#owner = owner
    this.#budget = new HedgeBudget(tools.clock)
    this.pool = new Pool(wiring, tools, this, {
      ready: () => owner.ready(),
      lanesChanged: () => owner.lanesChanged(),
      dialFailed: (error, lane) => {
        if (!lane) this.#hedging = undefined
        owner.dialFailed(error, lane)
      },
    })
  }

  /** The smoothed round trip, once there is one. */
  get rttMs(): number | undefined {
    return this.#suspicion.rttMs
  }
  /** Silence after which a connection is left. */
  get silenceMs(): number {
    return this.#suspicion.afterMs
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
  sent(kept: Kept<P>): void {
    const { silentSinceMs, inFlight } = kept.carrier
    const sinceMs = silentSinceMs ?? this.#tools.clock.nowMs()
    if (inFlight === 1) kept.silence.rustedMs = sinceMs - kept.silence.idleSinceMs
    this.#inUse = true
    this.#watch(kept, sinceMs + this.#hedgeMs(kept))
  }

  answered(kept: Kept<P>, rttMs: number): void {
    const { silence } = kept
    this.#mute = false
    this.pool.answered(kept)
    if (silence.rustedMs > 0) this.#window.survived(silence.rustedMs)
    silence.rustedMs = 0
    this.#suspicion.measured(rttMs)
    const { outrun } = silence
    if (outrun === undefined) return
    silence.outrun = undefined
    if (!isDoubted(outrun) || isGone(outrun)) return
    outrun.silence.doubt = 'dead'
    this.#owner.ready()
  }

  /** What `kept` left unanswered was answered on another one: it is dead, and the other one was needed. */
  outdone(kept: Kept<P>): void {
    const { silence } = kept
    if (!isDoubted(kept) || silence.outdone) return
    silence.outdone = true
    this.#suspicion.confirmed()
    if (silence.charged) this.#budget.needed()
    silence.charged = false
  }

  /** Drops all and forgets what was learnt on the last path. A link that was in use is dialled at once if somebody waits (`wanted`), soon if nobody does and `online`. */
  renew(wanted: boolean, online: boolean): void {
    const error = new EnigmError('connection-lost', 'the network changed')
    this.#hedging = undefined
    this.#pongs = false
    this.#suspicion.forget()
    this.#window.anotherPath()
    this.pool.anotherPath(error)
    if (wanted) this.pool.dial()
    else if (online && this.#inUse) this.pool.dialSoon()
    this.pool.dropAll(error)
  }

  up(kept: Kept<P>): void {
    this.#watch(kept, kept.silence.idleSinceMs + this.#idleMs(kept))
  }

  took(kept: Kept<P>, before: Kept<P> | undefined): void {
    if (before !== undefined && before === this.#hedging) {
      this.pool.suspect(before)
      before.silence.doubt = 'late'
      kept.silence.outrun = before
    } else if (before !== undefined) this.pool.leave(before)
    this.#hedging = undefined
  }

  /** A suspect that speaks was only slow: it is good again, unless another has taken its place. */
  heard(kept: Kept<P>): void {
    const { silence } = kept
    const doubted = isDoubted(kept)
    if (silence.probed) this.#pongs = true
    silence.probed = false
    if (silence.hedged || doubted) this.#spoke(silence)
    silence.hedged = false
    silence.charged = false
    if (this.#hedging === kept || (kept.state === 'suspect' && this.pool.current === undefined)) {
      this.#hedging = undefined
      this.pool.endDial(new EnigmError('closed', 'the other connection spoke'))
    }
    silence.doubt = 'none'
    if (kept.state === 'suspect') this.pool.reinstate(kept)
    else if (doubted) this.pool.leave(kept)
  }

  idle(kept: Kept<P>): void {
    const nowMs = this.#tools.clock.nowMs()
    kept.silence.idleSinceMs = nowMs
    // Of a suspect, its queries were answered elsewhere. Whether it would have spoken is worth a moment: it tells slow from dead.
    if (isDoubted(kept)) this.#watch(kept, nowMs + this.#suspicion.afterMs)
    else if (kept.state === 'draining') this.pool.leave(kept)
    else this.#watch(kept, nowMs + this.#idleMs(kept))
  }

  died(kept: Kept<P>, error: EnigmError): void {
    if (kept.state === 'current' && kept.carrier.inFlight === 0) this.#inUse = false
    this.#learn(kept, error)
  }

  gone({ silence }: Kept<P>): void {
    if (silence.watch !== undefined) this.#deadlines.remove(silence.watch)
  }

  /** How long a connection may be idle. What the resolver says is believed where it is less than usual. */
  #idleMs({ carrier: { idleMs } }: Kept<P>): number {
    return idleMs < IDLE_MS ? idleMs : this.#window.ms
  }

  /** Silence after which a second connection is worth its cost: sooner where others wait behind what is not answered. */
  #hedgeMs({ carrier: { waiting = 0 } }: Kept<P>): number {
    const { hedgeMs, heldUpMs } = this.#suspicion
    return waiting > 0 ? Math.min(hedgeMs, heldUpMs) : hedgeMs
  }

  /** One that was doubted spoke after all. One that had only been hedged is none of the false alarms. */
  #spoke({ doubt, doubtedSinceMs }: Silence<P>): void {
    const silentMs = this.#tools.clock.nowMs() - doubtedSinceMs
    if (doubt === 'dead') this.#suspicion.falseAlarm(silentMs)
    else this.#suspicion.borne(silentMs)
  }

  /** The resolver ended it, or went silent. One that is silent about what nobody answers need not be dead. */
  #learn(kept: Kept<P>, error: EnigmError): void {
    const { outdone, rustedMs, idleSinceMs } = kept.silence
    if (isDoubted(kept)) {
      if (outdone) this.#window.diedAfter(rustedMs)
    } else if (kept.carrier.inFlight === 0 && error.code === 'connection-lost') {
      this.#window.closedAfter(this.#tools.clock.nowMs() - idleSinceMs)
    }
  }

  /** Makes sure that the connection is looked at by `dueMs`. */
  #watch(kept: Kept<P>, dueMs: number): void {
    const { silence } = kept
    if (isGone(kept)) return
    if (silence.watch !== undefined) {
      if (silence.watchMs <= dueMs) return
      this.#deadlines.remove(silence.watch)
    }
    silence.watchMs = dueMs
    silence.watch = this.#deadlines.add(dueMs, () => {
      silence.watch = undefined
      this.#look(kept)
    })
  }

  #look(kept: Kept<P>): void {
    const nowMs = this.#tools.clock.nowMs()
    const { silentSinceMs, inFlight } = kept.carrier
    if (inFlight > 0) {
      if (kept.silence.doubt === 'dead' || silentSinceMs === undefined) return
      if (kept.state === 'lane') this.#lookAtLane(kept, nowMs, silentSinceMs)
      else this.#lookAtSilence(kept, nowMs, silentSinceMs)
      return
    }
    const untilMs = kept.silence.idleSinceMs + this.#idleMs(kept)
    if (isDoubted(kept)) {
      const error = new EnigmError('connection-lost', 'the resolver went silent')
      this.#learn(kept, error)
      this.pool.drop(kept, error)
    } else if (nowMs < untilMs) this.#watch(kept, untilMs)
    else {
      this.#inUse = false
      this.pool.drop(kept, new EnigmError('closed', 'idle'))
    }
  }

  /** After the p95: a sign of life where the protocol has one, and where none comes, or none can, a second connection. At full time the connection is suspect. */
  #lookAtSilence(kept: Kept<P>, nowMs: number, silentSinceMs: number): void {
    const { silence } = kept
    const { afterMs, pongMs } = this.#suspicion
    const hedgeMs = this.#hedgeMs(kept)
    const silentMs = nowMs - silentSinceMs
    if (silentMs >= afterMs) {
      if (this.#mayReplace(silence)) this.#suspect(kept)
      else this.#watch(kept, nowMs + LOOK_AGAIN_MS)
    } else if (silentMs < hedgeMs) this.#watch(kept, silentSinceMs + hedgeMs)
    else if (silence.doubt === 'none' && !silence.probed && kept.carrier.probe()) {
      silence.probed = true
      this.#watch(kept, Math.min(silentSinceMs + afterMs, nowMs + pongMs))
    } else {
      if (silence.doubt === 'none') this.#hedge(kept, silentSinceMs)
      this.#watch(kept, silentSinceMs + afterMs)
    }
  }

  /** Nobody is asked elsewhere because a lane is silent: its question has had its second try. But those that wait behind it are worth another one. */
  #lookAtLane(lane: Kept<P>, nowMs: number, silentSinceMs: number): void {
    const { afterMs } = this.#suspicion
    const hedgeMs = this.#hedgeMs(lane)
    const silentMs = nowMs - silentSinceMs
    if (silentMs < hedgeMs) {
      this.#watch(lane, silentSinceMs + hedgeMs)
      return
    }
    lane.silence.doubt = silentMs < afterMs ? 'late' : 'dead'
    if (silentMs < afterMs) this.#watch(lane, silentSinceMs + afterMs)
    this.#owner.lanesChanged()
  }

  /**
   * Whether a second connection may be dialled for one that is silent for so long that it looks
   * dead. Not without end where it cannot be asked whether it is.
   */
  #mayReplace(silence: Silence<P>): boolean {
    if (silence.charged || (silence.probed && this.#pongs)) return true
    silence.charged = this.#budget.take()
    return silence.charged
  }

  /** New queries go elsewhere, and those under way are asked there once more; this one may still answer. */
  #suspect(kept: Kept<P>): void {
    const { silence, served } = kept
    silence.doubt = 'dead'
    silence.doubtedSinceMs = kept.carrier.silentSinceMs ?? silence.doubtedSinceMs
    this.#hedging = undefined
    // Two in a row: the resolver takes connections and answers nothing.
    if (this.#mute && served === 0) this.pool.mute(kept)
    this.#mute = served === 0
    this.pool.suspect(kept)
    if (this.pool.current !== undefined) this.#owner.ready()
    else this.dial()
  }

  /** One that has come up just now is not doubted, for a name may be slow; unless others wait behind that name. */
  #hedge(kept: Kept<P>, silentSinceMs: number): void {
    const { silence, served, carrier } = kept
    if (kept.state !== 'current' || (served === 0 && (carrier.waiting ?? 0) === 0)) return
    if (this.pool.dialling || !this.#budget.take()) return
    silence.hedged = true
    silence.charged = true
    silence.doubtedSinceMs = silentSinceMs
    this.#hedging = kept
    if (this.dial() !== undefined) this.#hedging = undefined
  }
}

/** Whether others are asked in its place. */
function isDoubted<P extends Protection>({ silence, state }: Kept<P>): boolean {
  return silence.doubt !== 'none' && state !== 'lane'
}
