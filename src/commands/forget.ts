import { statSync } from 'node:fs'
import { Command } from 'commander'
import { type Clock, systemClock } from '../clock.ts'
import { defaultStateDir, defaultStatusFile } from '../config/paths.ts'
import { counted } from '../config/problems.ts'
import type { Config } from '../config/settings.ts'
import { EXIT } from '../exit-codes.ts'
import { owners } from '../files/trust.ts'
import { type Forgotten, removeSaved } from '../retention/retention.ts'
import { sendCommand } from '../system/control-client.ts'
import { controlPath } from '../system/control-socket.ts'
import { findConfig, type Host, type RunningService, thisHost } from './running-service.ts'
import { addressee, exitAfter, related, type Unreached, whyUnreached } from './service-orders.ts'

const HELP = `
Removes everything that reveals queried names: the answer cache and the TLS sessions of the running daemon,
saved caches in the runtime and the state directory, and their key. Without the key, a copy of them is useless.

Exit codes:
  0  everything is removed: the daemon confirmed it, or none runs
  1  something is left; the output says what    2  the configuration cannot be read
  3  cannot tell whether a daemon still stores something, or it does not accept commands from this user

Examples:
  $ enigm-dns forget
  $ enigm-dns forget --config /etc/enigm-dns/config.json --json
`

/** The command's access to the system; tests replace it. */
export interface ForgetWorld {
  readonly out: { write(text: string): unknown }
  readonly clock: Clock
  readonly exit: (code: number) => void
  readonly host?: Host
}

/** `enigm-dns forget`: removes all records of queries, in the daemon and on disk. */
export function forgetCommand(world: ForgetWorld = thisWorld()): Command {
  return new Command('forget')
    .description('remove every trace of queries: cache, saved cache, TLS sessions')
    .option('-c, --config <file>', 'configuration file of the service (default: the running service)')
    .option('--json', 'print what was removed as JSON')
    .addHelpText('after', HELP)
    .action(async (options: { readonly config?: string; readonly json?: true }) => {
      await exitAfter({ err: process.stderr, exit: world.exit }, async () => {
        const refused = new Set<string>()
        const outcome = await forget(options.config, world, refused)
        world.out.write(options.json === true ? `${JSON.stringify(outcome)}\n` : inWords(outcome))
        if (outcome.left.length > 0 && refused.size === 0) return EXIT.notAsWished
        return outcome.left.length + outcome.unknown.length > 0 ? EXIT.cannotTell : EXIT.good
      })
    })
}

interface ForgetOutcome {
  /** The totals that the notified daemons removed; undefined: no daemon was notified. */
  readonly daemon: Forgotten | undefined
  readonly files: readonly string[]
  /** Data that certainly remains, as clauses. */
  readonly left: readonly string[]
  /** Data that may remain, as clauses. */
  readonly unknown: readonly string[]
}

/** Adds to `refused` what is left because a daemon takes no order from this user. */
async function forget(named: string | undefined, { clock, host = thisHost() }: ForgetWorld, refused: Set<string>): Promise<ForgetOutcome> {
  const to = await addressee(named, host)
  if ('verdict' in to) return { daemon: undefined, files: [], left: [], unknown: [to.why] }
  const { loaded, service: shown } = await findConfig(named, host)
  const others = loaded === undefined ? [] : related(loaded.config, host).filter(({ statusFile }) => statusFile !== to.statusFile)
  const left: string[] = []
  const unknown: string[] = []
  const forgotten: Forgotten[] = []
  for (const [i, one] of [to, ...others.map((service) => ({ service, statusFile: service.statusFile }))].entries()) {
    const removed = asForgotten(await sendCommand(controlPath(one.statusFile), 'forget', clock))
    if (removed !== undefined) forgotten.push(removed)
    // No service is known at this status file, and other services have the same paths: only those
    // count.
    else if (i === 0 && others.length > 0 && one.service === undefined) continue
    else noteWhy(whyUnreached(one, named !== undefined, host, clock), left, unknown, refused)
  }
  const elsewhere =
    named === undefined || loaded === undefined || forgotten.length > 0 ? undefined : ofAnotherUser(named, loaded.config, host)
  if (elsewhere !== undefined && left.length === 0) unknown.push(elsewhere)
  const files = forgotten.flatMap((one) => one.files)
  // Also removes what an earlier setting of a stopped daemon left behind. Without a named file, the
  // configuration has the paths of the running service.
  const own = named !== undefined || shown === undefined || isBelieved(shown) ? loaded?.config : undefined
  for (const config of [own, ...[to.service, ...others].filter((service) => service !== undefined && isBelieved(service))]) {
    try {
      if (config !== undefined) files.push(...(await removeSaved({ config }, process.env.CREDENTIALS_DIRECTORY)))
    } catch (error) {
      left.push(`saved caches: ${error instanceof Error ? error.message : 'unknown error'}`)
    }
  }
  return { daemon: forgotten.length === 0 ? undefined : together(forgotten), files: [...new Set(files)], left: [...new Set(left)], unknown }
}

/**
 * Whether the paths that a service reports come from root or from this user. With another account's
 * paths, root could be made to remove files of the same names elsewhere; that account's service
 * removes its own files.
 */
function isBelieved({ uid }: RunningService): boolean {
  return uid === undefined || owners()?.has(uid) !== false
}

/**
 * Why the service of a configuration may keep its files where this user does not look: the default
 * places depend on the user. Undefined: it does not.
 */
function ofAnotherUser(file: string, { stateDir, statusFile }: Pick<Config, 'stateDir' | 'statusFile'>, { uid }: Host): string | undefined {
  const isDefault = stateDir === defaultStateDir() || statusFile === defaultStatusFile()
  if (uid === undefined || uid === 0 || !isDefault || statSync(file).uid === uid) return undefined
  return `the service of ${file} may be that of another user, with its files in the default places of that user; run this as that user, or as root`
}

function noteWhy({ verdict, why, refusesUser }: Unreached, left: string[], unknown: string[], refused: Set<string>): void {
  if (refusesUser === true) refused.add(why)
  if (verdict === 'runs') left.push(why)
  if (verdict === 'unknown') unknown.push(why)
}

function together(all: readonly Forgotten[]): Forgotten {
  const sum = (key: 'entries' | 'sessions') => all.reduce((total, one) => total + one[key], 0)
  return { entries: sum('entries'), sessions: sum('sessions'), files: all.flatMap(({ files }) => files) }
}

function asForgotten(reply: unknown): Forgotten | undefined {
  if (typeof reply !== 'object' || reply === null || !('entries' in reply) || !('sessions' in reply) || !('files' in reply))
    return undefined
  const { entries, sessions, files } = reply
  if (typeof entries !== 'number' || typeof sessions !== 'number' || !Array.isArray(files)) return undefined
  return { entries, sessions, files: files.filter((file) => typeof file === 'string') }
}

function inWords({ daemon, files, left, unknown }: ForgetOutcome): string {
  const lines = [
    daemon === undefined
      ? `No daemon was reached${left.length + unknown.length === 0 ? ': none runs' : ''}.`
      : `The daemon forgot ${counted(daemon.entries, 'answer')} and ${counted(daemon.sessions, 'TLS session')}.`,
    ...(files.length === 0 ? ['There was no saved cache.'] : files.map((file) => `Removed ${file}`)),
    ...left.map((what) => `LEFT: ${what}`),
    ...unknown.map((what) => `CANNOT TELL: ${what}`),
  ]
  return `${lines.join('\n')}\n`
}

function thisWorld(): ForgetWorld {
  return {
    out: process.stdout,
    clock: systemClock(),
    exit: (code) => {
      process.exitCode = code
    },
  }
}
