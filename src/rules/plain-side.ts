import { isDeepStrictEqual } from 'node:util'
import { PlainClient } from '../cleartext/plain-client.ts'
import type { PlainManner } from '../cleartext/plain-exchange.ts'
import type { Clock, Random, Timer } from '../clock.ts'
import type { SocketAddress } from '../config/listen-address.ts'
import type { AcceptedReply, TtlClamp } from '../dns/response.ts'
import { EnigmError } from '../errors.ts'
import type { Emit } from '../events.ts'
import type { Job, Outcome, SideAsker } from '../job.ts'

/** Limit of questions in progress: each has a socket. */
const MOST_UNDER_WAY = 256
/** How long the servers that a link has announced are used before they are looked up again. */
const LINK_MS = 10_000
/** The same if it has announced none yet: a lease may come a little after the link. */
const NO_LINK_MS = 1000
/** After a change of network, questions wait this long for the first announcement. */
const UNSETTLED_MS = 5000

export interface PlainSideParts {
  readonly clock: Clock
  readonly random: Random
  readonly emit: Emit
  /** Called before each question: the machine may have slept since the last one. */
  readonly notice?: () => void
  /** The reason why the policy lets no query through now; undefined: it lets them through. */
  readonly refusal: () => EnigmError | undefined
  readonly clamp: TtlClamp
  /** How long the answer may be kept. */
  readonly lifetime: (accepted: AcceptedReply) => number | 'no'
  /** The servers, or a function that finds out which servers the link announces. Never rejects. */
  readonly servers: readonly SocketAddress[] | (() => Promise<readonly SocketAddress[]>)
}

/** A question in progress, and how to stop what is under way for it. */
interface OpenQuestion {
  readonly job: Job
  readonly done: (outcome: Outcome) => void
  stop: () => void
}

const NOTHING_ANNOUNCED = 'This network announces no server.'
const MANNER: Omit<PlainManner, 'clamp'> = {
  thorough: true,
  mostPackets: 4,
  retryMs: 1000,
  says: {
    silent: 'The server of the zone did not answer in time.',
    unreachable: 'The server of the zone cannot be reached.',
    closed: 'The service is shutting down.',
  },
}

/**
 * Asks the servers of forward zones in cleartext. Each packet is an event `cleartext` before it
 * leaves. Nobody else is asked if they fail. When the network changes, questions in progress are
 * asked again on the new one.
 */
export class PlainSide implements SideAsker {
  readonly #parts: PlainSideParts
  readonly #open = new Set<OpenQuestion>()
  #client: PlainClient | undefined
  #looking: Promise<void> | undefined
  #lookAgainMs = Number.NEGATIVE_INFINITY
  #retry: Timer | undefined
  #settledMs: number
  #resolvers: readonly SocketAddress[] = []
  /** Called when no question is in progress any more, once it was closed. */
  #drained: (() => void) | undefined

  constructor(parts: PlainSideParts) {
    this.#parts = parts
    this.#settledMs = parts.clock.nowMs() + UNSETTLED_MS
    if (typeof parts.servers !== 'function') this.#client = this.#clientOf(parts.servers)
  }

  /** The servers that are asked now, as far as they are known. */
  get servers(): readonly SocketAddress[] {
    const { servers } = this.#parts
    return typeof servers === 'function' ? this.#resolvers : servers
  }

  ask(job: Job, done: (outcome: Outcome) => void): void {
    const refused =
      this.#drained !== undefined
        ? new EnigmError('closed', MANNER.says.closed)
        : this.#open.size >= MOST_UNDER_WAY
          ? new EnigmError('overloaded', 'Too many questions of this zone are under way.')
          : undefined
    if (refused !== undefined) {
      done(refused)
      return
    }
    this.#parts.notice?.()
    const one: OpenQuestion = { job, done, stop: () => {} }
    this.#open.add(one)
    this.#begin(one)
  }

  /** Lets questions in progress end, by their deadlines; later ones fail with `closed`. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#drained = resolve
      if (this.#open.size === 0) resolve()
    })
  }

  /** Fails all questions in progress with `error`. */
  fail(error: EnigmError): void {
    for (const one of [...this.#open]) this.#end(one, error)
  }

  /** The network changed, or the machine slept: the same address may be another host now. */
  disturbed(): void {
    const { servers } = this.#parts
    this.#client = typeof servers === 'function' ? undefined : this.#clientOf(servers)
    this.#lookAgainMs = Number.NEGATIVE_INFINITY
    this.#settledMs = this.#parts.clock.nowMs() + UNSETTLED_MS
    this.#looking = undefined
    for (const one of [...this.#open]) this.#restart(one)
  }

  #restart(one: OpenQuestion): void {
    one.stop()
    this.#begin(one)
  }

  #clientOf(resolvers: readonly SocketAddress[]): PlainClient {
    const { clock, random, clamp, refusal, emit } = this.#parts
    const mayLeave = () => {
      if (refusal() !== undefined) return false
      emit({ type: 'cleartext', cause: 'split-dns' })
      return true
    }
    return new PlainClient({ clock, random, resolvers, manner: { ...MANNER, clamp }, mayLeave })
  }

  #begin(one: OpenQuestion): void {
    const { query, deadlineMs } = one.job
    const client = this.#client
    if (this.#isDue()) void this.#look()
    if (client === undefined) {
      this.#await(one)
      return
    }
    const flags = { dnssecOk: query.edns?.dnssecOk === true, checkingDisabled: query.checkingDisabled }
    one.stop = client.send(query.question, flags, deadlineMs, (outcome) => {
      const refused = outcome instanceof EnigmError ? this.#parts.refusal() : undefined
      this.#end(one, outcome instanceof EnigmError ? (refused ?? outcome) : this.#answerOf(outcome))
    })
  }

  #answerOf(accepted: AcceptedReply): Outcome {
    const { wire, rcode, ede, ttlAts } = accepted
    const answer = { wire, rcode, storeS: this.#parts.lifetime(accepted), from: 'split-dns', ofNetwork: true, ttlAts } as const
    return ede === undefined ? answer : { ...answer, ede }
  }

  #end(one: OpenQuestion, outcome: Outcome): void {
    if (!this.#open.delete(one)) return
    one.stop()
    one.done(outcome)
    if (this.#open.size === 0) {
      this.#retry?.cancel()
      this.#drained?.()
    }
  }

  #isDue(): boolean {
    return typeof this.#parts.servers === 'function' && this.#parts.clock.nowMs() >= this.#lookAgainMs
  }

  /** The servers of the link are not known yet: the question waits for them until its deadline. */
  #await(one: OpenQuestion): void {
    const { clock } = this.#parts
    const timer = clock.setTimer(Math.max(0, one.job.deadlineMs - clock.nowMs()), () =>
      this.#end(one, new EnigmError('no-upstream', NOTHING_ANNOUNCED)),
    )
    one.stop = () => timer.cancel()
  }

  #look(): Promise<void> {
    const { servers, clock } = this.#parts
    if (typeof servers !== 'function') return Promise.resolve()
    const looking = servers().then((found) => {
      if (this.#looking !== looking) return
      this.#looking = undefined
      this.#found(found)
    })
    this.#lookAgainMs = clock.nowMs() + LINK_MS
    this.#looking = looking
    return looking
  }

  #found(found: readonly SocketAddress[]): void {
    const { clock } = this.#parts
    const waiting = this.#client === undefined ? [...this.#open] : []
    if (!isDeepStrictEqual(found, this.#resolvers) || this.#client === undefined)
      this.#client = found.length === 0 ? undefined : this.#clientOf(found)
    this.#resolvers = found
    const nowMs = clock.nowMs()
    this.#lookAgainMs = nowMs + (found.length === 0 ? NO_LINK_MS : LINK_MS)
    this.#retry?.cancel()
    if (this.#client !== undefined) for (const one of waiting) this.#restart(one)
    else if (nowMs >= this.#settledMs) for (const one of waiting) this.#end(one, new EnigmError('no-upstream', NOTHING_ANNOUNCED))
    else if (waiting.length > 0) this.#retry = clock.setTimer(NO_LINK_MS, () => void this.#look())
  }
}
