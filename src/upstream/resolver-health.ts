import type { Clock, Timer } from '../clock.ts'
import { readingOf } from '../dns/response.ts'
import { EnigmError, isCounted, mayBeTheName } from '../errors.ts'
import type { Emit } from '../events.ts'
import type { Carried, Link, Protection, ReplyVerdict, Transport, Upstream } from '../resolve.ts'
import { TRANSPORTS } from '../transports.ts'
import { type Asker, type Exchange, Trial } from './asker.ts'
import { verdictOn } from './classification.ts'
import { isAgainst, type Manner, PathHealth } from './path-health.ts'

/** A transport of a resolver, with its health. */
export interface Path<P extends Protection> {
  readonly link: Link<P>
  readonly pathHealth: PathHealth
  /** Whether a probe over this transport is in progress. */
  trying: boolean
}

/** A resolver that reports every exchange to its judge before it answers its caller. */
export interface JudgedUpstream<P extends Protection> extends Upstream<P> {
  readonly health: ResolverHealth<P>
}

export interface ResolverHealthOptions<P extends Protection> {
  /** One link per transport, in order of preference. */
  readonly links: readonly Link<P>[]
  readonly clock: Clock
  readonly emit: Emit
  readonly manner: Manner
  /** Sends the probe over one transport. Its result is not reported to this judge. */
  readonly tryOut: (path: Path<P>, asker: Asker<P>) => void
}

/** Decides what the result of an exchange means for a resolver, compared with the others. */
export interface JudgeOfResolvers<P extends Protection> {
  /** Called for each reply of `r`, to a query or to a probe. */
  replied(r: ResolverHealth<P>, exchange: Exchange, carried: Carried<P>, verdict: ReplyVerdict, nowMs: number): void
  /** Called when no transport of `r`, asked at `beganMs`, had an answer. */
  exhausted(r: ResolverHealth<P>, beganMs: number, error: EnigmError, probe: boolean): void
}

const LINK_RANKS: Readonly<Record<NonNullable<Link['state']>, number>> = { serving: 0, failing: 1, standby: 2 }
/** The rank of a link in standby, which refuses all queries. */
export const STANDBY_RANK = LINK_RANKS.standby

const linkRank = ({ state = 'serving' }: Link) => LINK_RANKS[state]

/** The health of one resolver and its transports. It has no timers. */
export class ResolverHealth<P extends Protection> {
  readonly upstream: Upstream<P>
  readonly pathHealth = new PathHealth()
  /** The running probe, over any transport. Undefined: none runs. */
  probing: Promise<void> | undefined
  timer: Timer | undefined
  /** The judge that compares resolvers. Undefined: the resolver is used alone. */
  among: JudgeOfResolvers<P> | undefined
  readonly #o: ResolverHealthOptions<P>
  readonly #paths: readonly Path<P>[]
  /** The transports, failed ones last. While all are healthy, it is `#paths` itself. */
  #order: readonly Path<P>[]
  #closed = false

  constructor(upstream: Upstream<P>, o: ResolverHealthOptions<P>) {
    this.upstream = upstream
    this.#o = o
    this.#paths = o.links.map((link) => ({ link, pathHealth: new PathHealth(), trying: false }))
    this.#order = this.#paths
  }

  get id(): string {
    return this.upstream.id
  }

  /**
   * The transports in the order in which to try them. Without probes, a query tries a failed one
   * when its backoff is over.
   */
  order(nowMs: number): readonly Path<P>[] {
    if (this.#o.manner.byLinks) return this.#paths.toSorted((a, b) => linkRank(a.link) - linkRank(b.link))
    if (this.#o.manner.probes || this.#order === this.#paths) return this.#order
    const failures = ({ pathHealth }: Path<P>) => (nowMs >= pathHealth.retryAtMs ? 0 : pathHealth.failures)
    return this.#paths.toSorted((a, b) => failures(a) - failures(b))
  }

  /** The rank of the resolver's best link, for `Manner.byLinks`. */
  get linkRank(): number {
    return Math.min(...this.#paths.map(({ link }) => linkRank(link)))
  }

  /**
   * A reply came over `transport` to a query that the link sent by itself (a cover). It proves that
   * the path is alive. If the reply settles its question, it also proves that the resolver resolves
   * names.
   */
  signOfLife(transport: Transport, carried: Carried): void {
    const nowMs = this.#o.clock.nowMs()
    const path = this.#paths.find(({ link }) => link.transport === transport)
    if (path !== undefined) path.pathHealth.lastReplyMs = nowMs
    this.pathHealth.lastReplyMs = nowMs
    if (!verdictOn(readingOf(carried)).final) return
    this.pathHealth.badReplies = 0
    this.pathHealth.lastFinalMs = nowMs
  }

  /** Judges a reply that came over `path`. Then transports that failed before are tried again. */
  replied(path: Path<P>, exchange: Exchange, carried: Carried<P>): ReplyVerdict {
    const nowMs = carried.cameMs ?? this.#o.clock.nowMs()
    const verdict = this.#heard(path, exchange.startedMs, carried, nowMs)
    this.#retryFailed(nowMs)
    this.among?.replied(this, exchange, carried, verdict, nowMs)
    return verdict
  }

  /**
   * Judges an error of `path`. If the name may be the cause and there is another transport, a probe
   * is sent over `path`.
   */
  failed(path: Path<P>, { startedMs, purpose }: Exchange, error: EnigmError): void {
    const nowMs = this.#o.clock.nowMs()
    const unproven = this.#lost(path, startedMs, error, purpose === 'probe', nowMs)
    if (!unproven || this.#paths.length === 1 || !this.#o.manner.probes || this.#closed) return
    if (path.pathHealth.silentSince(startedMs)) this.#tryOut(path, nowMs)
  }

  /** Reports that no transport had an answer. `error` summarizes all their errors. */
  exhausted({ beganMs, purpose }: Exchange, error: EnigmError): void {
    this.among?.exhausted(this, beganMs, error, purpose === 'probe')
  }

  /** Puts failed transports back in their place: port 853 may be open on the new network. */
  forgive(): void {
    for (const { pathHealth } of this.#paths) pathHealth.reset()
    this.#rank()
  }

  /** Ends. No probe is sent after this. */
  close(): void {
    this.#closed = true
  }

  #heard({ link, pathHealth }: Path<P>, startedMs: number, carried: Carried<P>, nowMs: number): ReplyVerdict {
    const { rttMs, protection } = carried
    const recovered = !pathHealth.healthy
    pathHealth.answered(rttMs, nowMs - startedMs, nowMs)
    if (recovered) this.#rank()
    const reading = readingOf(carried)
    const verdict = verdictOn(reading)
    const { id: resolver } = this
    const { transport } = link
    if (verdict.ofHop) this.#o.emit({ type: 'upstream.failed', resolver, transport, code: 'reply-rcode', afterMs: nowMs - startedMs })
    else {
      const paddedReply = TRANSPORTS[transport].padsReplies || reading.opt?.padded === true
      this.#o.emit({ type: 'upstream.answered', resolver, transport, rttMs, protection, paddedReply }, nowMs)
    }
    return verdict
  }

  /** Records a lost exchange. Returns whether the name may be the cause. */
  #lost({ link, pathHealth }: Path<P>, startedMs: number, error: EnigmError, probe: boolean, nowMs: number): boolean {
    const { code } = error
    const unproven = !probe && mayBeTheName(error)
    if (isAgainst(error, pathHealth, startedMs, nowMs, probe) && pathHealth.failed(startedMs, nowMs)) this.#rank()
    const of = { resolver: this.id, transport: link.transport, code, afterMs: nowMs - startedMs }
    if (isCounted(code)) this.#o.emit({ type: 'upstream.failed', ...of, ...(unproven ? { unproven } : {}) })
    return unproven
  }

  #retryFailed(nowMs: number): void {
    if (this.#order === this.#paths || this.#closed || !this.#o.manner.probes) return
    for (const path of this.#order) if (!path.pathHealth.healthy && nowMs >= path.pathHealth.retryAtMs) this.#tryOut(path, nowMs)
  }

  /** Tests a transport with a probe, one at a time, so that no client query must be risked. */
  #tryOut(path: Path<P>, startedMs: number): void {
    if (path.trying) return
    path.trying = true
    this.#o.tryOut(
      path,
      new Trial(startedMs, (ended) => {
        const nowMs = this.#o.clock.nowMs()
        if (ended instanceof EnigmError) this.#lost(path, startedMs, ended, true, nowMs)
        else this.#heard(path, startedMs, ended, nowMs)
        path.trying = false
        path.pathHealth.postpone(nowMs)
      }),
    )
  }

  /**
   * Sorts the transports: those with fewer failures in a row come first, then the order of
   * preference counts (the sort is stable). Called only when the health of a path has changed.
   */
  #rank(): void {
    const paths = this.#paths
    this.#order = paths.every((p) => p.pathHealth.healthy) ? paths : paths.toSorted((a, b) => a.pathHealth.failures - b.pathHealth.failures)
  }
}
