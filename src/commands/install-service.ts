import { spawnSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { Command } from 'commander'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { withKoffi } from '../system/koffi.ts'
import { isSystemd, systemctl, unitState } from '../system/systemctl.ts'
import {
  foreignUnits,
  ownUnits,
  type Program,
  packagedUnit,
  programFaults,
  removeUnits,
  thisProgram,
  unitFault,
  writeUnits,
} from '../system/unit-install.ts'
import { SERVICE_UNIT, SOCKET_UNIT, UNITS } from '../system/units.ts'
import { printable, printableJson } from './status-screen.ts'

const HELP = `
The units are enigm-dns.service, enigm-dns.socket, which listens on 127.0.0.55:53, and enigm-dns-53.socket for
127.0.0.53:53, if that address is free. The service runs as its own user, without root and without capabilities.
A package (.deb) installs the units itself. Without systemd: docs/service.md.

Exit codes:
  0  done    1  status: it does not run    3  cannot be done here (no systemd)    4  uninstall: the system still uses it, nothing was removed

Examples:
  $ sudo enigm-dns service install          then: sudo enigm-dns system enable
  $ enigm-dns service install --dry-run     what would be written
  $ enigm-dns service status
  $ sudo enigm-dns service uninstall
`

interface Options {
  readonly dryRun?: true
  readonly now?: true
  readonly json?: true
}

/** `enigm-dns service`: installs and removes the systemd units. Sets the exit code. */
export function serviceCommand(): Command {
  const command = new Command('service')
    .description('install this program as a systemd service, remove it, or show its state')
    .addHelpText('afterAll', HELP)
  command
    .command('install')
    .description('write the units; nothing is started')
    .option('--now', 'start the service too, now and at boot')
    .option('--dry-run', 'print what would be written')
    .action((options: Options) => exit(install(options)))
  command
    .command('uninstall')
    .description('make the system stop using this service, stop it and remove the units')
    .option('--dry-run', 'print what would be done')
    .action((options: Options) => exit(uninstall(options)))
  command
    .command('status')
    .description('show whether it is installed, enabled and running')
    .option('--json', 'print one JSON document')
    .action((options: Options) => exit(status(options)))
  return command
}

function exit(code: ExitCode): void {
  process.exitCode = code
}

const lines = (text: string) => `${text.trim().split('\n').map(printable).join('\n')}\n`
const say = (text: string) => void process.stdout.write(lines(text))
const complain = (text: string) => void process.stderr.write(lines(text))

/** Why the command cannot run here, as a sentence. */
function refusal(): string | undefined {
  if (!isSystemd()) return 'systemd does not run this system: docs/service.md has files for OpenRC and runit.'
  if (process.geteuid?.() !== 0) return 'Only root can change services: run this with sudo.'
  return undefined
}

/** Whether the program can notify systemd. */
const notifies = () => withKoffi(() => true) === true

function install({ dryRun, now }: Options): ExitCode {
  const packaged = packagedUnit()
  if (packaged !== undefined) {
    say(`The package already installed it: ${packaged}. Next: sudo enigm-dns system enable`)
    return EXIT.good
  }
  const program = thisProgram()
  const units = ownUnits(program, notifies())
  if (dryRun === true) {
    for (const [path, text] of units) process.stdout.write(`# ${path}\n${text}\n`)
    return EXIT.good
  }
  const why = refusal()
  const foreign = foreignUnits(units.keys()).map((path) => `${path} was not written by this program: move it away.`)
  const faults = why === undefined ? [...programFaults(program), ...foreign] : [why]
  if (faults.length > 0) {
    for (const fault of faults) complain(fault)
    return EXIT.cannotTell
  }
  return put(units, program, now === true)
}

function put(units: ReadonlyMap<string, string>, program: Program, now: boolean): ExitCode {
  try {
    writeUnits(units)
  } catch (error) {
    complain(unitFault(error))
    return EXIT.cannotTell
  }
  makeCode(program)
  const reloaded = systemctl('daemon-reload')
  // A running service is restarted, so that it uses the new units and the new program.
  const done = reloaded.code !== 0 ? reloaded : now ? systemctl('enable', '--now', ...UNITS) : systemctl('try-restart', SERVICE_UNIT)
  if (done.code !== 0) {
    complain(`systemd refused: ${done.stderr.trim()}`)
    return EXIT.cannotTell
  }
  for (const path of units.keys()) say(`wrote ${path}`)
  say(
    now
      ? 'It runs now and starts at every boot. Next: sudo enigm-dns system enable'
      : 'Nothing was started. Next: sudo enigm-dns system enable, which starts it and makes the system use it',
  )
  return EXIT.good
}

/**
 * Creates V8's code cache for this Node. With it, a start takes a fifth of the time; everything
 * works without it.
 */
function makeCode({ node, main }: Program): void {
  spawnSync(node, [join(dirname(main), 'compile.cjs')], { stdio: 'ignore' })
}

function uninstall({ dryRun }: Options): ExitCode {
  const packaged = packagedUnit()
  if (packaged !== undefined) {
    complain(`${packaged} belongs to a package: sudo apt purge enigm-dns (apt remove keeps the configuration).`)
    return EXIT.cannotTell
  }
  const paths = [...ownUnits(thisProgram(), true).keys()]
  if (dryRun === true) {
    say(`enigm-dns system disable\nsystemctl disable --now ${UNITS.join(' ')}\nrm ${paths.join(' ')}\nsystemctl daemon-reload`)
    return EXIT.good
  }
  const why = refusal()
  if (why !== undefined) {
    complain(why)
    return EXIT.cannotTell
  }
  if (!leaveSystem()) return EXIT.proofFailed
  systemctl('disable', '--now', ...UNITS)
  const removed = removeUnits(paths)
  systemctl('daemon-reload')
  systemctl('reset-failed', ...UNITS)
  for (const path of removed) say(`removed ${path}`)
  say(
    removed.length === 0
      ? 'Nothing was installed.'
      : 'Its data stays in /etc/enigm-dns and /var/lib/private/enigm-dns. Remove it with sudo rm -r.',
  )
  return EXIT.good
}

/**
 * Makes the system stop using this service; returns whether that succeeded. As long as the system
 * uses it, no name resolves after the service stops.
 */
function leaveSystem(): boolean {
  const system = (...words: readonly string[]) =>
    spawnSync(process.execPath, [process.argv[1] ?? '', 'system', ...words], { stdio: ['ignore', 'inherit', 'pipe'], encoding: 'utf8' })
  const disabled = system('disable')
  const { status, error } = spawnSync(process.execPath, [process.argv[1] ?? '', 'system', 'status', '--json'], { stdio: 'ignore' })
  const asks = error !== undefined || status === EXIT.good || status === EXIT.proofFailed
  if (!asks) return true
  complain(
    `${(disabled.stderr ?? '').trim()}\nThe system still uses this service, so nothing was removed. See sudo enigm-dns system status.`,
  )
  return false
}

function status({ json }: Options): ExitCode {
  const [service, socket] = [unitState(SERVICE_UNIT), unitState(SOCKET_UNIT)]
  const installed = service.file !== ''
  if (json === true) process.stdout.write(`${printableJson({ installed, file: service.file || null, service, socket }, 2)}\n`)
  if (!isSystemd()) {
    complain('systemd does not run this system.')
    return EXIT.cannotTell
  }
  if (json === true) return service.active === 'active' ? EXIT.good : EXIT.notAsWished
  if (!installed) say('not installed. Next: sudo enigm-dns service install')
  else {
    const word = (state: typeof service) => `${state.active}, ${state.enabled}`
    say(`${service.file}\nservice: ${word(service)}${service.pid === 0 ? '' : `, process ${service.pid}`}\nsocket: ${word(socket)}`)
  }
  return service.active === 'active' ? EXIT.good : EXIT.notAsWished
}
