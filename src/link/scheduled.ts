import { type Deadline, Deadlines } from '../deadlines.ts'
import { keptCopy as keptReply } from '../dns/response.ts'
import { EnigmError } from '../errors.ts'
import type { Ask, Carried, Protection, ScheduledLink, Transport } from '../resolve.ts'
import type { CellCarrier, Sent } from './carriers/carrier.ts'
import type { DialTarget, DialTools } from './dial/dialler.ts'
import { IdleWatch } from './idle-watch.ts'
import type { Renewable } from './on-demand.ts'
import { Pool } from './pool.ts'
import { newSilence, type PooledConnection, type PoolStrategy } from './pooled-connection.ts'
import { smoothedRtt } from './silence-detector.ts'

/**
 * A connection counts as dead if covers and probes get no reply for this long, or for four round
 * trips. Their names are never slow. They are sent whether or not clients ask, so an observer
 * learns nothing from the new dial. A lost segment costs less time (RFC 6298: it is first repeated
 * after 1 s).
 */
const SILENCE_MS = 1500
const SILENT_RTTS = 4
/**
 * If queries of clients get no reply for this long, or for two round trips, a probe is sent to find
 * out whether the connection is alive.
 */
const DOUBT_MS = 300
const DOUBT_RTTS = 2
/**
 * An idle connection is closed after this time, or sooner if the resolver says so. A closed
 * connection reveals less to an observer than an idle one.
 */
const IDLE_MS = 30_000

type ScheduledConnection<P extends Protection> = PooledConnection<P, CellCarrier<P>>

interface ScheduledExchange<P extends Protection> {
  readonly connection: ScheduledConnection<P>
  readonly resolve: (carried: Carried<P>) => void
  readonly reject: (error: EnigmError) => void
  deadline: Deadline | undefined
  sent: Sent | undefined
}

export type RenewableScheduledLink<P extends Protection = Protection> = ScheduledLink<P> & Renewable

/**
 * A link with one connection, driven by a schedule. See `ScheduledLink` for the contract. An idle
 * connection closes after 30 s, or earlier if the resolver says so.
 */
export class CellLink<P extends Protection> implements ScheduledLink<P>, Renewable {
  readonly id: string
  readonly transport: Transport
  readonly #tools: DialTools
  readonly #deadlines: Deadlines
  readonly #pool: Pool<P, CellCarrier<P>>
  readonly #idle: IdleWatch
  readonly #exchanges = new Set<ScheduledExchange<P>>()
  /** The promise of the dial in progress. */
  #opening: Deferred | undefined
  #smoothedRttMs: number | undefined
  /** When the first cover or probe was written that has no reply yet. */
  #ownSinceMs: number | undefined
  #closed: (() => void) | undefined

  constructor(target: DialTarget<P, CellCarrier<P>>, tools: DialTools) {
    this.id = `${target.resolver}/${target.transport}`
    this.transport = target.transport
    this.#tools = tools
    this.#deadlines = new Deadlines(tools.clock)
    this.#idle = new IdleWatch(tools.clock, this.#deadlines, () => {
      const { current } = this.#pool
      if (current?.carrier.inFlight === 0) this.#pool.drop(current, new EnigmError('closed', 'idle'))
    })
    const strategy: PoolStrategy<P, CellCarrier<P>> = {
      newSilence: () => newSilence(tools.clock.nowMs()),
      up: (connection) => this.#onIdle(connection),
      becameCurrent: (_kept, before) => {
        this.#ownSinceMs = undefined
        if (before !== undefined) this.#pool.drain(before)
      },
      heard: ({ state }) => {
        if (state === 'current') this.#ownSinceMs = undefined
      },
      idle: (connection) => this.#onIdle(connection),
      died: () => {},
      gone: () => {},
    }
    this.#pool = new Pool(target, tools, strategy, {
      ready: () => this.#opened(),
      dialFailed: (error) => this.#opened(error),
      lanesChanged: () => {
        const refusal = this.#opening === undefined ? undefined : this.#pool.dial()
        if (refusal !== undefined) this.#opened(refusal)
      },
    })
  }

  get ready(): boolean {
    this.#dropIfSilent()
    this.#drainIfSpent()
    return this.#pool.current?.carrier.cells.ready === true
  }
  get doubtful(): boolean {
    const sinceMs = this.#pool.current?.carrier.silentSinceMs
    if (sinceMs === undefined || this.#ownSilentSinceMs !== undefined) return false
    return this.#tools.clock.nowMs() - sinceMs >= Math.max(DOUBT_MS, DOUBT_RTTS * (this.#smoothedRttMs ?? 0))
  }
  get unfinished(): boolean {
    return this.#pool.current?.carrier.cells.unfinished === true
  }
  octets(records: number): number | undefined {
    return this.#pool.current?.carrier.cells.octets(records)
  }
  more(): void {
    this.#pool.current?.carrier.cells.more()
  }

  open(): Promise<void> {
    if (this.#closed !== undefined) return Promise.reject(closed())
    if (this.#pool.current !== undefined) return Promise.resolve()
    const refusal = this.#pool.dial()
    if (refusal !== undefined) return Promise.reject(refusal)
    this.#opening ??= deferred()
    return this.#opening.promise
  }

  exchange(request: Uint8Array, ask: Ask): Promise<Carried<P>> {
    const { current } = this.#pool
    if (this.#closed !== undefined) return Promise.reject(closed())
    if (current === undefined || !this.ready) return Promise.reject(new EnigmError('connection-lost', 'there is no connection'))
    if (ask.mayLeave?.() === false) return Promise.reject(new EnigmError('closed', 'no client waits for it'))
    return new Promise((resolve, reject) => {
      const exchange: ScheduledExchange<P> = { connection: current, resolve, reject, deadline: undefined, sent: undefined }
      this.#exchanges.add(exchange)
      exchange.sent = current.carrier.send(request, {
        answered: (carried) => this.#carried(exchange, carried),
        failed: (error) => this.#fail(exchange, error),
      })
      // This comes after the send. Its duration depends on what else waits, and the time of the
      // send must not depend on that.
      if (ask.purpose === 'cover' || ask.purpose === 'probe') this.#ownSinceMs = this.#ownSilentSinceMs ?? this.#tools.clock.nowMs()
      if (!this.#exchanges.has(exchange)) return
      exchange.deadline = this.#deadlines.add(ask.deadlineMs, () => this.#fail(exchange, new EnigmError('deadline', 'no answer in time')))
    })
  }

  /**
   * Drops the connection. The next slot dials; there are slots only while a session of the schedule
   * is open. A dial that is superseded does not count as failed.
   */
  renew(): void {
    const error = new EnigmError('connection-lost', 'the network changed')
    this.#pool.anotherPath(error)
    this.#opened()
    this.#pool.dropAll(error)
  }

  reconsider(): void {
    this.#pool.reconsider()
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

  #carried(exchange: ScheduledExchange<P>, carried: Carried<P>): void {
    this.#pool.answered(exchange.connection)
    this.#smoothedRttMs = smoothedRtt(this.#smoothedRttMs, carried.rttMs)
    this.#settle(exchange)
    exchange.resolve(keptReply(carried))
    this.#finishIfDone()
  }

  #fail(exchange: ScheduledExchange<P>, error: EnigmError): void {
    this.#settle(exchange)
    exchange.reject(error)
    this.#finishIfDone()
  }

  #settle(exchange: ScheduledExchange<P>): void {
    this.#exchanges.delete(exchange)
    if (exchange.deadline !== undefined) this.#deadlines.remove(exchange.deadline)
    exchange.sent?.cancel()
  }

  /** Since when covers and probes have no reply. Undefined: no reply is pending. */
  get #ownSilentSinceMs(): number | undefined {
    const sinceMs = this.#pool.current?.carrier.silentSinceMs
    return sinceMs === undefined || (this.#ownSinceMs ?? 0) < sinceMs ? undefined : this.#ownSinceMs
  }

  /** Drops the connection if it is silent to covers and probes for too long. */
  #dropIfSilent(): void {
    const { current } = this.#pool
    const sinceMs = this.#ownSilentSinceMs
    if (current === undefined || sinceMs === undefined) return
    const afterMs = Math.max(SILENCE_MS, SILENT_RTTS * (this.#smoothedRttMs ?? 0))
    if (this.#tools.clock.nowMs() - sinceMs >= afterMs)
      this.#pool.drop(current, new EnigmError('connection-lost', 'the resolver went silent'))
  }

  /** Closes a connection on which the peer accepts nothing more. The next slot dials. */
  #drainIfSpent(): void {
    const { current } = this.#pool
    if (current?.carrier.cells.spent === true) this.#pool.drain(current)
  }

  /** No reply is pending. Closes after the idle time, or at once if the connection drains. */
  #onIdle(connection: ScheduledConnection<P>): void {
    if (connection.state === 'current') this.#idle.idle(Math.min(IDLE_MS, connection.carrier.idleMs))
    else {
      this.#pool.countDrained(connection)
      this.#pool.drain(connection)
    }
  }

  #finishIfDone(): void {
    if (this.#closed === undefined || this.#exchanges.size > 0) return
    this.#opened(closed())
    this.#idle.stop()
    this.#pool.close()
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
