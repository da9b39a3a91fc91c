import { closeSync, constants, fstatSync, openSync, readlinkSync, readSync, type Stats, statSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { systemCode } from '../errors.ts'
import { type Owners, owners } from './trust.ts'

/**
 * Checks the attributes of an opened file. Returns a clause that says why it is refused; it follows
 * the name of the file. Undefined: it is accepted.
 */
export type FileCheck = (found: Stats) => string | undefined

/** Open flags. Non-blocking, so that a FIFO without a writer does not block the process. */
const READ = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY

/**
 * Reads a whole file of at most `maxOctets`. A returned text says why it is refused. Mode and
 * content come from the same descriptor, so the checked file is the one that is read. Only regular
 * files are accepted. `followed`: whether the last component may be a link. Throws the system's
 * error.
 */
export function readSmall(path: string, maxOctets: number, judge: FileCheck, followed = true): Buffer | string {
  const fd = openSync(path, followed ? READ : READ | constants.O_NOFOLLOW)
  try {
    const found = fstatSync(fd)
    const why = notPlain(found, maxOctets) ?? judge(found)
    if (why !== undefined) return why
    const octets = Buffer.alloc(found.size)
    let done = 0
    for (let n = 1; n > 0 && done < octets.length; done += n) n = readSync(fd, octets, done, octets.length - done, null)
    return octets.subarray(0, done)
  } finally {
    closeSync(fd)
  }
}

/** The size of a part in octets. */
const PART_OCTETS = 65_536

/**
 * Reads a file of at most `maxOctets` in parts, so that a large file needs little memory. Each part
 * is valid until `take` returns. The checks are those of `readSmall`. Returns why the file is
 * refused. Undefined: all of it was read. Throws the system's error, or that of `take`.
 */
export function readParts(path: string, maxOctets: number, judge: FileCheck, take: (part: Uint8Array) => void): string | undefined {
  const fd = openSync(path, READ)
  try {
    const found = fstatSync(fd)
    const why = notPlain(found, maxOctets) ?? judge(found)
    if (why !== undefined) return why
    const part = Buffer.allocUnsafe(PART_OCTETS)
    let done = 0
    for (let n = readSync(fd, part); n > 0; n = readSync(fd, part)) {
      done += n
      // The file may grow while it is read.
      if (done > maxOctets) return tooLarge(maxOctets)
      take(part.subarray(0, n))
    }
    return undefined
  } finally {
    closeSync(fd)
  }
}

/**
 * Reads one of our files as `readSmall` does, but never through a link. Undefined: it does not
 * exist. Throws the system's error.
 */
export function readUnlinked(path: string, maxOctets: number, judge: FileCheck): Buffer | string | undefined {
  try {
    return readSmall(path, maxOctets, judge, false)
  } catch (error) {
    if (isAbsence(error)) return undefined
    if (systemCode(error) === 'ELOOP') return 'is a link, not a file of ours (ELOOP)'
    throw error
  }
}

/**
 * Opens a larger file with the checks of `readSmall`. The caller closes it. A text says why it is
 * refused. Rejects with the system's error.
 */
export async function openChecked(path: string, maxOctets: number, judge: FileCheck, followed = true): Promise<FileHandle | string> {
  const handle = await open(path, followed ? READ : READ | constants.O_NOFOLLOW)
  try {
    const found = await handle.stat()
    const why = notPlain(found, maxOctets) ?? judge(found)
    if (why === undefined) return handle
    await handle.close()
    return why
  } catch (error) {
    await handle.close().catch(() => {})
    throw error
  }
}

/** What something is that should be a regular file, as a clause after its name. */
export const notRegular = (found: Stats) => (found.isDirectory() ? 'is a directory, not a regular file' : 'is not a regular file')

function notPlain(found: Stats, maxOctets: number): string | undefined {
  if (!found.isFile()) return notRegular(found)
  return found.size > maxOctets ? tooLarge(maxOctets) : undefined
}

const tooLarge = (maxOctets: number) => `is larger than ${maxOctets} octets`

/** Accepts a file of any owner. */
export const anyOwner: FileCheck = () => undefined

/**
 * Accepts a file that only our user or root can have written: it belongs to one of them, has one
 * name, and others cannot write it.
 */
export const ownFile: FileCheck = (found) => ownershipFault(found, owners())

/**
 * As `ownFile`. For root also a file of the owner of `directory`, to whom a service with a `user`
 * gave it: they can replace every file there anyway.
 */
export function ownFileIn(directory: string): FileCheck {
  const owner = process.geteuid?.() === 0 ? statSync(directory, { throwIfNoEntry: false })?.uid : undefined
  return (found) => ownershipFault(found, owners(...(owner === undefined ? [] : [owner])))
}

/** Accepts a file that only our user or root can have written or read. */
export const secretFile: FileCheck = (found) =>
  ownershipFault(found, owners()) ?? (owners() !== undefined && (found.mode & 0o077) !== 0 ? 'may be read by others' : undefined)

/** Why others than `allowed` could have written a file. Undefined: they could not. */
export function ownershipFault({ uid, mode, nlink }: Pick<Stats, 'uid' | 'mode' | 'nlink'>, allowed: Owners): string | undefined {
  if (allowed === undefined) return undefined
  if (!allowed.has(uid)) return `belongs to user ${uid}, not to us`
  if ((mode & 0o022) !== 0) return 'may be written by others'
  // With a second name in another directory, another user could keep a file that we removed, or
  // make us write to a file of a third user.
  return nlink > 1 ? 'has more than one name (a hard link)' : undefined
}

/** Whether a system error means that the file does not exist. */
export function isAbsence(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')
}

/**
 * Limit for `textOf`. Files of the kernel or of a package are much smaller, but a router's table of
 * routes may have a million lines.
 */
export const MAX_TEXT_OCTETS = 65_536
/** The shared read buffer. Its text is copied at once. */
const octets = Buffer.allocUnsafeSlow(MAX_TEXT_OCTETS)

/**
 * Reads the first 64 KiB of a system file (/proc, /sys, /etc) as text. Undefined: it cannot be
 * read. Never throws, and does not wait for the writer of a FIFO.
 */
export function textOf(file: string): string | undefined {
  let fd: number | undefined
  try {
    fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK)
    let length = 0
    for (let n = -1; n !== 0 && length < octets.length; length += n) n = readSync(fd, octets, length, octets.length - length, null)
    return octets.toString('latin1', 0, length)
  } catch {
    return undefined
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}

/** The target of a system link such as /proc/self/ns/net. Undefined: it cannot be read. */
export function targetOf(link: string): string | undefined {
  try {
    return readlinkSync(link)
  } catch {
    return undefined
  }
}
