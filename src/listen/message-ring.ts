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
const MSG_TRUNC = 0x20

/**
 * `slots` messages of at most `octets` each, laid out as recvmmsg and sendmmsg want them: headers, addresses, data, each in one buffer that never moves.
 * 64-bit little-endian Linux only.
 */
export class MessageRing {
  readonly slots: number
  readonly octets: number
  readonly headers: Buffer
  readonly names: Buffer
  readonly data: Buffer
  readonly #words: Uint32Array
  readonly #lengths: Uint32Array
  readonly #iov: Buffer
  readonly #namesAt: bigint

  constructor(calls: DatagramCalls, slots: number, octets: number) {
    this.slots = slots
    this.octets = octets
    this.headers = Buffer.allocUnsafeSlow(slots * HEADER_OCTETS).fill(0)
    this.names = Buffer.allocUnsafeSlow(slots * NAME_OCTETS).fill(0)
    this.data = Buffer.allocUnsafeSlow(slots * octets)
    this.#iov = Buffer.allocUnsafeSlow(slots * IOV_OCTETS).fill(0)
    this.#words = new Uint32Array(this.headers.buffer, this.headers.byteOffset, slots * WORDS)
    this.#lengths = new Uint32Array(this.#iov.buffer, this.#iov.byteOffset, slots * 4)
    this.#namesAt = calls.addressOf(this.names)
    const dataAt = calls.addressOf(this.data)
    const iovAt = calls.addressOf(this.#iov)
    for (let i = 0; i < slots; i++) {
      this.headers.writeBigUInt64LE(this.#namesAt + BigInt(i * NAME_OCTETS), i * HEADER_OCTETS + NAME * 4)
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

  /** Where the data of slot `i` begins in `data`. */
  startOf(i: number): number {
    return i * this.octets
  }

  /** Where the address of slot `i` begins in `names`. */
  nameOf(i: number): number {
    return i * NAME_OCTETS
  }

  /** Makes slot `i` ready to send `length` octets to the address in slot `from` of `source`. */
  address(i: number, length: number, source: MessageRing, from: number): void {
    source.names.copy(this.names, i * NAME_OCTETS, from * NAME_OCTETS, from * NAME_OCTETS + NAME_OCTETS)
    this.#words[i * WORDS + NAME_LENGTH] = source.#words[from * WORDS + NAME_LENGTH]!
    this.#lengths[i * 4 + 2] = length
  }

  /** The same with an address that was kept (see `keepName`). */
  addressTo(i: number, length: number, name: Uint8Array): void {
    this.names.set(name, i * NAME_OCTETS)
    this.#words[i * WORDS + NAME_LENGTH] = name.length
    this.#lengths[i * 4 + 2] = length
  }

  /** A private copy of the address in slot `i`. */
  keepName(i: number): Uint8Array {
    const length = this.#words[i * WORDS + NAME_LENGTH]!
    return copyOf(this.names, i * NAME_OCTETS, i * NAME_OCTETS + length)
  }
}
