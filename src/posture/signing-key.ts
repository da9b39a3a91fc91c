import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { chmodSync, linkSync, mkdirSync, readFileSync, renameSync, statSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

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
    makeOnce(file)
    const { mode } = statSync(file)
    if (process.getuid !== undefined && (mode & 0o077) !== 0) return 'status.key may be read or written by others'
    const privateKey = createPrivateKey(readFileSync(file))
    if (privateKey.asymmetricKeyType !== 'ed25519') return 'status.key is not an Ed25519 key'
    const publicKey = createPublicKey(privateKey)
    const publicPem = publicKey.export({ type: 'spki', format: 'pem' }).toString()
    publish(join(stateDir, 'status.pub'), publicPem)
    return { privateKey, publicPem, id: keyId(publicKey) }
  } catch (error) {
    return `the key in stateDir cannot be used (${error instanceof Error && 'code' in error ? String(error.code) : 'unreadable'})`
  }
}

/** By link(2) of a whole file: of two processes that start together one wins, and nobody ever reads half a key. */
function makeOnce(file: string): void {
  if (exists(file)) return
  const { privateKey } = generateKeyPairSync('ed25519')
  const temporary = `${file}.${process.pid}.tmp`
  writeFileSync(temporary, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600, flag: 'w' })
  try {
    linkSync(temporary, file)
  } catch (error) {
    if (!exists(file)) throw error
  } finally {
    unlinkSync(temporary)
  }
}

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
