import { systemCode } from '../errors.ts'
import { isAbsence, readSmall } from '../files/reading.ts'

/** A document is some kilobytes; what is far larger is none. */
const MAX_OCTETS = 1 << 20

/** Why there is no text. */
export interface Refusal {
  readonly judgement: 'not-found' | 'permission-denied' | 'unreadable'
  readonly message: string
}

/**
 * The text of a plain file of at most `maxOctets`, a megabyte unless told. Never throws, and never
 * hangs on what is no plain file. `owner`: refuse the file of any other user.
 */
export function readPlainFile(path: string, owner?: number, maxOctets = MAX_OCTETS): string | Refusal {
  const foreign = 'The status file here belongs to another user.'
  try {
    const octets = readSmall(path, maxOctets, ({ uid }) => (owner !== undefined && uid !== owner ? foreign : undefined))
    if (typeof octets !== 'string') return octets.toString('utf8')
    return { judgement: 'unreadable', message: octets === foreign ? foreign : 'This is no status file.' }
  } catch (error) {
    return refusal(error)
  }
}

function refusal(error: unknown): Refusal {
  if (isAbsence(error)) return { judgement: 'not-found', message: 'No status file here: the service has not run, or writes elsewhere.' }
  const code = systemCode(error)
  if (code === 'EACCES' || code === 'EPERM') {
    return {
      judgement: 'permission-denied',
      message: 'The status file may not be read by this user: try as root or as a member of its group.',
    }
  }
  return { judgement: 'unreadable', message: 'The status file cannot be read.' }
}
