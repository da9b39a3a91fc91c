import { Command } from 'commander'
import { systemClock, systemRandom } from '../clock.ts'
import { loadConfig } from '../config/load.ts'
import { type Daemon, startDaemon } from '../daemon.ts'
import { asEnigmError } from '../errors.ts'
import { createLog, type Log } from '../log.ts'
import { unsafeEnvironment } from '../system/environment.ts'
import { harden } from '../system/hardening.ts'
import { VERSION } from '../version.ts'

const STOP_LIMIT_MS = 5000

interface RunOptions {
  readonly config?: string
  readonly listen?: string[]
}

/** `enigm-dns run`: exit 0 after SIGTERM or SIGINT; 2 for a configuration, an environment or an address that will not do. */
export function runCommand(): Command {
  return new Command('run')
    .description('start the resolver and stay in the foreground')
    .option('-c, --config <file>', 'configuration file (JSON with comments); default /etc/enigm-dns/config.json if it exists')
    .option('-l, --listen <address:port...>', 'listen here instead of where the configuration says')
    .addHelpText(
      'after',
      `
Prints one line, \`ready\`, to standard output once every listener is bound; logs JSON to standard error.
SIGHUP reads the configuration again; SIGTERM answers what is under way and ends.

Examples:
  $ enigm-dns run                                    the shipped resolvers on 127.0.0.53:53
  $ enigm-dns run --listen 127.0.0.54:5353           where systemd-resolved holds 127.0.0.53
  $ enigm-dns run --config /etc/enigm-dns/config.json`,
    )
    .action(run)
}

async function run(options: RunOptions): Promise<void> {
  harden()
  const unsafe = unsafeEnvironment(process.env, process.execArgv)
  if (unsafe.length > 0) return refuse(unsafe.join('\n'))
  const overrides = options.listen === undefined ? {} : { listen: options.listen }
  const load = () => loadConfig(options.config, overrides)
  const early = duringStart()
  try {
    const loaded = await load()
    const log = createLog(loaded.config.log.level)
    const daemon = await startDaemon(loaded, {
      clock: systemClock(),
      random: systemRandom,
      version: VERSION,
      log: log.event,
      warn: log.warn,
    })
    early.end()
    obeySignals(daemon, load, log)
    process.stdout.write('ready\n')
  } catch (error) {
    const fault = asEnigmError(error)
    if (fault.code === 'internal') throw error
    refuse(fault.message)
  }
}

/** Before there is anything to drain or reload: SIGTERM ends with 0, SIGHUP (the configuration is being read anyway) with nothing. */
function duringStart(): { end(): void } {
  const stop = () => process.exit(0)
  const ignore = () => {}
  process.on('SIGTERM', stop).on('SIGINT', stop).on('SIGHUP', ignore)
  return { end: () => void process.off('SIGTERM', stop).off('SIGINT', stop).off('SIGHUP', ignore) }
}

function refuse(message: string): void {
  process.stderr.write(`${message}\n`)
  process.exitCode = 2
}

function obeySignals(daemon: Daemon, load: () => ReturnType<typeof loadConfig>, log: Log): void {
  let busy: Promise<void> = Promise.resolve()
  let stopping = false
  const stop = () => {
    if (stopping) return
    stopping = true
    // Timers of ours do not keep the process alive; this one does while answers drain, and ends it if a close hangs.
    setTimeout(() => process.exit(0), STOP_LIMIT_MS)
    busy = busy.then(() => daemon.stop()).then(() => process.exit(0))
  }
  const reload = () => {
    busy = busy
      .then(load)
      .then((loaded) => daemon.reload(loaded))
      .then(() => log.info('the new configuration is in force'))
      .catch((error: unknown) => {
        const { message } = asEnigmError(error)
        log.warn(`the new configuration was refused and the old one goes on: ${message}`)
        daemon.refuseReload(message)
      })
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
  process.on('SIGHUP', reload)
}
