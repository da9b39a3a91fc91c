import type { Clock, Random, Timer } from '../clock.ts'
import { rcodeText } from '../dns/code-names.ts'
import { ROOT_PROBE } from '../dns/message.ts'
import { kept, readingOf } from '../dns/reading.ts'
import { asEnigmError, EnigmError, mayBeTheName, type Rcode, speaksAgainst } from '../errors.ts'
import type { Emit } from '../events.ts'
import type { Carried, Protection, Upstream } from '../resolve.ts'
import { refusesRoot } from './root-probe.ts'
import { SecondOpinions } from './second-opinions.ts'
import { type Manner, Standing } from './standing.ts'
import { PROOF_MS } from './telling.ts'
import { verdictOn } from './verdict.ts'

/** What a probe may take. */
const PROBE_MS = 2000
/** The RTT of a resolver that is not in use is measured again after this, while another one answers. */
const REMEASURE_MS = 600_000
/** At most one measuring probe in this time; with nothing to measure the list is read once a minute. */
const MEASURE_EVERY_MS = 1000
const NOTHING_TO_MEASURE_MS = 60_000
/** The resolver in use is left only for one that is clearly faster: each change lets one more operator see names. */
const STAY = { factor: 0.8, ms: 5 }
/** A link idles for 30 s at first; one that answered within this is likely to be up. */
const LINK_COLD_MS = 25_000
/** How long a network may take to come up after the first sign of it, and how often a query that waits for that is tried. */
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

export interface Candidate<P extends Protection> {
  readonly upstream: Upstream<P>
  readonly standing: Standing
  probing: Promise<void> | undefined
  timer: Timer | undefined
}

export interface RosterOptions<P extends Protection> {
  readonly upstreams: readonly Upstream<P>[]
  readonly clock: Clock
  readonly random: Random
  readonly emit: Emit
  readonly manner: Manner
}

/**
 * Who is asked next, and how each resolver stands. Resolvers that failed stand behind and are
 * probed (with a root query, unless the set names another) after 1 s doubling to a minute, by a
 * timer, but only while another one answers: when all are down the real queries are the probes, and
 * nothing is timed. Bounded by the number of resolvers.
 */
export class Roster<P extends Protection> {
  readonly #candidates: readonly Candidate<P>[]
  readonly #o: RosterOptions<P>
  readonly opinions: SecondOpinions
  #current: Candidate<P> | undefined
  #measureAtMs = Number.NEGATIVE_INFINITY
  #unsettledUntilMs = Number.NEGATIVE_INFINITY
  #closed = false

  constructor(o: RosterOptions<P>) {
    this.#o = o
    this.opinions = new SecondOpinions(o.clock, o.random)
    this.#candidates = o.upstreams.map((upstream) => ({ upstream, standing: new Standing(), probing: undefined, timer: undefined }))
  }

  /**
   * The best one not in `asked`: healthy ones by smoothed RTT (one without a measure comes after, in the order given), then failed ones, the least recently tried
   * first, so that with all down each gets its turn.
   */
  next(asked: readonly Candidate<P>[]): Candidate<P> | undefined {
    if (this.#closed) return undefined
    let best: Candidate<P> | undefined
    for (const c of this.#candidates) if (!asked.includes(c) && (best === undefined || this.#before(c, best))) best = c
    if (asked.length === 0 && best?.standing.healthy) this.#current = best
    return best
  }

  #before(a: Candidate<P>, b: Candidate<P>): boolean {
    const [fit, fitToo] = [this.#fit(a), this.#fit(b)]
    if (fit !== fitToo) return fit
    return fit ? this.#cost(a) < this.#cost(b) : a.standing.lastTriedMs < b.standing.lastTriedMs
  }

  #fit(c: Candidate<P>): boolean {
    return c.standing.healthy || (!this.#o.manner.probes && this.#o.clock.nowMs() >= c.standing.retryAtMs)
  }

  #cost(c: Candidate<P>): number {
    const rttMs = c.standing.rttMs ?? Number.POSITIVE_INFINITY
    return c === this.#current ? rttMs * STAY.factor - STAY.ms : rttMs
  }

  /** A good reply came: a real one or a probe's. */
  answered(c: Candidate<P>, rttMs: number, waitMs: number, nowMs: number): void {
    const wasSuspect = c.standing.suspect
    if (wasSuspect && !this.#someProven()) for (const other of this.#candidates) other.standing.forgive(nowMs)
    c.standing.answered(rttMs, waitMs, nowMs)
    if (wasSuspect) {
      this.#disarm(c)
      for (const other of this.#candidates) this.#arm(other)
    }
    if (nowMs >= this.#measureAtMs) this.#measure(nowMs)
  }

  /** Something came back, be it a reply that settles nothing: the path is alive. */
  alive(c: Candidate<P>): void {
    c.standing.lastAnswerMs = this.#o.clock.nowMs()
  }

  /** Another operator had a good reply where this one had none: said three times in a row, it is a failure. */
  bettered(c: Candidate<P>): void {
    if (++c.standing.bettered >= BETTERED_LIMIT) this.failed(c, this.#o.clock.nowMs())
  }

  /** A reply that settles nothing, and nobody else was asked. */
  unsettled(c: Candidate<P>): void {
    this.alive(c)
    if (++c.standing.bettered >= UNSETTLED_LIMIT && c.standing.healthy) void this.probe(c)
  }

  /**
   * A reply that speaks of the hop: the path is alive, but three in a row are a failure, whoever
   * else may have an answer. Returns what it is as an error.
   */
  spokeOfHop(c: Candidate<P>, rcode: Rcode): EnigmError {
    this.alive(c)
    if (++c.standing.bettered >= BETTERED_LIMIT) this.failed(c, this.#o.clock.nowMs())
    return new EnigmError('reply-rcode', `${c.upstream.id} answered ${rcodeText(rcode)}`)
  }

  /**
   * An exchange begun at `startedMs` rejected. Returns the error as one of ours. Where it says
   * nothing of the path a probe is to tell.
   */
  rejected(c: Candidate<P>, error: unknown, startedMs: number, probe = false): EnigmError {
    if (!(error instanceof EnigmError)) this.#o.emit({ type: 'fault', where: 'selection' })
    const fault = asEnigmError(error)
    const hadTime = this.#o.clock.nowMs() - startedMs >= PROOF_MS
    const silent = c.standing.silentSince(startedMs)
    if (speaksAgainst(fault, { silent, hadTime, probe })) this.failed(c, startedMs)
    else if (mayBeTheName(fault) && silent && !probe && hadTime && c.standing.healthy && !this.#closed) void this.probe(c)
    return fault
  }

  /** An exchange begun at `startedMs` shows that the path is dead. */
  failed(c: Candidate<P>, startedMs: number): void {
    if (!c.standing.failed(startedMs, this.#o.clock.nowMs())) return
    this.#disarm(c)
    if (this.#someProven()) this.#arm(c)
    else for (const other of this.#candidates) this.#disarm(other)
  }

  /**
   * Asks one resolver its probe, at most once at a time; how it went goes into its standing. Never
   * rejects.
   */
  probe(c: Candidate<P>): Promise<void> {
    c.probing ??= this.#probe(c).then(() => {
      c.probing = undefined
      c.standing.postpone(this.#o.clock.nowMs())
      this.#arm(c)
    })
    return c.probing
  }

  async #probe(c: Candidate<P>): Promise<void> {
    const startedMs = this.#o.clock.nowMs()
    c.standing.lastTriedMs = startedMs
    const { probe = ROOT_PROBE } = c.upstream
    try {
      const carried = await probed(c.upstream, probe, startedMs + PROBE_MS)
      const nowMs = this.#o.clock.nowMs()
      const reading = readingOf(carried)
      const { final, ofHop } = verdictOn(reading)
      // One that failed by its replies to real queries is to show that it resolves; else the path
      // was to blame, and it lives.
      const well = final || (refusesRoot(probe, reading.rcode) && c.standing.bettered < BETTERED_LIMIT)
      if (well) return this.answered(c, carried.rttMs, nowMs - startedMs, nowMs)
      this.alive(c)
      // One that cannot read a query for the root can read none.
      if (ofHop || !c.standing.healthy || c.standing.bettered >= UNSETTLED_LIMIT) this.failed(c, startedMs)
    } catch (error) {
      this.rejected(c, error, startedMs, true)
    }
  }

  /**
   * The one that would be asked next is probed, so that its link is up if it comes to that: no name
   * is told. Not if it has answered lately.
   */
  makeReady(asked: readonly Candidate<P>[]): void {
    const c = this.next(asked)
    if (c?.standing.healthy && this.#o.clock.nowMs() - c.standing.lastAnswerMs >= LINK_COLD_MS) void this.probe(c)
  }

  /** Probes every resolver now, whatever its backoff; settles when all have. For a start or a change of network. */
  async probeAll(): Promise<void> {
    if (!this.#closed) await Promise.all(this.#candidates.map((c) => this.probe(c)))
  }

  /** Another network, or the machine woke: nobody has failed here yet, and for some seconds a failure may mean that the network is still coming up. */
  disturbed(): void {
    this.#unsettledUntilMs = this.#o.clock.nowMs() + UNSETTLED_MS
    this.opinions.clear()
    for (const c of this.#candidates) {
      this.#disarm(c)
      c.standing.reset()
    }
  }

  /** When to begin again with a query that everybody failed, or undefined: not at all. */
  againAtMs(nowMs: number): number | undefined {
    return nowMs < this.#unsettledUntilMs && !this.#closed ? nowMs + AGAIN_MS : undefined
  }

  /** What failed for a reason that may be gone (the wall clock was set) is probed now, and not when its backoff has passed. */
  reconsider(): void {
    for (const c of this.#candidates) {
      if (c.standing.healthy) continue
      this.#disarm(c)
      c.standing.retryAtMs = this.#o.clock.nowMs()
      this.#arm(c)
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const c of this.#candidates) this.#disarm(c)
    await Promise.allSettled(this.#candidates.map((c) => c.upstream.close()))
  }

  /** The spread keeps a thousand devices that lost one resolver together from coming back together. */
  #arm(c: Candidate<P>): void {
    if (
      this.#closed ||
      !this.#o.manner.probes ||
      c.standing.healthy ||
      c.timer !== undefined ||
      c.probing !== undefined ||
      !this.#someProven()
    )
      return
    const { clock, random } = this.#o
    const spreadMs = 1 + random.below(Math.ceil(c.standing.backoffMs / 16))
    c.timer = clock.setTimer(Math.max(0, c.standing.retryAtMs - clock.nowMs()) + spreadMs, () => {
      c.timer = undefined
      void this.probe(c)
    })
  }

  #disarm(c: Candidate<P>): void {
    c.timer?.cancel()
    c.timer = undefined
  }

  /** Whether one has answered and not failed since. */
  #someProven(): boolean {
    return this.#candidates.some((c) => !c.standing.suspect)
  }

  /** Unknown resolvers, and ones not heard of for long, are measured with a probe beside real traffic: no user's name is spent on finding out. */
  #measure(nowMs: number): void {
    const c = this.#candidates.find((c) => c.standing.healthy && !c.probing && nowMs - c.standing.lastAnswerMs >= REMEASURE_MS)
    this.#measureAtMs = nowMs + (c === undefined ? NOTHING_TO_MEASURE_MS : MEASURE_EVERY_MS)
    if (c !== undefined && !this.#closed && this.#o.manner.probes) void this.probe(c)
  }
}

/** A probe is rare: it may be a promise. Rejects with an EnigmError. */
function probed<P extends Protection>(upstream: Upstream<P>, probe: Uint8Array, deadlineMs: number): Promise<Carried<P>> {
  return new Promise((resolve, failed) => {
    upstream.ask(probe, false, { purpose: 'probe', deadlineMs }, { carried: (carried) => resolve(kept(carried)), failed })
  })
}
