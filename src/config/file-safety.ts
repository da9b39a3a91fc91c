import { constants, type Stats } from 'node:fs'
import { open, realpath, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { systemCode } from '../errors.ts'
import { MAX_OCTETS } from './jsonc.ts'

/** What a read came to: the text, or the system's reason (an errno code) that there is none; and what is unsafe about the file either way. */
export interface Reading {
  readonly text?: string
  readonly failed?: string
  /** There is no such file, as opposed to one that may not be read. */
  readonly absent?: true
  readonly unsafe: readonly string[]
}

/**
 * Reads a file of at most MAX_OCTETS octets of UTF-8 and says who else could have written it. Mode and text come from one descriptor, so that the
 * file cannot be exchanged between check and read; a FIFO or a device is refused instead of waited for. Never throws.
 */
export async function readGuarded(file: string): Promise<Reading> {
  try {
    const real = await realpath(file)
    const handle = await open(real, constants.O_RDONLY | constants.O_NONBLOCK)
    try {
      const found = await handle.stat()
      if (!found.isFile()) return { failed: 'it is not a regular file', unsafe: [] }
      if (found.size > MAX_OCTETS) return { failed: `it is larger than ${MAX_OCTETS} octets`, unsafe: [] }
      const unsafe = writableByOthers(found, file, await stat(dirname(real)), dirname(real))
      const chunks: Buffer[] = []
      let length = 0
      for (;;) {
        const { buffer, bytesRead } = await handle.read(Buffer.alloc(65_536))
        if (bytesRead === 0) break
        length += bytesRead
        if (length > MAX_OCTETS) return { failed: `it is larger than ${MAX_OCTETS} octets`, unsafe }
        chunks.push(buffer.subarray(0, bytesRead))
      }
      return { text: new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks)), unsafe }
    } finally {
      await handle.close()
    }
  } catch (error) {
    return { failed: reason(error), ...(isAbsence(error) && { absent: true }), unsafe: [] }
  }
}

/**
 * Who besides the owner can change the file or put another in its place: one clause each, with its mend. Whoever can write the trusted set chooses
 * who is asked. Nothing where there are no numeric users: the modes that Node reports there say nothing.
 */
export function writableByOthers(
  file: Pick<Stats, 'mode'>,
  name: string,
  directory: Pick<Stats, 'mode'>,
  directoryName: string,
): readonly string[] {
  if (process.getuid === undefined) return []
  const unsafe: string[] = []
  if ((file.mode & 0o022) !== 0) unsafe.push(`is writable by group or others; run: chmod go-w ${name}`)
  const sticky = (directory.mode & 0o1000) !== 0
  if ((directory.mode & 0o002) !== 0 && !sticky) unsafe.push(`lies in a directory that anyone can write; run: chmod o-w ${directoryName}`)
  return unsafe
}

function isAbsence(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')
}

function reason(error: unknown): string {
  const code = systemCode(error) ?? 'unknown'
  if (code === 'ERR_ENCODING_INVALID_ENCODED_DATA') return 'it is not UTF-8 text'
  if (isAbsence(error)) return `there is no such file (${code})`
  if (code === 'EACCES' || code === 'EPERM') return `it may not be read (${code})`
  return code
}
