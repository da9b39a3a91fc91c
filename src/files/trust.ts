import { lstatSync, readlinkSync, type Stats, statSync } from 'node:fs'
import { dirname, isAbsolute, join, resolve, sep } from 'node:path'

/**
 * The numeric ids of trusted users. Undefined: the system has no numeric users, so the modes that
 * Node reports are meaningless.
 */
export type Owners = ReadonlySet<number> | undefined

/** The ids of root, the effective user, and the given users. */
export function owners(...more: readonly number[]): Owners {
  const uid = process.geteuid?.()
  return uid === undefined ? undefined : new Set([0, uid, ...more])
}

/** The result of following a path. */
export interface Walked {
  /** The path without links. */
  readonly real: string
  /** The object at the path. Undefined: there is none. */
  readonly stats: Stats | undefined
  /**
   * Clauses about other users who could replace the object, each with the fix. The object itself is
   * not checked.
   */
  readonly faults: readonly string[]
}

/** Limit of links on a path, as on Linux (path_resolution(7)). */
const MAX_LINKS = 40
const OTHERS_WRITE = 0o022
const STICKY = 0o1000

/**
 * Follows an absolute path as the system does. It checks every directory and every link on the path
 * as named and as resolved. Each must belong to one of `allowed`. No other user may write a
 * directory unless it is sticky. Throws the system's error.
 */
export function walk(path: string, allowed: Owners): Walked {
  const faults = new Set<string>()
  const rest = componentsOf(resolve(path))
  let real = '/'
  let links = 0
  for (;;) {
    if (rest.length > 0) for (const fault of directoryFaults(real, lstatSync(real), allowed)) faults.add(`lies below ${fault}`)
    const name = rest.shift()
    if (name === undefined) return { real, stats: lstatSync(real, { throwIfNoEntry: false }), faults: [...faults] }
    if (name === '..') {
      real = dirname(real)
      continue
    }
    const here = join(real, name)
    const stats = lstatSync(here, { throwIfNoEntry: false })
    if (stats?.isSymbolicLink() === true) {
      if (++links > MAX_LINKS) throw Object.assign(new Error('too many links'), { code: 'ELOOP' })
      if (!standsForRoot(stats.uid, allowed))
        faults.add(`is reached through the link ${here}, which belongs to user ${stats.uid}; run: chown -h ${newOwner()} ${here}`)
      const target = readlinkSync(here)
      if (isAbsolute(target)) real = '/'
      rest.unshift(...componentsOf(target))
      continue
    }
    real = here
    if (rest.length > 0 && stats?.isDirectory() === false) throw Object.assign(new Error('not a directory'), { code: 'ENOTDIR' })
    if (rest.length > 0 && stats === undefined) return { real: join(here, ...rest), stats: undefined, faults: [...faults] }
  }
}

/**
 * Says why others could replace objects in this directory: sentences without their final dot that
 * begin with the path. A sticky directory is accepted.
 */
function directoryFaults(path: string, { uid, mode }: Stats, allowed: Owners): readonly string[] {
  const faults: string[] = []
  if (!standsForRoot(uid, allowed)) faults.push(`${path}, which belongs to user ${uid}; run: chown ${newOwner()} ${path}`)
  else if (allowed !== undefined && (mode & OTHERS_WRITE) !== 0 && (mode & STICKY) === 0)
    faults.push(`${path}, which others can write; run: chmod go-w ${path}`)
  return faults
}

/**
 * Says why another user could have written a trusted file: clauses with the fix that follow the
 * name of the file. More than one hard link is accepted, because some package managers share files
 * in this way.
 */
export function fileFaults(path: string, { uid, mode }: Pick<Stats, 'uid' | 'mode'>, allowed: Owners): readonly string[] {
  if (allowed === undefined) return []
  const faults: string[] = []
  if (!allowed.has(uid)) faults.push(`belongs to user ${uid}, who can change it; run: chown ${newOwner()} ${path}`)
  if ((mode & OTHERS_WRITE) !== 0) faults.push(`is writable by group or others; run: chmod go-w ${path}`)
  return faults
}

/**
 * Says why a directory is not safe for writing: sentences without their final dot. The directories
 * above it are checked as in `walk`. Only the owner may write the directory itself, even if it is
 * sticky, because in a sticky directory others can create names in advance. For a missing directory
 * only those above it are checked.
 */
export function writingFaults(directory: string, allowed: Owners): readonly string[] {
  const { stats, real, faults } = walk(directory, allowed)
  const above = faults.map((fault) => `${directory} ${fault}`)
  if (stats === undefined) return above
  if (!stats.isDirectory()) return [...above, `${directory} is not a directory; name another place`]
  if (allowed === undefined) return above
  const own: string[] = []
  if (!allowed.has(stats.uid)) own.push(`${directory} belongs to user ${stats.uid}, not to us; run: chown ${newOwner()} ${real}`)
  if ((stats.mode & OTHERS_WRITE) !== 0)
    own.push(`${directory} can be written by others; ${isShared(stats) ? 'name a directory below it' : `run: chmod go-w ${real}`}`)
  return [...above, ...own]
}

/**
 * Whether all users share a directory, such as /tmp. A stricter mode would break other programs.
 */
function isShared({ mode }: Stats): boolean {
  return (mode & STICKY) !== 0
}

/**
 * Whether a user is root with another number, as in a user namespace. It is the owner of /, who can
 * replace every program. Use it for directories and links only: in the namespace this number also
 * means every user without a mapping (user_namespaces(7)).
 */
function standsForRoot(uid: number, allowed: Owners): boolean {
  return allowed === undefined || allowed.has(uid) || uid === lstatSync('/').uid
}

function newOwner(): string {
  const uid = process.geteuid?.() ?? 0
  return uid === 0 ? 'root' : String(uid)
}

function componentsOf(path: string): string[] {
  return path.split(sep).filter((name) => name !== '' && name !== '.')
}

/**
 * Whether a user can read `path`, according to the modes of the path and of the directories above
 * it. Access control lists are not checked. A missing path counts as readable.
 */
export function isReadableBy(
  path: string,
  account: { readonly uid: number; readonly gid: number; readonly groups: readonly number[] },
): boolean {
  const may = (name: string, right: number) => {
    const found = statSync(name, { throwIfNoEntry: false })
    if (found === undefined || account.uid === 0) return true
    const shift = found.uid === account.uid ? 6 : found.gid === account.gid || account.groups.includes(found.gid) ? 3 : 0
    return ((found.mode >> shift) & right) === right
  }
  const isDirectory = statSync(path, { throwIfNoEntry: false })?.isDirectory() === true
  const above: string[] = []
  for (let at = dirname(path); ; at = dirname(at)) {
    above.push(at)
    if (at === dirname(at)) break
  }
  return above.every((directory) => may(directory, 1)) && may(path, isDirectory ? 5 : 4)
}
