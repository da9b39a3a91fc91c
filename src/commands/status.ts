import { unwatchFile, watchFile } from 'node:fs'
import { Command } from 'commander'
import { type Clock, systemClock } from '../clock.ts'
import { type Account, defaultStatusFile, thisAccount } from '../config/paths.ts'
import { asJudged, mostTelling, type Reading, readStatus, type Witness } from '../posture/reader.ts'
import { isSame } from '../system/process-identity.ts'
import { printableJson, statusScreen } from './status-screen.ts'

/** What the command touches, so that a test can stand in for all of it. */
export interface StatusWorld {
  readonly out: { write(text: string): unknown; readonly isTTY?: boolean; readonly columns?: number }
  readonly env: Readonly<Record<string, string | undefined>>
  readonly clock: Clock
  readonly isSame: Witness['isSame']
  /** Where to look when no file is named, in order of preference. */
  readonly files: readonly StatusPlace[]
  readonly exit: (code: number) => void
  /** Keeps the process alive while `--watch` runs: the clock's timers do not. */
  readonly stayAlive: (path: string) => void
}

/** A default place. `owner`: the numeric user whose file it must be, where others could have made it. */
export interface StatusPlace {
  readonly path: string
  readonly owner?: number
}

const POLL_MS = 1000

const HELP = `
Exit codes:
  0  protected    1  degraded    2  exposed or offline
  3  no file, not running, or stale

Examples:
  $ enigm-dns status                      one screen, worst first
  $ enigm-dns status --watch              redrawn when something changes
  $ enigm-dns status --json | jq .state   for programs; never better than the truth
  $ enigm-dns status --file /run/enigm-dns/status.json
`

/** `enigm-dns status`: how protected name resolution is right now. Sets the exit code; `--watch` runs until it is interrupted. */
export function statusCommand(world: StatusWorld = thisWorld()): Command {
  return new Command('status')
    .description('say, with evidence, how protected name resolution is right now')
    .option('--json', 'print the document as JSON')
    .option('--watch', 'print again whenever something changes')
    .option('--file <file>', 'the status file to read (default: where `run` writes it)')
    .addHelpText('after', HELP)
    .action((options: { readonly json?: true; readonly watch?: true; readonly file?: string }) => {
      const places = options.file === undefined ? world.files : [{ path: options.file }]
      if (options.watch === true) return watch(world, places, options.json === true)
      const reading = look(world, places)
      world.out.write(options.json === true ? `${printableJson(asJudged(reading), 2)}\n` : screen(world, reading))
      world.exit(reading.exitCode)
    })
}

function look(world: StatusWorld, places: readonly StatusPlace[]): Reading {
  const witness = { wallMs: world.clock.wallMs(), isSame: world.isSame }
  const readings = places.map((p) => readStatus(p.path, witness, p.owner))
  const path = places.map((p) => p.path).join(', ')
  const nowhere = readings.every((r) => r.judgement === 'not-found')
  const best = mostTelling(readings) ?? { path: '', judgement: 'not-found', exitCode: 3, message: 'No place to look for a status file.' }
  return nowhere ? { ...best, path } : best
}

function screen(world: StatusWorld, reading: Reading): string {
  const colour = world.out.isTTY === true && (world.env.NO_COLOR ?? '') === '' && world.env.TERM !== 'dumb'
  const width = Math.max(40, Math.min(world.out.columns ?? 80, 120))
  return statusScreen(reading, world.clock.wallMs(), { colour, width })
}

/** Prints again when the document or its judgement changes; a terminal also sees the ages move. Polls: a rename is not seen by every watcher. */
function watch(world: StatusWorld, places: readonly StatusPlace[], json: boolean): void {
  let shown = ''
  let told = ''
  const draw = () => {
    const reading = look(world, places)
    const tells = `${reading.path} ${reading.judgement} ${JSON.stringify(reading.raw)}`
    const text = json ? `${printableJson(asJudged(reading), 0)}\n` : screen(world, reading)
    const live = world.out.isTTY === true && !json
    if (live ? text !== shown : tells !== told) world.out.write(live ? `\u001b[H\u001b[2J${text}` : text)
    shown = text
    told = tells
    world.exit(reading.exitCode)
    world.clock.setTimer(POLL_MS, draw)
  }
  draw()
  world.stayAlive(places[0]?.path ?? '')
}

/** Watching a file holds the event loop, until the interrupt. */
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
    files: statusPlaces(thisAccount()),
    exit: (code) => {
      process.exitCode = code
    },
    stayAlive,
  }
}

/** The service's file first, then this user's own, which nobody else may have written (its directory may be a shared one). */
export function statusPlaces(account: Account): readonly StatusPlace[] {
  const own = defaultStatusFile({ ...account, uid: account.uid === 0 ? undefined : account.uid })
  return [
    { path: defaultStatusFile({ ...account, uid: 0 }) },
    account.uid === undefined ? { path: own } : { path: own, owner: account.uid },
  ]
}
