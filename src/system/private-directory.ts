import { EnigmError, systemCode } from '../errors.ts'
import { owners, writingFaults } from '../files/trust.ts'
import { closeDirectory, makeDirectory } from '../files/writing.ts'

/**
 * Makes `path` (0700) or takes it as it is, where nobody but us and root can change what lies in
 * it: a directory of ours that others may enter is closed to them. Throws an EnigmError `state`
 * where another user could exchange what lies in it, or it cannot be made.
 */
export function privateDirectory(path: string): void {
  try {
    const [fault] = writingFaults(path, owners())
    if (fault !== undefined) throw new EnigmError('state', `${fault}, or set stateDir`)
    if (!makeDirectory(path, 0o700)) closeDirectory(path)
  } catch (error) {
    throw error instanceof EnigmError ? error : unusablePath(path, error)
  }
}

/** An EnigmError `state` for a system error, with its code and no more. */
export function unusablePath(path: string, error: unknown): EnigmError {
  return new EnigmError('state', `${path} cannot be used (${systemCode(error) ?? 'unknown error'})`, { cause: error })
}
