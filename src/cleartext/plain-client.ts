import type { AcceptedReply } from '../dns/response.ts'
import { EnigmError } from '../errors.ts'
import type { Question } from '../resolve.ts'
import { PlainExchange, type PlainFlags, type PlainParts, type PlainServer } from './plain-exchange.ts'

const NO_FLAGS: PlainFlags = { dnssecOk: false, checkingDisabled: false }

/**
 * Asks servers in cleartext: each packet from a new port of the system's choice with a random ID,
 * one packet at a time. Replies that do not match are ignored. No answer has the AD flag.
 */
export class PlainClient {
  readonly #parts: PlainParts
  readonly #servers: readonly PlainServer[]
  readonly #open = new Set<PlainExchange>()

  constructor(parts: PlainParts) {
    this.#parts = parts
    this.#servers = parts.resolvers.map((one) => ({ ...one, keepsCase: true, edns: true }))
  }

  get underWay(): number {
    return this.#open.size
  }

  /**
   * Calls `done` once, with the answer or an EnigmError: `deadline`, `closed`, `reply-malformed`,
   * `connect-refused` or `connect-failed`. Returns a function that ends the exchange without a
   * call. /
   */
  send(question: Question, flags: PlainFlags, deadlineMs: number, done: (outcome: AcceptedReply | EnigmError) => void): () => void {
    const exchange = new PlainExchange(this.#parts, this.#servers, question, flags, deadlineMs, (outcome) => {
      this.#open.delete(exchange)
      if (outcome !== undefined) done(outcome)
    })
    this.#open.add(exchange)
    exchange.next()
    return () => exchange.end(undefined)
  }

  /** The same as a promise, without flags. */
  ask(question: Question, deadlineMs: number): Promise<AcceptedReply> {
    return new Promise((resolve, reject) => {
      this.send(question, NO_FLAGS, deadlineMs, (outcome) => (outcome instanceof EnigmError ? reject(outcome) : resolve(outcome)))
    })
  }

  /** Questions in progress fail with `closed`, and their sockets are closed. */
  close(): void {
    for (const exchange of [...this.#open]) exchange.end(new EnigmError('closed', this.#parts.manner.says.closed))
  }
}
