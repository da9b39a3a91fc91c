import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import { EnigmError } from '../errors.ts'
import { isAbsence, openChecked, ownFile } from '../files/reading.ts'
import { createNew, putInPlace, remove, temporaryOf, unusablePath } from '../files/writing.ts'

/**
 * The format of an encrypted file. Without the key nobody can read it, or change it unnoticed. It
 * has a header (magic, salt), then chunks of AES-256-GCM, each after its length. A separate key is
 * derived for each file (HKDF, RFC 5869). The nonce of a chunk is its number and whether it is the
 * last one (the STREAM construction), so chunks cannot be omitted, cut off or reordered.
 */
const MAGIC = Buffer.from('enigm-dns sealed 1\n')
const SALT_OCTETS = 32
const HEADER_OCTETS = MAGIC.length + SALT_OCTETS
const TAG_OCTETS = 16
/** Octets of plain text in one chunk. */
export const MAX_CHUNK_OCTETS = 256 * 1024

/**
 * The key material of a file: a secret and its purpose. So one secret can serve several purposes.
 */
export interface FileSeal {
  readonly secret: Uint8Array
  readonly purpose: string
}

/**
 * Writes `chunks` (each at most MAX_CHUNK_OCTETS) to a temporary file, and renames it. At any
 * moment a reader finds the old file or the new one, even after a kill. Mode 0600. `chunks` are
 * read only as needed. Rejects with an EnigmError `state`; then the old file stays.
 */
export async function writeSealed(path: string, seal: FileSeal, chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<void> {
  const temporary = temporaryOf(path)
  let handle: FileHandle | undefined
  try {
    remove(temporary)
    handle = await createNew(temporary, 0o600)
    const header = Buffer.concat([MAGIC, randomBytes(SALT_OCTETS)])
    const key = fileKey(seal, header)
    await handle.appendFile(header)
    let held: Uint8Array | undefined
    let index = 0
    for await (const chunk of chunks) {
      if (held !== undefined) await handle.appendFile(sealChunk(key, header, index++, false, held))
      held = chunk
    }
    await handle.appendFile(sealChunk(key, header, index, true, held ?? new Uint8Array(0)))
    await handle.sync()
    await handle.close()
    handle = undefined
    await putInPlace(temporary, path)
  } catch (error) {
    await handle?.close().catch(() => {})
    remove(temporary)
    throw error instanceof EnigmError ? error : unusablePath(path, error)
  }
}

/**
 * Reads the chunks of an encrypted file in order. A missing file has none. Throws an EnigmError
 * `state` at the first changed octet, for another key, for a file that others could write, and for
 * a file larger than `maxOctets`. Chunks before the error are genuine.
 */
export async function* readSealed(path: string, seal: FileSeal, maxOctets: number): AsyncGenerator<Buffer, void, void> {
  const handle = await openGuarded(path, maxOctets)
  if (handle === undefined) return
  try {
    const header = await exactly(handle, HEADER_OCTETS)
    if (header?.subarray(0, MAGIC.length).equals(MAGIC) !== true) throw damaged(path)
    const key = fileKey(seal, header)
    for (let index = 0; ; index++) {
      const length = (await exactly(handle, 4))?.readUInt32BE()
      if (length === undefined || length < TAG_OCTETS || length > MAX_CHUNK_OCTETS + TAG_OCTETS) throw damaged(path)
      const sealed = await exactly(handle, length)
      if (sealed === undefined) throw damaged(path)
      const middle = openChunk(key, header, index, false, sealed)
      const plain = middle ?? openChunk(key, header, index, true, sealed)
      if (plain === undefined) throw damaged(path)
      if (plain.length > 0) yield plain
      if (middle !== undefined) continue
      if ((await exactly(handle, 1)) !== undefined) throw damaged(path)
      return
    }
  } finally {
    await handle.close()
  }
}

function damaged(path: string): EnigmError {
  return new EnigmError('state', `${path} is damaged, or was sealed with another key`)
}

async function openGuarded(path: string, maxOctets: number): Promise<FileHandle | undefined> {
  let handle: FileHandle | string
  try {
    handle = await openChecked(path, maxOctets, ownFile, false)
  } catch (error) {
    if (isAbsence(error)) return undefined
    throw unusablePath(path, error)
  }
  if (typeof handle === 'string') throw new EnigmError('state', `${path} ${handle}: not a file of ours`)
  return handle
}

async function exactly(handle: FileHandle, octets: number): Promise<Buffer | undefined> {
  const buffer = Buffer.allocUnsafe(octets)
  for (let done = 0; done < octets; ) {
    const { bytesRead } = await handle.read(buffer, done, octets - done)
    if (bytesRead === 0) return undefined
    done += bytesRead
  }
  return buffer
}

function fileKey({ secret, purpose }: FileSeal, header: Buffer): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', secret, header.subarray(MAGIC.length), purpose, 32))
}

/** The nonce of a chunk. It is never repeated: each file has its own key, each chunk its number. */
function nonceOf(index: number, last: boolean): Buffer {
  const nonce = Buffer.alloc(12)
  nonce[0] = last ? 1 : 0
  nonce.writeUInt32BE(index, 8)
  return nonce
}

function sealChunk(key: Uint8Array, header: Buffer, index: number, last: boolean, plain: Uint8Array): Buffer {
  const cipher = createCipheriv('aes-256-gcm', key, nonceOf(index, last)).setAAD(header)
  const text = cipher.update(plain)
  cipher.final()
  const length = Buffer.alloc(4)
  length.writeUInt32BE(text.length + TAG_OCTETS)
  return Buffer.concat([length, text, cipher.getAuthTag()])
}

function openChunk(key: Uint8Array, header: Buffer, index: number, last: boolean, sealed: Buffer): Buffer | undefined {
  const textEnd = sealed.length - TAG_OCTETS
  const decipher = createDecipheriv('aes-256-gcm', key, nonceOf(index, last), { authTagLength: TAG_OCTETS })
  decipher.setAAD(header).setAuthTag(sealed.subarray(textEnd))
  const plain = decipher.update(sealed.subarray(0, textEnd))
  try {
    decipher.final()
    return plain
  } catch {
    return undefined
  }
}
