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
  unitsFault,
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

/** The command's access to the system; tests replace it. */
export interface UnitWorld {
  readonly out: { write(text: string): unknown }
  readonly err: { write(text: string): unknown }
  readonly exit: (code: ExitCode) => void
  readonly isSystemd: () => boolean
  readonly isRoot: () => boolean
  readonly program: () => Program
  /** Whether the program can notify systemd. */
  readonly notifies: () => boolean
  /** The directory above /etc and /usr. */
  readonly root: string
  readonly systemctl: typeof systemctl
}

interface Options {
  readonly dryRun?: true
  readonly now?: true
  readonly json?: true
}

/** `enigm-dns service`: installs and removes the systemd units. Sets the exit code. */
export function serviceCommand(world: UnitWorld = thisWorld()): Command {
  const { exit } = world
  const command = new Command('service')
    .description('install this program as a systemd service, remove it, or show its state')
    .addHelpText('afterAll', HELP)
  command
    .command('install')
    .description('write the units; nothing is started')
    .option('--now', 'start the service too, now and at boot')
    .option('--dry-run', 'print what would be written, and why it would be refused; change nothing')
    .action((options: Options) => exit(install(options, world)))
  command
    .command('uninstall')
    .description('make the system stop using this service, stop it and remove the units')
    .option('--dry-run', 'print what would be done, and why it would be refused; change nothing')
    .action((options: Options) => exit(uninstall(options, world)))
  command
    .command('status')
    .description('show whether it is installed, enabled and running')
    .option('--json', 'print one JSON document')
    .action((options: Options) => exit(status(options, world)))
  return command
}

const lines = (text: string) => `${text.trim().split('\n').map(printable).join('\n')}\n`
const say = (text: string, { out }: UnitWorld) => void out.write(lines(text))
const complain = (text: string, { err }: UnitWorld) => void err.write(lines(text))

const NO_SYSTEMD = 'systemd does not run this system: docs/service.md has files for OpenRC and runit.'

/** Why the command cannot run here, as a sentence. */
function refusal({ isSystemd, isRoot }: UnitWorld): string | undefined {
  if (!isSystemd()) return NO_SYSTEMD
  return isRoot() ? undefined : 'Only root can change services: run this with sudo.'
}

function install({ dryRun, now }: Options, world: UnitWorld): ExitCode {
  const packaged = packagedUnit(world.root)
  if (packaged !== undefined) {
    say(`The package already installed it: ${packaged}. Next: sudo enigm-dns system enable`, world)
    return EXIT.good
  }
  const program = world.program()
  const units = ownUnits(program, world.notifies(), world.root)
  if (dryRun === true) for (const [path, text] of units) world.out.write(`# ${path}\n${text}\n`)
  const faults = installFaults(program, units, world)
  for (const fault of faults) complain(fault, world)
  if (faults.length > 0) return EXIT.cannotTell
  return dryRun === true ? EXIT.good : put(units, program, now === true, world)
}

/** Every reason against writing the units, one sentence each. */
function installFaults(program: Program, units: ReadonlyMap<string, string>, world: UnitWorld): readonly string[] {
  const why = refusal(world)
  if (why === NO_SYSTEMD) return [why]
  const foreign = foreignUnits(units.keys()).map((path) => `${path} was not written by this program: move it away.`)
  // For another user, the directory of the units is closed anyway.
  const unwritten = why === undefined ? unitsFault(world.root) : undefined
  return [why, ...programFaults(program), ...foreign, unwritten].filter((fault) => fault !== undefined)
}

function put(units: ReadonlyMap<string, string>, program: Program, now: boolean, world: UnitWorld): ExitCode {
  const { systemctl } = world
  try {
    writeUnits(units)
  } catch (error) {
    complain(unitFault(error), world)
    return EXIT.cannotTell
  }
  makeCode(program)
  const reloaded = systemctl('daemon-reload')
  // A running service is restarted, so that it uses the new units and the new program.
  const done = reloaded.code !== 0 ? reloaded : now ? systemctl('enable', '--now', ...UNITS) : systemctl('try-restart', SERVICE_UNIT)
  if (done.code !== 0) {
    complain(`systemd refused: ${done.stderr.trim()}`, world)
    return EXIT.cannotTell
  }
  for (const path of units.keys()) say(`wrote ${path}`, world)
  say(
    now
      ? 'It runs now and starts at every boot. Next: sudo enigm-dns system enable'
      : 'Nothing was started. Next: sudo enigm-dns system enable, which starts it and makes the system use it',
    world,
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

function uninstall({ dryRun }: Options, world: UnitWorld): ExitCode {
  const { systemctl } = world
  const packaged = packagedUnit(world.root)
  if (packaged !== undefined) {
    complain(`${packaged} belongs to a package: sudo apt purge enigm-dns (apt remove keeps the configuration).`, world)
    return EXIT.cannotTell
  }
  const paths = [...ownUnits(world.program(), true, world.root).keys()]
  if (dryRun === true)
    say(`enigm-dns system disable\nsystemctl disable --now ${UNITS.join(' ')}\nrm ${paths.join(' ')}\nsystemctl daemon-reload`, world)
  const why = refusal(world)
  if (why !== undefined) {
    complain(why, world)
    return EXIT.cannotTell
  }
  if (dryRun === true) return EXIT.good
  if (!leaveSystem(world)) return EXIT.proofFailed
  systemctl('disable', '--now', ...UNITS)
  const removed = removeUnits(paths)
  systemctl('daemon-reload')
  systemctl('reset-failed', ...UNITS)
  for (const path of removed) say(`removed ${path}`, world)
  say(
    removed.length === 0
      ? 'Nothing was installed.'
      : 'Its data stays in /etc/enigm-dns and /var/lib/private/enigm-dns. Remove it with sudo rm -r.',
    world,
  )
  return EXIT.good
}

/**
 * Makes the system stop using this service; returns whether that succeeded. As long as the system
 * uses it, no name resolves after the service stops.
 */
function leaveSystem(world: UnitWorld): boolean {
  const system = (...words: readonly string[]) =>
    spawnSync(process.execPath, [process.argv[1] ?? '', 'system', ...words], { stdio: ['ignore', 'inherit', 'pipe'], encoding: 'utf8' })
  const disabled = system('disable')
  const { status, error } = spawnSync(process.execPath, [process.argv[1] ?? '', 'system', 'status', '--json'], { stdio: 'ignore' })
  const asks = error !== undefined || status === EXIT.good || status === EXIT.proofFailed
  if (!asks) return true
  complain(
    `${(disabled.stderr ?? '').trim()}\nThe system still uses this service, so nothing was removed. See sudo enigm-dns system status.`,
    world,
  )
  return false
}

function status({ json }: Options, world: UnitWorld): ExitCode {
  const [service, socket] = [unitState(SERVICE_UNIT), unitState(SOCKET_UNIT)]
  const installed = service.file !== ''
  if (json === true) world.out.write(`${printableJson({ installed, file: service.file || null, service, socket }, 2)}\n`)
  if (!world.isSystemd()) {
    complain('systemd does not run this system.', world)
    return EXIT.cannotTell
  }
  if (json === true) return service.active === 'active' ? EXIT.good : EXIT.notAsWished
  if (!installed) say('not installed. Next: sudo enigm-dns service install', world)
  else {
    const word = (state: typeof service) => `${state.active}, ${state.enabled}`
    say(`${service.file}\nservice: ${word(service)}${service.pid === 0 ? '' : `, process ${service.pid}`}\nsocket: ${word(socket)}`, world)
  }
  return service.active === 'active' ? EXIT.good : EXIT.notAsWished
}

function thisWorld(): UnitWorld {
  return {
    out: process.stdout,
    err: process.stderr,
    exit: (code) => {
      process.exitCode = code
    },
    isSystemd,
    isRoot: () => process.geteuid?.() === 0,
    program: thisProgram,
    notifies: () => withKoffi(() => true) === true,
    root: '',
    systemctl,
  }
}
