import type { Clock, Random } from '../clock.ts'
import { ROOT_PROBE } from '../dns/message.ts'
import { readingOf } from '../dns/response.ts'
import { type EnigmError, mayBeTheName } from '../errors.ts'
import type { Emit } from '../events.ts'
import type { Carried, Protection, ReplyVerdict, Transport } from '../resolve.ts'
import { type Asker, type Exchange, Trial, threw } from './asker.ts'
import { refusesRoot } from './classification.ts'
import { Order } from './order.ts'
import { hadTime, isAgainst, type Manner } from './path-health.ts'
import type { JudgedUpstream, JudgeOfResolvers, ResolverHealth } from './resolver-health.ts'

/*
 * The one judge of resolvers and their transports. Whoever asks tells it what happened, once: over
 * what was asked and since when, and the reply or the error. It says what that means for the
 * transport and for the resolver, reports it, sends the probes, and gives the order to ask in.
 *
 * A reply says something of both at once. A failure is the transport's, and the resolver's only
 * when no transport had an answer, or when it is silent for longer than a query may wait for. So
 * each keeps a count and a backoff of its own: a resolver whose port 853 is blocked is well, and
 * one that is slow is no reason to leave its port 853.
 */

/** A link idles for 30 s at first; one that answered within this is likely to be up. */
const LINK_COLD_MS = 25_000
/**
 * How long a network may take to come up after the first sign of it, and how often a query that
 * waits for that is tried.
 */
const UNSETTLED_MS = 10_000
const AGAIN_MS = 200
/**
 * So many replies in a row that speak of the hop or that another operator bettered, and the
 * resolver itself is sick.
 */
const BETTERED_LIMIT = 3
/**
 * And over shaped links, where nobody else is asked, after so many replies in a row that settle
 * nothing a probe is to tell.
 */
const UNSETTLED_LIMIT = 8

export interface HealthOptions<P extends Protection> {
  readonly upstreams: readonly JudgedUpstream<P>[]
  readonly clock: Clock
  readonly random: Random
  readonly emit: Emit
  readonly manner: Manner
}

/**
 * How the resolvers of the trusted set do beside each other, and who is asked next. Resolvers that
 * failed stand behind and are probed (with a root query, unless the set names another) after 1 s
 * doubling to a minute, by a timer, but only while another one answers: when all are down the real
 * queries are the probes, and nothing is timed. Bounded by the number of resolvers.
 */
export class Health<P extends Protection> implements JudgeOfResolvers<P> {
  readonly #resolvers: readonly ResolverHealth<P>[]
  readonly #order: Order<ResolverHealth<P>>
  readonly #o: HealthOptions<P>
  #unsettledUntilMs = Number.NEGATIVE_INFINITY
  #closed = false

  constructor(o: HealthOptions<P>) {
    this.#o = o
    this.#resolvers = o.upstreams.map(({ health }) => health)
    this.#order = new Order(this.#resolvers, o.manner, o.clock)
    for (const r of this.#resolvers) r.among = this
  }

  /** Whom to ask next, not one of `asked`, if anybody. */
  next(asked: readonly ResolverHealth<P>[]): ResolverHealth<P> | undefined {
    return this.#closed ? undefined : this.#order.next(asked)
  }

  /** Asks `r`. If it throws, which is a bug, it has failed. */
  ask(r: ResolverHealth<P>, message: Uint8Array, dnssecOk: boolean, asker: Asker<P, [transport: Transport, verdict: ReplyVerdict]>): void {
    r.standing.lastTriedMs = asker.startedMs
    try {
      r.upstream.ask(message, dnssecOk, asker, asker)
    } catch (error) {
      threw(error, asker, this.#o.emit, 'selection')
    }
  }

  /** A reply of `r` came, to a query or to a probe. */
  replied(r: ResolverHealth<P>, { purpose, beganMs }: Exchange, carried: Carried<P>, verdict: ReplyVerdict, nowMs: number): void {
    const { standing } = r
    const { final, ofHop } = verdict
    const probe = purpose === 'probe'
    if (probe ? this.#passes(r, carried, verdict) : final) {
      this.#well(r, carried.rttMs, nowMs - beganMs, nowMs)
      return
    }
    // Whatever it says, the path is alive.
    standing.lastAnswerMs = nowMs
    if (probe) {
      // One that cannot read a query for the root can read none.
      if (ofHop || !standing.healthy || standing.bettered >= UNSETTLED_LIMIT) this.#sick(r, beganMs, nowMs)
    } else if (ofHop) this.bettered(r, nowMs)
    else if (!this.#o.manner.asksAgain && ++standing.bettered >= UNSETTLED_LIMIT && standing.healthy) void this.probe(r)
  }

  /**
   * Whether the reply to a probe shows that `r` is well. One that failed by its replies to real
   * queries is to show that it resolves; else the path was to blame, and it lives.
   */
  #passes({ upstream, standing }: ResolverHealth<P>, carried: Carried<P>, { final }: ReplyVerdict): boolean {
    const { probe = ROOT_PROBE } = upstream
    return final || (refusesRoot(probe, readingOf(carried).rcode) && standing.bettered < BETTERED_LIMIT)
  }

  #well(r: ResolverHealth<P>, rttMs: number, waitMs: number, nowMs: number): void {
    const wasSuspect = r.standing.suspect
    if (wasSuspect && !this.#someProven()) for (const other of this.#resolvers) other.standing.forgive(nowMs)
    r.standing.answered(rttMs, waitMs, nowMs)
    if (wasSuspect) {
      this.#disarm(r)
      for (const other of this.#resolvers) this.#arm(other)
    }
    // No user's name is spent on finding out how far the others are.
    const unmeasured = this.#order.toMeasure(nowMs)
    if (unmeasured !== undefined && !this.#closed && this.#o.manner.probes) void this.probe(unmeasured)
  }

  /**
   * Another operator had a good reply where `r` had none, or it spoke of the hop: three in a row
   * are a failure, whoever else may have an answer.
   */
  bettered(r: ResolverHealth<P>, nowMs = this.#o.clock.nowMs()): void {
    if (++r.standing.bettered >= BETTERED_LIMIT) this.#sick(r, nowMs, nowMs)
  }

  /**
   * No transport of `r`, asked at `beganMs`, had an answer, or none in time. Where that says
   * nothing of the path a probe is to tell.
   */
  exhausted(r: ResolverHealth<P>, beganMs: number, error: EnigmError, probe = false): void {
    const { standing } = r
    const nowMs = this.#o.clock.nowMs()
    if (isAgainst(error, standing, beganMs, nowMs, probe)) this.#sick(r, beganMs, nowMs)
    else if (mayBeTheName(error) && !probe && standing.silentSince(beganMs) && hadTime(beganMs, nowMs) && standing.healthy) {
      if (!this.#closed) void this.probe(r)
    }
  }

  /**
   * A query of `beganMs` has waited long enough for `r`, and nothing came of anything else either.
   * `again`: nor of a probe, or it is one that a probe need not tell of.
   */
  silent(r: ResolverHealth<P>, beganMs: number, again: boolean): void {
    if (again) this.#sick(r, beganMs, this.#o.clock.nowMs())
    else void this.probe(r)
  }

  /** An exchange begun at `beganMs` shows that the path is dead. */
  #sick(r: ResolverHealth<P>, beganMs: number, nowMs: number): void {
    if (!r.standing.failed(beganMs, nowMs)) return
    this.#disarm(r)
    if (this.#someProven()) this.#arm(r)
    else for (const other of this.#resolvers) this.#disarm(other)
  }

  /**
   * Asks one resolver its probe, at most once at a time. Settles when it is over; never rejects.
   */
  probe(r: ResolverHealth<P>): Promise<void> {
    if (r.probing !== undefined) return r.probing
    let over = () => {}
    const ended = new Promise<void>((settle) => {
      over = settle
    })
    // Before it is asked: what comes of it may come at once, and nothing else is to be armed by it.
    r.probing = ended.then(() => {
      r.probing = undefined
      r.standing.postpone(this.#o.clock.nowMs())
      this.#arm(r)
    })
    const { probe = ROOT_PROBE } = r.upstream
    this.ask(r, probe, false, new Trial<P>(this.#o.clock.nowMs(), over))
    return r.probing
  }

  /**
   * The one that would be asked next is probed, so that its link is up if it comes to that: no name
   * is told. Not if it has answered lately.
   */
  makeReady(asked: readonly ResolverHealth<P>[]): void {
    const r = this.next(asked)
    if (r?.standing.healthy && this.#o.clock.nowMs() - r.standing.lastAnswerMs >= LINK_COLD_MS) void this.probe(r)
  }

  /**
   * Probes every resolver now, whatever its backoff; settles when all have. For a start or a change
   * of network.
   */
  async probeAll(): Promise<void> {
    if (!this.#closed) await Promise.all(this.#resolvers.map((r) => this.probe(r)))
  }

  /**
   * Another network, or the machine woke: nobody has failed here yet, and for some seconds a
   * failure may mean that the network is still coming up.
   */
  disturbed(): void {
    this.#unsettledUntilMs = this.#o.clock.nowMs() + UNSETTLED_MS
    for (const r of this.#resolvers) {
      this.#disarm(r)
      r.standing.reset()
      r.forgive()
    }
  }

  /** When to begin again with a query that everybody failed, or undefined: not at all. */
  againAtMs(nowMs: number): number | undefined {
    return nowMs < this.#unsettledUntilMs && !this.#closed ? nowMs + AGAIN_MS : undefined
  }

  /**
   * What failed for a reason that may be gone (the wall clock was set) is probed now, and not when
   * its backoff has passed.
   */
  reconsider(): void {
    for (const r of this.#resolvers) {
      if (r.standing.healthy) continue
      this.#disarm(r)
      r.standing.retryAtMs = this.#o.clock.nowMs()
      this.#arm(r)
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const r of this.#resolvers) this.#disarm(r)
    await Promise.allSettled(this.#resolvers.map((r) => r.upstream.close()))
  }

  /**
   * The spread keeps a thousand devices that lost one resolver together from coming back together.
   */
  #arm(r: ResolverHealth<P>): void {
    const { standing } = r
    const rests = this.#closed || !this.#o.manner.probes || standing.healthy
    if (rests || r.timer !== undefined || r.probing !== undefined || !this.#someProven()) return
    const { clock, random } = this.#o
    const spreadMs = 1 + random.below(Math.ceil(standing.backoffMs / 16))
    r.timer = clock.setTimer(Math.max(0, standing.retryAtMs - clock.nowMs()) + spreadMs, () => {
      r.timer = undefined
      void this.probe(r)
    })
  }

  #disarm(r: ResolverHealth<P>): void {
    r.timer?.cancel()
    r.timer = undefined
  }

  /** Whether one has answered and not failed since. */
  #someProven(): boolean {
    return this.#resolvers.some((r) => !r.standing.suspect)
  }
}
