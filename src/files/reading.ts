import { closeSync, constants, fstatSync, openSync, readlinkSync, readSync, type Stats } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { systemCode } from '../errors.ts'
import { type Owners, owners } from './trust.ts'

/** Why a file that was opened is not taken, as a clause that follows its name; undefined: it is. */
export type FileCheck = (found: Stats) => string | undefined

/** Non-blocking, so that a FIFO without a writer holds nobody. */
const READ = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY

/**
 * A file of at most `maxOctets`, read whole; a text says why it is not taken. What is judged is
 * what is read: mode and octets come from one descriptor. Anything but a regular file is refused.
 * `followed`: whether the last component may be a link. Throws the system's error.
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

/**
 * A file of ours as `readSmall` has it, never through a link; undefined: there is none. Throws the
 * system's error.
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
 * A descriptor for a larger file, judged as `readSmall` judges; the caller closes it. Rejects with
 * the system's error.
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

function notPlain(found: Stats, maxOctets: number): string | undefined {
  if (!found.isFile()) return 'is not a regular file'
  return found.size > maxOctets ? `is larger than ${maxOctets} octets` : undefined
}

/** Takes anybody's file. */
export const anyOwner: FileCheck = () => undefined

/** Takes what only we or root can have written: our own, with one name, writable by nobody else. */
export const ownFile: FileCheck = (found) => ownershipFault(found, owners())

/** Takes what only we or root can have written or read. */
export const secretFile: FileCheck = (found) =>
  ownershipFault(found, owners()) ?? (owners() !== undefined && (found.mode & 0o077) !== 0 ? 'may be read by others' : undefined)

/** Why `found` is not a file that one of `allowed` made for itself. */
export function ownershipFault({ uid, mode, nlink }: Pick<Stats, 'uid' | 'mode' | 'nlink'>, allowed: Owners): string | undefined {
  if (allowed === undefined) return undefined
  if (!allowed.has(uid)) return `belongs to user ${uid}, not to us`
  if ((mode & 0o022) !== 0) return 'may be written by others'
  // A second name in another directory lets its owner keep what we take for gone, or have us write
  // what is somebody else's.
  return nlink > 1 ? 'has more than one name (a hard link)' : undefined
}

/** Whether a system error says that nothing is there. */
export function isAbsence(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')
}

/**
 * What the kernel or a package keeps in these files is far smaller; but a router's table of routes
 * may have a million lines.
 */
export const MAX_TEXT_OCTETS = 65_536
/** Read into and copied out of at once. */
const octets = Buffer.allocUnsafeSlow(MAX_TEXT_OCTETS)

/**
 * The first 64 KiB of a file of the system's (/proc, /sys, /etc) as text; undefined where it cannot
 * be read. Never throws, and does not wait for the writer of a FIFO.
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

/** Where a link of the system's leads, as /proc/self/ns/net; undefined where it cannot be read. */
export function targetOf(link: string): string | undefined {
  try {
    return readlinkSync(link)
  } catch {
    return undefined
  }
}
