import { lstatSync, readlinkSync, type Stats, statSync } from 'node:fs'
import { dirname, isAbsolute, join, resolve, sep } from 'node:path'

/**
 * Numeric ids of trusted users; undefined if the system has none, because then the modes that Node
 * reports are meaningless.
 */
export type Owners = ReadonlySet<number> | undefined

/** Root, the effective user, and the given ones. */
export function owners(...more: readonly number[]): Owners {
  const uid = process.geteuid?.()
  return uid === undefined ? undefined : new Set([0, uid, ...more])
}

/** The result of following a path. */
export interface Walked {
  /** The path without links. */
  readonly real: string
  /** The object there; undefined: nothing. */
  readonly stats: Stats | undefined
  /**
   * Who besides the owners could put another object there: one clause each, with its fix. The
   * object itself is not judged.
   */
  readonly faults: readonly string[]
}

/** The limit of Linux (path_resolution(7)). */
const MAX_LINKS = 40
const OTHERS_WRITE = 0o022
const STICKY = 0o1000

/**
 * Follows an absolute path as the system does, and judges every directory and every link on the
 * way, on the path as named and as resolved. Each must belong to one of `allowed`, and nobody else
 * may write a directory unless it is sticky. Throws the system's error.
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
 * Why others could replace objects in this directory, each as a sentence without its final dot that
 * begins with the path. A sticky directory is accepted.
 */
function directoryFaults(path: string, { uid, mode }: Stats, allowed: Owners): readonly string[] {
  const faults: string[] = []
  if (!standsForRoot(uid, allowed)) faults.push(`${path}, which belongs to user ${uid}; run: chown ${newOwner()} ${path}`)
  else if (allowed !== undefined && (mode & OTHERS_WRITE) !== 0 && (mode & STICKY) === 0)
    faults.push(`${path}, which others can write; run: chmod go-w ${path}`)
  return faults
}

/**
 * Why somebody else could have written a trusted file, as clauses with their fix that follow the
 * file's name. More than one link is accepted: some package managers share files in this way.
 */
export function fileFaults(path: string, { uid, mode }: Pick<Stats, 'uid' | 'mode'>, allowed: Owners): readonly string[] {
  if (allowed === undefined) return []
  const faults: string[] = []
  if (!allowed.has(uid)) faults.push(`belongs to user ${uid}, who can change it; run: chown ${newOwner()} ${path}`)
  if ((mode & OTHERS_WRITE) !== 0) faults.push(`is writable by group or others; run: chmod go-w ${path}`)
  return faults
}

/**
 * Why a directory is not safe for writing, as sentences without their final dot. The directories
 * above it are judged as in `walk`; the directory itself must be writable by its owner alone,
 * sticky or not, because in a sticky one others can create names in advance. A missing directory is
 * judged by those above it.
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

/** A directory for everybody, such as /tmp: a stricter mode would break other programs. */
function isShared({ mode }: Stats): boolean {
  return (mode & STICKY) !== 0
}

/**
 * The owner of / can replace every program: in a user namespace that is root with another number.
 * Only for directories and links, because in the namespace that number also means every user
 * without a mapping (user_namespaces(7)).
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
 * Whether a user could read `path`, by the modes of it and of the directories above (access control
 * lists are not checked). A path that does not exist counts as readable.
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
