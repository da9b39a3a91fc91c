import { Duplex } from 'node:stream'
import type { ConnectionOptions, PeerCertificate } from 'node:tls'
import { fraction } from './chance.ts'
import type { VirtualClock } from './clock.ts'
import { H2Server } from './h2-server.ts'
import { hex, type Transcript } from './transcript.ts'
import { askedIn, replyOf } from './zone.ts'

export const MOODS = ['dark', 'refusing', 'half-open', 'slow', 'lying', 'servfail', 'denying', 'expired'] as const
/** Of the resolvers of rough seeds. */
export const ROUGH_MOODS = ['closing', 'resetting'] as const
/** What a resolver does at the moment. */
export type Mood = 'well' | (typeof MOODS)[number] | (typeof ROUGH_MOODS)[number]

export interface Peer {
  readonly address: string
  readonly name: string
  readonly rttMs: number
  readonly pads: boolean
  mood: Mood
}

/** What every connection of a run shares. */
export interface Wires {
  readonly seed: number
  readonly clock: VirtualClock
  readonly transcript: Transcript
  readonly peers: readonly Peer[]
  readonly open: Set<Wire>
  /** Questions that a peer was asked, by peer and name. */
  readonly asked: Map<string, number>
  up: boolean
  dials: number
}

/** What `tls.connect` was given, as far as it is looked at. */
export type DialOptions = ConnectionOptions & {
  readonly onread?: { readonly buffer: Uint8Array | (() => Uint8Array); readonly callback: (octets: number, buffer: Uint8Array) => boolean }
}

/** Its ID is drawn at random: it is written as zero. The zeros of its padding are counted. */
function maskedHex(query: Uint8Array): string {
  let end = query.length
  while (end > 0 && query[end - 1] === 0) end--
  return `0000${hex(query.subarray(2, end))} 00 x ${query.length - end}`
}

const CIPHER = 'TLS_AES_256_GCM_SHA384'
const coded = (code: string) => Object.assign(new Error(code), { code })

/**
 * Stands in for a TLSSocket, with a resolver behind it. A stream as Node makes one; what a
 * TLSSocket has besides is here as far as anything asks for it, and a
 * call of anything else fails, so that the stand-in cannot pass for what it is not.
 */
export class Wire extends Duplex {
  readonly #w: Wires
  readonly #peer: Peer
  readonly #options: DialOptions
  readonly #label: string
  readonly #resumed: boolean
  #speaker: Speaker | undefined
  #closedBy: 'us' | 'the peer' = 'us'
  alpnProtocol: string | false = false
  authorized = false
  authorizationError: Error | undefined
  bytesRead = 0
  /** Nothing comes through any more, and nobody says so. */
  deaf = false

  constructor(w: Wires, peer: Peer, options: DialOptions) {
    super({ allowHalfOpen: false })
    this.#w = w
    this.#peer = peer
    this.#options = options
    this.#label = `#${++w.dials}`
    this.#resumed = options.session !== undefined
    w.open.add(this)
    const { host, port, servername } = options
    const offers = [...((options.ALPNProtocols ?? []) as readonly string[])].join(',')
    this.#note(`dial ${host}:${port} ${offers} ${servername ?? '-'}${this.#resumed ? ' with a session' : ''}`)
    this.#dial()
  }

  setNoDelay(): this {
    return this
  }
  setKeepAlive(): this {
    return this
  }
  isSessionReused(): boolean {
    return this.#resumed
  }
  getProtocol(): string {
    return 'TLSv1.3'
  }
  getCipher(): { readonly name: string } {
    return { name: CIPHER }
  }
  getEphemeralKeyInfo(): object {
    return { type: 'ECDH', name: 'X25519', size: 253 }
  }
  ref(): this {
    return this
  }
  unref(): this {
    return this
  }

  #note(text: string): void {
    this.#w.transcript.add('wire', `${this.#label} ${text}`)
  }
  #later(afterMs: number, fn: () => void): void {
    this.#w.clock.setTimer(afterMs, () => {
      if (!this.destroyed) fn()
    })
  }

  #dial(): void {
    const { mood, rttMs } = this.#peer
    if (!this.#w.up) return void this.#later(1, () => this.#fail(coded('ENETUNREACH')))
    if (mood === 'dark') return
    if (mood === 'refusing') return void this.#later(rttMs, () => this.#fail(coded('ECONNREFUSED')))
    this.#later(rttMs, () => this.emit('connect'))
    this.#later(rttMs * 2, () => {
      if (this.deaf || !this.#w.up || this.#peer.mood === 'dark') return
      if (this.#peer.mood === 'expired' && !this.#resumed) return this.#fail(coded('CERT_HAS_EXPIRED'))
      const fault = this.#resumed ? undefined : this.#options.checkServerIdentity?.(this.#peer.name, this.#certificate())
      if (fault !== undefined) return void this.#fail(fault)
      this.#secured()
    })
  }

  #certificate(): PeerCertificate {
    const valid = { valid_from: 'Jan  1 00:00:00 2020 GMT', valid_to: 'Jan  1 00:00:00 2090 GMT' }
    const shown = { subject: { CN: this.#peer.name }, subjectaltname: `DNS:${this.#peer.name}`, raw: Buffer.alloc(0), ...valid }
    return shown as unknown as PeerCertificate
  }

  #secured(): void {
    const offers = [...((this.#options.ALPNProtocols ?? []) as readonly string[])]
    this.authorized = true
    this.alpnProtocol = offers.includes('h2') ? 'h2' : (offers[0] ?? false)
    const heard = (query: Uint8Array, answer: (reply: Uint8Array) => void) => this.#asked(query, answer)
    const send = (octets: Uint8Array) => this.#deliver(octets)
    this.#speaker = this.alpnProtocol === 'h2' ? new H2Server(heard, send, (text) => this.#note(text)) : new DotServer(heard, send)
    this.emit('secureConnect')
    this.#later(1, () => {
      for (let i = 0; i < 2; i++) this.emit('session', Buffer.from(`ticket ${this.#label} ${i}`))
    })
  }

  #fail(error: Error): void {
    this.#closedBy = 'the peer'
    this.destroy(error)
  }
  /** The peer closes, after what it has sent. */
  #end(): void {
    this.#closedBy = 'the peer'
    this.push(null)
    if (this.#options.onread !== undefined) this.read(0)
    this.resume()
  }

  #asked(query: Uint8Array, answer: (reply: Uint8Array) => void): void {
    const { mood, rttMs, address } = this.#peer
    this.#note(`query ${maskedHex(query)}`)
    if (this.deaf || mood === 'dark' || mood === 'half-open') return
    const { kind, name } = askedIn(query)
    const what = `${address} ${name.toLowerCase()}`
    const times = (this.#w.asked.get(what) ?? 0) + 1
    this.#w.asked.set(what, times)
    const chance = (of: string) => fraction(this.#w.seed, of, what, times)
    if (kind === 'poison' || mood === 'closing') return void this.#later(rttMs, () => this.#end())
    if (mood === 'resetting' && chance('reset') < 0.3) return void this.#later(rttMs, () => this.#fail(coded('ECONNRESET')))
    const reply = replyOf(query, this.#w.clock.nowMs(), this.#peer.pads)
    if (reply === undefined) return
    if (mood === 'lying' || (kind === 'stray' && times % 2 === 1)) reply[0] = (reply[0] ?? 0) ^ 0x55
    if (mood === 'denying') reply[3] = ((reply[3] ?? 0) & 0xf0) | 5
    if (mood === 'servfail') reply[3] = ((reply[3] ?? 0) & 0xf0) | 2
    const waitMs = rttMs * (mood === 'slow' ? 20 : 1) + Math.floor(chance('wait') * 10)
    this.#later(waitMs, () => {
      if (this.#peer.mood !== 'dark') answer(reply)
    })
  }

  /** In two pieces now and then, as TCP does. */
  #deliver(octets: Uint8Array): void {
    if (this.destroyed || this.deaf || this.readableEnded) return
    const chance = fraction(this.#w.seed, 'cut', this.bytesRead, octets.length)
    const cut = chance < 0.1 ? 1 + Math.floor(chance * 10 * (octets.length - 1)) : octets.length
    for (const piece of [octets.subarray(0, cut), octets.subarray(cut)]) if (piece.length > 0) this.#hand(Buffer.from(piece))
  }

  /** As a socket of Node does: into the buffer it was given, or into the stream. */
  #hand(octets: Buffer): void {
    this.bytesRead += octets.length
    const { onread } = this.#options
    if (onread === undefined) return void this.push(octets)
    for (let at = 0; at < octets.length; ) {
      const room = typeof onread.buffer === 'function' ? onread.buffer() : onread.buffer
      const piece = octets.subarray(at, at + room.length)
      room.set(piece)
      at += piece.length
      onread.callback(piece.length, room)
    }
  }

  override _read(): void {}
  override _write(octets: Buffer, _encoding: string, done: () => void): void {
    this.#wrote(octets)
    process.nextTick(done)
  }
  override _writev(chunks: readonly { readonly chunk: Buffer }[], done: () => void): void {
    this.#wrote(Buffer.concat(chunks.map(({ chunk }) => chunk)))
    process.nextTick(done)
  }
  #wrote(octets: Buffer): void {
    this.#note(`record ${octets.length}`)
    // Nothing but a handshake comes before it is over.
    if (this.#speaker === undefined) throw new Error('octets were written before the handshake was over')
    this.#speaker.take(Buffer.from(octets))
  }
  override _final(done: () => void): void {
    this.#note('end')
    done()
  }
  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#w.open.delete(this)
    this.#note(`closed by ${this.#closedBy}`)
    done(this.#closedBy === 'us' && this.#speaker !== undefined ? null : error)
  }
}

interface Speaker {
  take(octets: Buffer): void
}
/** Told of a question, and how to answer it. */
export type Heard = (query: Uint8Array, answer: (reply: Uint8Array) => void) => void

/** DNS over TLS (RFC 7858). */
class DotServer implements Speaker {
  readonly #heard: Heard
  readonly #send: (octets: Uint8Array) => void
  #rest = Buffer.alloc(0)

  constructor(heard: Heard, send: (octets: Uint8Array) => void) {
    this.#heard = heard
    this.#send = send
  }

  take(octets: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, octets])
    while (this.#rest.length >= 2) {
      const end = 2 + this.#rest.readUInt16BE(0)
      if (this.#rest.length < end) return
      const query = Uint8Array.from(this.#rest.subarray(2, end))
      this.#rest = this.#rest.subarray(end)
      this.#heard(query, (reply) => this.#send(Buffer.concat([Buffer.from([reply.length >> 8, reply.length & 255]), reply])))
    }
  }
}
