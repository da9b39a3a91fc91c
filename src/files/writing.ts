import * as nodeFs from 'node:fs'
import { type FileHandle, open, rename } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { EnigmError, systemCode } from '../errors.ts'
import { isAbsence } from './reading.ts'
import { owners, writingFaults } from './trust.ts'

/** The file system calls of this module. Tests can make each of them fail. */
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
 * The path of a temporary file for `path`. It is in the same directory, so that a rename is one
 * step. `sweep` recognizes it.
 */
export function temporaryOf(path: string, pid: number = process.pid): string {
  return `${path}.${pid}.tmp`
}

/** Open flags for a new file. They never open an existing object or link. */
const EXCLUSIVE = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW

/**
 * Makes a file that must not exist yet. The umask is ignored. `durable`: the file is synced to disk
 * before this function returns. Throws the system's error.
 */
export function writeNew(path: string, content: string | Uint8Array, mode: number, durable = false, fs: FileCalls = nodeFs): void {
  const fd = fs.openSync(path, EXCLUSIVE, mode)
  try {
    fs.fchmodSync(fd, mode)
    const octets = typeof content === 'string' ? Buffer.from(content) : content
    for (let done = 0; done < octets.length; ) done += fs.writeSync(fd, octets, done)
    if (durable) fs.fsyncSync(fd)
  } catch (error) {
    // On a full disk an empty file would stay.
    remove(path, fs)
    throw error
  } finally {
    fs.closeSync(fd)
  }
}

/**
 * Opens a new file for content that is written in parts. Rejects if the file exists. The caller
 * closes it.
 */
export function createNew(path: string, mode: number): Promise<FileHandle> {
  return open(path, EXCLUSIVE, mode)
}

/**
 * Syncs a finished temporary file and renames it to `path`. Rejects with the system's error.
 */
export async function putInPlace(temporary: string, path: string): Promise<void> {
  await rename(temporary, path)
  syncDirectory(dirname(path))
}

/**
 * Replaces a whole file. At any moment a reader finds the old or the new one, even after a kill.
 * `outlives`: what the content must survive. If it must survive the boot, the file is synced, so
 * this holds after a power cut too. Other content need not wait for a disk. Throws the system's
 * error.
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
 * Replaces the content of a user's file, as `replaceFile` does. It keeps the mode and the owner. A
 * link stays, and its target is replaced. Throws the system's error: EPERM if the owner cannot be
 * kept.
 */
export function rewriteFile(path: string, content: string): void {
  const real = nodeFs.realpathSync(path)
  const { mode, uid, gid } = nodeFs.statSync(real)
  const temporary = temporaryOf(real)
  remove(temporary)
  try {
    writeNew(temporary, content, mode & 0o7777, true)
    const made = nodeFs.statSync(temporary)
    if (made.uid !== uid || made.gid !== gid) {
      nodeFs.chownSync(temporary, uid, gid)
      // A change of owner clears some bits of the mode.
      nodeFs.chmodSync(temporary, mode & 0o7777)
    }
    nodeFs.renameSync(temporary, real)
  } catch (error) {
    remove(temporary)
    throw error
  }
  syncDirectory(dirname(real))
}

/**
 * Makes a file (0600) with the result of `make`, if it does not exist. The complete file is linked
 * with link(2). So if two processes start together, one of them wins, and nobody ever reads half a
 * key. An existing object of any kind stays. Throws the system's error.
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
 * Opens a file for appending. It is made (0600) if it does not exist. Follows no link, and does not
 * wait for the reader of a FIFO. Throws the system's error.
 */
export function openToAppend(path: string, fs: FileCalls = nodeFs): number {
  return fs.openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600)
}

/**
 * Syncs a directory, so that a new or removed name is on disk. Some file systems cannot do this;
 * they may lose the last change.
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
    // The file system cannot sync a directory.
  }
}

/**
 * Makes a directory with this mode, and those above it. Returns false if it exists. Node's
 * `recursive` is not used: under /proc, where mkdir always returns ENOENT, Node 20 repeats the same
 * two calls forever. Throws the system's error.
 */
export function makeDirectory(directory: string, mode: number, fs: FileCalls = nodeFs): boolean {
  try {
    fs.mkdirSync(directory, { mode })
  } catch (error) {
    const code = systemCode(error)
    // If it is not a directory, opening a file in it will fail.
    if (code === 'EEXIST') return false
    if (code !== 'ENOENT' || dirname(directory) === directory || !makeDirectory(dirname(directory), mode, fs)) throw error
    fs.mkdirSync(directory, { mode })
  }
  setMode(directory, mode, fs)
  return true
}

/**
 * Gives a directory of root, or a file of root with one name, to another user. It uses a
 * descriptor. An object of another owner stays as it is. Throws the system's error.
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

/**
 * Gives files of a directory to its owner, so that root does not lock out the service. Files that
 * are absent are left out. Returns false if this failed.
 */
export function giveToOwner(directory: string, paths: readonly string[]): boolean {
  try {
    const { uid, gid } = nodeFs.statSync(directory)
    if (process.geteuid?.() !== 0 || uid === 0) return true
    for (const path of paths) if (nodeFs.statSync(path, { throwIfNoEntry: false }) !== undefined) giveTo(path, { uid, gid })
    return true
  } catch {
    return false
  }
}

/** An unnamed file in a directory: open(2). Node does not export this flag of Linux. */
const O_TMPFILE = 0o20000000 | O_DIRECTORY
/** Writing it shows whether there is space. */
const PROBE = Buffer.alloc(4096)
/** File systems of the kernel in which no file can be made, by the magic numbers of statfs(2). */
const KERNEL_TREES: ReadonlyMap<number, string> = new Map([
  [0x9fa0, 'ENOENT'],
  [0x62656572, 'EPERM'],
])

/**
 * The system's error code if this process could not write a new file in `directory`, or in the
 * nearest directory above it that exists. Undefined: it could. Changes nothing: the file that it
 * tries on Linux has no name. Never throws.
 */
export function directoryFault(directory: string): string | undefined {
  try {
    let at = directory
    while (nodeFs.statSync(at, { throwIfNoEntry: false }) === undefined && dirname(at) !== at) at = dirname(at)
    nodeFs.accessSync(at, nodeFs.constants.W_OK | nodeFs.constants.X_OK)
    const special = KERNEL_TREES.get(nodeFs.statfsSync(at).type)
    return special ?? (nodeFs.constants.O_NOATIME === undefined ? undefined : unnamedFault(at))
  } catch (error) {
    return systemCode(error) ?? 'unknown error'
  }
}

/**
 * The system's error code if this process could not append to the file `path`, or make it.
 * Undefined: it could. Changes nothing. Never throws.
 */
export function appendFault(path: string): string | undefined {
  try {
    if (nodeFs.lstatSync(path, { throwIfNoEntry: false }) !== undefined) nodeFs.closeSync(openToAppend(path))
    return directoryFault(dirname(path))
  } catch (error) {
    return systemCode(error) ?? 'unknown error'
  }
}

/** See `directoryFault`. Some file systems cannot make a file without a name. */
function unnamedFault(directory: string): string | undefined {
  try {
    const fd = nodeFs.openSync(directory, O_TMPFILE | O_WRONLY, 0o600)
    try {
      nodeFs.writeSync(fd, PROBE)
    } finally {
      nodeFs.closeSync(fd)
    }
  } catch (error) {
    const code = systemCode(error) ?? 'unknown error'
    return ['ENOTSUP', 'EOPNOTSUPP', 'EISDIR', 'EINVAL', 'ENOENT'].includes(code) ? undefined : code
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

/** Whether this process may not read a file that may exist. False: it may, or there is none. */
export function isDenied(path: string): boolean {
  try {
    nodeFs.closeSync(nodeFs.openSync(path, O_RDONLY | O_NONBLOCK))
    return false
  } catch (error) {
    return !isAbsence(error)
  }
}

/** Removes the access of all users but the owner from a directory. See `setMode`. */
export function closeDirectory(directory: string): void {
  setMode(directory, 0o700)
}

/**
 * Sets the mode of a directory. The umask is ignored. It uses a descriptor, so that the directory
 * cannot be exchanged meanwhile, and follows no link. Does nothing if the system has no numeric
 * users. Throws the system's error.
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
 * Removes temporary files of `path` that killed processes left. If it removes the file of a living
 * writer, that writer fails once and tries again. Never throws.
 */
export function sweep(path: string, fs: FileCalls = nodeFs): void {
  try {
    const left = new RegExp(`^${basename(path).replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}\\.\\d+\\.tmp$`)
    for (const name of fs.readdirSync(dirname(path))) if (left.test(name)) remove(join(dirname(path), name), fs)
  } catch {
    // A directory that cannot be listed may still be writable.
  }
}

/**
 * Removes the temporary files of ended processes in a directory of ours. `bases`: only those of
 * these files. Files with the number of this process are of an earlier one, so it must be called
 * before the first write. Never throws.
 */
export function sweepEnded(directory: string, bases?: readonly string[]): void {
  try {
    for (const name of nodeFs.readdirSync(directory)) {
      const [, base, pid] = /^(.+)\.(\d+)\.tmp$/.exec(name) ?? []
      if (base === undefined || bases?.includes(base) === false || lives(Number(pid))) continue
      remove(join(directory, name))
    }
  } catch {
    // A directory that cannot be listed may still be writable.
  }
}

function lives(pid: number): boolean {
  if (pid === process.pid) return false
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return systemCode(error) !== 'ESRCH'
  }
}

/**
 * Removes a name. Never throws: in most cases the name does not exist, and any other error shows
 * when it is opened.
 */
export function remove(path: string, fs: Pick<FileCalls, 'unlinkSync'> = nodeFs): void {
  try {
    fs.unlinkSync(path)
  } catch {
    // Usually it does not exist.
  }
}

/**
 * Makes the directory `path` (0700), or uses an existing one in which only our user and root can
 * change files. If it is ours and others may enter it, their access is removed. Throws an
 * EnigmError `state` if another user could replace its files, or if it cannot be made.
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

/** Makes an EnigmError `state` for a system error. It holds only the error's code. */
export function unusablePath(path: string, error: unknown): EnigmError {
  return new EnigmError('state', `${path} cannot be used (${systemCode(error) ?? 'unknown error'})`, { cause: error })
}
