import { copyOf } from '../dns/octets.ts'
import type { DatagramCalls } from './datagram-calls.ts'

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
 * `slots` messages of at most `octets` each, laid out as recvmmsg and sendmmsg want them: headers, addresses, data, each in one buffer that never moves.
 * 64-bit little-endian Linux only.
 */
export class MessageRing {
  readonly slots: number
  readonly octets: number
  readonly headers: Buffer
  /** The addresses, 8 words a slot, as the kernel lays them out. */
  readonly names: Uint32Array
  readonly data: Buffer
  readonly #words: Uint32Array
  readonly #lengths: Uint32Array
  readonly #nameOctets: Buffer
  readonly #iov: Buffer
  /** Where each slot's address lies in memory: low and high word. */
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

  /** Octets that came into slot `i`, or 0 where the message was cut. */
  lengthOf(i: number): number {
    return this.#words[i * WORDS + FLAGS]! & MSG_TRUNC ? 0 : this.#words[i * WORDS + LENGTH]!
  }

  /** The headers of slot `i` and those behind it. */
  headersFrom(i: number): Buffer {
    return this.headers.subarray(i * HEADER_OCTETS)
  }

  /** Where the data of slot `i` begins in `data`. */
  startOf(i: number): number {
    return i * this.octets
  }

  /** Where the address of slot `i` begins in `names`, in words. */
  nameOf(i: number): number {
    return i * NAME_WORDS
  }

  /** Makes slot `i` ready to send `length` octets to the address in slot `from` of `source`, which must stay there until it is sent. */
  address(i: number, length: number, source: MessageRing, from: number): void {
    this.#pointAt(source, i, from)
    this.#words[i * WORDS + NAME_LENGTH] = source.#words[from * WORDS + NAME_LENGTH]!
    this.#lengths[i * 4 + 2] = length
  }

  /** The same with an address that was kept (see `keepName`). */
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
