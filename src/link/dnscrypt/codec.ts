import { createCipheriv, createPublicKey, diffieHellman, generateKeyPairSync, type KeyObject, timingSafeEqual, verify } from 'node:crypto'
import { poly1305 } from '@noble/ciphers/_poly1305.js'
import { hchacha } from '@noble/ciphers/chacha.js'
import { EnigmError } from '../../errors.ts'

/**
 * The messages of DNSCrypt version 2 with X25519 and XChaCha20-Poly1305, and of anonymized DNSCrypt
 * (dnscrypt.info/protocol). The construction is that of NaCl's box: the tag comes first and covers
 * only the ciphertext, and the shared secret goes through HChaCha20. Nothing here has state or does
 * I/O. Only `sessionKeys` uses random numbers.
 */

const KEY_OCTETS = 32
const TAG_OCTETS = 16
const NONCE_OCTETS = 24
/**
 * Octets of the client's half of a nonce. The other half is zero in a query, and chosen by the
 * server in a reply.
 */
export const CLIENT_NONCE_OCTETS = 12
const MAGIC_OCTETS = 8
/** Each reply begins with these octets: `r6fnvWj8`. */
const RESOLVER_MAGIC = Buffer.of(0x72, 0x36, 0x66, 0x6e, 0x76, 0x57, 0x6a, 0x38)
const REPLY_HEAD_OCTETS = MAGIC_OCTETS + NONCE_OCTETS
/** The padding ends with this octet and zeros (ISO/IEC 7816-4). */
const PAD_MARK = 0x80
/** The length of a padded query or reply is a multiple of this. */
export const PAD_BLOCK = 64

const SIGMA = new Uint32Array([0x61707865, 0x3320646e, 0x79622d32, 0x6b206574])

/** Copies octets into little-endian 32-bit words. */
function words(octets: Uint8Array): Uint32Array {
  const found = new Uint32Array(octets.length / 4)
  const view = new DataView(octets.buffer, octets.byteOffset, octets.length)
  for (let i = 0; i < found.length; i++) found[i] = view.getUint32(i * 4, true)
  return found
}

function hchacha20(key: Uint8Array, nonce: Uint8Array): Uint8Array {
  const out = new Uint32Array(8)
  hchacha(SIGMA, words(key), words(nonce), out)
  const octets = new Uint8Array(KEY_OCTETS)
  const view = new DataView(octets.buffer)
  for (const [i, word] of out.entries()) view.setUint32(i * 4, word, true)
  return octets
}

/**
 * The key stream of XChaCha20. Its first 32 octets are the key of Poly1305 (`macKey`); `cipher`
 * continues after them.
 */
function stream(key: Uint8Array, nonce: Uint8Array) {
  const subkey = hchacha20(key, nonce.subarray(0, 16))
  // Node expects one IV: 8 octets of counter, then 8 of nonce.
  const cipher = createCipheriv('chacha20', subkey, Buffer.concat([Buffer.alloc(8), nonce.subarray(16)]))
  return { cipher, macKey: cipher.update(Buffer.alloc(KEY_OCTETS)) }
}

/** Encrypts with XChaCha20-Poly1305. `nonce` has 24 octets and must never repeat for one key. */
export function seal(key: Uint8Array, nonce: Uint8Array, plain: Uint8Array): Buffer {
  const { cipher, macKey } = stream(key, nonce)
  const ciphertext = cipher.update(plain)
  return Buffer.concat([poly1305(ciphertext, macKey), ciphertext])
}

/** Decrypts. Undefined: `sealed` was not made with this key and nonce, or it was changed. */
export function open(key: Uint8Array, nonce: Uint8Array, sealed: Uint8Array): Buffer | undefined {
  if (sealed.length < TAG_OCTETS) return undefined
  const { cipher, macKey } = stream(key, nonce)
  const ciphertext = sealed.subarray(TAG_OCTETS)
  if (!timingSafeEqual(poly1305(ciphertext, macKey), sealed.subarray(0, TAG_OCTETS))) return undefined
  return cipher.update(ciphertext)
}

/** Pads `message` to `octets`, which must be more than its length. */
export function padded(message: Uint8Array, octets: number): Buffer {
  const out = Buffer.alloc(octets)
  out.set(message)
  out[message.length] = PAD_MARK
  return out
}

/** The message without its padding. Undefined: the padding is invalid. */
export function unpadded(plain: Uint8Array): Uint8Array | undefined {
  let end = plain.length - 1
  while (end >= 0 && plain[end] === 0) end--
  return end >= 0 && plain[end] === PAD_MARK ? plain.subarray(0, end) : undefined
}

/**
 * The length of a padded query: a multiple of 64, at least `least` (a multiple of 64 too), and
 * longer than the message.
 */
export function paddedLength(messageOctets: number, least: number): number {
  return Math.max(least, Math.ceil((messageOctets + 1) / PAD_BLOCK) * PAD_BLOCK)
}

/**
 * The length of a padded query over TCP, where padding has 1 to 256 octets: the next multiple of
 * 256. So queries of usual names have one length.
 */
export function tcpPaddedLength(messageOctets: number): number {
  return Math.ceil((messageOctets + 1) / TCP_PADDING) * TCP_PADDING
}
const TCP_PADDING = 256

/** The keys of one connection to one server. */
export interface SessionKeys {
  /** Encrypts queries and decrypts replies. */
  readonly shared: Uint8Array
  /** Our public key, which every query contains. */
  readonly clientKey: Uint8Array
}

const spki = (type: 'ed25519' | 'x25519', key: Uint8Array): KeyObject => {
  const prefix = type === 'ed25519' ? '302a300506032b6570032100' : '302a300506032b656e032100'
  return createPublicKey({ key: Buffer.concat([Buffer.from(prefix, 'hex'), key]), format: 'der', type: 'spki' })
}

/**
 * Makes fresh keys for the server with `serverKey`. Throws an EnigmError `tls-failed` if that key
 * is not usable (a point of low order).
 */
export function sessionKeys(serverKey: Uint8Array): SessionKeys {
  const { publicKey, privateKey } = generateKeyPairSync('x25519')
  try {
    const secret = diffieHellman({ privateKey, publicKey: spki('x25519', serverKey) })
    const clientKey = publicKey.export({ type: 'spki', format: 'der' }).subarray(-KEY_OCTETS)
    return { shared: hchacha20(secret, new Uint8Array(16)), clientKey }
  } catch (cause) {
    throw new EnigmError('tls-failed', 'the key in the certificate of the resolver is not usable', { cause })
  }
}

/** Whether `signature` over `message` was made by the Ed25519 key `by`. */
export function isSigned(message: Uint8Array, signature: Uint8Array, by: Uint8Array): boolean {
  try {
    return verify(null, message, spki('ed25519', by), signature)
  } catch {
    return false
  }
}

/**
 * Makes a query packet. `magic`: the client magic of the server's certificate. `nonce`: 12 random
 * octets that this connection has not used before. `octets`: the length of the padded message.
 */
export function queryPacket(keys: SessionKeys, magic: Uint8Array, nonce: Uint8Array, message: Uint8Array, octets: number): Buffer {
  const fullNonce = Buffer.alloc(NONCE_OCTETS)
  fullNonce.set(nonce)
  return Buffer.concat([magic, keys.clientKey, nonce, seal(keys.shared, fullNonce, padded(message, octets))])
}

/** The client's half of the nonce in a reply packet. Undefined: it is not a reply packet. */
export function nonceOf(packet: Uint8Array): Uint8Array | undefined {
  if (packet.length < REPLY_HEAD_OCTETS + TAG_OCTETS || !RESOLVER_MAGIC.equals(packet.subarray(0, MAGIC_OCTETS))) return undefined
  return packet.subarray(MAGIC_OCTETS, MAGIC_OCTETS + CLIENT_NONCE_OCTETS)
}

/**
 * The DNS message in a reply packet. Undefined: it is not a reply packet, was not made with these
 * keys, or has invalid padding.
 */
export function replyIn({ shared }: SessionKeys, packet: Uint8Array): Uint8Array | undefined {
  if (nonceOf(packet) === undefined) return undefined
  const plain = open(shared, packet.subarray(MAGIC_OCTETS, REPLY_HEAD_OCTETS), packet.subarray(REPLY_HEAD_OCTETS))
  return plain === undefined ? undefined : unpadded(plain)
}

/** Octets of the head before each packet to a relay. It names the server. */
export const RELAY_HEAD_OCTETS = 28

/** The head for a relay: 10 fixed octets, then the address and port of the server. */
export function relayHead(address: string, port: number): Buffer {
  const head = Buffer.alloc(RELAY_HEAD_OCTETS)
  head.fill(0xff, 0, 8)
  head.set(ipv6Octets(address), 10)
  head.writeUInt16BE(port, 26)
  return head
}

/** The 16 octets of an address. An IPv4 address is mapped to IPv6 (::ffff:192.0.2.1). */
function ipv6Octets(address: string): Uint8Array {
  const out = new Uint8Array(16)
  if (!address.includes(':')) {
    out.fill(0xff, 10, 12)
    out.set(address.split('.').map(Number), 12)
    return out
  }
  const [head = '', tail] = address.split('::')
  const groups = (text: string) =>
    text.split(':').flatMap((group) => (group === '' ? [] : group.includes('.') ? quads(group) : [Number.parseInt(group, 16)]))
  const [front, back] = [groups(head), tail === undefined ? [] : groups(tail)]
  const all = [...front, ...Array(Math.max(0, 8 - front.length - back.length)).fill(0), ...back]
  for (const [i, group] of all.slice(0, 8).entries()) {
    out[i * 2] = group >> 8
    out[i * 2 + 1] = group & 0xff
  }
  return out
}

function quads(dotted: string): number[] {
  const [a = 0, b = 0, c = 0, d = 0] = dotted.split('.').map(Number)
  return [a * 256 + b, c * 256 + d]
}
