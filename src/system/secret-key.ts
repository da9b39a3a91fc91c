import { randomBytes } from 'node:crypto'
import { closeSync, constants, fstatSync, openSync, readSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { EnigmError } from '../errors.ts'
import { makeOnce } from '../make-once.ts'
import { privateDirectory, unusable } from './private-directory.ts'

const KEY_OCTETS = 32
const MAX_CREDENTIAL_OCTETS = 4096

/** Where a secret comes from. */
export interface KeyPlace {
  /** Holds `<name>.key`. */
  readonly stateDir: string
  readonly name: string
  /** $CREDENTIALS_DIRECTORY, where the service manager puts what it was given for us (systemd.exec(5)); `<name>.key` in it goes first. */
  readonly credentials: string | undefined
}

export function keyFile({ stateDir, name }: KeyPlace): string {
  return join(stateDir, `${name}.key`)
}

/** Whether the service manager holds the key: then it is not ours to throw away. */
export function isCredential(place: KeyPlace): boolean {
  return credentialOf(place) !== undefined
}

/**
 * The key, made at the first use (0600 in a directory of 0700). At least 32 octets: derive from it, do not use it as it is. Throws an EnigmError `state` where others
 * could have read it, or it is no key.
 */
export function secretKey(place: KeyPlace): Buffer {
  const credential = credentialOf(place)
  if (credential !== undefined) return readKey(credential, MAX_CREDENTIAL_OCTETS, false)
  privateDirectory(place.stateDir)
  const file = keyFile(place)
  try {
    makeOnce(file, () => randomBytes(KEY_OCTETS))
  } catch (error) {
    throw unusable(file, error)
  }
  return readKey(file, KEY_OCTETS, true)
}

function credentialOf({ credentials, name }: KeyPlace): string | undefined {
  if (credentials === undefined || credentials === '') return undefined
  const file = join(credentials, `${name}.key`)
  return statSync(file, { throwIfNoEntry: false }) === undefined ? undefined : file
}

function readKey(file: string, maxOctets: number, exclusive: boolean): Buffer {
  let fd: number | undefined
  try {
    fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK | (exclusive ? constants.O_NOFOLLOW : 0))
    const found = fstatSync(fd)
    const uid = process.geteuid?.()
    if (exclusive && uid !== undefined && (found.uid !== uid || (found.mode & 0o077) !== 0)) {
      throw new EnigmError('state', `${file} may be read by others: delete it (what was saved under it is lost)`)
    }
    if (!found.isFile() || found.size < KEY_OCTETS || found.size > maxOctets) {
      throw new EnigmError('state', `${file} is no key: it must have at least ${KEY_OCTETS} octets`)
    }
    const key = Buffer.alloc(found.size)
    if (readSync(fd, key, 0, key.length, 0) !== key.length) throw new EnigmError('state', `${file} was cut short while it was read`)
    return key
  } catch (error) {
    throw error instanceof EnigmError ? error : unusable(file, error)
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}
