import { existsSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { dirname, isAbsolute, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** This file is read if --config is absent and the file exists. */
export const DEFAULT_CONFIG_FILE = '/etc/enigm-dns/config.json'

/** The facts on which the default paths depend. */
export interface Account {
  /** Undefined: this system has no numeric users. */
  readonly uid: number | undefined
  readonly env: Readonly<Record<string, string | undefined>>
  readonly home: string
  readonly tmp: string
}

let account: Account | undefined

/**
 * The account with which this process started. A service that changes to another user keeps the
 * paths of the first one.
 */
export function thisAccount(): Account {
  account ??= { uid: process.getuid?.(), env: process.env, home: home(), tmp: tmpdir() }
  return account
}

/** The home directory. Undefined: the user has none, as with DynamicUser= of systemd. */
function home(): string {
  try {
    return homedir()
  } catch {
    return '/'
  }
}

/** The default path of the status file, which `run` writes and `status` reads. */
export function defaultStatusFile(account: Account = thisAccount()): string {
  if (account.uid === 0) return '/run/enigm-dns/status.json'
  const given = firstOf(account.env.RUNTIME_DIRECTORY)
  if (given !== undefined) return join(given, 'status.json')
  const runtime = absolute(account.env.XDG_RUNTIME_DIR)
  if (runtime !== undefined) return join(runtime, 'enigm-dns', 'status.json')
  return join(account.tmp, `enigm-dns-${account.uid ?? 'user'}`, 'status.json')
}

/** The default directory for keys, the saved cache and the audit log. */
export function defaultStateDir(account: Account = thisAccount()): string {
  if (account.uid === 0) return '/var/lib/enigm-dns'
  const given = firstOf(account.env.STATE_DIRECTORY)
  if (given !== undefined) return given
  return join(absolute(account.env.XDG_STATE_HOME) ?? join(account.home, '.local', 'state'), 'enigm-dns')
}

/** The first of the directories that a unit names, separated by colons (systemd.exec(5)). */
function firstOf(directories: string | undefined): string | undefined {
  return absolute(directories?.split(':')[0])
}

/** The path if it is absolute. A relative one is invalid (XDG base directory specification). */
function absolute(path: string | undefined): string | undefined {
  return path !== undefined && isAbsolute(path) ? path : undefined
}

/**
 * The directory in which this program is installed: the nearest one with a package.json and a
 * resolvers.json, at most five levels up. So it is found from src/config, dist/parts and
 * build/src/config. Undefined: there is none.
 */
export function programDirectory(from: string = import.meta.url): string | undefined {
  let directory = dirname(fileURLToPath(from))
  for (let level = 0; level < 5; level++) {
    if (existsSync(join(directory, 'resolvers.json')) && existsSync(join(directory, 'package.json'))) return directory
    directory = dirname(directory)
  }
  return undefined
}

/** The path of the trusted set that is shipped with this program. */
export function shippedResolversFile(from: string = import.meta.url): string | undefined {
  const directory = programDirectory(from)
  return directory === undefined ? undefined : join(directory, 'resolvers.json')
}
