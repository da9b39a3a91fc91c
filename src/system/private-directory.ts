import { chmodSync, mkdirSync, statSync } from 'node:fs'
import { EnigmError, systemCode } from '../errors.ts'

/**
 * Makes `path` (0700) or takes it as it is, where it is ours alone: a directory of ours that others may enter is closed to them. Throws an EnigmError `state` where
 * it belongs to another user, who could exchange what lies in it, or cannot be made.
 */
export function privateDirectory(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 })
    const found = statSync(path)
    const uid = process.geteuid?.()
    if (uid === undefined) return
    if (found.uid !== uid)
      throw new EnigmError('state', `${path} belongs to user ${found.uid}, not to us: run chown ${uid} ${path}, or set stateDir`)
    if ((found.mode & 0o077) !== 0) chmodSync(path, 0o700)
  } catch (error) {
    throw error instanceof EnigmError ? error : unusable(path, error)
  }
}

/** An EnigmError `state` for a system error, with its code and no more. */
export function unusable(path: string, error: unknown): EnigmError {
  return new EnigmError('state', `${path} cannot be used (${systemCode(error) ?? 'unknown error'})`, { cause: error })
}
