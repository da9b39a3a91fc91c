import { createSocket, type Socket } from 'node:dgram'
import { connect, isIPv6, type Socket as TcpSocket } from 'node:net'
import type { Clock, Random, Timer } from '../clock.ts'
import type { SocketAddress } from '../config/listen-address.ts'
import { withPaddedOpt } from '../dns/edns.ts'
import { FrameReader, framed } from '../dns/framing.ts'
import { idOf, isReplyTo, setId, upstreamQuery } from '../dns/message.ts'
import { HEADER_OCTETS, u16 } from '../dns/octets.ts'
import { type AcceptedReply, acceptReply, type TtlClamp } from '../dns/response.ts'
import { EnigmError } from '../errors.ts'
import type { Question } from '../resolve.ts'

/** How questions are asked in cleartext. */
export interface PlainManner {
  /**
   * With all that a resolver does against forged replies and for long ones: letters of random case
   * in the name (0x20), TCP, and EDNS with the client's DO. Without it, as the simplest stub does.
   */
  readonly thorough: boolean
  /** Limit of UDP packets for one question. */
  readonly mostPackets: number
  /** Time without a reply after which the next packet is sent. */
  readonly retryMs: number
  readonly clamp: TtlClamp
  /** Sentences for the errors: no reply in time, unreachable, and ended from this side. */
  readonly says: { readonly silent: string; readonly unreachable: string; readonly closed: string }
}

export interface PlainParts {
  readonly clock: Clock
  readonly random: Random
  /** At least one. */
  readonly resolvers: readonly SocketAddress[]
  readonly manner: PlainManner
  /**
   * Called before each packet; if it returns false, the packet must not be sent, and the question
   * fails with `closed`.
   */
  readonly mayLeave: () => boolean
}

/** What is asked besides the question. */
export interface PlainFlags {
  readonly dnssecOk: boolean
  readonly checkingDisabled: boolean
}

/** A server, and what it was found not to support. */
export interface PlainServer extends SocketAddress {
  /** It returns the letters of a name as they were sent. */
  keepsCase: boolean
  /** It answers queries with EDNS. */
  edns: boolean
}

/** A query as it was sent to one server. */
interface Attempt {
  readonly server: PlainServer
  readonly message: Uint8Array
  /** Its name has letters of random case. */
  readonly mixed: boolean
  readonly edns: boolean
}

/** RCODEs of a server that cannot read EDNS (RFC 6891 section 7), or that has no answer. */
const FORMERR = 1
const SERVFAIL = 2
const NOTIMP = 4
const REFUSED = 5
const BADVERS = 16
/** A server that refused a packet may just be starting. */
const REFUSED_RETRY_MS = 250

/** One question until its answer or its failure. */
export class PlainExchange {
  readonly #parts: PlainParts
  readonly #servers: readonly PlainServer[]
  readonly #question: Question
  readonly #flags: PlainFlags
  readonly #deadlineMs: number
  readonly #done: (outcome: AcceptedReply | EnigmError | undefined) => void
  readonly #sockets = new Set<Socket | TcpSocket>()
  /** Servers that were asked over TCP: once each. */
  readonly #streamed = new Set<PlainServer>()
  #timer: Timer | undefined
  #sent = 0
  #over = false
  #failure: EnigmError
  /** A reply without an answer, for which another server is asked first. */
  #kept: AcceptedReply | undefined

  /** `done` is called once; with undefined if the exchange was ended without an outcome. */
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

  /** Sends the next packet; if none is left, waits for the deadline. */
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

  /** Nothing is sent and no reply is read after this. */
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
    const family = isIPv6(address.replace(/%.*$/, '')) ? 6 : 4
    // The host is an address: no lookup is made.
    const socket = createSocket({ type: `udp${family}`, lookup: (host, _options, found) => found(null, host, family) })
    this.#sockets.add(socket)
    const failed = () => {
      this.#forget(socket)
      this.#unreachable()
    }
    socket.on('error', failed)
    socket.on('message', (reply) => this.#datagram(attempt, reply))
    // Connected: the kernel drops packets of other hosts, and reports a closed port.
    // With a callback of `connect`, Node calls that with an error and emits none.
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
    this.end(new EnigmError('closed', 'Nothing may leave any more.'))
    return false
  }

  #datagram(attempt: Attempt, reply: Uint8Array): void {
    if (this.#over || !matches(attempt, reply)) return
    if (attempt.mixed && !sameCase(attempt.message, reply)) {
      // It is forged, or the server changes the case: TCP shows which.
      this.#overTcp(attempt.server, () => this.#overUdp(this.#attempt(attempt.server, false)))
      return
    }
    const accepted = this.#accepted(reply)
    // Any host on this network may have sent what cannot be read: continues to wait.
    if (accepted === undefined) return
    if (accepted.kind === 'truncated') {
      // A login page has no name whose answer does not fit in a packet.
      if (!this.#parts.manner.thorough) this.end(new EnigmError('reply-malformed', 'The reply was cut off.'))
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

  /** A reply that matches. It is the outcome, unless another try may have a better one. */
  #take(attempt: Attempt, accepted: AcceptedReply): void {
    const { rcode } = accepted
    // Asked so because TCP could not show who changes the case.
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

  /** Asks one server over TCP, once; calls `otherwise` if that fails. */
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
      // The handshake proves the address, so it is the server that changes the case.
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

  /** A server cannot be reached: goes to the next one, or tries again a little later. */
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
 * Gives each letter of a name a random case: a forger who does not see the query must guess them
 * all, besides the ID and the port.
 */
function mixCase(message: Uint8Array, from: number, end: number, random: Random): void {
  const bits = random.bytes(32)
  for (let at = from; at < end; at++) {
    const octet = message[at] ?? 0
    const bit = at - from
    // A length octet is at most 63, and no letter.
    if (octet >= 0x61 && octet <= 0x7a && ((bits[bit >> 3] ?? 0) >> (bit & 7)) & 1) message[at] = octet - 0x20
  }
}

/**
 * Whether the name of the reply has the letters of the query; errors without a question have none.
 */
function sameCase(message: Uint8Array, reply: Uint8Array): boolean {
  if (reply.length === HEADER_OCTETS || u16(reply, 4) === 0) return false
  for (let at = HEADER_OCTETS; message[at] !== 0; at++) if (message[at] !== reply[at]) return false
  return true
}
