import type { FileHandle } from 'node:fs/promises'
import { systemCode } from '../errors.ts'
import { anyOwner, isAbsence, openChecked } from '../files/reading.ts'
import { fileFaults, owners, walk } from '../files/trust.ts'
import { MAX_OCTETS } from './jsonc.ts'

/**
 * The result of a read: the text, or why it failed. In both cases it lists what is unsafe about the
 * file.
 */
export interface FileReading {
  readonly text?: string
  /** The octets of `text`, with the byte order mark that a text does not have. */
  readonly octets?: Uint8Array
  readonly failed?: string
  /** The file does not exist. Not set if permission is denied. */
  readonly absent?: true
  readonly unsafe: readonly string[]
}

/** All permissions of group and others. */
const OTHERS = 0o077

/**
 * Reads a file of at most `maxOctets` octets of UTF-8. It also reports whether another user could
 * have written or replaced the file, because a user who can write the trusted set chooses the
 * resolvers. The file must belong to root or to our user. So must every directory and every link on
 * the path, as named and as resolved. No other user may write any of them, or read a `secret` file.
 * A FIFO or a device is refused, so that the read does not block. Never throws.
 */
export function readGuarded(file: string, maxOctets = MAX_OCTETS, secret = false): Promise<FileReading> {
  return guarded(file, maxOctets, (handle) => textOf(handle, maxOctets), secret)
}

/** The same checks as `readGuarded`, for a file that is read later. Never throws. */
export function guardedFaults(file: string, maxOctets: number): Promise<Omit<FileReading, 'text'>> {
  return guarded(file, maxOctets, async () => ({}))
}

async function guarded(
  file: string,
  maxOctets: number,
  use: (handle: FileHandle) => Promise<Pick<FileReading, 'text' | 'octets' | 'failed'>>,
  secret = false,
): Promise<FileReading> {
  try {
    const handle = await openChecked(file, maxOctets, anyOwner)
    if (typeof handle === 'string') return { failed: `it ${handle}`, unsafe: pathFaults(file).unsafe }
    try {
      const found = await handle.stat()
      const { unsafe, ino, dev } = pathFaults(file)
      const exchanged = found.ino === ino && found.dev === dev ? [] : ['was replaced while it was read; read it again']
      const open = secret && owners() !== undefined && (found.mode & OTHERS) !== 0
      const faults = open ? [`can be read or written by others than its owner; run: chmod 600 ${file}`] : fileFaults(file, found, owners())
      const all = [...faults, ...unsafe, ...exchanged]
      return { ...(await use(handle).catch((error: unknown) => ({ failed: reason(error) }))), unsafe: all }
    } finally {
      await handle.close()
    }
  } catch (error) {
    return { failed: reason(error), ...(isAbsence(error) && { absent: true }), unsafe: [] }
  }
}

function pathFaults(file: string): {
  readonly unsafe: readonly string[]
  readonly ino: number | undefined
  readonly dev: number | undefined
} {
  const { faults, stats } = walk(file, owners())
  return { unsafe: faults, ino: stats?.ino, dev: stats?.dev }
}

async function textOf(handle: FileHandle, maxOctets: number): Promise<Pick<FileReading, 'text' | 'octets' | 'failed'>> {
  const chunks: Buffer[] = []
  let length = 0
  for (;;) {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(65_536))
    if (bytesRead === 0) break
    length += bytesRead
    if (length > maxOctets) return { failed: `it is larger than ${maxOctets} octets` }
    chunks.push(buffer.subarray(0, bytesRead))
  }
  const octets = Buffer.concat(chunks)
  return { text: new TextDecoder('utf-8', { fatal: true }).decode(octets), octets }
}

function reason(error: unknown): string {
  const code = systemCode(error) ?? 'unknown'
  if (code === 'ERR_ENCODING_INVALID_ENCODED_DATA') return 'it is not UTF-8 text; save it as UTF-8'
  if (isAbsence(error)) return `there is no such file (${code})`
  if (code === 'EACCES' || code === 'EPERM') return `permission to read it is denied (${code})`
  return code
}
