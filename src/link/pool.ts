import type { Deadlines } from '../deadlines.ts'
import { EnigmError } from '../errors.ts'
import type { Protection } from '../resolve.ts'
import type { Opened } from './carriers/carrier.ts'
import { Dialler } from './dial/dialler.ts'
import { Experience } from './experience.ts'
import { type KeeperTools, type Kept, newlyKept, type Owner, type Wiring } from './kept.ts'

/** One that looks dead and must not be replaced yet is looked at again after this. */
const LOOK_AGAIN_MS = 500

/** The connections of one link: at most one takes new queries, at most one is being dialled; others only finish what they owe. */
export class Connections<P extends Protection> {
  current: Kept<P> | undefined
  /** The number of the newest one. */
  newest = 0
  /** Those of the quarantine. */
  readonly lanes: Kept<P>[] = []
  readonly #wiring: Wiring<P>
  readonly #tools: KeeperTools
  readonly #deadlines: Deadlines
  readonly #owner: Owner
  readonly #dialler: Dialler<P>
  readonly #experience: Experience
  readonly #all = new Set<Kept<P>>()
  /** The one in whose place the dial under way puts another if it goes on being silent. */
  #hedging: Kept<P> | undefined
  /** Asked lately: worth a dial before anybody asks. */
  #inUse = false
  /** The last one that fell silent had never answered. */
  #mute = false

  constructor(wiring: Wiring<P>, tools: KeeperTools, deadlines: Deadlines, owner: Owner) {
    this.#wiring = wiring
    this.#tools = tools
    this.#deadlines = deadlines
    this.#owner = owner
    this.#dialler = new Dialler(wiring, tools, {
      up: (opened, aside) => this.#up(opened, aside),
      dialFailed: (error, aside) => {
        if (!aside) this.#hedging = undefined
        owner.dialFailed(error, aside)
      },
      mayDial: () => owner.lanesChanged(),
    })
    this.#experience = new Experience(tools.clock)
  }

  /** Sees to it that a dial is under way; the last error instead while backing off. */
  dial(): EnigmError | undefined {
    this.#inUse = true
    return this.#dialler.dial()
  }

  /** The smoothed round trip, once there is one. */
  get rttMs(): number | undefined {
    return this.#experience.suspicion.rttMs
  }
  /** Silence after which a connection is suspect. */
  get silenceMs(): number {
    return this.#experience.suspicion.afterMs
  }
  /** Whether the resolver answers, as far as is known. */
  get answers(): boolean {
    return this.#dialler.backoff.answers
  }
  /** A dial for `current` is under way. */
  get dialling(): boolean {
    return this.#dialler.underWay
  }

  /** Sees to it that there are so many lanes beside those that are late; while connections die without an answer, one. An error where none can be dialled. */
  wantLanes(wanted: number, most: number): EnigmError | undefined {
    const late = this.lanes.filter((lane) => lane.late).length
    const many = Math.min(most, late + (this.#dialler.backoff.barren ? Math.min(1, wanted) : wanted))
    while (this.lanes.length + this.#dialler.aside < many) {
      const before = this.#dialler.aside
      const refusal = this.#dialler.dialAside()
      if (refusal !== undefined) return refusal
      if (this.#dialler.aside === before) return undefined
    }
    return undefined
  }

  /** A lane that nobody needs any more takes the place of `current` if there is none. */
  release(lane: Kept<P>): void {
    this.#leaveLanes(lane)
    if (this.current !== undefined || lane.leaving || lane.suspect) {
      this.#leave(lane)
      return
    }
    this.#endDial(new EnigmError('closed', 'there is a connection'))
    this.current = lane
    this.#owner.ready()
  }

  /** A lane answers nothing, not even what is to show that its resolver answers. */
  giveUp(lane: Kept<P>): void {
    this.#drop(lane, new EnigmError('connection-lost', 'the resolver went silent'))
  }

  /** Something was written on it: from now on silence counts. */
  sent(kept: Kept<P>): void {
    const { silentSinceMs, inFlight } = kept.carrier
    const sinceMs = silentSinceMs ?? this.#tools.clock.nowMs()
    if (inFlight === 1) kept.rustedMs = sinceMs - kept.idleSinceMs
    this.#inUse = true
    this.#watch(kept, sinceMs + this.#experience.hedgeMs(kept.carrier))
  }

  answered(kept: Kept<P>, rttMs: number): void {
    kept.answered = true
    kept.served++
    this.#mute = false
    this.#dialler.backoff.answered()
    this.#experience.answered(kept, rttMs)
    const { outrun } = kept
    if (outrun === undefined) return
    kept.outrun = undefined
    if (!outrun.suspect || outrun.gone) return
    outrun.overdue = true
    this.#owner.ready()
  }

  /** What `kept` left unanswered was answered on another one. */
  outdone(kept: Kept<P>): void {
    if (kept.suspect && !kept.outdone) this.#experience.outdone(kept)
  }

  /** It takes no more, and turned a query away unprocessed. Where it served nobody else either, it is as good as a dial that failed. */
  turnedAway(kept: Kept<P>): void {
    if (kept.carrier.inFlight === 0) this.#barren(kept)
  }

  /** Drops all and forgets what was learnt on the last path. A link that was in use is dialled at once if somebody waits (`wanted`), soon if nobody does and `online`. */
  renew(wanted: boolean, online: boolean): void {
    this.#wiring.forgetSessions()
    this.#dialler.anotherPath()
    this.#experience.anotherPath()
    const error = new EnigmError('connection-lost', 'the network changed')
    this.#endDial(error)
    this.#dialler.endAside(error)
    if (wanted) this.#dialler.dial()
    else if (online && this.#inUse) this.#dialler.dialSoon()
    for (const kept of [...this.#all]) this.#drop(kept, error)
  }

  /** What a dial failed for (a certificate's date) may be otherwise now. */
  reconsider(): void {
    this.#dialler.backoff.reset()
  }

  close(): void {
    const error = new EnigmError('closed', 'the link is closed')
    this.#endDial(error)
    this.#dialler.endAside(error)
    for (const kept of [...this.#all]) this.#drop(kept, error)
  }

  #endDial(error: EnigmError): void {
    this.#dialler.end(error)
    this.#hedging = undefined
  }

  #up(opened: Opened<P>, aside: boolean): undefined {
    const { address, protection, handshakeMs } = opened
    const { resolver, transport } = this.#wiring
    const { clock, random, emit } = this.#tools
    emit({ type: 'link.up', resolver, transport, address, protection, handshakeMs })
    const watcher = {
      heard: () => this.#heard(kept),
      draining: () => this.#leave(kept),
      idle: () => this.#idle(kept),
      mismatch: () => emit({ type: 'link.mismatch', resolver, transport }),
      down: (error: EnigmError) => this.#died(kept, error),
    }
    const carrier = opened.carry({ clock, random, watcher })
    const idleSinceMs = clock.nowMs()
    const kept: Kept<P> = newlyKept(carrier, ++this.newest, idleSinceMs)
    this.#all.add(kept)
    this.#watch(kept, idleSinceMs + this.#experience.idleMs(kept.carrier))
    if (aside) {
      kept.lane = true
      this.lanes.push(kept)
      this.#owner.lanesChanged()
      return
    }
    const reinstated = this.current
    this.current = kept
    if (reinstated !== undefined) {
      if (reinstated === this.#hedging) {
        reinstated.suspect = true
        kept.outrun = reinstated
      } else this.#leave(reinstated)
    }
    this.#hedging = undefined
    this.#owner.ready()
  }

  /** A suspect that speaks was only slow: it is good again, unless another has taken its place. */
  #heard(kept: Kept<P>): void {
    if (kept.probed) this.#experience.ponged()
    kept.probed = false
    if (kept.hedged || kept.suspect) this.#experience.spoke(kept, this.#tools.clock.nowMs())
    kept.hedged = false
    kept.charged = false
    kept.late = false
    const wanted = kept.suspect && this.current === undefined && !kept.leaving && !kept.lane
    if (wanted || this.#hedging === kept) this.#endDial(new EnigmError('closed', 'the other connection spoke'))
    if (!kept.suspect) return
    kept.suspect = false
    kept.overdue = false
    if (kept.lane) return
    if (this.current !== undefined || kept.leaving) this.#leave(kept)
    else {
      this.current = kept
      this.#owner.ready()
    }
  }

  #idle(kept: Kept<P>): void {
    const nowMs = this.#tools.clock.nowMs()
    kept.idleSinceMs = nowMs
    // Of a suspect, its queries were answered elsewhere. Whether it would have spoken is worth a moment: it tells slow from dead.
    if (kept.suspect) this.#watch(kept, nowMs + this.#experience.suspicion.afterMs)
    else if (kept.leaving) this.#leave(kept)
    else this.#watch(kept, nowMs + this.#experience.idleMs(kept.carrier))
  }

  /** Takes no more; closes when nothing is owed. */
  #leave(kept: Kept<P>): void {
    if (this.current === kept) this.current = undefined
    this.#leaveLanes(kept)
    kept.leaving = true
    kept.proof?.cancel()
    if (kept.carrier.inFlight === 0) this.#drop(kept, new EnigmError('closed', 'nothing is owed any more'))
  }

  /** New queries go elsewhere, and those under way are asked there once more; this one may still answer. */
  #suspect(kept: Kept<P>): void {
    kept.suspect = true
    kept.overdue = true
    kept.doubtedSinceMs = kept.carrier.silentSinceMs ?? kept.doubtedSinceMs
    this.#hedging = undefined
    // Two in a row: the resolver takes connections and answers nothing.
    if (this.#mute && !kept.answered && !kept.barren) {
      kept.barren = true
      this.#dialler.backoff.failed(new EnigmError('connect-failed', 'the resolver takes connections and answers nothing'))
    }
    this.#mute = !kept.answered
    if (this.current === kept) this.current = undefined
    if (this.current !== undefined) this.#owner.ready()
    else this.dial()
  }

  #leaveLanes(kept: Kept<P>): void {
    if (!kept.lane) return
    kept.lane = false
    this.lanes.splice(this.lanes.indexOf(kept), 1)
  }

  #drop(kept: Kept<P>, error: EnigmError): void {
    if (kept.gone) return
    this.#gone(kept, error)
    kept.carrier.destroy(error)
  }

  #died(kept: Kept<P>, error: EnigmError): void {
    if (kept.gone) return
    if (!kept.suspect && kept.carrier.inFlight === 0) this.#inUse = false
    this.#experience.died(kept, error, this.#tools.clock.nowMs())
    this.#gone(kept, error)
  }

  #gone(kept: Kept<P>, error: EnigmError): void {
    if (kept.gone) return
    kept.gone = true
    this.#all.delete(kept)
    if (this.current === kept) this.current = undefined
    if (kept.watch !== undefined) this.#deadlines.remove(kept.watch)
    const idleLane = kept.lane && kept.carrier.inFlight === 0
    if (kept.carrier.inFlight > 0 || idleLane) this.#barren(kept)
    this.#leaveLanes(kept)
    if (idleLane) this.#owner.lanesChanged()
    this.#tools.emit({ type: 'link.down', resolver: this.#wiring.resolver, transport: this.#wiring.transport, code: error.code })
  }

  #barren(kept: Kept<P>): void {
    if (kept.answered || kept.barren) return
    kept.barren = true
    this.#dialler.backoff.died()
  }

  /** Makes sure that the connection is looked at by `dueMs`. */
  #watch(kept: Kept<P>, dueMs: number): void {
    if (kept.gone) return
    if (kept.watch !== undefined) {
      if (kept.watchMs <= dueMs) return
      this.#deadlines.remove(kept.watch)
    }
    kept.watchMs = dueMs
    kept.watch = this.#deadlines.add(dueMs, () => {
      kept.watch = undefined
      this.#look(kept)
    })
  }

  #look(kept: Kept<P>): void {
    const nowMs = this.#tools.clock.nowMs()
    if (kept.carrier.inFlight > 0) {
      this.#lookAtSilence(kept, nowMs)
      return
    }
    const untilMs = kept.idleSinceMs + this.#experience.idleMs(kept.carrier)
    if (kept.suspect) {
      const error = new EnigmError('connection-lost', 'the resolver went silent')
      this.#experience.died(kept, error, nowMs)
      this.#drop(kept, error)
    } else if (nowMs < untilMs) this.#watch(kept, untilMs)
    else {
      this.#inUse = false
      this.#drop(kept, new EnigmError('closed', 'idle'))
    }
  }

  /** After the p95: a sign of life where the protocol has one, and where none comes, or none can, a second connection. At full time the connection is suspect. */
  #lookAtSilence(kept: Kept<P>, nowMs: number): void {
    const { silentSinceMs } = kept.carrier
    if (kept.overdue || silentSinceMs === undefined) return
    if (kept.lane) {
      this.#lookAtLane(kept, nowMs - silentSinceMs, silentSinceMs)
      return
    }
    const { afterMs } = this.#experience.suspicion
    const hedgeMs = this.#experience.hedgeMs(kept.carrier)
    const silentMs = nowMs - silentSinceMs
    if (silentMs >= afterMs) {
      if (this.#experience.mayReplace(kept)) this.#suspect(kept)
      else this.#watch(kept, nowMs + LOOK_AGAIN_MS)
    } else if (silentMs < hedgeMs) this.#watch(kept, silentSinceMs + hedgeMs)
    else if (!kept.suspect && !kept.probed && kept.carrier.probe()) {
      kept.probed = true
      this.#watch(kept, Math.min(silentSinceMs + afterMs, nowMs + this.#experience.suspicion.pongMs))
    } else {
      if (!kept.suspect) this.#hedge(kept)
      this.#watch(kept, silentSinceMs + afterMs)
    }
  }

  /** Nobody is asked elsewhere because a lane is silent: its question has had its second try. But those that wait behind it are worth another one. */
  #lookAtLane(lane: Kept<P>, silentMs: number, silentSinceMs: number): void {
    const { afterMs } = this.#experience.suspicion
    const hedgeMs = this.#experience.hedgeMs(lane.carrier)
    if (silentMs < hedgeMs) {
      this.#watch(lane, silentSinceMs + hedgeMs)
      return
    }
    lane.late = true
    if (silentMs < afterMs) this.#watch(lane, silentSinceMs + afterMs)
    else {
      lane.suspect = true
      lane.overdue = true
      lane.doubtedSinceMs = silentSinceMs
    }
    this.#owner.lanesChanged()
  }

  /** One that has come up just now is not doubted, for a name may be slow; unless others wait behind that name. */
  #hedge(kept: Kept<P>): void {
    const { silentSinceMs, waiting = 0 } = kept.carrier
    if (silentSinceMs === undefined || kept !== this.current || !(kept.answered || waiting > 0)) return
    if (this.#dialler.underWay || !this.#experience.budget.take()) return
    kept.hedged = true
    kept.charged = true
    kept.doubtedSinceMs = silentSinceMs
    this.#hedging = kept
    if (this.dial() !== undefined) this.#hedging = undefined
  }
}
