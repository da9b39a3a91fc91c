import type { Clock, Random } from '../clock.ts'
import { asEnigmError, EnigmError } from '../errors.ts'
import type { Emit } from '../events.ts'
import type { Protection, Transport } from '../resolve.ts'
import { Backoff } from './backoff.ts'
import type { Carrier, CarrierTools } from './carrier.ts'
import type { Connection } from './connect.ts'
import type { Deadline, Deadlines } from './deadlines.ts'
import { Suspicion } from './suspicion.ts'

/** How to dial, what runs on a connection, and how to forget. */
export interface Wiring<P extends Protection> {
  readonly resolver: string
  readonly transport: Transport
  /** Rejects with an EnigmError, with the signal's reason when aborted. `first`: the address to try first. */
  dial(signal: AbortSignal, first: string | undefined): Promise<Connection<P>>
  carry(connection: Connection<P>, tools: CarrierTools): Carrier<P>
  forgetSessions(): void
}

export interface KeeperTools {
  readonly clock: Clock
  readonly random: Random
  readonly emit: Emit
}

/** Told when `current` is there (again), or when a dial failed. */
export interface Owner {
  ready(): void
  dialFailed(error: EnigmError): void
}

/** A connection and what is thought of it. */
export interface Kept<P extends Protection> {
  readonly carrier: Carrier<P>
  /** Written to, and silent. */
  suspect: boolean
  /** Takes no more, whatever it says. */
  leaving: boolean
  gone: boolean
  answered: boolean
  probed: boolean
  idleSinceMs: number
  watch: Deadline | undefined
  watchMs: number
}

/** The connections of one link: at most one takes new queries, at most one is being dialled; others only finish what they owe. */
export class Connections<P extends Protection> {
  current: Kept<P> | undefined
  readonly #wiring: Wiring<P>
  readonly #tools: KeeperTools
  readonly #deadlines: Deadlines
  readonly #owner: Owner
  readonly #backoff: Backoff
  readonly #suspicion = new Suspicion()
  readonly #all = new Set<Kept<P>>()
  #dial: AbortController | undefined
  #lastAddress: string | undefined

  constructor(wiring: Wiring<P>, tools: KeeperTools, deadlines: Deadlines, owner: Owner) {
    this.#wiring = wiring
    this.#tools = tools
    this.#deadlines = deadlines
    this.#owner = owner
    this.#backoff = new Backoff(tools.clock, tools.random)
  }

  /** Sees to it that a dial is under way; the last error instead while backing off. */
  dial(): EnigmError | undefined {
    if (this.#dial !== undefined) return undefined
    const refusal = this.#backoff.refusal()
    if (refusal === undefined) this.#startDial()
    return refusal
  }

  /** Something was written on it: from now on silence counts. */
  sent(kept: Kept<P>): void {
    this.#watch(kept, (kept.carrier.silentSinceMs ?? this.#tools.clock.nowMs()) + this.#suspicion.afterMs / 2)
  }

  answered(kept: Kept<P>, rttMs: number): void {
    kept.answered = true
    this.#backoff.answered()
    this.#suspicion.measured(rttMs)
  }

  /** Drops all and forgets what was learnt on the last network. `wanted`: somebody waits for the dial that this ends. */
  renew(wanted: boolean): void {
    this.#wiring.forgetSessions()
    this.#backoff.reset()
    this.#lastAddress = undefined
    const error = new EnigmError('connection-lost', 'the network changed')
    this.#dial?.abort(error)
    this.#dial = undefined
    if (wanted) this.#startDial()
    for (const kept of [...this.#all]) this.#drop(kept, error)
  }

  close(): void {
    const error = new EnigmError('closed', 'the link is closed')
    this.#dial?.abort(error)
    this.#dial = undefined
    for (const kept of [...this.#all]) this.#drop(kept, error)
  }

  #startDial(): void {
    const dial = new AbortController()
    this.#dial = dial
    this.#wiring.dial(dial.signal, this.#lastAddress).then(
      (connection) => {
        if (this.#dial !== dial) return void connection.socket.destroy()
        this.#dial = undefined
        this.#up(connection)
      },
      (cause: unknown) => {
        if (this.#dial !== dial) return
        this.#dial = undefined
        const error = asEnigmError(cause)
        const { resolver, transport } = this.#wiring
        this.#backoff.failed(error)
        this.#tools.emit({ type: 'link.failed', resolver, transport, code: error.code, detail: error.message })
        this.#owner.dialFailed(error)
      },
    )
  }

  #up(connection: Connection<P>): void {
    const { address, protection, handshakeMs } = connection
    const { resolver, transport } = this.#wiring
    const { clock, random, emit } = this.#tools
    this.#backoff.up()
    this.#lastAddress = address
    emit({ type: 'link.up', resolver, transport, address, protection, handshakeMs })
    const watcher = {
      heard: () => this.#heard(kept),
      draining: () => this.#leave(kept),
      idle: () => this.#idle(kept),
      mismatch: () => emit({ type: 'link.mismatch', resolver, transport }),
      down: (error: EnigmError) => this.#gone(kept, error),
    }
    const carrier = this.#wiring.carry(connection, { clock, random, watcher })
    const idleSinceMs = clock.nowMs()
    const state = { suspect: false, leaving: false, gone: false, answered: false, probed: false }
    const kept: Kept<P> = { carrier, ...state, idleSinceMs, watch: undefined, watchMs: 0 }
    const reinstated = this.current
    this.#all.add(kept)
    this.current = kept
    this.#watch(kept, idleSinceMs + carrier.idleMs)
    if (reinstated !== undefined) this.#leave(reinstated)
    this.#owner.ready()
  }

  /** A suspect that speaks was only slow: it is good again, unless another has taken its place. */
  #heard(kept: Kept<P>): void {
    kept.probed = false
    if (!kept.suspect) return
    kept.suspect = false
    this.#suspicion.falseAlarm()
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
    if (kept.suspect) this.#watch(kept, nowMs + this.#suspicion.afterMs)
    else if (kept.leaving) this.#leave(kept)
    else this.#watch(kept, nowMs + kept.carrier.idleMs)
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
    if (this.current === kept) this.current = undefined
    if (this.current !== undefined) this.#owner.ready()
    else this.dial()
  }

  #drop(kept: Kept<P>, error: EnigmError): void {
    if (kept.gone) return
    this.#gone(kept, error)
    kept.carrier.destroy(error)
  }

  #gone(kept: Kept<P>, error: EnigmError): void {
    if (kept.gone) return
    if (kept.suspect) this.#suspicion.confirmed()
    kept.gone = true
    this.#all.delete(kept)
    if (this.current === kept) this.current = undefined
    if (kept.watch !== undefined) this.#deadlines.remove(kept.watch)
    if (!kept.answered && kept.carrier.inFlight > 0) this.#backoff.failed(error)
    this.#tools.emit({ type: 'link.down', resolver: this.#wiring.resolver, transport: this.#wiring.transport, code: error.code })
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
    const untilMs = kept.idleSinceMs + kept.carrier.idleMs
    if (kept.suspect) this.#drop(kept, new EnigmError('connection-lost', 'the resolver went silent'))
    else if (nowMs >= untilMs) this.#drop(kept, new EnigmError('closed', 'idle'))
    else this.#watch(kept, untilMs)
  }

  /** At half time it asks for a sign of life where the protocol has one; at full time the connection is suspect. */
  #lookAtSilence(kept: Kept<P>, nowMs: number): void {
    const { silentSinceMs } = kept.carrier
    if (kept.suspect || silentSinceMs === undefined) return
    const { afterMs } = this.#suspicion
    if (nowMs >= silentSinceMs + afterMs) this.#suspect(kept)
    else if (nowMs < silentSinceMs + afterMs / 2) this.#watch(kept, silentSinceMs + afterMs / 2)
    else {
      if (!kept.probed) kept.carrier.probe()
      kept.probed = true
      this.#watch(kept, silentSinceMs + afterMs)
    }
  }
}
