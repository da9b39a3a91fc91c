import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
  type KeyPairKeyObjectResult,
} from 'node:crypto'

/**
 * HPKE (RFC 9180) in base mode with DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and AES-128-GCM. Each
 * key encrypts only one message, so the nonce is always the base nonce.
 */

/** Octets of a public key (Npk), and of the encapsulated key before a ciphertext (Nenc). */
export const KEY_OCTETS = 32
/** Octets of an AEAD key, nonce and tag (Nk, Nn, Nt). */
export const AEAD = { keyOctets: 16, nonceOctets: 12, tagOctets: 16 } as const
/** Octets of a hash (Nh). */
const HASH_OCTETS = 32

const NOTHING = Buffer.alloc(0)
/** RFC 9180 section 4: every label begins with the version and the suite. */
const KEM_LABEL = Buffer.from('HPKE-v1KEM\x00\x20', 'latin1')
const SUITE_LABEL = Buffer.from('HPKE-v1HPKE\x00\x20\x00\x01\x00\x01', 'latin1')
/** The DER of an X25519 SubjectPublicKeyInfo before its key (RFC 8410 section 4). */
const SPKI_PREFIX = Buffer.from('302a300506032b656e032100', 'hex')

const labelled = (suite: Buffer, label: string) => Buffer.concat([suite, Buffer.from(label)])
/** The info of LabeledExpand (section 4): the length, the suite, the label. */
const expandInfo = (suite: Buffer, label: string, octets: number) => Buffer.concat([Buffer.from([0, octets]), labelled(suite, label)])
const LABELS = {
  sharedPrk: labelled(KEM_LABEL, 'eae_prk'),
  shared: expandInfo(KEM_LABEL, 'shared_secret', HASH_OCTETS),
  pskIdHash: labelled(SUITE_LABEL, 'psk_id_hash'),
  infoHash: labelled(SUITE_LABEL, 'info_hash'),
  secret: labelled(SUITE_LABEL, 'secret'),
  key: expandInfo(SUITE_LABEL, 'key', AEAD.keyOctets),
  nonce: expandInfo(SUITE_LABEL, 'base_nonce', AEAD.nonceOctets),
  exporter: expandInfo(SUITE_LABEL, 'exp', HASH_OCTETS),
} as const

/** HKDF-Extract (RFC 5869 section 2.2). The parts of `ikm` are joined. */
export function extract(salt: Uint8Array, ...ikm: readonly Uint8Array[]): Buffer {
  const hmac = createHmac('sha256', salt)
  for (const part of ikm) hmac.update(part)
  return hmac.digest()
}

/** The counter of T(1), the only block. */
const FIRST_BLOCK = Buffer.from([1])

/** HKDF-Expand (RFC 5869 section 2.3). `octets`: at most 32, which is one block. */
export function expand(prk: Uint8Array, octets: number, ...info: readonly Uint8Array[]): Buffer {
  const hmac = createHmac('sha256', prk)
  for (const part of info) hmac.update(part)
  return hmac.update(FIRST_BLOCK).digest().subarray(0, octets)
}

/** The public key to which messages are sealed. */
export interface Recipient {
  readonly key: KeyObject
  readonly octets: Uint8Array
}

/** The recipient with this X25519 key. Throws if the key does not have 32 octets. */
export function recipientOf(octets: Uint8Array): Recipient {
  return { key: createPublicKey({ key: Buffer.concat([SPKI_PREFIX, octets]), format: 'der', type: 'spki' }), octets }
}

/** The octets of an X25519 public key. */
export function publicOctets(key: KeyObject): Buffer {
  return key.export({ format: 'der', type: 'spki' }).subarray(-KEY_OCTETS)
}

/**
 * The `key_schedule_context` of RFC 9180 section 5.1. It is the same for every message of one
 * protocol.
 */
export type KeyScheduleContext = Uint8Array

/** The `key_schedule_context` for an `info` in base mode. */
export function keyScheduleContext(info: string): KeyScheduleContext {
  return Buffer.concat([Buffer.from([0]), extract(NOTHING, LABELS.pskIdHash), extract(NOTHING, LABELS.infoHash, Buffer.from(info))])
}

/** The secrets that sender and recipient share for one message. */
export class HpkeContext {
  readonly #key: Buffer
  readonly #nonce: Buffer
  readonly #exporter: Buffer

  /** `dh`: the X25519 shared secret of the encapsulated key `enc` and the recipient's key. */
  constructor(dh: Uint8Array, enc: Uint8Array, recipient: Uint8Array, schedule: KeyScheduleContext) {
    const shared = expand(extract(NOTHING, LABELS.sharedPrk, dh), HASH_OCTETS, LABELS.shared, enc, recipient)
    const secret = extract(shared, LABELS.secret)
    this.#key = expand(secret, AEAD.keyOctets, LABELS.key, schedule)
    this.#nonce = expand(secret, AEAD.nonceOctets, LABELS.nonce, schedule)
    this.#exporter = expand(secret, HASH_OCTETS, LABELS.exporter, schedule)
  }

  /** Encrypts the message. Call it once: a second message needs another context. */
  seal(aad: Uint8Array, plaintext: Uint8Array): Buffer {
    return seal(this.#key, this.#nonce, aad, plaintext)
  }

  /** Decrypts the message. Undefined: the ciphertext is not authentic. */
  open(aad: Uint8Array, ciphertext: Uint8Array): Buffer | undefined {
    return open(this.#key, this.#nonce, aad, ciphertext)
  }

  /** A secret for `label` (RFC 9180 section 5.3). `octets`: at most 32. */
  export(label: Uint8Array, octets: number): Buffer {
    return expand(this.#exporter, octets, expandInfo(SUITE_LABEL, 'sec', octets), label)
  }
}

/** Encrypts with AES-128-GCM. The result ends with the tag. */
export function seal(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Buffer {
  const cipher = createCipheriv('aes-128-gcm', key, nonce)
  cipher.setAAD(aad)
  return Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
}

/** Decrypts with AES-128-GCM. Undefined: the ciphertext is not authentic. */
export function open(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, ciphertext: Uint8Array): Buffer | undefined {
  const at = ciphertext.length - AEAD.tagOctets
  if (at < 0) return undefined
  const decipher = createDecipheriv('aes-128-gcm', key, nonce)
  decipher.setAAD(aad)
  decipher.setAuthTag(ciphertext.subarray(at))
  const plaintext = decipher.update(ciphertext.subarray(0, at))
  try {
    decipher.final()
  } catch {
    return undefined
  }
  return plaintext
}

/**
 * Makes a context for one message to `recipient` with a fresh ephemeral key. `enc` is the
 * encapsulated key that the recipient needs. Throws if the recipient's key is of low order (RFC
 * 9180 section 7.1.4).
 */
export function setupSender(
  recipient: Recipient,
  schedule: KeyScheduleContext,
  ephemeral: KeyPairKeyObjectResult = generateKeyPairSync('x25519'),
): { readonly enc: Buffer; readonly context: HpkeContext } {
  const enc = publicOctets(ephemeral.publicKey)
  const dh = diffieHellman({ privateKey: ephemeral.privateKey, publicKey: recipient.key })
  return { enc, context: new HpkeContext(dh, enc, recipient.octets, schedule) }
}
