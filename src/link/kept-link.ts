import { EnigmError } from '../errors.ts'
import type { Ask, Carried, Link, Protection, Transport } from '../resolve.ts'
import type { Loss, Reply } from './carrier.ts'
import { Connections, type KeeperTools, type Kept, type Wiring } from './connections.ts'
import { type Deadline, Deadlines } from './deadlines.ts'

/** Queries waiting for one dial. Beyond it: `overloaded`. */
const MAX_WAITING = 1000
/** A query that was certainly not processed (GOAWAY, REFUSED_STREAM) may move on this often; one that may have been, once. */
const MAX_REFUSALS = 16

/** A link that can be told that the network changed or the machine slept. */
export interface RenewableLink<P extends Protection = Protection> extends Link<P> {
  /** Drops connections and TLS sessions (a ticket would join the old network's client to the new one's). What is in flight goes on over a new connection. */
  renew(): void
}

interface Pending<P extends Protection> {
  readonly request: Uint8Array
  readonly deadline: Deadline
  readonly resolve: (carried: Carried<P>) => void
  readonly reject: (error: EnigmError) => void
  /** Where it is under way, and how to take it back there. */
  readonly attempts: Map<Kept<P>, () => void>
  /** Asked once more already, after a loss or a silence. */
  resent: boolean
  refusals: number
}

/** Keeps one connection to one resolver alive while it is needed; see `Link` for the contract. */
export class KeptLink<P extends Protection> implements RenewableLink<P> {
  readonly id: string
  readonly transport: Transport
  readonly #tools: KeeperTools
  readonly #deadlines: Deadlines
  readonly #connections: Connections<P>
  readonly #pending = new Set<Pending<P>>()
  readonly #waiting = new Set<Pending<P>>()
  readonly #closed = deferred()
  #closing = false

  constructor(wiring: Wiring<P>, tools: KeeperTools) {
    this.id = `${wiring.resolver}/${wiring.transport}`
    this.transport = wiring.transport
    this.#tools = tools
    this.#deadlines = new Deadlines(tools.clock)
    this.#connections = new Connections(wiring, tools, this.#deadlines, {
      ready: () => this.#resend(),
      dialFailed: (error) => this.#dialFailed(error),
    })
  }

  exchange(request: Uint8Array, ask: Ask): Promise<Carried<P>> {
    if (this.#closing) return Promise.reject(new EnigmError('closed', 'the link is closed'))
    if (this.#tools.clock.nowMs() >= ask.deadlineMs) return Promise.reject(late())
    return new Promise((resolve, reject) => {
      const deadline = this.#deadlines.add(ask.deadlineMs, () => this.#fail(pending, late()))
      const pending: Pending<P> = { request, deadline, resolve, reject, attempts: new Map(), resent: false, refusals: 0 }
      this.#pending.add(pending)
      this.#place(pending)
    })
  }

  renew(): void {
    for (const pending of this.#pending) pending.resent = false
    this.#connections.renew(this.#waiting.size > 0)
  }

  close(): Promise<void> {
    this.#closing = true
    this.#finishIfDone()
    return this.#closed.promise
  }

  /** On the connection there is, or on the next one. */
  #place(pending: Pending<P>): void {
    const { current } = this.#connections
    if (current !== undefined) this.#send(current, pending)
    else if (this.#waiting.size >= MAX_WAITING) this.#fail(pending, new EnigmError('overloaded', 'too many queries wait for a connection'))
    else {
      this.#waiting.add(pending)
      const refusal = this.#connections.dial()
      if (refusal !== undefined) this.#fail(pending, refusal)
    }
  }

  #send(kept: Kept<P>, pending: Pending<P>): void {
    const cancel = kept.carrier.send(pending.request, {
      answered: (reply) => this.#answered(kept, pending, reply),
      failed: (error, loss) => this.#lost(kept, pending, error, loss),
    })
    pending.attempts.set(kept, cancel)
    this.#connections.sent(kept)
  }

  /** `current` is there: those that waited for it go first onto it, and once more those that wait on a suspect; whichever answers first. */
  #resend(): void {
    const { current } = this.#connections
    if (current === undefined) return
    for (const pending of this.#pending) {
      if (this.#waiting.delete(pending)) this.#send(current, pending)
      else if (!pending.resent && !pending.attempts.has(current) && isSuspect(pending)) {
        pending.resent = true
        this.#send(current, pending)
      }
    }
  }

  #answered(kept: Kept<P>, pending: Pending<P>, reply: Reply): void {
    this.#connections.answered(kept, reply.rttMs)
    pending.attempts.delete(kept)
    this.#settle(pending)
    pending.resolve({ ...reply, protection: kept.carrier.connection.protection })
    this.#finishIfDone()
  }

  #lost(kept: Kept<P>, pending: Pending<P>, error: EnigmError, loss: Loss): void {
    pending.attempts.delete(kept)
    if (pending.attempts.size > 0) return
    const again = loss === 'refused' ? pending.refusals++ < MAX_REFUSALS : loss === 'lost' && !pending.resent
    if (loss === 'lost') pending.resent = true
    if (again) this.#place(pending)
    else this.#fail(pending, error)
  }

  #dialFailed(error: EnigmError): void {
    for (const pending of [...this.#waiting]) this.#fail(pending, error)
  }

  #fail(pending: Pending<P>, error: EnigmError): void {
    this.#settle(pending)
    pending.reject(error)
    this.#finishIfDone()
  }

  #settle(pending: Pending<P>): void {
    this.#pending.delete(pending)
    this.#waiting.delete(pending)
    this.#deadlines.remove(pending.deadline)
    for (const cancel of pending.attempts.values()) cancel()
    pending.attempts.clear()
  }

  #finishIfDone(): void {
    if (!this.#closing || this.#pending.size > 0) return
    this.#connections.close()
    this.#closed.resolve()
  }
}

function isSuspect<P extends Protection>(pending: Pending<P>): boolean {
  for (const kept of pending.attempts.keys()) if (kept.suspect) return true
  return false
}

function late(): EnigmError {
  return new EnigmError('deadline', 'no answer in time')
}

function deferred(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = () => {}
  const promise = new Promise<void>((settle) => {
    resolve = settle
  })
  return { promise, resolve }
}
