import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto'
import { join } from 'node:path'
import * as v from 'valibot'
import { systemCode } from '../errors.ts'
import { ours, readOurs, secret } from '../files/reading.ts'
import { makeDirectory, makeOnce, replaceFile } from '../files/writing.ts'

/** The name and version of the signature file. */
export const SEAL_SCHEMA = 'enigm-dns/status-signature/1'

const MAX_OCTETS = 4096
const described = (text: string, what: string) => v.pipe(v.string(), v.maxLength(200, text), v.description(what))

/** What `<statusFile>.sig` holds. */
const seal = v.object({
  schema: v.literal(SEAL_SCHEMA),
  algorithm: v.literal('Ed25519'),
  key: described('too long', 'Base64 of the SHA-256 over the public key (DER SubjectPublicKeyInfo).'),
  sha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
  bootId: described('too long', 'The boot of the host in which this was written; opaque.'),
  sequence: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  signature: described('too long', 'Base64 of the signature over the lines that `signedText` joins.'),
})
export type Seal = v.InferOutput<typeof seal>

/** What is signed: the schema binds the purpose, so that a signature made for anything else by the same key is none here. */
function signedText(s: Pick<Seal, 'sha256' | 'bootId' | 'sequence'>): Buffer {
  return Buffer.from([SEAL_SCHEMA, s.sha256, s.bootId, s.sequence, ''].join('\n'))
}

const digest = (text: string) => createHash('sha256').update(text).digest('hex')

/**
 * Makes the seal of each text it is given. Sequence numbers are boot time in milliseconds, or one more than the last: they rise through a boot across restarts,
 * with nothing to keep on disk.
 */
export function createSealer(key: SigningKey, bootId: string, nowMs: () => number): (text: string) => string {
  let sequence = 0
  return (text) => {
    sequence = Math.max(sequence + 1, Math.floor(nowMs()))
    const body = { sha256: digest(text), bootId, sequence }
    const signature = sign(null, signedText(body), key.privateKey).toString('base64')
    const whole: Seal = { schema: SEAL_SCHEMA, algorithm: 'Ed25519', key: key.id, ...body, signature }
    return `${JSON.stringify(whole, undefined, 1)}\n`
  }
}

/** The seal in a text that may come from anybody, or undefined. */
export function asSeal(text: string): Seal | undefined {
  if (text.length > MAX_OCTETS) return undefined
  try {
    const parsed = v.safeParse(seal, JSON.parse(text))
    return parsed.success ? parsed.output : undefined
  } catch {
    return undefined
  }
}

/** An Ed25519 public key from PEM, or undefined. */
export function asPublicKey(pem: string): KeyObject | undefined {
  try {
    // A private key would be taken too; nobody should have one here.
    if (pem.length > MAX_OCTETS || pem.includes('PRIVATE KEY')) return undefined
    const key = createPublicKey(pem)
    return key.asymmetricKeyType === 'ed25519' ? key : undefined
  } catch {
    return undefined
  }
}

/** Whether `s` was made by `key`, and whether it was made for this text. `unfit` alone may be a reader between two renames. */
export function judgeSeal(s: Seal, text: string, key: KeyObject): 'valid' | 'wrong-key' | 'unfit' | 'forged' {
  if (s.key !== keyId(key)) return 'wrong-key'
  if (!verify(null, signedText(s), key, Buffer.from(s.signature, 'base64'))) return 'forged'
  return s.sha256 === digest(text) ? 'valid' : 'unfit'
}

/** A key in PEM is some hundred octets. */
const MAX_KEY_OCTETS = 16_384

/**
 * The key that status files are signed with. `publicPem` is what `status.pub` holds; `id` names the
 * key.
 */
export interface SigningKey {
  readonly privateKey: KeyObject
  readonly publicPem: string
  readonly id: string
}

/**
 * Base64 of the SHA-256 over the DER SubjectPublicKeyInfo: one key, one text, however its PEM is
 * wrapped.
 */
export function keyId(publicKey: KeyObject): string {
  return createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest('base64')
}

/**
 * The key of `stateDir`, made at the first run (status.key 0600, status.pub 0644, in a directory of
 * 0700). A string says why there is none, in words for a person: a key that others could read or
 * that cannot be read is not used and never replaced by itself, since whoever pinned its public
 * half must hear of it.
 */
export function openSigningKey(stateDir: string): SigningKey | string {
  const file = join(stateDir, 'status.key')
  try {
    makeDirectory(stateDir, 0o700)
    makeOnce(file, freshKey)
    const octets = readOurs(file, MAX_KEY_OCTETS, secret)
    if (octets === undefined || typeof octets === 'string') return `status.key ${octets ?? 'is gone'}`
    const privateKey = createPrivateKey(octets)
    if (privateKey.asymmetricKeyType !== 'ed25519') return 'status.key is not an Ed25519 key'
    const publicKey = createPublicKey(privateKey)
    const publicPem = publicKey.export({ type: 'spki', format: 'pem' }).toString()
    publish(join(stateDir, 'status.pub'), publicPem)
    return { privateKey, publicPem, id: keyId(publicKey) }
  } catch (error) {
    return `the key in stateDir cannot be used (${systemCode(error) ?? 'unreadable'})`
  }
}

const freshKey = () => generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' })

function publish(file: string, pem: string): void {
  const there = readOurs(file, MAX_KEY_OCTETS, ours)
  if (there === undefined || typeof there === 'string' || there.toString('utf8') !== pem) replaceFile(file, pem, 0o644)
}
