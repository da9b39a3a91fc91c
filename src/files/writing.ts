import * as nodeFs from 'node:fs'
import { type FileHandle, open, rename } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { EnigmError, systemCode } from '../errors.ts'
import { owners, writingFaults } from './trust.ts'

/** The calls that are made here, so that a test can make each of them fail. */
export type FileCalls = Pick<
  typeof nodeFs,
  | 'openSync'
  | 'fchmodSync'
  | 'writeSync'
  | 'fsyncSync'
  | 'closeSync'
  | 'renameSync'
  | 'mkdirSync'
  | 'unlinkSync'
  | 'readdirSync'
  | 'fstatSync'
>

/** The calls of the system. */
export const systemCalls: FileCalls = nodeFs

const { O_WRONLY, O_RDONLY, O_CREAT, O_EXCL, O_APPEND, O_NOFOLLOW, O_NONBLOCK, O_DIRECTORY } = nodeFs.constants

/**
 * The name under which a file is made before it takes its place: beside it, so that a rename is one
 * step. `sweep` knows it again.
 */
export function temporaryOf(path: string, pid: number = process.pid): string {
  return `${path}.${pid}.tmp`
}

/** For a file that must not be there: never opens what somebody laid there, link or not. */
const EXCLUSIVE = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW

/**
 * Makes a file that must not be there, whatever the umask. `durable`: it is on the disk before this
 * returns. Throws the system's error.
 */
export function writeNew(path: string, content: string | Uint8Array, mode: number, durable = false, fs: FileCalls = nodeFs): void {
  const fd = fs.openSync(path, EXCLUSIVE, mode)
  try {
    fs.fchmodSync(fd, mode)
    const octets = typeof content === 'string' ? Buffer.from(content) : content
    for (let done = 0; done < octets.length; ) done += fs.writeSync(fd, octets, done)
    if (durable) fs.fsyncSync(fd)
  } finally {
    fs.closeSync(fd)
  }
}

/**
 * As `writeNew`, for what is written bit by bit: rejects where the file is there, and is then
 * closed by the caller.
 */
export function createNew(path: string, mode: number): Promise<FileHandle> {
  return open(path, EXCLUSIVE, mode)
}

/**
 * Has a finished temporary file take the place of `path`, for good. Rejects with the system's
 * error.
 */
export async function putInPlace(temporary: string, path: string): Promise<void> {
  await rename(temporary, path)
  syncDirectory(dirname(path))
}

/**
 * Replaces a file whole: a reader or a kill finds the old one or the new one. `outlives`: a power
 * cut finds one of them too, since it is on the disk before this returns; what is true of one boot
 * alone need not wait for a disk. Throws the system's error.
 */
export function replaceFile(
  path: string,
  content: string | Uint8Array,
  mode: number,
  outlives: 'the boot' | 'the process' = 'the boot',
): void {
  const temporary = temporaryOf(path)
  remove(temporary)
  try {
    writeNew(temporary, content, mode, outlives === 'the boot')
    nodeFs.renameSync(temporary, path)
  } catch (error) {
    remove(temporary)
    throw error
  }
  if (outlives === 'the boot') syncDirectory(dirname(path))
}

/**
 * Makes a file (0600) with what `make` gives, where there is none. By link(2) of a whole file: of
 * two processes that start together one wins, and nobody ever reads half a key. What is there is
 * left, whatever it is. Throws the system's error.
 */
export function makeOnce(file: string, make: () => Uint8Array | string): void {
  if (nodeFs.lstatSync(file, { throwIfNoEntry: false }) !== undefined) return
  const temporary = temporaryOf(file)
  remove(temporary)
  writeNew(temporary, make(), 0o600, true)
  try {
    nodeFs.linkSync(temporary, file)
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error
  } finally {
    remove(temporary)
  }
  syncDirectory(dirname(file))
}

/**
 * A descriptor that adds to a file, made (0600) if it is not there. Neither follows a link nor
 * waits for the reader of a FIFO. Throws the system's error.
 */
export function openToAppend(path: string, fs: FileCalls = nodeFs): number {
  return fs.openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600)
}

/**
 * A new name, or the end of one, is on the disk with this. Some file systems cannot do it for a
 * directory, and lose no more than the last change.
 */
export function syncDirectory(directory: string): void {
  try {
    const fd = nodeFs.openSync(directory, O_RDONLY | O_DIRECTORY)
    try {
      nodeFs.fsyncSync(fd)
    } finally {
      nodeFs.closeSync(fd)
    }
  } catch {
    // See above.
  }
}

/**
 * Makes a directory of this mode and those above it; false if it was there. Not `recursive`: under
 * /proc, where mkdir says ENOENT whatever is above, Node 20's makes the same two calls for ever.
 * Throws the system's error.
 */
export function makeDirectory(directory: string, mode: number, fs: FileCalls = nodeFs): boolean {
  try {
    fs.mkdirSync(directory, { mode })
  } catch (error) {
    const code = systemCode(error)
    // Whether it is a directory shows when a file is opened in it.
    if (code === 'EEXIST') return false
    if (code !== 'ENOENT' || dirname(directory) === directory || !makeDirectory(dirname(directory), mode, fs)) throw error
    fs.mkdirSync(directory, { mode })
  }
  setMode(directory, mode, fs)
  return true
}

/**
 * Gives a directory, or a file with one name, that belongs to root to another user, through its
 * descriptor; what belongs to somebody else stays. Throws the system's error.
 */
export function giveTo(path: string, { uid, gid }: { readonly uid: number; readonly gid: number }): void {
  const fd = nodeFs.openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  try {
    const found = nodeFs.fstatSync(fd)
    const given = found.isDirectory() || (found.isFile() && found.nlink === 1)
    if (found.uid === 0 && given) nodeFs.fchownSync(fd, uid, gid)
  } finally {
    nodeFs.closeSync(fd)
  }
}

/** Whether this process may read a file or list a directory. Never throws. */
export function isReadable(path: string): boolean {
  try {
    nodeFs.closeSync(nodeFs.openSync(path, O_RDONLY | O_NONBLOCK))
    return true
  } catch {
    return false
  }
}

/** Closes a directory to everybody but its owner. As `setMode`. */
export function closeDirectory(directory: string): void {
  setMode(directory, 0o700)
}

/**
 * Sets the mode of a directory, whatever the umask; through its descriptor, so that it cannot be
 * exchanged meanwhile, and not through a link. Does nothing where there are no numeric users.
 * Throws the system's error.
 */
export function setMode(directory: string, mode: number, fs: FileCalls = nodeFs): void {
  if (process.getuid === undefined) return
  const fd = fs.openSync(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
  try {
    fs.fchmodSync(fd, mode)
  } finally {
    fs.closeSync(fd)
  }
}

/**
 * Takes away temporary files of `path` that killed processes left. One that a living writer is
 * about to rename costs it one failed try. Never throws.
 */
export function sweep(path: string, fs: FileCalls = nodeFs): void {
  try {
    const left = new RegExp(`^${basename(path).replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}\\.\\d+\\.tmp$`)
    for (const name of fs.readdirSync(dirname(path))) if (left.test(name)) remove(join(dirname(path), name), fs)
  } catch {
    // A directory that cannot be listed can still be written to.
  }
}

/**
 * Takes a name away. Never throws: mostly it is not there, and what else is wrong shows when it is
 * opened.
 */
export function remove(path: string, fs: Pick<FileCalls, 'unlinkSync'> = nodeFs): void {
  try {
    fs.unlinkSync(path)
  } catch {
    // See above.
  }
}

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
