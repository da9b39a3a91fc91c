import { Fields, type TargetPublicKey, u16Octets, vector } from '../../config/odoh-config.ts'
import { viewOf } from '../../dns/octets.ts'
import { EnigmError } from '../../errors.ts'
import type { SealedQuery } from '../dial/endpoint.ts'
import { AEAD, expand, extract, type HpkeContext, keyScheduleContext, open, type Recipient, recipientOf, setupSender } from './hpke.ts'

const QUERY = 1
const RESPONSE = 2
const HASH_OCTETS = 32
/** Octets of the nonce in a response: max(Nn, Nk), RFC 9230 section 6.2. */
const RESPONSE_NONCE_OCTETS = 16

const NO_SALT = new Uint8Array(0)
const SCHEDULE = keyScheduleContext('odoh query')
const EXPORT = Buffer.from('odoh response')
const LABELS = { keyId: Buffer.from('odoh key id'), key: Buffer.from('odoh key'), nonce: Buffer.from('odoh nonce') } as const

/** A key of a target, ready for queries. */
export interface TargetKey {
  readonly id: Uint8Array
  readonly recipient: Recipient
}

/**
 * The key that a target publishes, with its id (RFC 9230 section 6.2). Undefined: the key cannot be
 * used, because it is of low order (RFC 9180 section 7.1.4).
 */
export function targetKey({ contents, publicKey }: TargetPublicKey): TargetKey | undefined {
  const recipient = recipientOf(publicKey)
  try {
    setupSender(recipient, SCHEDULE)
  } catch {
    return undefined
  }
  return { id: expand(extract(NO_SALT, contents), HASH_OCTETS, LABELS.keyId), recipient }
}

/** Encrypts a DNS message to a target, with a fresh ephemeral key. `message` is copied. */
export function sealQuery(key: TargetKey, message: Uint8Array): SealedQuery {
  const plaintext = Buffer.concat([vector(message), u16Octets(0)])
  const { enc, context } = setupSender(key.recipient, SCHEDULE)
  const header = headerOf(QUERY, key.id)
  const encrypted = context.seal(header, plaintext)
  const body = Buffer.concat([header, vector(Buffer.concat([enc, encrypted]))])
  return { body, open: (response) => opened(response, context, plaintext) }
}

/**
 * The octets before the encrypted message. They are also its additional authenticated data (AAD).
 */
function headerOf(type: number, id: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([type]), vector(id)])
}

function opened(response: Uint8Array, context: HpkeContext, query: Uint8Array): Uint8Array | EnigmError {
  if (response.length === 0) return new EnigmError('target-key', 'the target sent an empty answer: its key has changed')
  const fields = new Fields(response)
  const type = fields.u8()
  const nonce = fields.vector()
  const encrypted = fields.vector()
  if (type !== RESPONSE || nonce?.length !== RESPONSE_NONCE_OCTETS || encrypted === undefined || !fields.done)
    return new EnigmError('reply-malformed', 'not a response of Oblivious DoH')
  const secrets = responseSecrets(context, query, nonce)
  const plaintext = open(secrets.key, secrets.nonce, headerOf(RESPONSE, nonce), encrypted)
  return plaintext === undefined ? new EnigmError('reply-malformed', 'the target did not encrypt it for this query') : messageIn(plaintext)
}

/** The DNS message in a plaintext. Its padding must be all zeros (RFC 9230 section 6.1). */
function messageIn(plaintext: Uint8Array): Uint8Array | EnigmError {
  const fields = new Fields(plaintext)
  const message = fields.vector()
  const padding = fields.vector()
  if (message === undefined || message.length === 0 || padding === undefined || !fields.done)
    return new EnigmError('reply-malformed', 'not a padded DNS message')
  return padding.every((octet) => octet === 0)
    ? viewOf(message, 0, message.length)
    : new EnigmError('reply-malformed', 'its padding is not all zeros')
}

/**
 * The key and nonce with which a target encrypts the response to a query (RFC 9230 section 6.2).
 */
export function responseSecrets(
  context: HpkeContext,
  query: Uint8Array,
  nonce: Uint8Array,
): { readonly key: Buffer; readonly nonce: Buffer } {
  const prk = extract(Buffer.concat([query, vector(nonce)]), context.export(EXPORT, AEAD.keyOctets))
  return { key: expand(prk, AEAD.keyOctets, LABELS.key), nonce: expand(prk, AEAD.nonceOctets, LABELS.nonce) }
}
