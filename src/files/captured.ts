import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  lchownSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  symlinkSync,
  utimesSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { EnigmError, systemCode } from '../errors.ts'
import { anyOwner, isAbsence, readSmall } from './reading.ts'
import { makeDirectory, remove, syncDirectory, temporaryOf, writeNew } from './writing.ts'

/** All that is needed to restore a path. Content is base64, times are in milliseconds. */
export type Captured =
  | { readonly kind: 'absent' }
  | { readonly kind: 'link'; readonly target: string; readonly uid: number; readonly gid: number }
  | {
      readonly kind: 'file'
      readonly content: string
      readonly mode: number
      readonly uid: number
      readonly gid: number
      /** Undefined: a new file, which gets the time at which it is written. */
      readonly mtimeMs?: number | undefined
    }

type CapturedFile = Extract<Captured, { kind: 'file' }>

/** Limit of a captured file. Configuration files are smaller. */
const MAX_OCTETS = 1 << 20

/** A new file that belongs to root and that all users may read. */
export function newFile(text: string, mode = 0o644): CapturedFile {
  return { kind: 'file', content: Buffer.from(text).toString('base64'), mode, uid: 0, gid: 0 }
}

/** A new link that belongs to root. */
export function newLink(target: string): Captured {
  return { kind: 'link', target, uid: 0, gid: 0 }
}

/** The text of a captured file. Undefined: it is not a file. */
export function textIn(captured: Captured): string | undefined {
  return captured.kind === 'file' ? Buffer.from(captured.content, 'base64').toString('utf8') : undefined
}

/**
 * Captures the object at `path`. A link is not followed. Throws an EnigmError `state` for a
 * directory, a device, or a file of more than 1 MiB, because these cannot be restored. Otherwise
 * throws the system's error.
 */
export function capture(path: string): Captured {
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (found === undefined) return { kind: 'absent' }
  const { uid, gid, mtimeMs } = found
  if (found.isSymbolicLink()) return { kind: 'link', target: readlinkSync(path), uid, gid }
  const octets = found.isFile() ? readSmall(path, MAX_OCTETS, anyOwner, false) : 'is no regular file'
  if (typeof octets === 'string') throw new EnigmError('state', `${path} ${octets}`)
  return { kind: 'file', content: octets.toString('base64'), mode: found.mode & 0o7777, uid, gid, mtimeMs }
}

/**
 * Whether two captures have the same kind, content and target. Owner, mode and times are not
 * compared.
 */
export function holdsSame(a: Captured, b: Captured): boolean {
  if (a.kind === 'file') return b.kind === 'file' && a.content === b.content
  if (a.kind === 'link') return b.kind === 'link' && a.target === b.target
  return b.kind === 'absent'
}

/**
 * Makes `path` equal to `wanted` in one step. At any moment a reader finds the old or the new
 * state, even after a kill. When this function has returned, the new state survives a power cut.
 * Throws the system's error.
 */
export function putCaptured(path: string, wanted: Captured): void {
  const temporary = temporaryOf(path)
  remove(temporary)
  try {
    if (wanted.kind === 'absent') remove(path)
    else {
      if (wanted.kind === 'link') makeLink(temporary, wanted)
      else makeFile(temporary, wanted)
      renameSync(temporary, path)
    }
  } catch (error) {
    remove(temporary)
    throw error
  }
  // If the name could not be removed, the caller must know.
  if (wanted.kind === 'absent' && lstatSync(path, { throwIfNoEntry: false }) !== undefined) throw notRemoved(path)
  syncDirectory(dirname(path))
}

function makeLink(path: string, { target, uid, gid }: Extract<Captured, { kind: 'link' }>): void {
  symlinkSync(target, path)
  if (process.geteuid?.() === 0) lchownSync(path, uid, gid)
}

function makeFile(path: string, { content, mode, uid, gid, mtimeMs }: CapturedFile): void {
  writeNew(path, Buffer.from(content, 'base64'), mode & 0o777, true)
  if (process.geteuid?.() === 0) chownSync(path, uid, gid)
  // chown(2) clears the set-user-ID bits.
  if (mode > 0o777) chmodSync(path, mode)
  if (mtimeMs !== undefined) utimesSync(path, mtimeMs / 1000, mtimeMs / 1000)
}

function notRemoved(path: string): EnigmError {
  return new EnigmError('state', `${path} could not be removed`)
}

/** The missing directories above `path`, the outermost first. `makeParents` makes them. */
export function missingParents(path: string): readonly string[] {
  const above = dirname(path)
  if (above === path || lstatSync(above, { throwIfNoEntry: false }) !== undefined) return []
  return [...missingParents(above), above]
}

/**
 * Makes the directories above `path` (0755), and syncs them to disk before it returns. Throws the
 * system's error.
 */
export function makeParents(path: string): void {
  const missing = missingParents(path)
  if (missing.length === 0) return
  makeDirectory(dirname(path), 0o755)
  for (const made of missing) syncDirectory(dirname(made))
}

/** Removes an empty directory. Never throws: a directory that is not empty stays. */
export function removeEmpty(directory: string): void {
  try {
    rmdirSync(directory)
    syncDirectory(dirname(directory))
  } catch {
    // It is not empty, or does not exist.
  }
}

/**
 * Why a file cannot be replaced: EPERM (an immutable file or directory), EROFS or EACCES.
 * Undefined: it can be replaced, or its directory must be made first. Changes nothing.
 */
export function replacementFault(path: string): string | undefined {
  const probe = join(dirname(path), `.${process.pid}.enigm-dns.tmp`)
  try {
    const found = lstatSync(path, { throwIfNoEntry: false })
    // The kernel refuses to open an immutable file for writing, even for root (chattr(1)).
    if (found?.isFile() === true) closeSync(openSync(path, constants.O_WRONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK))
    writeNew(probe, '', 0o600)
    return undefined
  } catch (error) {
    return isAbsence(error) && missingParents(path).length > 0 ? undefined : (systemCode(error) ?? 'unknown error')
  } finally {
    remove(probe)
  }
}

/** The sorted names of the files in a directory. Empty if it does not exist. Never throws. */
export function filesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory).toSorted()
  } catch {
    return []
  }
}
