import { type Deadline, Deadlines } from '../deadlines.ts'
import { kept } from '../dns/reading.ts'
import { EnigmError } from '../errors.ts'
import type { Ask, Carried, PacedLink, Protection, Transport } from '../resolve.ts'
import { type Carrier, IDLE_MS, type Opened, type Sent } from './carriers/carrier.ts'
import { Dialler } from './dial/dialler.ts'
import { IdleWatch } from './idle-watch.ts'
import type { KeeperTools, Wiring } from './kept.ts'
import type { Renewable } from './renewable.ts'
import { smoothedRtt } from './suspicion.ts'

/**
 * Cells of our own (covers and probes, which no silent name is to blame for) met silence for this
 * long, or for four round trips: the connection is dead. Cells flow whether or not anything is
 * asked, so that an observer learns nothing from the new dial. A second of silence is longer than a
 * lost segment costs (RFC 6298: a first retransmission after one).
 */
const SILENCE_MS = 1500
const SILENT_RTTS = 4
/**
 * Others' cells met silence for this long, or for two round trips: a cell of our own is to tell
 * why.
 */
const DOUBT_MS = 300
const DOUBT_RTTS = 2

interface Under<P extends Protection> {
  readonly carrier: Carrier<P>
  readonly resolve: (carried: Carried<P>) => void
  readonly reject: (error: EnigmError) => void
  deadline: Deadline | undefined
  sent: Sent | undefined
}

/** One connection to one resolver, for a schedule to drive; see `PacedLink` for the contract. Idle connections close after 30 s, or earlier where the resolver says so. */
export class LinkOnSchedule<P extends Protection> implements PacedLink<P>, Renewable {
  readonly id: string
  readonly transport: Transport
  readonly #wiring: Wiring<P>
  readonly #tools: KeeperTools
  readonly #deadlines: Deadlines
  readonly #dialler: Dialler<P>
  readonly #idle: IdleWatch
  readonly #under = new Set<Under<P>>()
  /** Whether anything was answered on each. */
  readonly #carriers = new Map<Carrier<P>, boolean>()
  #current: Carrier<P> | undefined
  /** Whoever waits for the dial under way. */
  #opening: Deferred | undefined
  #smoothedRttMs: number | undefined
  /** When the first cell of our own was written that met silence. */
  #ownSinceMs: number | undefined
  #closed: (() => void) | undefined

  constructor(wiring: Wiring<P>, tools: KeeperTools) {
    this.id = `${wiring.resolver}/${wiring.transport}`
    this.transport = wiring.transport
    this.#wiring = wiring
    this.#tools = tools
    this.#deadlines = new Deadlines(tools.clock)
    this.#idle = new IdleWatch(tools.clock, this.#deadlines, () => {
      if (this.#current?.inFlight === 0) this.#drop(this.#current, new EnigmError('closed', 'idle'))
    })
    this.#dialler = new Dialler(wiring, tools, {
      up: (opened) => this.#up(opened),
      dialFailed: (error) => this.#opened(error),
      mayDial: () => {
        const refusal = this.#opening === undefined ? undefined : this.#dialler.dial()
        if (refusal !== undefined) this.#opened(refusal)
      },
    })
  }

  get ready(): boolean {
    this.#bury()
    return this.#current?.cells?.ready === true
  }
  get doubtful(): boolean {
    const sinceMs = this.#current?.silentSinceMs
    if (sinceMs === undefined || this.#ownSilentSinceMs !== undefined) return false
    return this.#tools.clock.nowMs() - sinceMs >= Math.max(DOUBT_MS, DOUBT_RTTS * (this.#smoothedRttMs ?? 0))
  }
  get unfinished(): boolean {
    return this.#current?.cells?.unfinished === true
  }
  octets(records: number): number | undefined {
    return this.#current?.cells?.octets(records)
  }
  more(): void {
    this.#current?.cells?.more()
  }

  open(): Promise<void> {
    if (this.#closed !== undefined) return Promise.reject(closed())
    if (this.#current !== undefined) return Promise.resolve()
    const refusal = this.#dialler.dial()
    if (refusal !== undefined) return Promise.reject(refusal)
    this.#opening ??= deferred()
    return this.#opening.promise
  }

  exchange(request: Uint8Array, ask: Ask): Promise<Carried<P>> {
    const carrier = this.#current
    if (this.#closed !== undefined) return Promise.reject(closed())
    if (carrier === undefined || !this.ready) return Promise.reject(new EnigmError('connection-lost', 'there is no connection'))
    if (ask.mayLeave?.() === false) return Promise.reject(new EnigmError('closed', 'nobody waits for it any more'))
    return new Promise((resolve, reject) => {
      const under: Under<P> = { carrier, resolve, reject, deadline: undefined, sent: undefined }
      this.#under.add(under)
      under.sent = carrier.send(request, {
        answered: (carried) => this.#carried(under, carried),
        failed: (error) => this.#fail(under, error),
      })
      // After it is sent: how long this takes depends on what else waits, and the moment of sending must not.
      if (ask.purpose === 'cover' || ask.purpose === 'probe') this.#ownSinceMs = this.#ownSilentSinceMs ?? this.#tools.clock.nowMs()
      if (!this.#under.has(under)) return
      under.deadline = this.#deadlines.add(ask.deadlineMs, () => this.#fail(under, new EnigmError('deadline', 'no answer in time')))
    })
  }

  /**
   * The next slot dials; without a session there is none. A dial that is superseded has not failed.
   */
  renew(): void {
    const error = new EnigmError('connection-lost', 'the network changed')
    this.#wiring.forgetSessions()
    this.#dialler.end(error)
    this.#dialler.endAside(error)
    this.#opened()
    for (const carrier of [...this.#carriers.keys()]) this.#drop(carrier, error)
    this.#dialler.anotherPath()
  }

  reconsider(): void {
    this.#dialler.backoff.reset()
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#closed = resolve
      this.#finishIfDone()
    })
  }

  /** The dial is over. */
  #opened(error?: EnigmError): void {
    const opening = this.#opening
    this.#opening = undefined
    if (error === undefined) opening?.resolve()
    else opening?.reject(error)
  }

  #up(opened: Opened<P>): EnigmError | undefined {
    const { address, protection, handshakeMs } = opened
    const { resolver, transport } = this.#wiring
    const { clock, random, emit } = this.#tools
    const watcher = {
      heard: () => {
        if (carrier === this.#current) this.#ownSinceMs = undefined
      },
      draining: () => this.#leave(carrier),
      idle: () => this.#onIdle(carrier),
      mismatch: () => emit({ type: 'link.mismatch', resolver, transport }),
      down: (error: EnigmError) => this.#gone(carrier, error),
    }
    const carrier = opened.carry({ clock, random, watcher, paced: true })
    if (carrier.cells === undefined) {
      const error = new EnigmError('alpn-missing', 'the resolver speaks no HTTP/2, and HTTP/1.1 has no records of one size')
      carrier.destroy(error)
      return error
    }
    this.#carriers.set(carrier, false)
    this.#current = carrier
    this.#ownSinceMs = undefined
    emit({ type: 'link.up', resolver, transport, address, protection, handshakeMs })
    this.#onIdle(carrier)
    this.#opened()
    return undefined
  }

  #carried(under: Under<P>, carried: Carried<P>): void {
    if (this.#carriers.has(under.carrier)) this.#carriers.set(under.carrier, true)
    this.#dialler.backoff.answered()
    this.#smoothedRttMs = smoothedRtt(this.#smoothedRttMs, carried.rttMs)
    this.#settle(under)
    under.resolve(kept(carried))
    this.#finishIfDone()
  }

  #fail(under: Under<P>, error: EnigmError): void {
    this.#settle(under)
    under.reject(error)
    this.#finishIfDone()
  }

  #settle(under: Under<P>): void {
    this.#under.delete(under)
    if (under.deadline !== undefined) this.#deadlines.remove(under.deadline)
    under.sent?.cancel()
  }

  /** Undefined too where nothing is owed any more. */
  get #ownSilentSinceMs(): number | undefined {
    const sinceMs = this.#current?.silentSinceMs
    return sinceMs === undefined || (this.#ownSinceMs ?? 0) < sinceMs ? undefined : this.#ownSinceMs
  }

  /** A connection that said nothing to cells of our own is dead. */
  #bury(): void {
    const carrier = this.#current
    const sinceMs = this.#ownSilentSinceMs
    if (carrier === undefined || sinceMs === undefined) return
    const afterMs = Math.max(SILENCE_MS, SILENT_RTTS * (this.#smoothedRttMs ?? 0))
    if (this.#tools.clock.nowMs() - sinceMs >= afterMs) this.#drop(carrier, new EnigmError('connection-lost', 'the resolver went silent'))
  }

  /** Nothing is owed: after the idle time it closes. */
  #onIdle(carrier: Carrier<P>): void {
    if (carrier !== this.#current) return void this.#leave(carrier)
    this.#idle.idle(Math.min(IDLE_MS, carrier.idleMs))
  }

  /** Takes no more; closes when nothing is owed. */
  #leave(carrier: Carrier<P>): void {
    if (this.#current === carrier) this.#current = undefined
    if (carrier.inFlight > 0) return
    const error = new EnigmError('closed', 'nothing is owed any more')
    // It turned everything away.
    if (this.#carriers.get(carrier) === false) this.#dialler.backoff.died()
    this.#drop(carrier, error)
  }

  #drop(carrier: Carrier<P>, error: EnigmError): void {
    this.#gone(carrier, error)
    carrier.destroy(error)
  }

  #gone(carrier: Carrier<P>, error: EnigmError): void {
    const answered = this.#carriers.get(carrier)
    if (!this.#carriers.delete(carrier)) return
    const { resolver, transport } = this.#wiring
    if (this.#current === carrier) this.#current = undefined
    if (answered === false && carrier.inFlight > 0) this.#dialler.backoff.died()
    this.#tools.emit({ type: 'link.down', resolver, transport, code: error.code })
  }

  #finishIfDone(): void {
    if (this.#closed === undefined || this.#under.size > 0) return
    this.#dialler.end(closed())
    this.#dialler.endAside(closed())
    this.#opened(closed())
    this.#idle.stop()
    for (const carrier of [...this.#carriers.keys()]) this.#drop(carrier, closed())
    this.#closed()
  }
}

interface Deferred {
  readonly promise: Promise<void>
  readonly resolve: () => void
  readonly reject: (error: EnigmError) => void
}

function deferred(): Deferred {
  let resolve = () => {}
  let reject: (error: EnigmError) => void = () => {}
  const promise = new Promise<void>((yes, no) => {
    resolve = yes
    reject = no
  })
  return { promise, resolve, reject }
}

function closed(): EnigmError {
  return new EnigmError('closed', 'the link is closed')
}
