import { Command } from 'commander'
import { type Random, systemRandom } from '../clock.ts'
import { parseListen, type SocketAddress } from '../config/listen-address.ts'
import type { DefaultFiles, Loaded } from '../config/load.ts'
import { configError, counted } from '../config/problems.ts'
import { encodeQuestion } from '../dns/presentation.ts'
import { asEnigmError } from '../errors.ts'
import { EARLIER, EXIT } from '../exit-codes.ts'
import { mostRelevant, readStatus, type StatusReading } from '../posture/reader.ts'
import { type Connectivity, readConnectivity } from '../system/network-view.ts'
import { isSame, isSuspended } from '../system/process-identity.ts'
import { readSystemResolver, type SystemResolver } from '../system/system-resolver.ts'
import { askServer, nobodyListens } from './ask-server.ts'
import { problemsText } from './check-screen.ts'
import { type CommandWorld, thisCommand } from './command-world.ts'
import { diagnose, type Remark, type Symptoms } from './diagnosis.ts'
import { type HostService, hostService } from './host-service.ts'
import { nextCommand } from './next-command.ts'
import { reachAll } from './reach.ts'
import { type FoundConfig, findConfig, type Host, thisHost } from './running-service.ts'
import { type Silence, silenceOf } from './silence.ts'
import { printable, printableJson } from './status-screen.ts'

/** The command's access to the system; tests replace all of it. */
export interface DoctorWorld extends CommandWorld {
  readonly random: Random
  readonly places: DefaultFiles | undefined
  readonly connectivity: () => Connectivity
  readonly system: (ours: Loaded['listen']) => SystemResolver
  readonly host?: Host
  /** Returns how the service of this host is run; absent: there is none. */
  readonly service?: () => HostService
}

export interface DoctorOptions {
  readonly config?: string
  readonly json?: true
  readonly offline?: true
}

const NO_SERVICE: HostService = { running: undefined, installed: false, managed: false }
const LISTENER_MS = 1000
/** A name that is answered locally (RFC 6761) and never sent. */
const LOCAL_NAME = 'localhost'

const HELP = `
Exit codes:
  0  no fault    1  a warning    2  a fault, or an invalid configuration

Examples:
  $ enigm-dns doctor                  checks from the application down; faults first
  $ enigm-dns doctor --offline        sends nothing beyond this host
  $ enigm-dns doctor --json | jq '.[] | select(.state == "bad")'
`

/**
 * `enigm-dns doctor`: follows a lookup from the application down, and reports each problem with its
 * fix. Sets the exit code.
 */
export function doctorCommand(world: DoctorWorld = thisWorld()): Command {
  return new Command('doctor')
    .description('check every step from the application to the resolvers, and show what is wrong and how to fix it')
    .option(
      '-c, --config <file>',
      'configuration file (default: that of the running service, else /etc/enigm-dns/config.json if it exists)',
    )
    .option('--json', 'print one JSON document')
    .option('--offline', 'send nothing beyond this host')
    .addHelpText('after', HELP)
    .action(async (options: DoctorOptions) => world.exit(await doctor(options, world)))
}

/** Returns the exit code. Never rejects because of a file or the network. */
export async function doctor(options: DoctorOptions, world: DoctorWorld): Promise<number> {
  const host = world.host ?? thisHost()
  const judged = await findConfig(options.config, host, world.places)
  if (judged.note !== undefined) world.err.write(`${printable(judged.note)}\n`)
  if (judged.problems.length > 0 && judged.service === undefined) {
    world.err.write(problemsText(judged.problems))
    return EARLIER.bad
  }
  const remarks = diagnose(await symptoms(judged, host, options, world))
  const next = nextCommand(remarks, world.service?.() ?? NO_SERVICE)
  const ending = next === undefined ? '' : `\nNext: ${next}\n`
  world.out.write(options.json === true ? `${printableJson(remarks, 2)}\n` : `${remarks.map(line).join('')}${ending}`)
  if (remarks.some(({ state }) => state === 'bad')) return EARLIER.bad
  return remarks.some(({ state }) => state === 'warn') ? EXIT.notAsWished : EXIT.good
}

async function symptoms(
  { loaded, service, unreadable, problems }: FoundConfig,
  host: Host,
  options: DoctorOptions,
  world: DoctorWorld,
): Promise<Symptoms> {
  const wallMs = world.clock.wallMs()
  const places = service === undefined ? (loaded?.listen ?? []) : service.listen.flatMap((text) => parseListen(text) ?? [])
  const offline = options.offline === true || loaded === undefined
  const statusFiles =
    service !== undefined
      ? [service.statusFile]
      : [loaded?.config.statusFile ?? [], options.config === undefined ? host.statusFiles : []].flat()
  const status = statusOf(statusFiles, wallMs)
  const pid = service?.pid ?? livingWriter(status)
  const silence = (place: SocketAddress) => silenceOf(place, pid, loaded)
  const [listeners, links] = await Promise.all([
    Promise.all(places.flatMap((place) => (['udp', 'tcp'] as const).map((over) => askListener(place, over, world, silence)))),
    offline ? undefined : reachAll(loaded, world),
  ])
  return {
    loaded,
    unreadable,
    invalid: problems.length === 0 ? undefined : firstOf(problems),
    connectivity: world.connectivity(),
    system: world.system(places),
    listeners,
    status,
    suspended: pid !== undefined && isSuspended(pid) ? pid : undefined,
    links,
    wallMs,
  }
}

function firstOf(problems: FoundConfig['problems']): string {
  const more = problems.length > 1 ? ` (and ${counted(problems.length - 1, 'other fault')})` : ''
  return `${configError(problems.slice(0, 1)).message}${more}.`
}

/**
 * Reads the same status file as `status`. Of several places, the one with the most information is
 * used.
 */
function statusOf(files: readonly string[], wallMs: number): StatusReading {
  const readings = [...new Set(files)].map((file) => readStatus(file, { wallMs, isSame }))
  return mostRelevant(readings) ?? readStatus('', { wallMs, isSame })
}

/** The process that wrote a status, if it still runs. */
function livingWriter({ document }: StatusReading): number | undefined {
  return document !== undefined && isSame(document.pid, document.processStart) === true ? document.pid : undefined
}

async function askListener(
  place: SocketAddress,
  over: 'udp' | 'tcp',
  world: DoctorWorld,
  silence: (place: SocketAddress) => Silence | undefined,
): Promise<Symptoms['listeners'][number]> {
  const at = place.address.includes(':') ? `[${place.address}]:${place.port}` : `${place.address}:${place.port}`
  try {
    const query = encodeQuestion(LOCAL_NAME, 'A', world.random.below(65_536))
    await askServer(place, query, { clock: world.clock, timeoutMs: LISTENER_MS, tcpOnly: over === 'tcp' })
    return { at, over, fault: undefined, mend: undefined }
  } catch (error) {
    const fault = asEnigmError(error)
    const { message } = fault
    const known = nobodyListens(fault) ? undefined : silence(place)
    return { at, over, fault: known?.why ?? message.replace(/[^.?!]$/, '$&.'), mend: known?.mend }
  }
}

const MARK = { bad: '!!', warn: '! ', unknown: '? ', ok: 'ok' } as const

function line({ layer, state, message, mend }: Remark): string {
  return `${MARK[state]} ${layer.padEnd(13)}${printable(message)}\n${mend === '' ? '' : `${' '.repeat(16)}fix: ${printable(mend)}\n`}`
}

function thisWorld(): DoctorWorld {
  return {
    ...thisCommand(),
    random: systemRandom,
    places: undefined,
    connectivity: () => readConnectivity(),
    service: () => hostService(thisHost()),
    system: (ours) => readSystemResolver(ours),
  }
}
