import { createSocket, type Socket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import type { Clock, Random, Timer } from '../clock.ts'
import type { SocketAddress } from '../config/listen-address.ts'
import { idOf, isReplyTo, setId, upstreamQuery } from '../dns/message.ts'
import { u16 } from '../dns/octets.ts'
import { type AcceptedReply, acceptReply } from '../dns/response.ts'
import { EnigmError } from '../errors.ts'
import type { Question } from '../resolve.ts'

/** Time without a reply after which the next packet is sent. */
const RETRY_MS = 1500
/** One for each resolver, and a second one if there is only one. */
const MOST_PACKETS = 2
/** Limit of the TTL: an answer of the network's own resolver is kept no longer by a client. */
const MOST_TTL_S = 5

export interface CleartextParts {
  readonly clock: Clock
  readonly random: Random
  /** At least one. */
  readonly resolvers: readonly SocketAddress[]
  /**
   * Called before each packet; if it returns false, the packet must not be sent, and the question
   * fails with `closed`.
   */
  readonly mayLeave: () => boolean
}

/**
 * Asks resolvers in cleartext over UDP, as a stub without EDNS does: each question from a random
 * port with a random ID, one packet at a time. Replies that do not match are ignored. Every answer
 * has a TTL of at most 5 s, and no AD flag.
 */
export class CleartextResolver {
  readonly #parts: CleartextParts
  readonly #open = new Set<CleartextExchange>()

  constructor(parts: CleartextParts) {
    this.#parts = parts
  }

  get underWay(): number {
    return this.#open.size
  }

  /** Rejects with an EnigmError: `deadline`, `closed`, `reply-malformed` or `connect-failed`. */
  ask(question: Question, deadlineMs: number): Promise<AcceptedReply> {
    return new Promise((resolve, reject) => {
      const exchange = new CleartextExchange(this.#parts, question, deadlineMs, (outcome) => {
        this.#open.delete(exchange)
        if (outcome instanceof EnigmError) reject(outcome)
        else resolve(outcome)
      })
      this.#open.add(exchange)
      exchange.next()
    })
  }

  /** Questions in progress fail with `closed`, and their sockets are closed. */
  close(): void {
    for (const exchange of [...this.#open]) exchange.end(new EnigmError('closed', 'The login page is not looked for any more.'))
  }
}

/** One question until its answer or its failure. */
class CleartextExchange {
  readonly #parts: CleartextParts
  readonly #question: Question
  readonly #deadlineMs: number
  readonly #done: (outcome: AcceptedReply | EnigmError) => void
  readonly #message: Uint8Array
  #sockets: Socket[] = []
  #timer: Timer | undefined
  #sent = 0
  #over = false
  #failure = new EnigmError('deadline', "The network's own resolver did not answer in time.")

  constructor(parts: CleartextParts, question: Question, deadlineMs: number, done: (outcome: AcceptedReply | EnigmError) => void) {
    this.#parts = parts
    this.#question = question
    this.#deadlineMs = deadlineMs
    this.#done = done
    this.#message = upstreamQuery(question, false)
  }

  /** Sends the next packet; if none is left, waits for the deadline. */
  next(): void {
    const { clock, resolvers, random } = this.#parts
    this.#timer?.cancel()
    const leftMs = this.#deadlineMs - clock.nowMs()
    if (leftMs <= 0) {
      this.end(this.#failure)
      return
    }
    const resolver = resolvers[this.#sent % resolvers.length]
    if (this.#sent >= MOST_PACKETS || resolver === undefined) {
      this.#timer = clock.setTimer(leftMs, () => this.end(this.#failure))
      return
    }
    this.#sent++
    this.#timer = clock.setTimer(Math.min(leftMs, RETRY_MS), () => this.next())
    this.#send(resolver, u16(random.bytes(2), 0))
  }

  #send({ address, port }: SocketAddress, id: number): void {
    const family = isIPv6(address) ? 6 : 4
    // The host is an address: no lookup is made.
    const socket = createSocket({ type: `udp${family}`, lookup: (host, _options, found) => found(null, host, family) })
    this.#sockets.push(socket)
    const message = Uint8Array.from(this.#message)
    setId(message, id)
    socket.on('error', () => this.#failed())
    socket.on('message', (reply) => this.#received(reply, id))
    // Connected: the kernel drops packets of other hosts, and reports a closed port.
    // With a callback of `connect`, Node calls that with an error and emits none.
    socket.once('connect', () => {
      if (this.#over) return
      if (!this.#parts.mayLeave()) return this.end(new EnigmError('closed', 'Nothing may leave any more.'))
      socket.send(message, (error) => {
        if (error !== null) this.#failed()
      })
    })
    socket.connect(port, address)
  }

  #received(reply: Uint8Array, id: number): void {
    if (this.#over || reply.length < 12 || idOf(reply) !== id || !isReplyTo(this.#message, reply)) return
    try {
      const accepted = acceptReply(reply, this.#question, { authenticated: false, ageS: 0, clamp: { minTtlS: 0, maxTtlS: MOST_TTL_S } })
      // A login page has no name whose answer does not fit in a packet.
      this.end(accepted.kind === 'truncated' ? new EnigmError('reply-malformed', 'The reply was cut off.') : accepted)
    } catch {
      // Any host on this network may have sent it: continues to wait.
    }
  }

  #failed(): void {
    if (this.#over) return
    this.#failure = new EnigmError('connect-failed', "The network's own resolver cannot be reached.")
    this.next()
  }

  end(outcome: AcceptedReply | EnigmError): void {
    if (this.#over) return
    this.#over = true
    this.#timer?.cancel()
    for (const socket of this.#sockets) socket.close()
    this.#sockets = []
    this.#done(outcome)
  }
}
