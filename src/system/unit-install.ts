import { existsSync, realpathSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { systemCode } from '../errors.ts'
import { textOf } from '../files/reading.ts'
import { walk } from '../files/trust.ts'
import { directoryFault, makeDirectory, remove, replaceFile } from '../files/writing.ts'
import { UNIT_MARK, UNITS, unitFiles } from './units.ts'

/** The directories of the administrator's units and of those of packages. */
const OWN_UNITS = '/etc/systemd/system'
const PACKAGED_UNITS = ['/usr/lib/systemd/system', '/lib/systemd/system']
/** Directories that the unit hides from the service: ProtectHome= and PrivateTmp=. */
const HIDDEN = ['/home', '/root', '/run/user', '/tmp', '/var/tmp']
const OTHERS_READ = 0o005

/** The program that a unit starts. */
export interface Program {
  readonly node: string
  /** The real path of dist/main.js. */
  readonly main: string
}

/** This program, as it was started. `argv` and `node` are for tests. */
export function thisProgram(argv: readonly string[] = process.argv, node = process.execPath): Program {
  return { node: realpathSync(node), main: realpathSync(argv[1] ?? '') }
}

/** The unit file that a package installed. Undefined: there is none. `root` is for tests. */
export function packagedUnit(root = ''): string | undefined {
  return PACKAGED_UNITS.map((directory) => join(directory, UNITS[2])).find((path) => existsSync(root + path))
}

/**
 * Whether a unit with sockets for the service exists, of a package or of the administrator. `root`
 * is for tests.
 */
export function hasSocketUnit(root = ''): boolean {
  return [OWN_UNITS, ...PACKAGED_UNITS].some((directory) => existsSync(join(root, directory, UNITS[0])))
}

/**
 * Sentences that say why a service cannot run this program, each with the fix: the sandbox hides
 * it, the service's user may not read it, or another user could change it.
 */
export function programFaults({ node, main }: Program): readonly string[] {
  return [node, main].flatMap((path) => {
    if (isHidden(path))
      return [
        `${path} is in a directory that the service cannot see (a home or temporary directory): install it for all users, as in sudo npm install -g enigm-dns with a Node of the system.`,
      ]
    if (/[\s"'$%\\]/.test(path)) return [`${path} contains a character with a special meaning in units: install it elsewhere.`]
    const faults = walk(path, new Set([0])).faults.map((fault) => `${path} ${fault}.`)
    return [...faults, ...fileFaults(path), ...closedAbove(path)]
  })
}

/**
 * Whether the service cannot see a real path. A hidden directory may be a link, as /home is to
 * /var/home: its target is hidden too. `real` is for tests.
 */
export function isHidden(path: string, real: (directory: string) => string = realDirectory): boolean {
  return HIDDEN.some((directory) => [directory, real(directory)].some((one) => path.startsWith(`${one}/`)))
}

function realDirectory(directory: string): string {
  try {
    return realpathSync(directory)
  } catch {
    return directory
  }
}

function fileFaults(path: string): readonly string[] {
  const { uid, mode } = statSync(path)
  if (uid !== 0) return [`${path} belongs to user ${uid}, who could change the program; run: chown -R root ${dirname(path)}.`]
  return (mode & 0o022) === 0 ? [] : [`${path} is writable by others; run: chmod go-w ${path}.`]
}

function closedAbove(path: string): readonly string[] {
  const faults: string[] = []
  for (let at = path; at !== '/'; at = dirname(at))
    if ((statSync(at).mode & OTHERS_READ) !== OTHERS_READ && at !== path) faults.push(`others cannot read ${at}; run: chmod o+rx ${at}.`)
  return faults
}

/** The units of this program, by their installation paths. */
export function ownUnits(program: Program, notifies: boolean, root = ''): ReadonlyMap<string, string> {
  const files = unitFiles({ program: [program.node, program.main], notifies })
  return new Map(UNITS.map((name) => [join(root, OWN_UNITS, name), files[name]]))
}

/** The existing files of `paths` that this program did not write. */
export function foreignUnits(paths: Iterable<string>): readonly string[] {
  return [...paths].filter((path) => existsSync(path) && textOf(path)?.startsWith(UNIT_MARK) !== true)
}

/** Writes the units. Returns how many have changed. Throws the system's error. */
export function writeUnits(units: ReadonlyMap<string, string>): number {
  const changed = [...units].filter(([path, text]) => textOf(path) !== text)
  for (const [path, text] of changed) {
    makeDirectory(dirname(path), 0o755)
    replaceFile(path, text, 0o644)
  }
  return changed.length
}

/** Removes the files of `paths` that this program wrote, and returns their paths. */
export function removeUnits(paths: Iterable<string>): readonly string[] {
  const ours = [...paths].filter((path) => textOf(path)?.startsWith(UNIT_MARK) === true)
  for (const path of ours) remove(path)
  return ours
}

/** Why units cannot be written now, as a sentence. Undefined: they can. Changes nothing. */
export function unitsFault(root = ''): string | undefined {
  const code = directoryFault(join(root, OWN_UNITS))
  return code === undefined ? undefined : unwritten(code)
}

/** A sentence for an error of these functions. */
export function unitFault(error: unknown): string {
  return unwritten(systemCode(error) ?? 'unknown error')
}

const unwritten = (code: string) => `The units cannot be written to ${OWN_UNITS} (${code}).`
