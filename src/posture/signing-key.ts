import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { join } from 'node:path'
import { systemCode } from '../errors.ts'
import { ours, readOurs, secret } from '../files/reading.ts'
import { makeDirectory, makeOnce, replaceFile } from '../files/writing.ts'

/** A key in PEM is some hundred octets. */
const MAX_OCTETS = 16_384

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
    const octets = readOurs(file, MAX_OCTETS, secret)
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
  const there = readOurs(file, MAX_OCTETS, ours)
  if (there === undefined || typeof there === 'string' || there.toString('utf8') !== pem) replaceFile(file, pem, 0o644)
}
