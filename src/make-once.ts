import { linkSync, statSync, unlinkSync, writeFileSync } from 'node:fs'
import { systemCode } from './errors.ts'

/**
 * Makes a file (0600) with what `make` gives, where there is none. By link(2) of a whole file: of two processes that start together one wins, and nobody ever reads
 * half a key. Throws the system's error.
 */
export function makeOnce(file: string, make: () => Uint8Array | string): void {
  if (statSync(file, { throwIfNoEntry: false }) !== undefined) return
  const temporary = `${file}.${process.pid}.tmp`
  writeFileSync(temporary, make(), { mode: 0o600, flag: 'w' })
  try {
    linkSync(temporary, file)
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error
  } finally {
    unlinkSync(temporary)
  }
}
