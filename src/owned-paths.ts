import { lstatSync, readdirSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { Loaded } from './config/load.ts'
import { EnigmError, systemCode } from './errors.ts'
import { anyOwner, notRegular, ownershipFault, textOf } from './files/reading.ts'
import { foreignSocket } from './files/socket.ts'
import { type Owners, owners, walk, writingFaults } from './files/trust.ts'
import { closeDirectory, giveTo, isReadable, makeDirectory, sweepEnded } from './files/writing.ts'
import { auditFiles, isForeignLog } from './posture/audit.ts'
import { statusFileConflicts } from './posture/earlier-runs.ts'
import { PUBLIC_KEY, SIGNATURE } from './posture/status-file.ts'
import { savedFiles } from './retention/retention.ts'
import { controlPath } from './system/control-socket.ts'
import { registerIn, runningServices } from './system/service-register.ts'
import type { ServiceAccount } from './system/user.ts'

/** The part of a configuration with the paths to which the service writes. */
export type PathsSetup = Pick<Loaded, 'config' | 'files'>

/** The file of `status --verify`: it belongs to the user who verifies. */
const LAST_VERIFIED = 'status-seen.json'
/**
 * The files that we make in a state directory. A directory with one of them is a state directory.
 */
const STATE_FILES = ['status.key', 'status.pub', 'starts.json', LAST_VERIFIED, 'page.token', 'cache.key', 'cache.sealed', 'split.key']
/** What `resolvers update` and a signed policy keep there; it may come before the first start. */
const KEPT_LISTS = ['resolver-lists', 'signed.json']
const stateFiles = (stateDir: string) => [...STATE_FILES.map((name) => join(stateDir, name)), ...auditFiles(stateDir)]

/**
 * Sentences that say why the service must not write at the paths of `setup`: another user could
 * change the files that it reads, or it would overwrite or close files of others. Changes nothing.
 */
export function pathFaults(setup: PathsSetup, account?: ServiceAccount): readonly string[] {
  const allowed = ownersOf(account)
  const { stateDir, statusFile, page } = setup.config
  const faults = [
    ...faultsOf('stateDir', stateDir, () => stateFaults(stateDir, allowed, account)),
    ...faultsOf('statusFile', statusFile, () => [...writingFaults(dirname(statusFile), allowed), ...statusFileConflicts(statusFile)]),
    ...faultsOf('statusFile', statusFile, () => list(foreignSocket(controlPath(statusFile), allowed))),
    ...(page?.listen.startsWith('/') === true ? faultsOf('page.listen', page.listen, () => pageFaults(page.listen, allowed)) : []),
    ...pathsUsedTwice(setup),
  ]
  return [...new Set(faults)]
}

/**
 * Makes the directories of state and status, removes the access of others to the state directory,
 * and gives both to `account`, if there is one. If there are `pathFaults`, it throws an EnigmError
 * `state` with one line for each, and changes nothing.
 */
export function preparePaths(setup: PathsSetup, account?: ServiceAccount): void {
  const allowed = ownersOf(account)
  const { stateDir, statusFile } = setup.config
  const statusDir = dirname(statusFile)
  const faults = pathFaults(setup, account)
  if (faults.length > 0) throw new EnigmError('state', faults.join('\n'))
  const failed = prepare(setup, account)
  // Without an account, a directory that cannot be made only causes a warning later, because names
  // must resolve.
  if (account !== undefined && failed.length > 0) throw new EnigmError('state', failed.join('\n'))
  // If others can write a directory above, they may have made the missing directory meanwhile.
  const exchanged = [
    ...faultsOf('stateDir', stateDir, () => writingFaults(stateDir, allowed)),
    ...faultsOf('statusFile', statusDir, () => writingFaults(statusDir, allowed)),
  ]
  if (exchanged.length > 0) throw new EnigmError('state', exchanged.join('\n'))
}

function prepare({ config: { stateDir, statusFile } }: PathsSetup, account: ServiceAccount | undefined): readonly string[] {
  return [
    ...faultsOf('stateDir', stateDir, () => prepareStateDir(stateDir, account)),
    ...faultsOf('statusFile', dirname(statusFile), () => prepareStatusDir(statusFile, account)),
  ]
}

/**
 * Makes the directories that root has left to `account`, because they are in a directory of that
 * user. Called when this process runs as `account`. Throws an EnigmError `state` if the account
 * cannot use these paths, or cannot read the other paths in `needed`.
 */
export function settlePaths(setup: PathsSetup, account: ServiceAccount, needed: readonly string[]): void {
  const { stateDir, statusFile } = setup.config
  const failed = prepare(setup, account)
  const places = [stateDir, dirname(statusFile)]
  const who = `user: "${account.name ?? account.uid}"`
  const closed = [...places, ...needed].filter((path) => !isReadable(path))
  const unreadable = closed.map((path) => `${who} may not read ${path}, or a directory above it; give it the right to.`)
  const foreign = () => places.filter((path) => lstatSync(walk(path, undefined).real).uid !== account.uid)
  const chown = (path: string) => `${who} does not own ${path}; run: chown ${account.uid}:${account.gid} ${path}.`
  const faults = closed.length > 0 ? unreadable : [...failed, ...foreign().map(chown)]
  if (faults.length > 0) throw new EnigmError('state', faults.join('\n'))
}

/** The faults of a path, each with its setting. A system error counts as a fault. */
function faultsOf(setting: string, path: string, judge: () => readonly string[]): readonly string[] {
  try {
    return judge().map((fault) => `${setting}: ${fault}.`)
  } catch (error) {
    return [`${setting}: ${path} cannot be used (${systemCode(error) ?? 'unknown error'}); name another place, or run this as its owner.`]
  }
}

const ownersOf = (account: ServiceAccount | undefined) => owners(...(account === undefined ? [] : [account.uid]))
const list = (fault: string | undefined) => (fault === undefined ? [] : [fault])

function stateFaults(stateDir: string, allowed: Owners, account: ServiceAccount | undefined): readonly string[] {
  const { real, stats } = walk(stateDir, allowed)
  const faults = writingFaults(stateDir, allowed)
  if (stats?.isDirectory() !== true) return faults
  const names = readdirSync(real)
  const known = new Set([...stateFiles(stateDir).map((path) => basename(path)), ...KEPT_LISTS])
  const marked = names.some((name) => known.has(name))
  if (isSomebodys(real) || (SYSTEM_TREES.test(real) && !marked))
    return [...faults, `${stateDir} is a directory of the system or a home, and would be closed to others; name a new one below it`]
  const open = process.getuid !== undefined && (stats.mode & 0o077) !== 0
  const lost = open ? 'closed to others' : `given to user ${account?.name ?? account?.uid}`
  const given = account !== undefined && stats.uid !== account.uid
  // The owner of a directory can replace every file in it.
  if ((open || given) && !marked && names.length > 0)
    return [...faults, `${stateDir} holds other files, and would be ${lost}; name a new or an empty directory`]
  return [...faults, ...stateFiles(stateDir).flatMap((path) => fileFaults(path, allowed)), ...logFaults(stateDir)]
}

/**
 * The faults of one of our files. It must be a regular file with one name that only we can write.
 */
function fileFaults(path: string, allowed: Owners): readonly string[] {
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (found === undefined) return []
  const why = found.isFile() ? ownershipFault(found, allowed) : notRegular(found)
  if (why === undefined) return []
  // After a change of "user", these files are worth keeping.
  const foreign = allowed !== undefined && !allowed.has(found.uid) && found.isFile() && found.nlink === 1
  const keep = foreign
    ? `, or, if the service ran as that user before, run: chown ${process.geteuid?.() === 0 ? 'root' : process.geteuid?.()} ${path}`
    : ''
  return [`${path} ${why}; remove it${keep}`]
}

function logFaults(stateDir: string): readonly string[] {
  const foreign = auditFiles(stateDir).filter(
    (path) => lstatSync(path, { throwIfNoEntry: false })?.isFile() === true && isForeignLog(path, anyOwner),
  )
  return foreign.map((path) => `${path} is not an audit log of enigm-dns and would be appended to; remove it`)
}

function pageFaults(socket: string, allowed: Owners): readonly string[] {
  return [...writingFaults(dirname(socket), allowed), ...list(foreignSocket(socket, allowed))]
}

/**
 * The faults of two files at one path, where one would overwrite the other, and of a file at the
 * path of a directory that we need.
 */
function pathsUsedTwice({ config, files }: PathsSetup): readonly string[] {
  const { stateDir, statusFile, page } = config
  const status = [statusFile, statusFile + SIGNATURE, statusFile + PUBLIC_KEY].map((path) => ['statusFile', path] as const)
  const places = [
    ...files.map((path) => ['the configuration', path] as const),
    ...stateFiles(stateDir).map((path) => ['stateDir', path] as const),
    ...status,
    ['the control socket', controlPath(statusFile)] as const,
    ['the saved cache', savedFiles({ config }).runtime] as const,
    ...(page?.listen.startsWith('/') === true ? [['page.listen', page.listen] as const] : []),
  ].map(([what, path]) => ({ what, path, real: realPath(path) }))
  const first = new Map<string, string>()
  const faults: string[] = []
  const directories = [['stateDir', stateDir] as const, ...places.map(({ what, path }) => [what, dirname(path)] as const)]
  // Of several, the first one is named.
  const needed = new Map(directories.toReversed().map(([what, path]) => [realPath(path), what]))
  // At these two paths both files have the same content: the public key, or the cache.
  const same = ['status.pub', 'cache.sealed'].map((name) => realPath(join(stateDir, name)))
  for (const { what, path, real } of places) {
    const other = first.get(real)
    if (other !== undefined && other !== what && !same.includes(real))
      faults.push(`${what}: ${path} is a file of ${other} too; name another place.`)
    first.set(real, other ?? what)
    for (const [directory, of] of needed)
      if (directory === real || directory.startsWith(`${real}/`))
        faults.push(`${what}: ${path} is the directory of ${of} or above it, and cannot be a file too; name another place.`)
  }
  return faults
}

/** A path without links. If it cannot be followed, another check says so. */
function realPath(path: string): string {
  try {
    return walk(path, undefined).real
  } catch {
    return path
  }
}

function prepareStateDir(stateDir: string, account: ServiceAccount | undefined): readonly string[] {
  const { real, stats } = walk(stateDir, undefined)
  if (isLeftToUser(real)) return []
  if (stats === undefined) {
    makeDirectory(dirname(real), account === undefined ? 0o700 : 0o755)
    makeDirectory(real, 0o700)
  } else if ((stats.mode & 0o077) !== 0) closeDirectory(real)
  sweepEnded(real)
  if (account !== undefined)
    giveFiles(
      real,
      stateFiles(real).filter((path) => basename(path) !== LAST_VERIFIED),
      account,
    )
  return []
}

/** Makes the directory of the status. An existing one stays as it is: others may use it too. */
function prepareStatusDir(statusFile: string, account: ServiceAccount | undefined): readonly string[] {
  const { real, stats } = walk(dirname(statusFile), undefined)
  if (isLeftToUser(real)) return []
  if (stats === undefined) makeDirectory(real, 0o755)
  const saved = basename(savedFiles({ config: { statusFile, stateDir: real } }).runtime)
  sweepEnded(real, [saved])
  if (account === undefined) return []
  const name = join(real, basename(statusFile))
  const files = [name, name + SIGNATURE, name + PUBLIC_KEY, join(real, saved)]
  const known = new Set([...files, controlPath(name), registerIn(real), ...stateFiles(real), ...KEPT_LISTS].map((path) => basename(path)))
  const owner = lstatSync(real).uid
  if (owner !== account.uid && (isSomebodys(real) || readdirSync(real).some((one) => !known.has(one))))
    return [`${real} holds other files, and user ${account.name ?? account.uid} cannot write in it; name a file in a separate directory`]
  const register = registerIn(real)
  if (lstatSync(register, { throwIfNoEntry: false })?.isDirectory() === true)
    giveFiles(
      register,
      readdirSync(register).map((one) => join(register, one)),
      account,
    )
  giveFiles(real, files, account)
  return []
}

/**
 * Makes a runtime directory for `account`. An existing one is given to it, if nobody else keeps
 * files there and no other service is registered there. Other commands find the service by this
 * directory. Never throws: without the directory they only do not find the service.
 */
export function shareRuntime(directory: string, account: ServiceAccount): void {
  if (process.geteuid?.() !== 0) return
  try {
    const free = writingFaults(directory, owners(account.uid)).length === 0 && runningServices([directory]).length === 0
    if (free) prepareStatusDir(join(directory, 'status.json'), account)
  } catch {
    // The service reports it when it registers.
  }
}

/** Whether another user could replace a directory above. Then root makes and gives nothing. */
function isLeftToUser(real: string): boolean {
  return process.geteuid?.() === 0 && writingFaults(dirname(real), owners()).length > 0
}

/** Gives the files first: until the directory is given away, nobody else can replace them. */
function giveFiles(directory: string, files: readonly string[], account: ServiceAccount): void {
  if (process.geteuid?.() !== 0 || lstatSync(directory).uid !== 0) return
  for (const path of files) if (lstatSync(path, { throwIfNoEntry: false })?.isFile() === true) giveTo(path, account)
  giveTo(directory, account)
}

/** Directories that several programs share (hier(7)). */
const SHARED = new Set(
  ['/', '/bin', '/boot', '/dev', '/etc', '/home', '/lib', '/lib32', '/lib64', '/libx32', '/media', '/mnt', '/opt', '/proc', '/root'].concat(
    ['/run', '/run/lock', '/run/user', '/sbin', '/snap', '/srv', '/sys', '/tmp', '/usr', '/usr/local', '/var', '/var/cache', '/var/db'],
    ['/var/lib', '/var/local', '/var/log', '/var/mail', '/var/opt', '/var/run', '/var/spool', '/var/tmp', '/dev/shm'],
    ['/Applications', '/Library', '/System', '/Users', '/Volumes', '/private', '/private/etc', '/private/tmp', '/private/var'],
  ),
)
/** Trees that belong to the system as a whole. */
const SYSTEM_TREES = /^\/(bin|boot|dev|lib|lib32|lib64|libx32|proc|sbin|sys|usr)\//
/** The shells of service accounts. Such an account may have its state directory as its home. */
const NO_LOGIN = /\/(nologin|false)$/

/** Whether a directory is shared, or is a user's home. Its content does not matter. */
export function isSomebodys(real: string): boolean {
  return SHARED.has(real) || /^\/(home|Users|run\/user)\/[^/]+$/.test(real) || homes().includes(real)
}

function homes(): readonly string[] {
  const rows = (textOf('/etc/passwd') ?? '').split('\n').map((line) => line.split(':'))
  return rows.filter(([, , , , , , shell = '']) => shell !== '' && !NO_LOGIN.test(shell)).map(([, , , , , home = '']) => home)
}
