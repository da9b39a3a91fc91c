import { isDeepStrictEqual } from 'node:util'
import { PlainClient } from '../cleartext/plain-client.ts'
import type { PlainManner } from '../cleartext/plain-exchange.ts'
import type { Clock, Random, Timer } from '../clock.ts'
import type { SocketAddress } from '../config/listen-address.ts'
import type { AcceptedReply, TtlClamp } from '../dns/response.ts'
import { EnigmError } from '../errors.ts'
import type { Emit } from '../events.ts'
import type { Job, Outcome, SideAsker } from '../job.ts'

/** Limit of open questions: each has a socket. */
const MOST_OPEN = 256
/** The servers that a network link announces are read again after this time. */
const LOOKUP_EVERY_MS = 10_000
/** The same if the link announced no server: a DHCP lease may come a little after the link. */
const LOOKUP_RETRY_MS = 1000
/** After a network change, questions wait at most this time for the first announced server. */
const SETTLE_MS = 5000

export interface PlainSideParts {
  readonly clock: Clock
  readonly random: Random
  readonly emit: Emit
  /** Called before each question. It checks for a suspend since the last question. */
  readonly notice?: () => void
  /** The error with which the policy refuses queries now; undefined: they are allowed. */
  readonly refusal: () => EnigmError | undefined
  readonly clamp: TtlClamp
  /** How long the answer may be cached, in seconds. */
  readonly lifetime: (accepted: AcceptedReply) => number | 'no'
  /**
   * The servers, or a function that reads which servers the network link announces. It never
   * rejects.
   */
  readonly servers: readonly SocketAddress[] | (() => Promise<readonly SocketAddress[]>)
}

/** An open question. `stop` cancels its exchange or its timer. */
interface OpenQuestion {
  readonly job: Job
  readonly done: (outcome: Outcome) => void
  stop: () => void
}

const NOTHING_ANNOUNCED = 'This network announces no DNS server.'
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
 * Asks the servers of forward zones in cleartext. Emits an event `cleartext` before each packet. If
 * these servers fail, no other server is asked. After a network change, open questions are retried
 * on the new network.
 */
export class PlainSide implements SideAsker {
  readonly #parts: PlainSideParts
  readonly #open = new Set<OpenQuestion>()
  #client: PlainClient | undefined
  #looking: Promise<void> | undefined
  #nextLookupMs = Number.NEGATIVE_INFINITY
  #retry: Timer | undefined
  #settledMs: number
  #resolvers: readonly SocketAddress[] = []
  /** Set by `close`; called when the last open question has ended. */
  #drained: (() => void) | undefined

  constructor(parts: PlainSideParts) {
    this.#parts = parts
    this.#settledMs = parts.clock.nowMs() + SETTLE_MS
    if (typeof parts.servers !== 'function') this.#client = this.#clientOf(parts.servers)
  }

  /** The servers that are asked now; empty while they are not known. */
  get servers(): readonly SocketAddress[] {
    const { servers } = this.#parts
    return typeof servers === 'function' ? this.#resolvers : servers
  }

  /** Asks a question of the zone. Calls `done` once, with the answer or an EnigmError. */
  ask(job: Job, done: (outcome: Outcome) => void): void {
    const refused =
      this.#drained !== undefined
        ? new EnigmError('closed', MANNER.says.closed)
        : this.#open.size >= MOST_OPEN
          ? new EnigmError('overloaded', 'Too many questions of this zone are open.')
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

  /**
   * Resolves when all open questions have ended, by their deadlines at the latest. Later questions
   * fail with `closed`.
   */
  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#drained = resolve
      if (this.#open.size === 0) resolve()
    })
  }

  /** Fails all open questions with `error`. */
  fail(error: EnigmError): void {
    for (const one of [...this.#open]) this.#end(one, error)
  }

  /**
   * Call after a network change or a suspend: the same address may be another host now. Retries the
   * open questions.
   */
  disturbed(): void {
    const { servers } = this.#parts
    this.#client = typeof servers === 'function' ? undefined : this.#clientOf(servers)
    this.#nextLookupMs = Number.NEGATIVE_INFINITY
    this.#settledMs = this.#parts.clock.nowMs() + SETTLE_MS
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
    return typeof this.#parts.servers === 'function' && this.#parts.clock.nowMs() >= this.#nextLookupMs
  }

  /** Lets a question wait, until its deadline, for the servers of the link. */
  #await(one: OpenQuestion): void {
    const { clock } = this.#parts
    const timer = clock.setTimer(Math.max(0, one.job.deadlineMs - clock.nowMs()), () =>
      this.#end(one, new EnigmError('no-upstream', NOTHING_ANNOUNCED)),
    )
    one.stop = () => timer.cancel()
  }

  /** Reads the servers of the link, if the side uses them. */
  #look(): Promise<void> {
    const { servers, clock } = this.#parts
    if (typeof servers !== 'function') return Promise.resolve()
    const looking = servers().then((found) => {
      if (this.#looking !== looking) return
      this.#looking = undefined
      this.#found(found)
    })
    this.#nextLookupMs = clock.nowMs() + LOOKUP_EVERY_MS
    this.#looking = looking
    return looking
  }

  /** Adopts the announced servers, and starts or fails the questions that wait for them. */
  #found(found: readonly SocketAddress[]): void {
    const { clock } = this.#parts
    const waiting = this.#client === undefined ? [...this.#open] : []
    if (!isDeepStrictEqual(found, this.#resolvers) || this.#client === undefined)
      this.#client = found.length === 0 ? undefined : this.#clientOf(found)
    this.#resolvers = found
    const nowMs = clock.nowMs()
    this.#nextLookupMs = nowMs + (found.length === 0 ? LOOKUP_RETRY_MS : LOOKUP_EVERY_MS)
    this.#retry?.cancel()
    if (this.#client !== undefined) for (const one of waiting) this.#restart(one)
    else if (nowMs >= this.#settledMs) for (const one of waiting) this.#end(one, new EnigmError('no-upstream', NOTHING_ANNOUNCED))
    else if (waiting.length > 0) this.#retry = clock.setTimer(LOOKUP_RETRY_MS, () => void this.#look())
  }
}
