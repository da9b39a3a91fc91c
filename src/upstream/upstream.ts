import type { Clock } from '../clock.ts'
import { withPaddedOpt } from '../dns/edns.ts'
import { ROOT_PROBE } from '../dns/message.ts'
import { kept, readingOf } from '../dns/reading.ts'
import { asEnigmError, EnigmError, isCounted, isOurs, mayBeTheName, speaksAgainst } from '../errors.ts'
import type { Emit } from '../events.ts'
import type { Ask, Carried, Link, Protection, Receiver, Transport, Upstream } from '../resolve.ts'
import { TRANSPORTS } from '../transports.ts'
import { type Manner, Standing } from './standing.ts'
import { type Failure, mostTelling, PROOF_MS } from './telling.ts'
import { verdictOn } from './verdict.ts'

/** The most that a transport gets which never answered or failed last time, when another stands behind it: a port 853 that is dropped costs one query this. */
const UNPROVEN_SHARE_MS = 1000
/** How long the background retry of a transport may take. */
const RETRY_MS = 2000

export interface UpstreamOptions<P extends Protection> {
  /** The resolver's id in the trusted set. */
  readonly id: string
  /** Its links in order of preference, one a transport; they are closed with the upstream. */
  readonly links: readonly Link<P>[]
  /** Octets; the whole query is padded to a multiple of it (RFC 8467: 128). 0 sends no padding. */
  readonly paddingBlock: number
  /** What its links are tried with; absent: the root. */
  readonly probe?: Uint8Array
  readonly clock: Clock
  readonly emit: Emit
  readonly manner: Manner
}

/** An upstream that can be told that the network changed. */
export interface ForgivingUpstream<P extends Protection> extends Upstream<P> {
  /** Transports that failed stand where they were configured again: port 853 may be open here. */
  forgive(): void
}

interface Route<P extends Protection> {
  readonly link: Link<P>
  readonly standing: Standing
  retrying: boolean
}

const NONE: readonly Failure[] = []
const FORMERR = 1

/** Asks a link. One that throws, which is a bug, is one that fails. */
function begin<P extends Protection>(link: Link<P>, request: Uint8Array, ask: Ask, emit: Emit, to: Receiver<P>): void {
  try {
    link.send(request, ask, to)
  } catch (error) {
    if (!(error instanceof EnigmError)) emit({ type: 'fault', where: 'upstream' })
    to.failed(asEnigmError(error))
  }
}

/** The keepalive option is for the transports that have it (RFC 7828 section 3.3.1). */
function paddings(block: number, keepalive: boolean) {
  return { plain: { dnssecOk: false, block, keepalive }, withDo: { dnssecOk: true, block, keepalive } }
}

/**
 * A trusted resolver on its transports. A question goes over the preferred one and, when the link
 * fails (an answer of any RCODE or TC bit is no failure), over
 * the next within the deadline. A transport that failed stands behind the others; it is tried again with a probe beside real traffic, after 1 s doubling to
 * a minute, so that no user's query pays for the trial. It has no timers: the deadline is the links' to keep.
 */
export function createUpstream<P extends Protection>(o: UpstreamOptions<P>): ForgivingUpstream<P> {
  return new Transports(o)
}

class Transports<P extends Protection> implements ForgivingUpstream<P> {
  readonly id: string
  readonly probe: Uint8Array
  readonly o: UpstreamOptions<P>
  readonly #routes: readonly Route<P>[]
  /** Those that failed last time behind the others; `#routes` itself while all are well. */
  #order: readonly Route<P>[]
  #closed = false
  /** It answers FORMERR to the keepalive option and not without: it gets none (until the next configuration). */
  #noKeepalive = false
  readonly #keepalive: ReturnType<typeof paddings>
  readonly #padding: ReturnType<typeof paddings>

  constructor(o: UpstreamOptions<P>) {
    this.o = o
    this.id = o.id
    this.probe = o.probe ?? ROOT_PROBE
    this.#routes = o.links.map((link) => ({ link, standing: new Standing(), retrying: false }))
    this.#order = this.#routes
    this.#keepalive = paddings(o.paddingBlock, true)
    this.#padding = paddings(o.paddingBlock, false)
  }

  ask(message: Uint8Array, dnssecOk: boolean, ask: Ask, to: Receiver<P, [transport: Transport]>): void {
    if (this.#closed) to.failed(new EnigmError('closed', `${this.id} is closed`))
    else new Trip(this, this.o.manner.probes ? this.#order : this.#due(), message, dnssecOk, ask, to).next()
  }

  forgive(): void {
    for (const { standing } of this.#routes) standing.reset()
    this.#rank()
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.allSettled(this.#routes.map((route) => route.link.close()))
  }

  /** The query as it goes over `route`. */
  request(route: Route<P>, message: Uint8Array, dnssecOk: boolean): Uint8Array {
    const how = this.withKeepalive(route) ? this.#keepalive : this.#padding
    return withPaddedOpt(message, dnssecOk ? how.withDo : how.plain)
  }

  withKeepalive({ link }: Route<P>): boolean {
    return TRANSPORTS[link.transport].keepalive && !this.#noKeepalive
  }

  /** What the link may take of the caller's time: all of it if it is the last resort, else half. */
  shareMs(route: Route<P>, last: boolean, deadlineMs: number, nowMs: number): number {
    if (last || !this.o.manner.asksAgain) return deadlineMs
    const halfMs = (deadlineMs - nowMs) / 2
    return nowMs + (route.standing.suspect ? Math.min(halfMs, UNPROVEN_SHARE_MS) : halfMs)
  }

  /** A reply came over `route`, to what was asked at `startedMs`. */
  answered({ link, standing }: Route<P>, startedMs: number, carried: Carried<P>): void {
    const { transport } = link
    const { rttMs, protection } = carried
    const { clock, emit } = this.o
    const resolver = this.id
    const nowMs = clock.nowMs()
    const mended = !standing.healthy
    standing.answered(rttMs, nowMs - startedMs, nowMs)
    if (mended) this.#rank()
    const reading = readingOf(carried)
    if (verdictOn(reading).ofHop) emit({ type: 'upstream.failed', resolver, transport, code: 'reply-rcode', afterMs: nowMs - startedMs })
    else emit({ type: 'upstream.answered', resolver, transport, rttMs, protection, paddedReply: reading.opt?.padded === true })
  }

  /** A trip is answered: those behind that failed are tried beside it. */
  retryFailed(): void {
    if (this.#order === this.#routes || this.#closed || !this.o.manner.probes) return
    const nowMs = this.o.clock.nowMs()
    for (const route of this.#order) if (!route.standing.healthy && nowMs >= route.standing.retryAtMs) this.tryOut(route, nowMs)
  }

  failed({ link, standing }: Route<P>, startedMs: number, fault: EnigmError, purpose: Ask['purpose']): void {
    const { clock, emit } = this.o
    const nowMs = clock.nowMs()
    const afterMs = nowMs - startedMs
    const probe = purpose === 'probe'
    const unproven = !probe && mayBeTheName(fault)
    const against = speaksAgainst(fault, { silent: standing.silentSince(startedMs), hadTime: afterMs >= PROOF_MS, probe })
    if (against && standing.failed(startedMs, nowMs)) this.#rank()
    if (!isCounted(fault.code)) return
    const { transport } = link
    emit({ type: 'upstream.failed', resolver: this.id, transport, code: fault.code, afterMs, ...(unproven ? { unproven } : {}) })
  }

  /**
   * A name was not answered over `route`: whether the transport or the name is to blame, where
   * there is another transport, a probe tells.
   */
  doubt(route: Route<P>, sinceMs: number): void {
    if (this.#routes.length > 1 && this.o.manner.probes && !this.#closed && route.standing.silentSince(sinceMs))
      this.tryOut(route, this.o.clock.nowMs())
  }

  /** It answers without the keepalive option what it could not read with it. */
  forgoKeepalive(): void {
    this.#noKeepalive = true
  }

  /** Asks the probe over one transport, at most once at a time. */
  tryOut(route: Route<P>, nowMs: number): void {
    if (route.retrying) return
    route.retrying = true
    const done = () => {
      route.retrying = false
      route.standing.postpone(this.o.clock.nowMs())
    }
    begin(route.link, this.request(route, this.probe, false), { purpose: 'probe', deadlineMs: nowMs + RETRY_MS }, this.o.emit, {
      carried: (carried) => {
        this.answered(route, nowMs, carried)
        done()
      },
      failed: (error) => {
        this.failed(route, nowMs, error, 'probe')
        done()
      },
    })
  }

  /**
   * Fewer failures in a row first, then the order of preference (the sort is stable). Only when a
   * standing changed.
   */
  #rank(): void {
    const routes = this.#routes
    this.#order = routes.every((r) => r.standing.healthy) ? routes : routes.toSorted((a, b) => a.standing.failures - b.standing.failures)
  }

  /** Without probes a transport that failed is tried again by a query, once its backoff is over. */
  #due(): readonly Route<P>[] {
    if (this.#order === this.#routes) return this.#order
    const nowMs = this.o.clock.nowMs()
    const failures = ({ standing }: Route<P>) => (nowMs >= standing.retryAtMs ? 0 : standing.failures)
    return this.#routes.toSorted((a, b) => failures(a) - failures(b))
  }
}

/** One question on its way over the transports of a resolver, one after the other. */
class Trip<P extends Protection> implements Ask, Receiver<P> {
  readonly purpose: Ask['purpose']
  readonly givesWay: true | undefined
  /** Of the transport that it is with. */
  deadlineMs: number
  readonly #transports: Transports<P>
  readonly #tries: readonly Route<P>[]
  readonly #message: Uint8Array
  readonly #dnssecOk: boolean
  readonly #ask: Ask
  readonly #to: Receiver<P, [transport: Transport]>
  #at = -1
  #startedMs = 0
  #failures = NONE
  /** It came back as FORMERR, and goes once more without the option that may be why. */
  #refused: { readonly carried: Carried<P>; readonly startedMs: number } | undefined

  constructor(
    transports: Transports<P>,
    tries: readonly Route<P>[],
    message: Uint8Array,
    dnssecOk: boolean,
    ask: Ask,
    to: Receiver<P, [transport: Transport]>,
  ) {
    this.#transports = transports
    this.#tries = tries
    this.#message = message
    this.#dnssecOk = dnssecOk
    this.#ask = ask
    this.#to = to
    this.purpose = ask.purpose
    this.givesWay = ask.givesWay
    this.deadlineMs = ask.deadlineMs
  }

  mayLeave(): boolean {
    return this.#ask.mayLeave?.() !== false
  }

  /** Over the next transport, or ends. */
  next(): void {
    const route = this.#tries[++this.#at]
    const { id, o } = this.#transports
    if (route === undefined) {
      this.#to.failed(mostTelling(`no transport of ${id} carried the query`, this.#failures))
      return
    }
    const nowMs = o.clock.nowMs()
    if (nowMs >= this.#ask.deadlineMs) {
      this.#note(route, new EnigmError('deadline', `no time left to ask ${id}`))
      this.#end()
      return
    }
    this.#startedMs = nowMs
    this.deadlineMs = this.#transports.shareMs(route, this.#at === this.#tries.length - 1, this.#ask.deadlineMs, nowMs)
    begin(route.link, this.#transports.request(route, this.#message, this.#dnssecOk), this, o.emit, this)
  }

  carried(carried: Carried<P>): void {
    const route = this.#tries[this.#at]
    if (route === undefined) return
    const formErr = readingOf(carried).rcode === FORMERR
    if (this.#refused !== undefined) {
      if (!formErr) this.#transports.forgoKeepalive()
    } else if (formErr && this.#transports.withKeepalive(route)) {
      if (this.#plainer(route, carried)) return
    }
    this.#answered(route, carried)
  }

  failed(error: EnigmError): void {
    const route = this.#tries[this.#at]
    if (route === undefined) return
    if (this.#refused !== undefined) {
      this.#startedMs = this.#refused.startedMs
      this.#answered(route, this.#refused.carried)
      return
    }
    this.#transports.failed(route, this.#startedMs, error, this.purpose)
    this.#note(route, error)
    const ofTheName = this.purpose !== 'probe' && mayBeTheName(error)
    if (ofTheName) this.#transports.doubt(route, this.#startedMs)
    if (!this.#transports.o.manner.asksAgain && (ofTheName || isOurs(error.code))) this.#end()
    else this.next()
  }

  /**
   * FORMERR, and the keepalive option may be why (RFC 6891 section 7): asked once more with Padding
   * alone, on the same connection. Under a schedule nothing is asked twice; the next query goes so.
   */
  #plainer(route: Route<P>, refused: Carried<P>): boolean {
    const { o } = this.#transports
    if (!o.manner.asksAgain) {
      this.#transports.forgoKeepalive()
      return false
    }
    this.#refused = { carried: kept(refused), startedMs: this.#startedMs }
    this.#startedMs = o.clock.nowMs()
    const request = withPaddedOpt(this.#message, { dnssecOk: this.#dnssecOk, block: o.paddingBlock, keepalive: false })
    begin(route.link, request, this, o.emit, this)
    return true
  }

  #answered(route: Route<P>, carried: Carried<P>): void {
    this.#transports.answered(route, this.#startedMs, carried)
    this.#transports.retryFailed()
    this.#to.carried(carried, route.link.transport)
  }

  #note(route: Route<P>, error: EnigmError): void {
    this.#failures = [...this.#failures, { who: route.link.transport, error }]
  }

  /** No transport is tried any more. */
  #end(): void {
    this.#at = this.#tries.length - 1
    this.next()
  }
}
