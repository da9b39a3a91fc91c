import { connect as connectTcp, type Socket } from 'node:net'
import type { Clock, Random } from '../../clock.ts'
import { NumberTable } from '../../containers.ts'
import { type Deadline, Deadlines } from '../../deadlines.ts'
import { withPaddedOpt } from '../../dns/edns.ts'
import { FrameReader, framed } from '../../dns/framing.ts'
import { idOf, isReplyTo, ROOT_PROBE, setId } from '../../dns/message.ts'
import { u32 } from '../../dns/octets.ts'
import { readReply } from '../../dns/response.ts'
import { EnigmError } from '../../errors.ts'
import type { Authenticated, Protection } from '../../resolve.ts'
import { type CarrierTools, type Established, LivingCarrier, lost, type Sent, type Ticket } from '../carriers/carrier.ts'
import type { UdpPath } from '../dial/udp-path.ts'
import type { Certificate } from './certificate.ts'
import { CLIENT_NONCE_OCTETS, nonceOf, paddedLength, queryPacket, replyIn, type SessionKeys, tcpPaddedLength } from './codec.ts'
import type { DnscryptPlace } from './place.ts'
import type { CertificateShelf } from './shelf.ts'

/**
 * Lengths of padded queries, in octets. A server truncates a reply that is longer than its query,
 * and a relay drops it. So after a truncated reply the query is retried with the next length, and
 * all later queries of the connection have at least this length. The last one is longer than one
 * packet.
 */
const LENGTHS = [512, 832, 1216, 4032] as const
/** An unanswered query is resent after this time, or after AGAIN_RTTS round trips, then doubled. */
const AGAIN_MS = 400
const LEAST_AGAIN_MS = 150
const AGAIN_RTTS = 3
const MOST_SENDINGS = 4
/** Limit for one retry over TCP, after a truncated answer. */
const TCP_MS = 3000
const TRUNCATED = 0x02
const MIN_MESSAGE_OCTETS = 12

/** One query and its datagrams. */
class DnscryptRequest<P extends Protection> implements Sent {
  readonly request: Uint8Array
  readonly ticket: Ticket<P> | undefined
  readonly message: Buffer
  readonly #cancel: (slot: DnscryptRequest<P>) => void
  key = 0
  /** Length of the padded query. */
  octets = 0
  packet: Buffer = EMPTY
  sentMs = 0
  sendings = 0
  again: Deadline | undefined
  tcp: Socket | undefined

  constructor(request: Uint8Array, id: number, ticket: Ticket<P> | undefined, cancel: (slot: DnscryptRequest<P>) => void) {
    this.request = request
    this.message = Buffer.from(request)
    setId(this.message, id)
    this.ticket = ticket
    this.#cancel = cancel
  }
  cancel(): void {
    this.#cancel(this)
  }
}

const EMPTY = Buffer.alloc(0)

/** What a dial found: the socket, the server, its certificate, and the keys for this connection. */
export interface DnscryptParts {
  readonly path: UdpPath
  readonly place: DnscryptPlace
  readonly certificate: Certificate
  /** Used on this socket only. */
  readonly keys: SessionKeys
  readonly shelf: CertificateShelf
}

/**
 * DNSCrypt on one UDP socket, with keys that no other connection has. Replies come in any order,
 * and lost datagrams are sent again. DNSCrypt has no handshake and no close message: a carrier
 * drains when its certificate is too old, and dies if the port of the server is closed.
 */
export class DnscryptCarrier<P extends Protection = Authenticated> extends LivingCarrier<P> {
  readonly idleMs = Number.POSITIVE_INFINITY
  readonly #parts: DnscryptParts
  readonly #keys: SessionKeys
  readonly #random: Random
  readonly #probe: Uint8Array
  readonly #untilMs: number
  readonly #deadlines: Deadlines
  readonly #slots = new NumberTable<DnscryptRequest<P>>()
  readonly #cancel = (slot: DnscryptRequest<P>) => this.#takeBack(slot)
  #probes = 0
  #least: number = LENGTHS[0]
  #rttMs: number | undefined

  constructor(established: Established<P>, parts: DnscryptParts, tools: CarrierTools) {
    super(established, tools)
    this.#parts = parts
    this.#keys = parts.keys
    this.#random = tools.random
    this.#probe = tools.probe ?? ROOT_PROBE
    this.#untilMs = parts.shelf.untilMs(parts.certificate, tools.clock as Clock)
    this.#deadlines = new Deadlines(tools.clock)
    parts.path.listen({
      datagram: (octets) => this.#onPacket(octets),
      broken: (error) => this.die(lost('the resolver accepts no datagrams', error)),
    })
  }

  get inFlight(): number {
    return this.#slots.size - this.#probes
  }

  send(request: Uint8Array, ticket: Ticket<P>): Sent {
    if (this.clock.nowMs() >= this.#untilMs) this.drain()
    const turnedAway = this.turnedAway(ticket)
    if (turnedAway !== undefined) return turnedAway
    const slot = new DnscryptRequest(request, this.#random.below(65_536), ticket, this.#cancel)
    this.#encrypt(slot)
    this.#write(slot)
    this.wrote()
    return slot
  }

  /** Sends a query like any other. Its answer is dropped. */
  probe(): boolean {
    if (this.dead || this.inFlight === 0 || this.#probes > 0) return false
    const bare = withPaddedOpt(this.#probe, { dnssecOk: false, block: 0, keepalive: false })
    const slot = new DnscryptRequest<P>(bare, this.#random.below(65_536), undefined, this.#cancel)
    this.#probes++
    this.#encrypt(slot)
    this.#write(slot)
    return true
  }

  /** Makes a packet with a nonce that was not used before: two plaintexts must never share one. */
  #encrypt(slot: DnscryptRequest<P>, overTcp = false): void {
    this.#slots.delete(slot.key)
    let nonce: Uint8Array
    do nonce = this.#random.bytes(CLIENT_NONCE_OCTETS)
    while (this.#slots.has(u32(nonce, 0) >>> 2))
    slot.key = u32(nonce, 0) >>> 2
    this.#slots.set(slot.key, slot)
    this.#least = Math.max(this.#least, LENGTHS.find((length) => length > slot.message.length) ?? 0)
    const octets = overTcp ? tcpPaddedLength(slot.message.length) : paddedLength(slot.message.length, this.#least)
    slot.octets = octets
    const packet = queryPacket(this.#keys, this.#parts.certificate.magic, nonce, slot.message, octets)
    const { head } = this.#parts.place
    slot.packet = head === undefined ? packet : Buffer.concat([head, packet])
  }

  #write(slot: DnscryptRequest<P>): void {
    const nowMs = this.clock.nowMs()
    if (slot.sentMs === 0) slot.sentMs = nowMs
    slot.sendings++
    this.#parts.shelf.sent()
    this.#parts.path.send(slot.packet)
    if (slot.sendings >= MOST_SENDINGS) return
    const firstMs = this.#rttMs === undefined ? AGAIN_MS : Math.max(LEAST_AGAIN_MS, AGAIN_RTTS * this.#rttMs)
    slot.again = this.#deadlines.add(nowMs + firstMs * 2 ** (slot.sendings - 1), () => this.#write(slot))
  }

  #onPacket(packet: Uint8Array): void {
    if (this.dead) return
    const nonce = nonceOf(packet)
    const message = nonce === undefined ? undefined : replyIn(this.#keys, packet)
    if (nonce === undefined || message === undefined) {
      // Anybody can forge a datagram. One that was not made with our keys proves nothing.
      this.watcher.mismatch()
      return
    }
    this.#parts.shelf.proven(this.clock)
    this.heard()
    // A reply to a cancelled query, or a second reply to one query, is ignored.
    const slot = this.#slots.get(u32(nonce, 0) >>> 2)
    if (slot !== undefined && !this.dead) this.#onReply(slot, message)
  }

  #onReply(slot: DnscryptRequest<P>, message: Uint8Array): void {
    if (message.length < MIN_MESSAGE_OCTETS || idOf(message) !== idOf(slot.message) || !isReplyTo(slot.request, message)) {
      this.#settle(slot)
      this.watcher.mismatch()
      slot.ticket?.failed(new EnigmError('reply-mismatch', 'the answer to another question'), 'final')
      this.rest()
    } else if (((message[2] ?? 0) & TRUNCATED) !== 0 && this.#askForMore(slot, message)) return
    else this.#answer(slot, message)
  }

  #answer(slot: DnscryptRequest<P>, message: Uint8Array): void {
    const rttMs = this.clock.nowMs() - slot.sentMs
    if (slot.sendings === 1) this.#rttMs = this.#rttMs === undefined ? rttMs : (7 * this.#rttMs + rttMs) / 8
    this.#settle(slot)
    const wire = Uint8Array.from(message)
    setId(wire, idOf(slot.request))
    slot.ticket?.answered({ wire, rttMs, protection: this.protection, reading: readReply(wire) })
    this.rest()
  }

  /**
   * Retries a query whose reply was truncated: over TCP if the server is asked directly, with a
   * longer query if there is a relay. False: no retry is left.
   */
  #askForMore(slot: DnscryptRequest<P>, cut: Uint8Array): boolean {
    if (slot.ticket === undefined || slot.tcp !== undefined) return false
    if (slot.again !== undefined) this.#deadlines.remove(slot.again)
    if (this.#parts.place.head === undefined) {
      this.#overTcp(slot, Uint8Array.from(cut))
      return true
    }
    const next = LENGTHS.find((length) => length > Math.max(this.#least, slot.octets))
    if (next === undefined) return false
    this.#least = Math.max(this.#least, next)
    slot.sendings = 0
    this.#encrypt(slot)
    this.#write(slot)
    return true
  }

  /** Sends one query on a new TCP connection. If that fails, the truncated reply is the answer. */
  #overTcp(slot: DnscryptRequest<P>, cut: Uint8Array): void {
    this.#encrypt(slot, true)
    const { address, port } = this.#parts.place
    const frames = new FrameReader()
    const socket = connectTcp({ host: address, port, lookup: refuseLookup }, () => socket.write(framed(slot.packet)))
    slot.tcp = socket
    const give = (message: Uint8Array) => {
      socket.destroy()
      if (this.#slots.get(slot.key) === slot) this.#onReply(slot, message)
    }
    slot.again = this.#deadlines.add(this.clock.nowMs() + TCP_MS, () => give(cut))
    socket.unref()
    socket.on('error', () => give(cut)).on('end', () => give(cut))
    socket.on('data', (octets: Buffer) =>
      frames.push(octets, (frame) => {
        if (this.#slots.get(slot.key) === slot) give(replyIn(this.#keys, frame) ?? cut)
      }),
    )
  }

  #takeBack(slot: DnscryptRequest<P>): void {
    if (this.#slots.get(slot.key) !== slot) return
    this.#settle(slot)
    this.rest()
  }

  #settle(slot: DnscryptRequest<P>): void {
    if (this.#slots.delete(slot.key) && slot.ticket === undefined) this.#probes--
    if (slot.again !== undefined) this.#deadlines.remove(slot.again)
    slot.tcp?.destroy()
  }

  protected failAll(error: EnigmError): void {
    const slots = this.#slots.list()
    for (const slot of slots) this.#settle(slot)
    for (const slot of slots) slot.ticket?.failed(error, 'lost')
  }

  protected shut(): void {
    this.#parts.path.close()
  }
}

function refuseLookup(): never {
  throw new EnigmError('internal', 'a resolver is dialled by address: nothing is looked up')
}
