import type { AcceptedReply } from '../dns/response.ts'
import { EnigmError } from '../errors.ts'
import type { Question } from '../resolve.ts'
import { PlainExchange, type PlainFlags, type PlainParts, type PlainServer } from './plain-exchange.ts'

const NO_FLAGS: PlainFlags = { dnssecOk: false, checkingDisabled: false }

/**
 * Asks servers in cleartext. Each packet has a random ID and comes from a new port that the system
 * chooses. Replies that do not match are ignored. The AD flag is cleared in all answers.
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
   * Asks a question. Calls `done` once, with the answer or an EnigmError: `deadline`, `closed`,
   * `reply-malformed`, `connect-refused` or `connect-failed`. Returns a function that cancels the
   * exchange; `done` is then not called.
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

  /** Does the same as `send`, with a promise and without flags. */
  ask(question: Question, deadlineMs: number): Promise<AcceptedReply> {
    return new Promise((resolve, reject) => {
      this.send(question, NO_FLAGS, deadlineMs, (outcome) => (outcome instanceof EnigmError ? reject(outcome) : resolve(outcome)))
    })
  }

  /** Fails all open questions with `closed`, and closes their sockets. */
  close(): void {
    for (const exchange of [...this.#open]) exchange.end(new EnigmError('closed', this.#parts.manner.says.closed))
  }
}
