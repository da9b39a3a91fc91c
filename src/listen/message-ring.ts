import { copyOf } from '../dns/octets.ts'
import type { DatagramCalls } from './listener.ts'

/** struct mmsghdr of 64-bit Linux is 64 octets, 16 words; the offsets of its fields in words. */
const HEADER_OCTETS = 64
const WORDS = 16
const NAME = 0
const NAME_LENGTH = 2
const IOV = 4
const IOV_COUNT = 6
const FLAGS = 12
const LENGTH = 14
const IOV_OCTETS = 16
/** sockaddr_in6 has 28 octets. */
const NAME_OCTETS = 32
const NAME_WORDS = NAME_OCTETS / 4
const MSG_TRUNC = 0x20

/**
 * `slots` messages of at most `octets` each, in the layout of recvmmsg and sendmmsg: headers,
 * addresses and data, each in one buffer that never moves. 64-bit little-endian Linux only.
 */
export class MessageRing {
  readonly slots: number
  readonly octets: number
  readonly headers: Buffer
  /** The addresses, 8 words per slot, in the kernel's layout. */
  readonly names: Uint32Array
  readonly data: Buffer
  readonly #words: Uint32Array
  readonly #lengths: Uint32Array
  readonly #nameOctets: Buffer
  readonly #iov: Buffer
  /** The memory address of each slot's address: low and high word. */
  readonly #namesAt: Uint32Array

  constructor(calls: DatagramCalls, slots: number, octets: number) {
    this.slots = slots
    this.octets = octets
    this.headers = Buffer.allocUnsafeSlow(slots * HEADER_OCTETS).fill(0)
    this.#nameOctets = Buffer.allocUnsafeSlow(slots * NAME_OCTETS).fill(0)
    this.data = Buffer.allocUnsafeSlow(slots * octets)
    this.#iov = Buffer.allocUnsafeSlow(slots * IOV_OCTETS).fill(0)
    this.#words = new Uint32Array(this.headers.buffer, this.headers.byteOffset, slots * WORDS)
    this.#lengths = new Uint32Array(this.#iov.buffer, this.#iov.byteOffset, slots * 4)
    this.names = new Uint32Array(this.#nameOctets.buffer, this.#nameOctets.byteOffset, slots * NAME_WORDS)
    const namesAt = BigUint64Array.from({ length: slots }, (_, i) => calls.addressOf(this.#nameOctets) + BigInt(i * NAME_OCTETS))
    this.#namesAt = new Uint32Array(namesAt.buffer)
    const dataAt = calls.addressOf(this.data)
    const iovAt = calls.addressOf(this.#iov)
    for (let i = 0; i < slots; i++) {
      this.#pointAt(this, i, i)
      this.#words[i * WORDS + NAME_LENGTH] = NAME_OCTETS
      this.headers.writeBigUInt64LE(iovAt + BigInt(i * IOV_OCTETS), i * HEADER_OCTETS + IOV * 4)
      this.#words[i * WORDS + IOV_COUNT] = 1
      this.#iov.writeBigUInt64LE(dataAt + BigInt(i * octets), i * IOV_OCTETS)
      this.#lengths[i * 4 + 2] = octets
    }
  }

  /** Octets received in slot `i`, or 0 if the message was cut. */
  lengthOf(i: number): number {
    return this.#words[i * WORDS + FLAGS]! & MSG_TRUNC ? 0 : this.#words[i * WORDS + LENGTH]!
  }

  /** The headers of slot `i` and of those after it. */
  headersFrom(i: number): Buffer {
    return this.headers.subarray(i * HEADER_OCTETS)
  }

  /** Offset of the data of slot `i` in `data`. */
  startOf(i: number): number {
    return i * this.octets
  }

  /** Offset of the address of slot `i` in `names`, in words. */
  nameOf(i: number): number {
    return i * NAME_WORDS
  }

  /**
   * Prepares slot `i` to send `length` octets to the address in slot `from` of `source`, which must
   * not change until it is sent.
   */
  address(i: number, length: number, source: MessageRing, from: number): void {
    this.#pointAt(source, i, from)
    this.#words[i * WORDS + NAME_LENGTH] = source.#words[from * WORDS + NAME_LENGTH]!
    this.#lengths[i * 4 + 2] = length
  }

  /** The same with an address from `keepName`. */
  addressTo(i: number, length: number, name: Uint8Array): void {
    this.#nameOctets.set(name, i * NAME_OCTETS)
    this.#pointAt(this, i, i)
    this.#words[i * WORDS + NAME_LENGTH] = name.length
    this.#lengths[i * 4 + 2] = length
  }

  #pointAt(source: MessageRing, i: number, from: number): void {
    this.#words[i * WORDS + NAME] = source.#namesAt[from * 2]!
    this.#words[i * WORDS + NAME + 1] = source.#namesAt[from * 2 + 1]!
  }

  /** A private copy of the address in slot `i`. */
  keepName(i: number): Uint8Array {
    const length = this.#words[i * WORDS + NAME_LENGTH]!
    return copyOf(this.#nameOctets, i * NAME_OCTETS, i * NAME_OCTETS + length)
  }
}

/** In words of a socket name: its family and port, then the offset of the address. */
const ADDRESS4 = 1
const ADDRESS6 = 2
const ADDRESS6_WORDS = 4

/**
 * The sender's address of the message in a slot, as text. Clients send many in a row, so the text
 * of the last address is kept. One object per socket.
 */
export class ClientAddresses {
  readonly #v6: boolean
  readonly #last = new Uint32Array(ADDRESS6_WORDS)
  #text: string

  constructor(v6: boolean) {
    this.#v6 = v6
    this.#text = v6 ? '0:0:0:0:0:0:0:0' : '0.0.0.0'
  }

  /**
   * The address in slot `i`, without its zone; '' if the port is 0: such a source can be forged,
   * and a reply to it is impossible.
   */
  textOf(ring: MessageRing, i: number): string {
    const { names } = ring
    const at = ring.nameOf(i)
    // Little-endian: the port is the upper half of the first word.
    if (names[at]! >>> 16 === 0) return ''
    return this.#v6 ? this.#text6(names, at + ADDRESS6) : this.#text4(names, at + ADDRESS4)
  }

  #text4(names: Uint32Array, at: number): string {
    const word = names[at]!
    if (word !== this.#last[0]) {
      this.#last[0] = word
      this.#text = `${word & 255}.${(word >>> 8) & 255}.${(word >>> 16) & 255}.${word >>> 24}`
    }
    return this.#text
  }

  #text6(names: Uint32Array, at: number): string {
    const last = this.#last
    let same = true
    for (let i = 0; i < ADDRESS6_WORDS; i++) same &&= names[at + i] === last[i]
    if (same) return this.#text
    const groups: string[] = []
    for (let i = 0; i < ADDRESS6_WORDS; i++) {
      const word = names[at + i]!
      last[i] = word
      groups.push((((word & 255) << 8) | ((word >>> 8) & 255)).toString(16), (((word >>> 8) & 0xff00) | (word >>> 24)).toString(16))
    }
    this.#text = groups.join(':')
    return this.#text
  }
}

/**
 * Socket names of clients whose address libuv gives as text. The name of a client is made once, and
 * its port is set at each call.
 */
export class SocketNames {
  readonly #calls: DatagramCalls
  #address = ''
  #name: Buffer = Buffer.alloc(4)

  constructor(calls: DatagramCalls) {
    this.#calls = calls
  }

  /** Valid until the next call. `address` has no zone. */
  of(address: string, port: number): Uint8Array {
    if (address !== this.#address) {
      this.#name = this.#calls.nameOf(address, port)
      this.#address = address
    }
    this.#name[2] = port >>> 8
    this.#name[3] = port
    return this.#name
  }
}
