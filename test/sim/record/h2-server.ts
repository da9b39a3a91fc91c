import type { Heard } from './peer.ts'

const PREFACE_OCTETS = 24
const HEAD_OCTETS = 9
const TYPES = ['DATA', 'HEADERS', 'PRIORITY', 'RST_STREAM', 'SETTINGS', 'PUSH_PROMISE', 'PING', 'GOAWAY', 'WINDOW_UPDATE', 'CONTINUATION']
const DATA = 0
const HEADERS = 1
const RST_STREAM = 3
const SETTINGS = 4
const PING = 6
const ACK = 1
const END_STREAM = 1
const END_HEADERS = 4
const PADDED = 8
const MAX_PAYLOAD = 16_384

/**
 * The server's side of DoH over HTTP/2, as much of it as a POST needs: header blocks are noted and
 * not read.
 */
export class H2Server {
  readonly #heard: Heard
  readonly #send: (octets: Uint8Array) => void
  readonly #note: (text: string) => void
  readonly #bodies = new Map<number, Buffer[]>()
  #rest = Buffer.alloc(0)
  #opened = false

  constructor(heard: Heard, send: (octets: Uint8Array) => void, note: (text: string) => void) {
    this.#heard = heard
    this.#send = send
    this.#note = note
  }

  take(octets: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, octets])
    if (!this.#opened) {
      if (this.#rest.length < PREFACE_OCTETS) return
      this.#note(`preface ${this.#rest.subarray(0, PREFACE_OCTETS).toString('hex')}`)
      this.#rest = this.#rest.subarray(PREFACE_OCTETS)
      this.#opened = true
      this.#frame(SETTINGS, 0, 0, Buffer.alloc(0))
    }
    while (this.#rest.length >= HEAD_OCTETS) {
      const end = HEAD_OCTETS + this.#rest.readUIntBE(0, 3)
      if (this.#rest.length < end) return
      const [type, flags, stream] = [this.#rest[3] ?? 0, this.#rest[4] ?? 0, this.#rest.readUInt32BE(5)]
      const payload = Buffer.from(this.#rest.subarray(HEAD_OCTETS, end))
      this.#rest = this.#rest.subarray(end)
      this.#came(type, flags, stream, payload)
    }
  }

  #came(type: number, flags: number, stream: number, payload: Buffer): void {
    const shown = type === DATA ? '' : ` ${payload.toString('hex')}`
    this.#note(`frame ${TYPES[type] ?? type} ${flags} stream ${stream}, ${payload.length}${shown}`)
    if (type === SETTINGS && (flags & ACK) === 0) this.#frame(SETTINGS, ACK, 0, Buffer.alloc(0))
    if (type === PING && (flags & ACK) === 0) this.#frame(PING, ACK, 0, payload)
    if (type === RST_STREAM) this.#bodies.delete(stream)
    if (type === HEADERS) this.#bodies.set(stream, [])
    if (type !== DATA) return
    const body = this.#bodies.get(stream)
    if (body === undefined) return
    body.push((flags & PADDED) === 0 ? payload : payload.subarray(1, payload.length - (payload[0] ?? 0)))
    if ((flags & END_STREAM) === 0) return
    this.#heard(Uint8Array.from(Buffer.concat(body)), (reply) => this.#answer(stream, reply))
  }

  #answer(stream: number, reply: Uint8Array): void {
    if (!this.#bodies.delete(stream)) return
    const type = Buffer.from('application/dns-message')
    const length = Buffer.from(String(reply.length))
    // :status 200, then content-type (31) and content-length (28) as literals that are not indexed
    // (RFC 7541 section 6.2.2).
    const block = Buffer.concat([Buffer.from([0x88, 0x0f, 16, type.length]), type, Buffer.from([0x0f, 13, length.length]), length])
    const frames = [frame(HEADERS, END_HEADERS, stream, block)]
    for (let at = 0; at < reply.length; at += MAX_PAYLOAD) {
      const last = at + MAX_PAYLOAD >= reply.length
      frames.push(frame(DATA, last ? END_STREAM : 0, stream, Buffer.from(reply.subarray(at, at + MAX_PAYLOAD))))
    }
    this.#send(Buffer.concat(frames))
  }

  #frame(type: number, flags: number, stream: number, payload: Buffer): void {
    this.#send(frame(type, flags, stream, payload))
  }
}

function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(HEAD_OCTETS)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}
