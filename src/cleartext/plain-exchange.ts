import { createSocket, type Socket } from 'node:dgram'
import { connect, isIPv6, type Socket as TcpSocket } from 'node:net'
import type { Clock, Random, Timer } from '../clock.ts'
import { withoutZone } from '../config/cidr.ts'
import type { SocketAddress } from '../config/listen-address.ts'
import { withPaddedOpt } from '../dns/edns.ts'
import { FrameReader, framed } from '../dns/framing.ts'
import { idOf, isReplyTo, setId, upstreamQuery } from '../dns/message.ts'
import { HEADER_OCTETS, u16 } from '../dns/octets.ts'
import { type AcceptedReply, acceptReply, type TtlClamp } from '../dns/response.ts'
import { EnigmError } from '../errors.ts'
import type { Question } from '../resolve.ts'

/** Settings and messages for questions in cleartext. */
export interface PlainManner {
  /**
   * True: ask as a resolver does. That is random case of letters in the name (0x20), TCP when a
   * reply may be forged or is truncated, and EDNS with the client's DO. False: ask as the simplest
   * stub does.
   */
  readonly thorough: boolean
  /**
   * Limit of UDP packets for one question. A repeat without random case or without EDNS is not
   * counted.
   */
  readonly mostPackets: number
  /** The next packet is sent after this time without a reply. */
  readonly retryMs: number
  readonly clamp: TtlClamp
  /** Error messages: no reply in time, server unreachable, and service is closing. */
  readonly says: { readonly silent: string; readonly unreachable: string; readonly closed: string }
}

export interface PlainParts {
  readonly clock: Clock
  readonly random: Random
  /** The servers; at least one. */
  readonly resolvers: readonly SocketAddress[]
  readonly manner: PlainManner
  /**
   * Called before each packet. If it returns false, the packet is not sent, and the question fails
   * with `closed`.
   */
  readonly mayLeave: () => boolean
}

/** The flags of a query. */
export interface PlainFlags {
  readonly dnssecOk: boolean
  readonly checkingDisabled: boolean
}

/** A server, and what it supports; both are true until it is found not to. */
export interface PlainServer extends SocketAddress {
  /** Whether its replies keep the case of the letters in the name. */
  keepsCase: boolean
  /** Whether it answers queries with EDNS. */
  edns: boolean
}

/** A query to one server. */
interface Attempt {
  readonly server: PlainServer
  readonly message: Uint8Array
  /** Whether the letters of its name have random case. */
  readonly mixed: boolean
  readonly edns: boolean
}

/** RCODEs of a server that does not support EDNS (RFC 6891 section 7), or that has no answer. */
const FORMERR = 1
const SERVFAIL = 2
const NOTIMP = 4
const REFUSED = 5
const BADVERS = 16
/** Delay before the retry when no server is reachable: a server may just be starting. */
const REFUSED_RETRY_MS = 250

/** The exchange for one question: sends packets until an answer or a failure. */
export class PlainExchange {
  readonly #parts: PlainParts
  readonly #servers: readonly PlainServer[]
  readonly #question: Question
  readonly #flags: PlainFlags
  readonly #deadlineMs: number
  readonly #done: (outcome: AcceptedReply | EnigmError | undefined) => void
  readonly #sockets = new Set<Socket | TcpSocket>()
  /** Servers that were asked over TCP. Each is asked over TCP only once. */
  readonly #streamed = new Set<PlainServer>()
  #timer: Timer | undefined
  #sent = 0
  #over = false
  #failure: EnigmError
  /** A reply with SERVFAIL, REFUSED or NOTIMP. It is used if no other server has a better one. */
  #kept: AcceptedReply | undefined

  /** `done` is called once. Its argument is undefined if the exchange was cancelled. */
  constructor(
    parts: PlainParts,
    servers: readonly PlainServer[],
    question: Question,
    flags: PlainFlags,
    deadlineMs: number,
    done: (outcome: AcceptedReply | EnigmError | undefined) => void,
  ) {
    this.#parts = parts
    this.#servers = servers
    this.#question = question
    this.#flags = flags
    this.#deadlineMs = deadlineMs
    this.#done = done
    this.#failure = new EnigmError('deadline', parts.manner.says.silent)
  }

  /** Sends the next packet. After the last one, waits until the deadline. */
  next(): void {
    const { clock, manner } = this.#parts
    this.#timer?.cancel()
    if (this.#over) return
    const leftMs = this.#deadlineMs - clock.nowMs()
    const server = this.#servers[this.#sent % this.#servers.length]
    if (leftMs <= 0) {
      this.#giveUp()
    } else if (this.#sent >= manner.mostPackets || server === undefined) {
      if (this.#sockets.size === 0) this.#giveUp()
      else this.#timer = clock.setTimer(leftMs, () => this.#giveUp())
    } else {
      this.#sent++
      this.#timer = clock.setTimer(Math.min(leftMs, manner.retryMs), () => this.next())
      this.#overUdp(this.#attempt(server, server.keepsCase))
    }
  }

  /** Ends the exchange and closes its sockets. */
  end(outcome: AcceptedReply | EnigmError | undefined): void {
    if (this.#over) return
    this.#over = true
    this.#timer?.cancel()
    for (const socket of this.#sockets) free(socket)
    this.#sockets.clear()
    this.#done(outcome)
  }

  #giveUp(): void {
    this.end(this.#kept ?? this.#failure)
  }

  #attempt(server: PlainServer, mixes: boolean): Attempt {
    const { random, manner } = this.#parts
    const edns = manner.thorough && server.edns
    const mixed = manner.thorough && mixes
    const bare = upstreamQuery(this.#question, this.#flags.checkingDisabled)
    if (mixed) mixCase(bare, HEADER_OCTETS, bare.length - 4, random)
    setId(bare, u16(random.bytes(2), 0))
    const message = edns ? withPaddedOpt(bare, { dnssecOk: this.#flags.dnssecOk, block: 0, keepalive: false }) : bare
    return { server, message, mixed, edns }
  }

  #overUdp(attempt: Attempt): void {
    const { address, port } = attempt.server
    const family = isIPv6(withoutZone(address)) ? 6 : 4
    // The host is an address, so the lookup returns it unchanged.
    const socket = createSocket({ type: `udp${family}`, lookup: (host, _options, found) => found(null, host, family) })
    this.#sockets.add(socket)
    const failed = () => {
      this.#forget(socket)
      this.#unreachable()
    }
    socket.on('error', failed)
    socket.on('message', (reply) => this.#datagram(attempt, reply))
    // The socket is connected, so the kernel drops packets of other hosts and reports a closed
    // port. `connect` gets no callback: with one, Node reports the error there and emits no event.
    socket.once('connect', () => {
      if (!this.#mayLeave()) return
      socket.send(attempt.message, (error) => {
        if (error !== null) failed()
      })
    })
    socket.connect(port, address)
  }

  #mayLeave(): boolean {
    if (this.#over) return false
    if (this.#parts.mayLeave()) return true
    this.end(new EnigmError('closed', 'Sending is no longer allowed.'))
    return false
  }

  #datagram(attempt: Attempt, reply: Uint8Array): void {
    if (this.#over || !matches(attempt, reply)) return
    if (attempt.mixed && !sameCase(attempt.message, reply)) {
      // The reply is forged, or the server changes the case. A query over TCP shows which.
      this.#overTcp(attempt.server, () => this.#overUdp(this.#attempt(attempt.server, false)))
      return
    }
    const accepted = this.#accepted(reply)
    // A malformed reply may be forged by any host on this network: keep waiting.
    if (accepted === undefined) return
    if (accepted.kind === 'truncated') {
      // Without TCP a truncated reply is a failure. Names of login pages have short answers.
      if (!this.#parts.manner.thorough) this.end(new EnigmError('reply-malformed', 'The reply was truncated.'))
      else this.#overTcp(attempt.server, () => this.#unreachable())
    } else this.#take(attempt, accepted)
  }

  #accepted(reply: Uint8Array): AcceptedReply | undefined {
    try {
      return acceptReply(reply, this.#question, { authenticated: false, ageS: 0, clamp: this.#parts.manner.clamp })
    } catch {
      return undefined
    }
  }

  /** Handles a matching reply. It is the outcome, unless a retry may give a better one. */
  #take(attempt: Attempt, accepted: AcceptedReply): void {
    const { rcode } = accepted
    // The name was sent in lower case after TCP had failed: remember it for this server.
    if (!attempt.mixed) attempt.server.keepsCase = false
    if (attempt.edns && (rcode === FORMERR || rcode === NOTIMP || rcode === BADVERS)) {
      attempt.server.edns = false
      this.#overUdp(this.#attempt(attempt.server, attempt.server.keepsCase))
      return
    }
    const isLast = this.#sent >= this.#servers.length
    if (!isLast && (rcode === SERVFAIL || rcode === REFUSED || rcode === NOTIMP)) {
      this.#kept ??= accepted
      this.next()
    } else this.end(accepted)
  }

  /** Asks one server over TCP, at most once. Calls `otherwise` if that fails. */
  #overTcp(server: PlainServer, otherwise: () => void): void {
    if (this.#streamed.has(server)) return
    this.#streamed.add(server)
    const attempt = this.#attempt(server, server.keepsCase)
    const socket = connect({ host: server.address, port: server.port, noDelay: true })
    this.#sockets.add(socket)
    let failed = false
    const fail = () => {
      if (failed || this.#over) return
      failed = true
      this.#forget(socket)
      otherwise()
    }
    const reader = new FrameReader()
    const onReply = (reply: Uint8Array) => {
      if (this.#over || failed) return
      const accepted = matches(attempt, reply) ? this.#accepted(reply) : undefined
      if (accepted === undefined) return fail()
      // The TCP handshake proves the address, so the server itself changes the case.
      if (attempt.mixed && !sameCase(attempt.message, reply)) server.keepsCase = false
      this.#take(attempt, accepted)
    }
    socket.once('connect', () => {
      if (this.#mayLeave()) socket.write(framed(attempt.message))
    })
    socket.on('data', (chunk) => {
      if (!reader.push(chunk, onReply)) fail()
    })
    socket.on('error', fail)
    socket.on('close', fail)
  }

  /** Handles an unreachable server: asks the next one, or retries after a short delay. */
  #unreachable(): void {
    if (this.#over) return
    this.#failure = new EnigmError('connect-failed', this.#parts.manner.says.unreachable)
    this.#timer?.cancel()
    if (this.#sent < this.#servers.length || this.#sent >= this.#parts.manner.mostPackets) this.next()
    else this.#timer = this.#parts.clock.setTimer(REFUSED_RETRY_MS, () => this.next())
  }

  #forget(socket: Socket | TcpSocket): void {
    if (this.#sockets.delete(socket)) free(socket)
  }
}

function free(socket: Socket | TcpSocket): void {
  if ('destroy' in socket) socket.destroy()
  else socket.close()
}

function matches({ message }: Attempt, reply: Uint8Array): boolean {
  return reply.length >= HEADER_OCTETS && idOf(reply) === idOf(message) && isReplyTo(message, reply)
}

/**
 * Gives each letter of a name a random case. A forger who does not see the query must guess them
 * all, besides the ID and the port.
 */
function mixCase(message: Uint8Array, from: number, end: number, random: Random): void {
  const bits = random.bytes(32)
  for (let at = from; at < end; at++) {
    const octet = message[at] ?? 0
    const bit = at - from
    // A length octet is at most 63, so it is never taken for a letter.
    if (octet >= 0x61 && octet <= 0x7a && ((bits[bit >> 3] ?? 0) >> (bit & 7)) & 1) message[at] = octet - 0x20
  }
}

/**
 * Whether the name in the reply has the same case as in the query. True for a reply without a
 * question.
 */
function sameCase(message: Uint8Array, reply: Uint8Array): boolean {
  if (reply.length === HEADER_OCTETS || u16(reply, 4) === 0) return false
  for (let at = HEADER_OCTETS; message[at] !== 0; at++) if (message[at] !== reply[at]) return false
  return true
}
