import type { DatagramCalls } from './datagram-calls.ts'
import type { MessageRing } from './message-ring.ts'

/** In words of a socket name: its family and port, then where the address lies. */
const ADDRESS4 = 1
const ADDRESS6 = 2
const ADDRESS6_WORDS = 4

/** Who sent the message in a slot, as text. Clients send many in a row: the text of the last one is kept. One for each socket. */
export class ClientAddresses {
  readonly #v6: boolean
  readonly #last = new Uint32Array(ADDRESS6_WORDS)
  #text: string

  constructor(v6: boolean) {
    this.#v6 = v6
    this.#text = v6 ? '0:0:0:0:0:0:0:0' : '0.0.0.0'
  }

  /** The address in slot `i`, without its zone; '' where the port is 0: that can be forged, and nobody can be answered on it. */
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

/** Socket names of clients that libuv names by text; a client's own is made once and gets its port. */
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
