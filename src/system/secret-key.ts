import { randomBytes } from 'node:crypto'
import { lstatSync, type Stats, statSync } from 'node:fs'
import { join } from 'node:path'
import { asEnigmError, EnigmError } from '../errors.ts'
import { readSmall, secretFile } from '../files/reading.ts'
import { fileFaults, owners, walk } from '../files/trust.ts'
import { makeOnce, privateDirectory, unusablePath } from '../files/writing.ts'

const KEY_OCTETS = 32
const MAX_CREDENTIAL_OCTETS = 4096

/** The place of a secret. */
export interface KeyPlace {
  /** The directory of `<name>.key`. */
  readonly stateDir: string
  readonly name: string
  /**
   * $CREDENTIALS_DIRECTORY, in which the service manager puts our credentials (systemd.exec(5)).
   * `<name>.key` in it has precedence.
   */
  readonly credentials: string | undefined
}

export function keyFile({ stateDir, name }: KeyPlace): string {
  return join(stateDir, `${name}.key`)
}

/** Whether the service manager provides the key. If so, we must not remove it. */
export function isCredential(place: KeyPlace): boolean {
  return credentialOf(place) !== undefined
}

/**
 * Reads the key, or makes it at the first use (0600 in a directory of 0700). It has at least 32
 * octets. Do not use it directly: derive keys from it. Throws an EnigmError `state` if others could
 * have read it, or if it is not a key.
 */
export function secretKey(place: KeyPlace): Buffer {
  const credential = credentialOf(place)
  if (credential !== undefined) return readKey(credential, MAX_CREDENTIAL_OCTETS, false)
  privateDirectory(place.stateDir)
  const file = keyFile(place)
  try {
    makeOnce(file, () => randomBytes(KEY_OCTETS))
  } catch (error) {
    throw unusablePath(file, error)
  }
  return readKey(file, KEY_OCTETS, true)
}

/**
 * A clause that says why `secretKey` cannot use the existing key. Undefined: it can, or the first
 * use makes a key. Changes nothing.
 */
export function secretKeyFault(place: KeyPlace): string | undefined {
  try {
    const credential = credentialOf(place)
    if (credential !== undefined) readKey(credential, MAX_CREDENTIAL_OCTETS, false)
    else if (lstatSync(keyFile(place), { throwIfNoEntry: false }) !== undefined) readKey(keyFile(place), KEY_OCTETS, true)
    return undefined
  } catch (error) {
    return asEnigmError(error).message
  }
}

function credentialOf({ credentials, name }: KeyPlace): string | undefined {
  if (credentials === undefined || credentials === '') return undefined
  const file = join(credentials, `${name}.key`)
  return statSync(file, { throwIfNoEntry: false }) === undefined ? undefined : file
}

/**
 * Reads a key. `made`: we made it, so only our user may read it. A key of the service manager may
 * belong to the manager and be readable by a group.
 */
function readKey(file: string, maxOctets: number, made: boolean): Buffer {
  const given = (found: Stats) => [...fileFaults(file, found, owners()), ...walk(file, owners()).faults][0]
  let key: Buffer | string
  try {
    key = readSmall(file, maxOctets, made ? secretFile : given, !made)
  } catch (error) {
    throw unusablePath(file, error)
  }
  if (typeof key === 'string') throw new EnigmError('state', `${file} ${key}${made ? ': delete it (what was saved under it is lost)' : ''}`)
  if (key.length < KEY_OCTETS) throw new EnigmError('state', `${file} is no key: it must have at least ${KEY_OCTETS} octets`)
  return key
}
