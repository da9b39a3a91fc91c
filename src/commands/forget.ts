import { Command } from 'commander'
import { type Clock, systemClock } from '../clock.ts'
import { loadConfig } from '../config/load.ts'
import { asEnigmError } from '../errors.ts'
import { type Forgotten, removeSaved } from '../retention/retention.ts'
import { sendOrder } from '../system/control-client.ts'
import { controlPath } from '../system/control-socket.ts'
import { untoldDaemon } from './untold-daemon.ts'

const HELP = `
Removes what would tell which names were asked: the answer cache and the TLS sessions of the running daemon,
saved caches in the runtime and the state directory, and their key, without which a copy of them says nothing.

Exit codes:
  0  everything is gone    1  something is left; the output says what    2  the configuration cannot be read

Examples:
  $ enigm-dns forget
  $ enigm-dns forget --config /etc/enigm-dns/config.json --json
`

/** What the command touches, so that a test can stand in for it. */
export interface ForgetWorld {
  readonly out: { write(text: string): unknown }
  readonly clock: Clock
  readonly exit: (code: number) => void
}

/** `enigm-dns forget`: every trace of what was asked, in the daemon and on disk. */
export function forgetCommand(world: ForgetWorld = thisWorld()): Command {
  return new Command('forget')
    .description('remove every trace of what was asked: cache, saved cache, TLS sessions')
    .option('-c, --config <file>', 'configuration file, as for run')
    .option('--json', 'print what was removed as JSON')
    .addHelpText('after', HELP)
    .action(async (options: { readonly config?: string; readonly json?: true }) => {
      try {
        const outcome = await forget(options.config, world.clock)
        world.out.write(options.json === true ? `${JSON.stringify(outcome)}\n` : inWords(outcome))
        world.exit(outcome.left.length === 0 ? 0 : 1)
      } catch (error) {
        const fault = asEnigmError(error)
        if (fault.code === 'internal') throw error
        process.stderr.write(`${fault.message}\n`)
        world.exit(2)
      }
    })
}

interface Outcome {
  /** Whether a daemon that runs was told; undefined: none runs. */
  readonly daemon: Forgotten | undefined
  readonly files: readonly string[]
  readonly left: readonly string[]
}

async function forget(configFile: string | undefined, clock: Clock): Promise<Outcome> {
  const { config } = await loadConfig(configFile)
  const left: string[] = []
  const daemon = asForgotten(await sendOrder(controlPath(config.statusFile), 'forget', clock))
  // A daemon that runs and cannot be told still has everything.
  if (daemon === undefined) left.push(...untoldDaemon(config.statusFile, clock))
  // Also what an earlier setting of a daemon that is gone left behind.
  let files: readonly string[] = []
  try {
    files = await removeSaved({ config }, process.env.CREDENTIALS_DIRECTORY)
  } catch (error) {
    left.push(`saved caches: ${error instanceof Error ? error.message : 'unknown error'}`)
  }
  return { daemon, files: [...(daemon?.files ?? []), ...files], left }
}

function asForgotten(reply: unknown): Forgotten | undefined {
  if (typeof reply !== 'object' || reply === null || !('entries' in reply) || !('sessions' in reply) || !('files' in reply))
    return undefined
  const { entries, sessions, files } = reply
  if (typeof entries !== 'number' || typeof sessions !== 'number' || !Array.isArray(files)) return undefined
  return { entries, sessions, files: files.filter((file) => typeof file === 'string') }
}

function inWords({ daemon, files, left }: Outcome): string {
  const lines = [
    daemon === undefined ? 'No daemon was told.' : `The daemon forgot ${daemon.entries} answers and ${daemon.sessions} TLS sessions.`,
    ...(files.length === 0 ? ['No saved cache was there.'] : files.map((file) => `Removed ${file}`)),
    ...left.map((what) => `LEFT: ${what}`),
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
