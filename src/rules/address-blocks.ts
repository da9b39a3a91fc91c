import { isIP } from 'node:net'
import { addressOctets, firstBits, unmapped, withoutZone } from '../config/cidr.ts'

/** All blocks of one family and prefix length, by their first bits. */
interface SamePrefix<T> {
  readonly octets: number
  readonly prefix: number
  readonly values: Map<string, T>
}

/** Blocks of addresses, each with a value. */
export class AddressBlocks<T> {
  /** The longest prefixes first. */
  readonly #all: SamePrefix<T>[] = []

  /** The value of exactly this block: 4 or 16 octets, of which the first `prefix` bits count. */
  get(octets: Uint8Array, prefix: number): T | undefined {
    return this.#same(octets.length, prefix)?.values.get(firstBits(octets, prefix))
  }

  set(octets: Uint8Array, prefix: number, value: T): void {
    let same = this.#same(octets.length, prefix)
    if (same === undefined) {
      same = { octets: octets.length, prefix, values: new Map() }
      this.#all.push(same)
      this.#all.sort((a, b) => b.prefix - a.prefix)
    }
    same.values.set(firstBits(octets, prefix), value)
  }

  /**
   * Takes the values of the blocks that contain an address, the smallest block first, and returns
   * the first result of `take` that is not undefined. The address is numeric; a zone is ignored,
   * and a mapped address counts as IPv4.
   */
  first<R>(address: string, take: (value: T) => R | undefined): R | undefined {
    const plain = unmapped(withoutZone(address))
    if (isIP(plain) === 0) return undefined
    const octets = addressOctets(plain)
    for (const { octets: width, prefix, values } of this.#all) {
      const value = width === octets.length ? values.get(firstBits(octets, prefix)) : undefined
      const result = value === undefined ? undefined : take(value)
      if (result !== undefined) return result
    }
    return undefined
  }

  #same(octets: number, prefix: number): SamePrefix<T> | undefined {
    return this.#all.find((one) => one.octets === octets && one.prefix === prefix)
  }
}
