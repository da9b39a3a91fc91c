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
import type { Ranks, Split } from './split.ts'

/*
 * Only this module judges resolvers and their transports. The asking side reports each result once:
 * the transport, the start time, and the reply or the error. The judge decides what the result
 * means for the transport and for the resolver. It sends the probes, and gives the order in which
 * to ask.
 *
 * A reply is evidence about both. A failure counts against the transport. It counts against the
 * resolver only if no transport had an answer, or if the resolver is silent for longer than a query
 * may wait. So each has its own failure count and backoff. A resolver whose port 853 is blocked is
 * still healthy, and a slow resolver is no reason to avoid its port 853.
 */

/**
 * A link that answered within this time is probably still open: at first, a link closes after 30 s
 * of idle time.
 */
const LINK_COLD_MS = 25_000
/**
 * How long a network may take to come up after the first sign of it. A query that waits for the
 * network is tried every AGAIN_MS.
 */
const UNSETTLED_MS = 10_000
const AGAIN_MS = 200
/**
 * A resolver counts as failed after this many bad replies in a row. A bad reply is about the hop,
 * or another operator had a better reply.
 */
const BAD_REPLY_LIMIT = 3
/**
 * Over shaped links no other resolver is asked. There, a probe is sent after this many replies in a
 * row that do not settle their question.
 */
const UNSETTLED_LIMIT = 8
/** The probe also needs this much time without a reply that settles its question. */
const UNSETTLED_FOR_MS = 3000

/** What `Health` needs. */
export interface HealthOptions<P extends Protection> {
  readonly upstreams: readonly JudgedUpstream<P>[]
  readonly clock: Clock
  readonly random: Random
  readonly emit: Emit
  readonly manner: Manner
  /** How names are divided among operators. Absent: not at all. Queries wait for a promise. */
  readonly split?: Split | Promise<Split> | undefined
}

/**
 * Compares the resolvers of the trusted set, and chooses the one to ask next. Failed resolvers come
 * last. A timer probes them after 1 s, then after double the time, up to a minute. The probe is a
 * query for the root, unless the set names another one. Timers run only while another resolver
 * answers: when all are down, the real queries are the probes.
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

  /**
   * The order in which to ask the resolvers with these ids. Undefined: all resolvers. No other
   * resolver is asked, even if all of these fail.
   */
  orderOf(ids: readonly string[] | undefined): Order<ResolverHealth<P>> {
    if (ids === undefined) return this.#order
    const among = ids.flatMap((id) => this.#resolvers.find((r) => r.id === id) ?? [])
    return new Order(among, this.#o.manner, this.#o.clock)
  }

  /** The resolver of `order` to ask next that is not in `asked`, if there is one. */
  next(order: Order<ResolverHealth<P>>, asked: readonly ResolverHealth<P>[], ranks?: Ranks): ResolverHealth<P> | undefined {
    return this.#closed ? undefined : order.next(asked, ranks)
  }

  /** The same as `next`, but only if the resolver may learn the query, see `Order.mayLearn`. */
  nextToInform(
    order: Order<ResolverHealth<P>>,
    asked: readonly ResolverHealth<P>[],
    ranks: Ranks | undefined,
  ): ResolverHealth<P> | undefined {
    const next = this.next(order, asked, ranks)
    return next === undefined || ranks === undefined || order.mayLearn(next, ranks) ? next : undefined
  }

  /** Asks the resolver `r`. If it throws, which is a bug, the exchange counts as failed. */
  ask(r: ResolverHealth<P>, message: Uint8Array, dnssecOk: boolean, asker: Asker<P, [transport: Transport, verdict: ReplyVerdict]>): void {
    r.pathHealth.lastTriedMs = asker.startedMs
    try {
      r.upstream.ask(message, dnssecOk, asker, asker)
    } catch (error) {
      threw(error, asker, this.#o.emit, 'selection')
    }
  }

  /** Called for each reply of `r`, to a query or to a probe. */
  replied(r: ResolverHealth<P>, { purpose, beganMs }: Exchange, carried: Carried<P>, verdict: ReplyVerdict, nowMs: number): void {
    const { pathHealth } = r
    const { final, ofHop } = verdict
    const probe = purpose === 'probe'
    if (probe ? this.#passes(r, carried, verdict) : final) {
      this.#well(r, carried.rttMs, nowMs - beganMs, nowMs)
      return
    }
    // Any reply proves that the path is alive.
    pathHealth.lastReplyMs = nowMs
    if (probe) {
      // A resolver that cannot read a probe can read no query.
      if (ofHop || !pathHealth.healthy || pathHealth.badReplies >= UNSETTLED_LIMIT) this.#sick(r, beganMs, nowMs)
    } else if (ofHop) this.countBadReply(r, nowMs)
    else if (!this.#o.manner.asksAgain && ++pathHealth.badReplies >= UNSETTLED_LIMIT && pathHealth.healthy) {
      if (nowMs - pathHealth.lastFinalMs >= UNSETTLED_FOR_MS) void this.probe(r)
    }
  }

  /**
   * Whether the reply to a probe shows that `r` is healthy. If `r` failed because of its replies to
   * real queries, it must show that it resolves names. Otherwise a refusal is enough: it proves
   * that the path is alive.
   */
  #passes({ upstream, pathHealth }: ResolverHealth<P>, carried: Carried<P>, { final }: ReplyVerdict): boolean {
    const { probe = ROOT_PROBE } = upstream
    return final || (refusesRoot(probe, readingOf(carried).rcode) && pathHealth.badReplies < BAD_REPLY_LIMIT)
  }

  #well(r: ResolverHealth<P>, rttMs: number, waitMs: number, nowMs: number): void {
    const wasSuspect = r.pathHealth.suspect
    if (wasSuspect && !this.#someProven()) for (const other of this.#resolvers) other.pathHealth.forgive(nowMs)
    r.pathHealth.answered(rttMs, waitMs, nowMs)
    if (wasSuspect) {
      this.#disarm(r)
      for (const other of this.#resolvers) this.#arm(other)
    }
    // The RTT of the other resolvers is measured with probes, never with a name of a user.
    const unmeasured = this.#order.toMeasure(nowMs)
    if (unmeasured !== undefined && !this.#closed && this.#o.manner.probes) void this.probe(unmeasured)
  }

  /**
   * Counts a bad reply of `r`: it was about the hop, or another operator had a better one. Three in
   * a row are a failure, even if the other operators have no answer either.
   */
  countBadReply(r: ResolverHealth<P>, nowMs = this.#o.clock.nowMs()): void {
    if (++r.pathHealth.badReplies >= BAD_REPLY_LIMIT) this.#sick(r, nowMs, nowMs)
  }

  /**
   * No transport of `r`, asked at `beganMs`, had an answer in time. If this is no evidence about
   * the path, a probe is sent.
   */
  exhausted(r: ResolverHealth<P>, beganMs: number, error: EnigmError, probe = false): void {
    const { pathHealth } = r
    const nowMs = this.#o.clock.nowMs()
    if (isAgainst(error, pathHealth, beganMs, nowMs, probe)) this.#sick(r, beganMs, nowMs)
    else if (mayBeTheName(error) && !probe && pathHealth.silentSince(beganMs) && hadTime(beganMs, nowMs) && pathHealth.healthy) {
      if (!this.#closed) void this.probe(r)
    }
  }

  /**
   * A query that began at `beganMs` has waited long enough for `r`, and `r` sent nothing since
   * then. A probe is sent. `again`: `r` counts as failed at once, because a probe got no reply, or
   * because none is needed.
   */
  silent(r: ResolverHealth<P>, beganMs: number, again: boolean): void {
    if (again) this.#sick(r, beganMs, this.#o.clock.nowMs())
    else void this.probe(r)
  }

  /** Records a failure of `r`: an exchange that began at `beganMs` shows that its path is dead. */
  #sick(r: ResolverHealth<P>, beganMs: number, nowMs: number): void {
    if (!r.pathHealth.failed(beganMs, nowMs)) return
    this.#disarm(r)
    if (this.#someProven()) this.#arm(r)
    else for (const other of this.#resolvers) this.#disarm(other)
  }

  /**
   * Probes one resolver, one probe at a time. The promise resolves when the probe is over. It never
   * rejects.
   */
  probe(r: ResolverHealth<P>): Promise<void> {
    if (r.probing !== undefined) return r.probing
    let over = () => {}
    const ended = new Promise<void>((settle) => {
      over = settle
    })
    // Set before the probe is sent: its result may come at once, and must not start another timer.
    r.probing = ended.then(() => {
      r.probing = undefined
      r.pathHealth.postpone(this.#o.clock.nowMs())
      this.#arm(r)
    })
    const { probe = ROOT_PROBE } = r.upstream
    this.ask(r, probe, false, new Trial<P>(this.#o.clock.nowMs(), over))
    return r.probing
  }

  /**
   * Probes the resolver that would be asked next, so that its link is open if it is needed. This
   * reveals no name. If the resolver answered in the last 25 s, nothing is sent.
   */
  makeReady(order: Order<ResolverHealth<P>>, asked: readonly ResolverHealth<P>[], ranks?: Ranks): void {
    const r = this.next(order, asked, ranks)
    if (r?.pathHealth.healthy && this.#o.clock.nowMs() - r.pathHealth.lastReplyMs >= LINK_COLD_MS) void this.probe(r)
  }

  /**
   * Probes every resolver now, even during its backoff. Resolves when all probes are over. Called
   * at the start and after a change of network.
   */
  async probeAll(): Promise<void> {
    if (!this.#closed) await Promise.all(this.#resolvers.map((r) => this.probe(r)))
  }

  /**
   * Forgets all failures, because the network changed or the machine woke up. For 10 s, a failure
   * may mean that the network is still coming up.
   */
  disturbed(): void {
    this.#unsettledUntilMs = this.#o.clock.nowMs() + UNSETTLED_MS
    for (const r of this.#resolvers) {
      this.#disarm(r)
      r.pathHealth.reset()
      r.forgive()
    }
  }

  /** When to retry a query for which all resolvers failed. Undefined: never. */
  againAtMs(nowMs: number): number | undefined {
    return nowMs < this.#unsettledUntilMs && !this.#closed ? nowMs + AGAIN_MS : undefined
  }

  /**
   * Probes failed resolvers now instead of after their backoff, because the reason of the failures
   * may be gone (for example, the wall clock was set).
   */
  reconsider(): void {
    for (const r of this.#resolvers) {
      if (r.pathHealth.healthy) continue
      this.#disarm(r)
      r.pathHealth.retryAtMs = this.#o.clock.nowMs()
      this.#arm(r)
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const r of this.#resolvers) this.#disarm(r)
    await Promise.allSettled(this.#resolvers.map((r) => r.upstream.close()))
  }

  /**
   * Starts the timer for the next probe of `r`, if `r` has failed and another resolver answers. The
   * random spread prevents that many devices probe a resolver at the same moment.
   */
  #arm(r: ResolverHealth<P>): void {
    const { pathHealth } = r
    const rests = this.#closed || !this.#o.manner.probes || pathHealth.healthy
    if (rests || r.timer !== undefined || r.probing !== undefined || !this.#someProven()) return
    const { clock, random } = this.#o
    const spreadMs = 1 + random.below(Math.ceil(pathHealth.backoffMs / 16))
    r.timer = clock.setTimer(Math.max(0, pathHealth.retryAtMs - clock.nowMs()) + spreadMs, () => {
      r.timer = undefined
      void this.probe(r)
    })
  }

  #disarm(r: ResolverHealth<P>): void {
    r.timer?.cancel()
    r.timer = undefined
  }

  /** Whether at least one resolver has answered and not failed since. */
  #someProven(): boolean {
    return this.#resolvers.some((r) => !r.pathHealth.suspect)
  }
}
