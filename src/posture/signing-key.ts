import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { chmodSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { systemCode } from '../errors.ts'
import { makeOnce } from '../make-once.ts'

/** The key that status files are signed with. `publicPem` is what `status.pub` holds; `id` names the key. */
export interface SigningKey {
  readonly privateKey: KeyObject
  readonly publicPem: string
  readonly id: string
}

/** Base64 of the SHA-256 over the DER SubjectPublicKeyInfo: one key, one text, however its PEM is wrapped. */
export function keyId(publicKey: KeyObject): string {
  return createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest('base64')
}

/**
 * The key of `stateDir`, made at the first run (status.key 0600, status.pub 0644, in a directory of 0700). A string says why there is none, in words for a
 * person: a key that others could read or that cannot be read is not used and never replaced by itself, since whoever pinned its public half must hear of it.
 */
export function openSigningKey(stateDir: string): SigningKey | string {
  const file = join(stateDir, 'status.key')
  try {
    mkdirSync(stateDir, { recursive: true, mode: 0o700 })
    makeOnce(file, freshKey)
    const { mode } = statSync(file)
    if (process.getuid !== undefined && (mode & 0o077) !== 0) return 'status.key may be read or written by others'
    const privateKey = createPrivateKey(readFileSync(file))
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
  if (exists(file) && readFileSync(file, 'utf8') === pem) return
  const temporary = `${file}.${process.pid}.tmp`
  writeFileSync(temporary, pem, { mode: 0o644 })
  chmodSync(temporary, 0o644)
  renameSync(temporary, file)
}

function exists(file: string): boolean {
  return statSync(file, { throwIfNoEntry: false }) !== undefined
}
