import type { Clock } from '../clock.ts'
import { withPaddedOpt } from '../dns/edns.ts'
import { ROOT_PROBE } from '../dns/message.ts'
import { keptCopy, readingOf } from '../dns/response.ts'
import { EnigmError, isOurs, mayBeTheName } from '../errors.ts'
import type { Emit } from '../events.ts'
import type { Ask, Carried, Link, Protection, Receiver, ReplyVerdict, Transport } from '../resolve.ts'
import { TRANSPORTS } from '../transports.ts'
import { type Asker, type Exchange, threw } from './asker.ts'
import { type FailedTry, mostTelling } from './classification.ts'
import type { Manner } from './path-health.ts'
import { type JudgedUpstream, type Path, ResolverHealth } from './resolver-health.ts'

/**
 * Time limit for a transport that has never answered or has failed last time, if another transport
 * follows. So a blocked port 853 delays a query by at most this.
 */
const UNPROVEN_SHARE_MS = 1000

export interface UpstreamOptions<P extends Protection> {
  /** The resolver's id in the trusted set. */
  readonly id: string
  /** One link per transport, in order of preference. They are closed with the upstream. */
  readonly links: readonly Link<P>[]
  /** The query is padded to a multiple of this many octets (RFC 8467: 128). 0: no padding. */
  readonly paddingBlock: number
  /** The query with which the links are probed. Default: a query for the root. */
  readonly probe?: Uint8Array
  readonly clock: Clock
  readonly emit: Emit
  readonly manner: Manner
}

const NONE: readonly FailedTry[] = []
const FORMERR = 1

type To<P extends Protection> = Receiver<P, [transport: Transport, verdict: ReplyVerdict]>

/** Asks a link. If it throws, which is a bug, the exchange counts as failed. */
function begin<P extends Protection>(link: Link<P>, request: Uint8Array, asker: Asker<P>, emit: Emit): void {
  try {
    link.send(request, asker, asker)
  } catch (error) {
    threw(error, asker, emit, 'upstream')
  }
}

/** The OPT of queries. Not all transports define the keepalive option (RFC 7828 section 3.3.1). */
function paddings(block: number, keepalive: boolean) {
  return { plain: { dnssecOk: false, block, keepalive }, withDo: { dnssecOk: true, block, keepalive } }
}

/**
 * Makes a trusted resolver with its transports. A question goes over the preferred transport. If
 * the link fails, it goes over the next one within the deadline. An answer with any RCODE or the TC
 * bit is no failure. A failed transport comes after the others. It is tested with a probe while
 * real queries are answered, after 1 s, then after double the time, up to a minute (health.ts). An
 * upstream has no timers: the links keep the deadline.
 */
export function createUpstream<P extends Protection>(o: UpstreamOptions<P>): JudgedUpstream<P> {
  return new Transports(o)
}

class Transports<P extends Protection> implements JudgedUpstream<P> {
  readonly id: string
  readonly probe: Uint8Array
  readonly o: UpstreamOptions<P>
  readonly health: ResolverHealth<P>
  #closed = false
  /**
   * Whether queries omit the keepalive option, because the resolver answers it with FORMERR. This
   * lasts until the next configuration.
   */
  #noKeepalive = false
  readonly #keepalive: ReturnType<typeof paddings>
  readonly #padding: ReturnType<typeof paddings>

  constructor(o: UpstreamOptions<P>) {
    this.o = o
    this.id = o.id
    this.probe = o.probe ?? ROOT_PROBE
    this.#keepalive = paddings(o.paddingBlock, true)
    this.#padding = paddings(o.paddingBlock, false)
    const { links, clock, emit, manner } = o
    const tryOut = ({ link }: Path<P>, asker: Asker<P>) => begin(link, this.request(link, this.probe, false), asker, emit)
    this.health = new ResolverHealth<P>(this, { links, clock, emit, manner, tryOut })
  }

  ask(message: Uint8Array, dnssecOk: boolean, ask: Ask, to: To<P>): void {
    if (this.#closed) {
      to.failed(new EnigmError('closed', `${this.id} is closed`))
      return
    }
    const nowMs = ask.startedMs ?? this.o.clock.nowMs()
    new Trip(this, message, dnssecOk, ask, to, nowMs).next(nowMs)
  }

  async close(): Promise<void> {
    this.#closed = true
    this.health.close()
    await Promise.allSettled(this.o.links.map((link) => link.close()))
  }

  /** The query as it is sent over `link`. */
  request(link: Link<P>, message: Uint8Array, dnssecOk: boolean): Uint8Array {
    const how = this.withKeepalive(link) ? this.#keepalive : this.#padding
    return withPaddedOpt(message, dnssecOk ? how.withDo : how.plain)
  }

  withKeepalive({ transport }: Link<P>): boolean {
    return TRANSPORTS[transport].keepalive && !this.#noKeepalive
  }

  /** How many ms of the caller's time a link may use: all if it is the last one, else half. */
  shareMs({ pathHealth }: Path<P>, last: boolean, deadlineMs: number, nowMs: number): number {
    if (last || !this.o.manner.asksAgain) return deadlineMs
    const halfMs = (deadlineMs - nowMs) / 2
    return nowMs + (pathHealth.suspect ? Math.min(halfMs, UNPROVEN_SHARE_MS) : halfMs)
  }

  /** Omits the keepalive option from now on: the resolver could read a query only without it. */
  forgoKeepalive(): void {
    this.#noKeepalive = true
  }
}

/** One question in progress. It goes over the transports of a resolver, one after the other. */
class Trip<P extends Protection> implements Asker<P>, Exchange {
  readonly purpose: Ask['purpose']
  readonly givesWay: true | undefined
  readonly beganMs: number
  startedMs = 0
  /** The deadline for the current transport. */
  deadlineMs: number
  /** Whether the result of the current transport has not come yet. */
  open = false
  readonly #transports: Transports<P>
  readonly #tries: readonly Path<P>[]
  readonly #message: Uint8Array
  readonly #dnssecOk: boolean
  readonly #ask: Ask
  readonly #to: To<P>
  #at = -1
  #failures = NONE
  /**
   * The FORMERR reply because of which the query was retried without the keepalive option.
   */
  #refused: { readonly carried: Carried<P>; readonly startedMs: number } | undefined

  constructor(transports: Transports<P>, message: Uint8Array, dnssecOk: boolean, ask: Ask, to: To<P>, beganMs: number) {
    this.#transports = transports
    this.#tries = transports.health.order(beganMs)
    this.#message = message
    this.#dnssecOk = dnssecOk
    this.#ask = ask
    this.#to = to
    this.beganMs = beganMs
    this.purpose = ask.purpose
    this.givesWay = ask.givesWay
    this.deadlineMs = ask.deadlineMs
  }

  mayLeave(): boolean {
    return this.#ask.mayLeave?.() !== false
  }

  /** Sends the question over the next transport. If there is none, the question ends. */
  next(nowMs: number): void {
    const path = this.#tries[++this.#at]
    const { id } = this.#transports
    if (path === undefined) {
      this.#end()
    } else if (nowMs >= this.#ask.deadlineMs) {
      this.#note(path, new EnigmError('deadline', `no time left to ask ${id}`))
      this.#end()
    } else {
      this.deadlineMs = this.#transports.shareMs(path, this.#at === this.#tries.length - 1, this.#ask.deadlineMs, nowMs)
      this.#send(path, this.#transports.request(path.link, this.#message, this.#dnssecOk), nowMs)
    }
  }

  #send({ link }: Path<P>, request: Uint8Array, nowMs: number): void {
    this.startedMs = nowMs
    this.open = true
    begin(link, request, this, this.#transports.o.emit)
  }

  carried(carried: Carried<P>): void {
    const path = this.#finishedPath()
    if (path === undefined) return
    const formErr = readingOf(carried).rcode === FORMERR
    if (this.#refused !== undefined) {
      if (!formErr) this.#transports.forgoKeepalive()
    } else if (formErr && this.#transports.withKeepalive(path.link)) {
      if (this.#retryWithoutKeepalive(path, carried)) return
    }
    this.#answered(path, carried)
  }

  failed(error: EnigmError): void {
    const path = this.#finishedPath()
    if (path === undefined) return
    if (this.#refused !== undefined) {
      this.startedMs = this.#refused.startedMs
      this.#answered(path, this.#refused.carried)
      return
    }
    const { health, o } = this.#transports
    health.failed(path, this, error)
    this.#note(path, error)
    const ofTheName = this.purpose !== 'probe' && mayBeTheName(error)
    if (!o.manner.asksAgain && (ofTheName || isOurs(error.code))) this.#end()
    else this.next(o.clock.nowMs())
  }

  /** The current transport, for its first result only. Undefined: it already had a result. */
  #finishedPath(): Path<P> | undefined {
    if (!this.open) return undefined
    this.open = false
    return this.#tries[this.#at]
  }

  /**
   * Retries the query on the same connection without the keepalive option. The reply was FORMERR,
   * and this option may be the cause (RFC 6891 section 7). Under a schedule no query is sent twice,
   * so only later queries omit the option. Returns whether the query was retried.
   */
  #retryWithoutKeepalive(path: Path<P>, refused: Carried<P>): boolean {
    const { clock, manner, paddingBlock } = this.#transports.o
    if (!manner.asksAgain) {
      this.#transports.forgoKeepalive()
      return false
    }
    this.#refused = { carried: keptCopy(refused), startedMs: this.startedMs }
    const request = withPaddedOpt(this.#message, { dnssecOk: this.#dnssecOk, block: paddingBlock, keepalive: false })
    this.#send(path, request, clock.nowMs())
    return true
  }

  #answered(path: Path<P>, carried: Carried<P>): void {
    const verdict = this.#transports.health.replied(path, this, carried)
    this.#to.carried(carried, path.link.transport, verdict)
  }

  #note({ link }: Path<P>, error: EnigmError): void {
    this.#failures = [...this.#failures, { who: link.transport, error }]
  }

  /** Ends the question with an error. No transport is tried after this. */
  #end(): void {
    const { id, health } = this.#transports
    const error = mostTelling(`no transport of ${id} carried the query`, this.#failures)
    health.exhausted(this, error)
    this.#to.failed(error)
  }
}
