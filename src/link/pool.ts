import { EnigmError } from '../errors.ts'
import type { Protection } from '../resolve.ts'
import type { Carrier, Opened } from './carriers/carrier.ts'
import { CountedReports } from './counted-reports.ts'
import { Dialler, type DialTarget, type DialTools } from './dial/dialler.ts'
import {
  type ConnectionState,
  isGone,
  type PooledConnection,
  type PoolListener,
  type PoolStrategy,
  type Silence,
} from './pooled-connection.ts'

/**
 * The connections of one link and all their dials. At most one connection (`current`) accepts new
 * queries, and at most one dial for it runs. Lanes are dialled in addition if they are needed: a
 * lane is a connection for one question that is retried alone (retry-quarantine.ts).
 */
export class Pool<P extends Protection, C extends Carrier<P> = Carrier<P>> {
  current: PooledConnection<P, C> | undefined
  readonly lanes: PooledConnection<P, C>[] = []
  /** The number of the newest connection. */
  newest = 0
  readonly #target: DialTarget<P, C>
  readonly #tools: DialTools
  readonly #strategy: PoolStrategy<P, C>
  readonly #listener: PoolListener
  readonly #dialler: Dialler<P, C>
  readonly #all = new Set<PooledConnection<P, C>>()
  readonly #mismatches: CountedReports

  constructor(target: DialTarget<P, C>, tools: DialTools, strategy: PoolStrategy<P, C>, listener: PoolListener) {
    this.#target = target
    this.#tools = tools
    this.#strategy = strategy
    this.#listener = listener
    this.#mismatches = new CountedReports(tools.clock, (count) => {
      const { resolver, transport } = target
      tools.emit({ type: 'link.mismatch', resolver, transport, ...(count > 1 && { count }) })
    })
    this.#dialler = new Dialler(target, tools, {
      up: (opened, lane) => this.#up(opened, lane),
      dialFailed: (error, lane) => listener.dialFailed(error, lane),
      mayDial: () => listener.lanesChanged(),
    })
  }

  /** Whether a dial for `current` is running. */
  get dialling(): boolean {
    return this.#dialler.underWay
  }
  /**
   * The error of the running dials if they take too long. It names the hop that has not answered.
   */
  get overdue(): EnigmError | undefined {
    return this.#dialler.overdue
  }
  /** Whether the resolver is known to answer. */
  get answers(): boolean {
    return this.#dialler.backoff.answers
  }

  /**
   * Makes sure that a dial is running or scheduled. During the backoff it returns the last error
   * instead.
   */
  dial(): EnigmError | undefined {
    return this.#dialler.dial()
  }

  /** Dials after a short random delay, before a query needs the connection. */
  dialSoon(): void {
    this.#dialler.dialSoon()
  }

  /** Ends the dial for `current`. Queries that wait for it do not fail. */
  endDial(error: EnigmError): void {
    this.#dialler.end(error)
  }

  /**
   * Ensures that there are `wanted` lanes which are not late, and at most one such lane while
   * connections die without an answer. With the late ones there are at most `most`. Returns an
   * error if no lane can be dialled.
   */
  wantLanes(wanted: number, most: number): EnigmError | undefined {
    const late = this.lanes.filter(({ silence }) => silence.doubt !== 'none').length
    const inAll = Math.min(most, late + (this.#dialler.backoff.diesUnanswered ? Math.min(1, wanted) : wanted))
    while (this.lanes.length + this.#dialler.lanes < inAll) {
      const before = this.#dialler.lanes
      const refusal = this.#dialler.dialLane()
      if (refusal !== undefined) return refusal
      if (this.#dialler.lanes === before) return undefined
    }
    return undefined
  }

  /**
   * Ends the use of a lane. It becomes `current` if there is none and the lane is not silent;
   * otherwise it drains.
   */
  release(lane: PooledConnection<P, C>): void {
    if (this.current !== undefined || lane.silence.doubt !== 'none') {
      this.drain(lane)
      return
    }
    this.endDial(new EnigmError('closed', 'there is a connection'))
    this.#enter(lane, 'current')
    this.#listener.ready()
  }

  /** Makes a silent connection a suspect: it gets no query until it sends data. */
  suspect(connection: PooledConnection<P, C>): void {
    if (connection.state === 'current') this.#enter(connection, 'suspect')
  }

  /** A suspect sent data: it becomes `current` again, unless another connection is. */
  reinstate(connection: PooledConnection<P, C>): void {
    if (connection.state !== 'suspect') return
    if (this.current !== undefined) this.drain(connection)
    else {
      this.#enter(connection, 'current')
      this.#listener.ready()
    }
  }

  /** Drains a connection: it gets no query, and closes when none is in flight. */
  drain(connection: PooledConnection<P, C>): void {
    if (isGone(connection)) return
    this.#enter(connection, 'draining')
    if (connection.trialStep.is === 'proving') connection.trialStep.probe.cancel()
    if (connection.carrier.inFlight === 0) this.drop(connection, new EnigmError('closed', 'no reply is pending'))
  }

  drop(connection: PooledConnection<P, C>, error: EnigmError): void {
    if (isGone(connection)) return
    this.#gone(connection, error)
    connection.carrier.destroy(error)
  }

  answered(connection: PooledConnection<P, C>): void {
    connection.served++
    this.#dialler.backoff.answered()
  }

  /**
   * A connection drains. If no query is in flight and it never answered, it counts as a connection
   * that died without an answer.
   */
  countDrained(connection: PooledConnection<P, C>): void {
    if (connection.carrier.inFlight === 0) this.#countUnanswered(connection)
  }

  /** Counts a silent connection as a failed dial: the resolver accepts it but answers nothing. */
  countAsFailed(connection: PooledConnection<P, C>): void {
    if (connection.failure !== 'none') return
    connection.failure = 'counted'
    this.#dialler.backoff.failed(new EnigmError('connect-failed', 'the resolver accepts connections but answers nothing'))
  }

  /**
   * Forgets what was learnt on the previous network, and ends its dials. The caller then dials if a
   * connection is needed, and calls `dropAll` last, so that lost queries find the new dial.
   */
  anotherPath(error: EnigmError): void {
    this.#target.forgetSessions()
    this.#dialler.anotherPath()
    this.#dialler.end(error)
    this.#dialler.endLanes(error)
  }

  /** Closes all connections. Queries in flight are lost. */
  dropAll(error: EnigmError): void {
    for (const connection of [...this.#all]) {
      connection.failure = 'excused'
      this.drop(connection, error)
    }
  }

  /**
   * Ends the backoff, because the reason of the last failure may be gone (a certificate's date).
   */
  reconsider(): void {
    this.#dialler.backoff.reset()
  }

  close(): void {
    const error = new EnigmError('closed', 'the link is closed')
    this.#dialler.end(error)
    this.#dialler.endLanes(error)
    this.dropAll(error)
    this.#mismatches.flush()
  }

  #up(opened: Opened<P, C>, lane: boolean): void {
    const { address, protection, handshakeMs } = opened
    const { resolver, transport } = this.#target
    const { clock, random, emit } = this.#tools
    const watcher = {
      heard: () => this.#strategy.heard(connection),
      draining: () => {
        this.countDrained(connection)
        this.drain(connection)
      },
      idle: () => this.#strategy.idle(connection),
      mismatch: () => this.#mismatches.add(),
      down: (error: EnigmError) => this.#died(connection, error),
    }
    const carrier = opened.carry({ clock, random, watcher })
    emit({ type: 'link.up', resolver, transport, address, protection, handshakeMs })
    const connection = newConnection(carrier, ++this.newest, this.#strategy.newSilence())
    this.#all.add(connection)
    const before = this.current
    this.#enter(connection, lane ? 'lane' : 'current')
    this.#strategy.up(connection, opened.routeRttMs)
    if (lane) this.#listener.lanesChanged()
    else {
      this.#strategy.becameCurrent(connection, before)
      this.#listener.ready()
    }
  }

  /** Moves a connection to another state. */
  #enter(connection: PooledConnection<P, C>, state: ConnectionState): void {
    if (connection === this.current && state !== 'current') this.current = undefined
    if (connection.state === 'lane' && state !== 'lane') {
      const at = this.lanes.indexOf(connection)
      if (at >= 0) this.lanes.splice(at, 1)
    }
    connection.state = state
    if (state === 'current') this.current = connection
    if (state === 'lane') this.lanes.push(connection)
  }

  #died(connection: PooledConnection<P, C>, error: EnigmError): void {
    if (isGone(connection)) return
    this.#strategy.died(connection, error)
    this.#gone(connection, error)
  }

  #gone(connection: PooledConnection<P, C>, error: EnigmError): void {
    const { resolver, transport } = this.#target
    // A lane that ends before it got a question has answered nothing. The resolver may close every
    // new connection, so this counts for the backoff.
    const idleLane = connection.state === 'lane' && connection.carrier.inFlight === 0
    this.#enter(connection, 'gone')
    this.#all.delete(connection)
    this.#strategy.gone(connection)
    if (connection.carrier.inFlight > 0 || idleLane) this.#countUnanswered(connection)
    if (idleLane) this.#listener.lanesChanged()
    this.#tools.emit({ type: 'link.down', resolver, transport, code: error.code })
  }

  #countUnanswered(connection: PooledConnection<P, C>): void {
    if (connection.served > 0 || connection.failure !== 'none') return
    connection.failure = 'counted'
    this.#dialler.backoff.died()
  }
}

/** A connection that has just come up. `#enter` then gives it its real state. */
function newConnection<P extends Protection, C extends Carrier<P>>(
  carrier: C,
  number: number,
  silence: Silence<P>,
): PooledConnection<P, C> {
  return { carrier, number, state: 'draining', served: 0, refused: 0, failure: 'none', silence, owed: 0, trialStep: { is: 'free' } }
}
