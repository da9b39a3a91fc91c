import { unwatchFile, watchFile } from 'node:fs'
import { join } from 'node:path'
import { Command } from 'commander'
import { type Clock, systemClock } from '../clock.ts'
import { type Account, defaultStateDir, defaultStatusFile, thisAccount } from '../config/paths.ts'
import { EXIT } from '../exit-codes.ts'
import { redacted } from '../posture/document.ts'
import {
  type HostFacts,
  judgedDocument,
  judgeText,
  mostRelevant,
  readStatus,
  type StatusReading,
  withVerification,
} from '../posture/reader.ts'
import { lastVerifiedIn, verifyStatus } from '../posture/signature.ts'
import { readPlainFile } from '../posture/status-file.ts'
import { bootId, isSame } from '../system/process-identity.ts'
import { pathsLines } from './paths-screen.ts'
import { shownService, thisHost } from './running-service.ts'
import { fitted, printableJson, statusScreen } from './status-screen.ts'

/** The command's access to the system; tests replace all of it. */
export interface StatusWorld {
  readonly out: { write(text: string): unknown; readonly isTTY?: boolean; readonly columns?: number; readonly rows?: number }
  readonly env: Readonly<Record<string, string | undefined>>
  readonly clock: Clock
  readonly isSame: HostFacts['isSame']
  /** The paths to use if no file is named, in order of preference. */
  readonly files: readonly StatusPlace[]
  readonly exit: (code: number) => void
  /** Keeps the process alive while `--watch` runs: the clock's timers do not. */
  readonly stayAlive: (path: string) => void
  /** The current boot of this host. */
  readonly bootId: string | undefined
  /**
   * The file that remembers the newest verified document, unless the command line names another.
   */
  readonly seenFile: string
  /** Waits synchronously. */
  readonly pause: (ms: number) => void
}

/**
 * A place where a status file may be. `owner`: the numeric user who must own the file, if other
 * users could create it.
 */
export interface StatusPlace {
  readonly path: string
  readonly owner?: number
  /** The public key of the service that writes there. */
  readonly keyFile?: string
}

interface StatusOptions {
  readonly json?: true
  readonly watch?: true
  readonly file?: string
  readonly verify?: true
  readonly key?: string
  readonly seen?: string
  readonly remote?: true
  readonly redact?: true
  readonly paths?: true
}

const POLL_MS = 1000

const HELP = `
Exit codes:
  0  protected    1  degraded    2  exposed or offline
  3  no file, not running, or stale    4  with --verify: not signed, forged, another key, or a replay

Examples:
  $ enigm-dns status                      one screen, worst first
  $ enigm-dns status --watch              redrawn when something changes
  $ enigm-dns status --json | jq .state   for programs; never "protected" if the document is not current
  $ enigm-dns status --verify --key status.pub    checks that the holder of that key wrote it; else exit code 4
  $ enigm-dns status --paths              who can know your address, the names, the times and the sizes
  $ enigm-dns status --redact             states and reason codes only: safe to share
  $ enigm-dns status --file /run/enigm-dns/status.json
`

/**
 * `enigm-dns status`: shows how well name resolution is protected now. Sets the exit code;
 * `--watch` runs until it is interrupted.
 */
export function statusCommand(world: StatusWorld = thisWorld()): Command {
  return new Command('status')
    .description('show how well name resolution is protected now, with evidence')
    .option('--json', 'print the document as JSON')
    .option('--watch', 'print again after each change')
    .option('--file <file>', 'the status file to read (default: that of the running service)')
    .option('--verify', 'accept only a signed document, and none older than one seen before')
    .option('--key <file>', 'the public key (status.pub of the state directory); implies --verify')
    .option('--seen <file>', 'with --verify: a file for the newest document seen, to detect a replay')
    .option('--remote', 'with --verify: the file is a copy from another host, so its process and boot are not checked here')
    .option('--paths', 'show who can know what on the route to each resolver')
    .option('--redact', 'print JSON that is safe to share: states and reason codes only')
    .addHelpText('after', HELP)
    .action((options: StatusOptions, command: Command) => {
      const alone = options.verify === true || options.key !== undefined ? undefined : options.remote === true ? '--remote' : options.seen
      if (alone !== undefined) command.error(`error: ${alone === '--remote' ? alone : '--seen'} is about a signature: add --verify`)
      const places = options.file === undefined ? world.files : [{ path: options.file }]
      if (options.watch === true) return watch(world, places, options)
      const reading = look(world, places, options)
      world.out.write(shown(world, reading, options))
      world.exit(reading.exitCode)
    })
}

function shown(world: StatusWorld, reading: StatusReading, options: StatusOptions): string {
  if (options.redact === true) return `${printableJson(redacted(judgedDocument(reading)), 2)}\n`
  return options.json === true
    ? `${printableJson(judgedDocument(reading), options.watch === true ? 0 : 2)}\n`
    : screen(world, reading, options)
}

function look(world: StatusWorld, places: readonly StatusPlace[], options: StatusOptions): StatusReading {
  const isSame = options.remote === true ? () => undefined : world.isSame
  const host = { wallMs: world.clock.wallMs(), isSame }
  const verifying = options.verify === true || options.key !== undefined
  const readings = places.map((p) => (verifying ? readVerified(world, p, host, options) : readStatus(p.path, host, p.owner)))
  const path = places.map((p) => p.path).join(', ')
  const nowhere = readings.every((r) => r.judgement === 'not-found')
  const best = mostRelevant(readings) ?? {
    path: '',
    judgement: 'not-found',
    exitCode: EXIT.cannotTell,
    message: 'There is no default path for a status file here.',
  }
  return nowhere ? { ...best, path } : best
}

/** Reads a status file and verifies its signature. The text that is shown is the verified text. */
function readVerified(world: StatusWorld, place: StatusPlace, host: HostFacts, options: StatusOptions): StatusReading {
  const first = readPlainFile(place.path, place.owner)
  if (typeof first !== 'string') return { path: place.path, exitCode: EXIT.cannotTell, ...first }
  const { verification, text } = verifyStatus(place.path, {
    ...(options.key === undefined ? {} : { keyFile: options.key }),
    ...(place.keyFile === undefined ? {} : { likelyKeyFile: place.keyFile }),
    lastVerified: lastVerifiedIn(options.seen ?? world.seenFile),
    bootId: options.remote === true ? undefined : world.bootId,
    pause: world.pause,
    text: () => {
      const got = readPlainFile(place.path, place.owner)
      return typeof got === 'string' ? got : undefined
    },
  })
  return withVerification(judgeText(place.path, text ?? first, host), verification)
}

function screen(world: StatusWorld, reading: StatusReading, { paths }: Pick<StatusOptions, 'paths'>): string {
  const colour = world.out.isTTY === true && (world.env.NO_COLOR ?? '') === '' && world.env.TERM !== 'dumb'
  const width = Math.max(40, Math.min(world.out.columns ?? 80, 120))
  return statusScreen(reading, world.clock.wallMs(), { colour, width, ...(paths === true ? { only: pathsLines } : {}) })
}

/**
 * Prints again when the document or its judgement changes; on a terminal also when ages change. It
 * polls, because some file watchers miss a rename.
 */
function watch(world: StatusWorld, places: readonly StatusPlace[], options: StatusOptions): void {
  const json = options.json === true || options.redact === true
  let drawn = ''
  let printed = ''
  const draw = () => {
    const reading = look(world, places, options)
    const current = `${reading.path} ${reading.judgement} ${JSON.stringify(reading.raw)}`
    const live = world.out.isTTY === true && !json
    const { columns = 80, rows = 24 } = world.out
    const text = live ? fitted(screen(world, reading, options), columns, rows) : shown(world, reading, options)
    if (live ? text !== drawn : current !== printed) world.out.write(live ? `\u001b[H\u001b[2J${text}` : text)
    drawn = text
    printed = current
    world.exit(reading.exitCode)
    world.clock.setTimer(POLL_MS, draw)
  }
  draw()
  world.stayAlive(places[0]?.path ?? '')
}

/** Watches a file, which keeps the event loop alive until the interrupt. */
function stayAlive(path: string): void {
  const listener = () => {}
  watchFile(path, { interval: POLL_MS }, listener)
  process.once('SIGINT', () => {
    unwatchFile(path, listener)
    process.exit()
  })
}

function thisWorld(): StatusWorld {
  return {
    out: process.stdout,
    env: process.env,
    clock: systemClock(),
    isSame,
    files: runningPlaces(),
    exit: (code) => {
      process.exitCode = code
    },
    stayAlive,
    bootId: bootId(),
    seenFile: join(defaultStateDir(), 'status-seen.json'),
    pause: (ms) => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms),
  }
}

/** The status file of the running service; if none is known to run, the default places. */
function runningPlaces(): readonly StatusPlace[] {
  const service = shownService(thisHost())
  if (service === undefined) return statusPlaces(thisAccount())
  return [{ path: service.statusFile, keyFile: join(service.stateDir, 'status.pub') }]
}

/**
 * The service's file first, then this user's own, which must belong to this user (its directory may
 * be a shared one). For root both are the same.
 */
export function statusPlaces(account: Account): readonly StatusPlace[] {
  const placeOf = (of: Account) => ({ path: defaultStatusFile(of), keyFile: join(defaultStateDir(of), 'status.pub') })
  const service = placeOf({ ...account, uid: 0 })
  if (account.uid === 0) return [service]
  return [service, account.uid === undefined ? placeOf(account) : { ...placeOf(account), owner: account.uid }]
}
