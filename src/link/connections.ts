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
      up: (opened) => this.#up(opened),
      dialFailed: (error) => {
        this.#hedging = undefined
        owner.dialFailed(error)
      },
    })
    this.#experience = new Experience(tools.clock)
  }

  /** Sees to it that a dial is under way; the last error instead while backing off. */
  dial(): EnigmError | undefined {
    this.#inUse = true
    return this.#dialler.dial()
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
  turnedAway(kept: Kept<P>, error: EnigmError): void {
    if (kept.carrier.inFlight === 0) this.#barren(kept, error)
  }

  /** Drops all and forgets what was learnt on the last path. A link that was in use is dialled at once if somebody waits (`wanted`), soon if nobody does and `online`. */
  renew(wanted: boolean, online: boolean): void {
    this.#wiring.forgetSessions()
    this.#dialler.anotherPath()
    this.#experience.anotherPath()
    const error = new EnigmError('connection-lost', 'the network changed')
    this.#endDial(error)
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
    for (const kept of [...this.#all]) this.#drop(kept, error)
  }

  #endDial(error: EnigmError): void {
    this.#dialler.end(error)
    this.#hedging = undefined
  }

  #up(opened: Opened<P>): undefined {
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
    const kept: Kept<P> = newlyKept(carrier, idleSinceMs)
    const reinstated = this.current
    this.#all.add(kept)
    this.current = kept
    this.#watch(kept, idleSinceMs + this.#experience.idleMs(kept.carrier))
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
    const wanted = kept.suspect && this.current === undefined && !kept.leaving
    if (wanted || this.#hedging === kept) this.#endDial(new EnigmError('closed', 'the other connection spoke'))
    if (!kept.suspect) return
    kept.suspect = false
    kept.overdue = false
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
    kept.leaving = true
    if (kept.carrier.inFlight === 0) this.#drop(kept, new EnigmError('closed', 'nothing is owed any more'))
  }

  /** New queries go elsewhere, and those under way are asked there once more; this one may still answer. */
  #suspect(kept: Kept<P>): void {
    kept.suspect = true
    kept.overdue = true
    kept.doubtedSinceMs = kept.carrier.silentSinceMs ?? kept.doubtedSinceMs
    this.#hedging = undefined
    // Two in a row: the resolver takes connections and answers nothing.
    if (this.#mute && !kept.answered) this.#barren(kept, new EnigmError('connection-lost', 'the resolver went silent'))
    this.#mute = !kept.answered
    if (this.current === kept) this.current = undefined
    if (this.current !== undefined) this.#owner.ready()
    else this.dial()
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
    if (kept.carrier.inFlight > 0) this.#barren(kept, error)
    this.#tools.emit({ type: 'link.down', resolver: this.#wiring.resolver, transport: this.#wiring.transport, code: error.code })
  }

  #barren(kept: Kept<P>, error: EnigmError): void {
    if (kept.answered || kept.barren) return
    kept.barren = true
    this.#dialler.backoff.failed(error)
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
