import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { systemCode } from '../errors.ts'

/** A document is some kilobytes; what is far larger is none. */
const MAX_OCTETS = 1 << 20

/** Why there is no text. */
export interface Refusal {
  readonly judgement: 'not-found' | 'permission-denied' | 'unreadable'
  readonly message: string
}

/** The text of a plain file of at most `maxOctets`, a megabyte unless told. Never throws, and never hangs on what is no plain file. `owner`: refuse the file of any other user. */
export function readPlainFile(path: string, owner?: number, maxOctets = MAX_OCTETS): string | Refusal {
  let fd: number | undefined
  try {
    // Non-blocking, so that a FIFO without a writer cannot hold the command.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    const stat = fstatSync(fd)
    if (!stat.isFile() || stat.size > maxOctets) return { judgement: 'unreadable', message: 'This is no status file.' }
    if (owner !== undefined && stat.uid !== owner)
      return { judgement: 'unreadable', message: 'The status file here belongs to another user.' }
    const bytes = Buffer.alloc(stat.size)
    let done = 0
    for (let n = 1; n > 0 && done < bytes.length; done += n) n = readSync(fd, bytes, done, bytes.length - done, null)
    return bytes.toString('utf8', 0, done)
  } catch (error) {
    return refusal(error)
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}

function refusal(error: unknown): Refusal {
  const code = systemCode(error)
  if (code === 'ENOENT' || code === 'ENOTDIR')
    return { judgement: 'not-found', message: 'No status file here: the service has not run, or writes elsewhere.' }
  if (code === 'EACCES' || code === 'EPERM') {
    return {
      judgement: 'permission-denied',
      message: 'The status file may not be read by this user: try as root or as a member of its group.',
    }
  }
  return { judgement: 'unreadable', message: 'The status file cannot be read.' }
}
