/** The keys of an oblivious target as it publishes them (RFC 9230 section 5). */
export interface TargetPublicKey {
  /** The ObliviousDoHConfigContents, from which the key's id is computed. */
  readonly contents: Uint8Array
  /** An X25519 public key. */
  readonly publicKey: Uint8Array
}

const VERSION = 0x0001
/** DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-128-GCM. Every target supports them (section 9). */
const SUITE = [0x0020, 0x0001, 0x0001] as const
const KEY_OCTETS = 32

/**
 * The first key of an ObliviousDoHConfigs that has the mandatory version and suite. Other keys are
 * ignored. A text is a clause that says why there is none.
 */
export function targetKeyOf(octets: Uint8Array): TargetPublicKey | string {
  const all = new Fields(octets)
  const list = all.vector()
  if (list === undefined || list.length === 0 || !all.done) return 'is not the ObliviousDoHConfigs of RFC 9230'
  const configs = new Fields(list)
  let found: TargetPublicKey | undefined
  while (!configs.done) {
    const version = configs.u16()
    const contents = configs.vector()
    if (version === undefined || contents === undefined) return 'is not the ObliviousDoHConfigs of RFC 9230'
    if (version !== VERSION) continue
    found ??= contentsOf(contents)
  }
  return found ?? 'holds no key for X25519, HKDF-SHA256 and AES-128-GCM, which every target has (RFC 9230 section 9)'
}

function contentsOf(contents: Uint8Array): TargetPublicKey | undefined {
  const fields = new Fields(contents)
  const suite = [fields.u16(), fields.u16(), fields.u16()]
  const publicKey = fields.vector()
  if (publicKey?.length !== KEY_OCTETS || !fields.done) return undefined
  return SUITE.every((id, at) => suite[at] === id) ? { contents, publicKey } : undefined
}

/** A number in two octets, the high one first. */
export function u16Octets(value: number): Buffer {
  return Buffer.from([value >>> 8, value & 255])
}

/** A vector of the TLS presentation language: two octets of length, then `octets`. */
export function vector(octets: Uint8Array): Buffer {
  return Buffer.concat([u16Octets(octets.length), octets])
}

/** Reads the fields of a structure in the TLS presentation language (RFC 8446 section 3). */
export class Fields {
  readonly #octets: Uint8Array
  #at = 0

  constructor(octets: Uint8Array) {
    this.#octets = octets
  }
  get done(): boolean {
    return this.#at === this.#octets.length
  }
  u8(): number | undefined {
    return this.#octets[this.#at++]
  }
  u16(): number | undefined {
    const [high, low] = [this.u8(), this.u8()]
    return high === undefined || low === undefined ? undefined : high * 256 + low
  }
  /** Reads a vector that begins with two octets of length. Undefined: it is not complete. */
  vector(): Uint8Array | undefined {
    const length = this.u16()
    const end = this.#at + (length ?? 0)
    if (length === undefined || end > this.#octets.length) return undefined
    const found = this.#octets.subarray(this.#at, end)
    this.#at = end
    return found
  }
}
