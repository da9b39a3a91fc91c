import { existsSync } from 'node:fs'
import { MessageChannel } from 'node:worker_threads'
import { Command } from 'commander'
import { counted } from '../config/problems.ts'
import { asEnigmError, isBug } from '../errors.ts'
import { EXIT } from '../exit-codes.ts'
import { type Captured, textIn } from '../files/captured.ts'
import { readSystemResolver } from '../system/system-resolver.ts'
import type { TakeoverHost } from '../system/takeover/backend.ts'
import { chooseBackend, impossibleHere } from '../system/takeover/choose.ts'
import { rejectedByPort } from '../system/takeover/enforce.ts'
import type { Kept } from '../system/takeover/journal.ts'
import {
  applyPartsAgain,
  disable,
  type EnablePlan,
  type EnableRequest,
  enable,
  planDisable,
  planEnable,
  recover,
} from '../system/takeover/procedure.ts'
import { pause } from '../system/takeover/proof.ts'
import { forgetRepairs, repair } from '../system/takeover/repair.ts'
import { takeoverStatus } from '../system/takeover/takeover-status.ts'
import { findConfig, thisHost } from './running-service.ts'
import { printable, printableJson } from './status-screen.ts'
import { thisTakeoverHost } from './takeover-host.ts'

/** The command's access to the system; tests replace it. */
export interface SystemWorld {
  readonly out: { write(text: string): unknown }
  readonly err: { write(text: string): unknown }
  readonly host: () => TakeoverHost
  readonly isRoot: () => boolean
  readonly isLinux: () => boolean
  /** The settings `system` of the configuration. */
  readonly settings: () => Promise<{ readonly enabled: boolean; readonly vpnDns: EnableRequest['vpnDns'] }>
  /** Keeps the process alive until the returned function is called; timers do not. */
  readonly alive: () => () => void
  readonly exit: (code: number) => void
}

interface Options {
  readonly json?: true
  readonly dryRun?: true
  readonly enforce?: true
}

const HELP = `
Finds what manages DNS on this system (systemd-resolved, NetworkManager, resolvconf, or a file) and makes it use this
service. The change is proven before and after. If it cannot be proven, it is undone automatically, also after a kill or a power cut.

Exit codes:
  enable   0  proven    3  refused, nothing changed    4  tried, and everything was restored
  disable  0  done, or nothing was enabled    1  another program still makes the system use this service    3  refused
  status   0  enabled and proven    1  not enabled    3  cannot tell, or cannot be done here
           4  enabled, but not in control
  all      2  bad usage

Examples:
  $ sudo enigm-dns system enable --dry-run     what would be changed
  $ sudo enigm-dns system enable
  $ sudo enigm-dns system enable --enforce     also reject DNS traffic of programs that bypass it
  $ sudo enigm-dns system status
  $ sudo enigm-dns system disable
`

/** `enigm-dns system`: makes the system use this service, or stop using it. Sets the exit code. */
export function systemCommand(world: SystemWorld = thisWorld()): Command {
  const command = new Command('system')
    .description('make the programs of the system use this service, prove it, and undo it')
    .addHelpText('afterAll', HELP)
  const add = (name: string, says: string, run: (options: Options, world: SystemWorld) => Promise<number>) =>
    command
      .command(name)
      .description(says)
      .option('--json', 'print one JSON document')
      .action((options: Options) => settled(() => run(options, world), world, options.json))
  add('enable', 'make the system use this service; kept only if it is proven', enableSystem)
    .option('--dry-run', 'show what would be changed, and change nothing')
    .option('--enforce', 'also reject traffic of other programs to ports 53 and 853 of other servers (nftables)')
  add('disable', 'restore the previous state', disableSystem).option('--dry-run', 'show what would be restored, and change nothing')
  add('status', 'show whether the system uses this service, proven with names that nobody else knows', systemStatus)
  command
    .command('recover', { hidden: true })
    .description('undo an unfinished change; for the timer and the unit that enable creates')
    .option('--boot', 'nothing has started yet')
    .option('--late <id>', 'the time of that change is over')
    .option('--after <ms>', 'wait first')
    .option('--enforce', 'apply the rules of --enforce again')
    .action((options: RecoverOptions) => settled(() => recoverSystem(options, world), world))
  command
    .command('repair', { hidden: true })
    .description('repair what another program changed; for the unit that enable creates')
    .action(() => settled(() => repairSystem(world), world))
  return command
}

const REPAIRED = {
  'not-enabled': EXIT.good,
  'not-needed': EXIT.good,
  repaired: EXIT.good,
  failed: EXIT.proofFailed,
  'given-up': EXIT.notAsWished,
} as const

/**
 * Runs the repair for the unit that enable creates. Takes no input from the program that started
 * it.
 */
async function repairSystem(world: SystemWorld): Promise<number> {
  const why = unable(world)
  if (why !== undefined) return refuse(why, world)
  const result = await repair(world.host())
  if ('by' in result) {
    const what = {
      repaired: 'The system uses this service again',
      failed: 'It could not be repaired',
      'given-up': 'Given up after three times in a minute',
    }
    world.err.write(lines([`${what[result.outcome]}; it had been changed by ${result.by}.`, ...result.faults]))
  }
  return REPAIRED[result.outcome]
}

interface RecoverOptions {
  readonly boot?: true
  readonly late?: string
  readonly after?: string
  readonly enforce?: true
}

/** Runs an action. Prints a refusal as a sentence and exits with 3; rethrows a bug. */
async function settled(run: () => Promise<number>, world: SystemWorld, json?: true): Promise<void> {
  const ended = world.alive()
  try {
    world.exit(await run())
  } catch (error) {
    const fault = asEnigmError(error)
    if (isBug(fault.code)) throw error
    world.exit(refuse(fault.message, world, json))
  } finally {
    ended()
  }
}

const lines = (sentences: readonly string[]) => sentences.map((one) => `${printable(one)}\n`).join('')

/** Why the command cannot run here; undefined: it can. */
function unable({ isLinux, isRoot }: SystemWorld): string | undefined {
  if (!isLinux()) return 'only Linux is supported: docs/system.md describes other systems'
  return isRoot() ? undefined : 'this needs root; run it with sudo'
}

async function enableSystem({ json, dryRun, enforce }: Options, world: SystemWorld): Promise<number> {
  const { out, err } = world
  const why = unable(world)
  if (why !== undefined) return refuse(why, world, json)
  const host = world.host()
  const settings = await world.settings()
  const request: EnableRequest = { vpnDns: settings.vpnDns, parts: enforce === true ? ['enforce'] : [] }
  if (dryRun === true) {
    const plan = await planEnable(host, request)
    out.write(json === true ? `${printableJson(shownPlan(plan), 2)}\n` : planText(plan))
    return EXIT.good
  }
  forgetRepairs()
  const result = await enable(host, request)
  if (result.outcome === 'rolled-back') {
    err.write(`It could not be proven, so everything was restored:\n${lines(result.reasons)}`)
    if (result.foreign.length > 0) err.write(`Changed by another program in the meantime, and kept: ${keptText(result.foreign)}\n`)
    if (json === true) out.write(`${printableJson({ enabled: false, reasons: result.reasons }, 2)}\n`)
    return EXIT.proofFailed
  }
  if (json === true) {
    await writeStatus(host, world)
    return EXIT.good
  }
  const { owner, address } = result.journal
  out.write(
    `enabled and proven: the system uses this service at ${address} (by ${owner})\n${lines([...result.notes, ...(settings.enabled ? [] : [UNSET])])}`,
  )
  return EXIT.good
}

const UNSET =
  'To make enigm-dns status say degraded while another program has the system use another DNS server, set "system": { "enabled": true } in the configuration.'

async function writeStatus(host: TakeoverHost, { out }: SystemWorld): Promise<void> {
  const { enabled, backend, address, proven, owner, bypasses } = await takeoverStatus(host)
  out.write(`${printableJson({ enabled, backend, address, proven, owner, bypasses }, 2)}\n`)
}

function shownPlan({ backend, owner, address, changes, commands, notes }: EnablePlan) {
  const files = changes.map(({ path, ours }) => ({
    path,
    ...(ours.kind === 'link' ? { link: ours.target } : { text: textIn(ours) ?? '' }),
  }))
  return { backend, owner, address, changes: files, commands, notes }
}

function planText(plan: EnablePlan): string {
  const { backend, owner, address, changes, commands, notes } = shownPlan(plan)
  const files = changes.flatMap((one) => [
    'link' in one ? `link ${one.path} -> ${one.link}` : `write ${one.path}:`,
    ...('text' in one ? one.text.trimEnd().split('\n').map((text) => `    ${text}`) : []), // biome-ignore format: one row
  ])
  return lines([
    `${owner} manages DNS (back end ${backend}); the service answers at ${address}`,
    ...files,
    ...commands.map((one) => `run ${one}`),
    ...notes,
  ])
}

async function disableSystem({ json, dryRun }: Options, world: SystemWorld): Promise<number> {
  const { out, err } = world
  const why = unable(world)
  if (why !== undefined) return refuse(why, world, json)
  const host = world.host()
  if (dryRun === true) {
    const { owner } = await chooseBackend(host)
    out.write(disablePlanText(owner, json))
    return EXIT.good
  }
  const result = await disable(host, (address) => readSystemResolver([{ address, port: 53 }]).asks)
  const foreign = result.outcome === 'disabled' ? result.foreign : []
  if (json === true) out.write(`${printableJson({ enabled: false, changed: result.outcome === 'disabled', ...shownKept(foreign) }, 2)}\n`)
  else out.write(`${result.outcome === 'disabled' ? disabledText(foreign) : 'nothing is enabled: nothing was changed'}\n`)
  if (json === true && foreign.length > 0) err.write(`Changed by another program since, and kept: ${pathsOf(foreign)}\n`)
  if (result.outcome !== 'disabled' || !result.stillUsed) return EXIT.good
  err.write('The system still uses this service, because of a change by another program. Therefore the service was not stopped.\n')
  return EXIT.notAsWished
}

/** The text of `disable --dry-run`. */
function disablePlanText(owner: string, json?: true): string {
  const plan = planDisable()
  const { enabled = false, pending = false, restored = [], kept = [] } = plan ?? {}
  if (json === true) return `${printableJson({ enabled, pending, files: restored, ...shownKept(kept) }, 2)}\n`
  if (plan === undefined) return lines(['nothing is enabled'])
  const keeps = kept.flatMap((one) => [`keep ${one.path}, because another program has changed it since`, ...formerLines(one)])
  return lines([...restored.map((path) => `restore ${path}`), ...keeps, `tell ${owner}`])
}

/** Limits of a text that is printed. The copy has more. */
const MAX_SHOWN_LINES = 20
const MAX_SHOWN_OCTETS = 2048

/** The text of a small captured file. Undefined: it is no small file of text. */
function smallText(before: Captured): string | undefined {
  const text = textIn(before)
  if (text === undefined || Buffer.byteLength(text) > MAX_SHOWN_OCTETS || /[\0\uFFFD]/.test(text)) return undefined
  return text.trimEnd().split('\n').length > MAX_SHOWN_LINES ? undefined : text
}

/** What was at the path before `system enable`, as lines of text. */
function formerLines({ path, before, copy }: Kept): readonly string[] {
  const where = copy === undefined ? [] : [`Its copy is ${copy}`]
  if (before.kind === 'absent') return [`before "system enable" there was no ${path}`]
  if (before.kind === 'link') return [`before "system enable" ${path} was a link to ${before.target}`, ...where]
  const text = smallText(before)
  if (text === undefined) return [`before "system enable" ${path} held more than fits here`, ...where]
  if (text.trim() === '') return [`before "system enable" ${path} was empty`, ...where]
  return [`before "system enable" ${path} held:`, ...text.trimEnd().split('\n').map((line) => `    ${line.replaceAll('\t', ' ')}`), ...where] // biome-ignore format: one row
}

const pathsOf = (kept: readonly Kept[]) => printable(kept.map(({ path }) => path).join(', '))

/** The kept paths, and on lines of their own what was there before. No newline at the end. */
const keptText = (kept: readonly Kept[]) => [pathsOf(kept), ...kept.flatMap(formerLines).map(printable)].join('\n')

/** The kept paths in a JSON document, and what was there before. */
function shownKept(kept: readonly Kept[]) {
  const former = kept.map(({ path, before, copy }) => {
    const text = smallText(before)
    return {
      path,
      kind: before.kind,
      ...(before.kind === 'link' ? { link: before.target } : text === undefined ? {} : { text }),
      ...(copy === undefined ? {} : { copy }),
    }
  })
  return { foreign: kept.map(({ path }) => path), former }
}

function disabledText(foreign: readonly Kept[]): string {
  if (foreign.length === 0) return 'disabled: the previous state is restored'
  return `disabled, but not everything is restored. Changed by another program since, and kept: ${keptText(foreign)}`
}

async function systemStatus({ json }: Options, world: SystemWorld): Promise<number> {
  const { out, err, host: hostOf, isLinux } = world
  const host = hostOf()
  if (!isLinux()) return refuse('only Linux is supported: docs/system.md describes other systems', world, json)
  const status = await takeoverStatus(host)
  const rejected = status.enabled ? await rejectedByPort(host) : undefined
  const { enabled, backend, address, proven, owner, bypasses, faults, told, repaired, pending } = status
  if (json === true)
    out.write(`${printableJson({ enabled, backend, address, proven, owner, bypasses, ...(rejected && { rejected }) }, 2)}\n`)
  else {
    const state = enabled ? (proven ? 'enabled and proven' : 'enabled, not proven') : 'not enabled'
    out.write(`${state}: ${printable(owner)} manages DNS (back end ${backend})${enabled ? `, ${printable(address)}` : ''}\n`)
    out.write(lines(bypasses.map(({ via, what }) => `bypass: ${via}: ${what}`)))
    for (const [port, packets] of Object.entries(rejected ?? {}))
      out.write(`rejected at port ${port} because they bypassed the service: ${counted(packets, 'packet')}\n`)
  }
  if (pending) err.write('A change was not finished. To undo it, run enigm-dns system disable.\n')
  if (!enabled) {
    const impossible = world.isRoot() ? await impossibleHere(host, { address, vpnDns: 'leave' }) : []
    if (impossible.length === 0) return EXIT.notAsWished
    err.write(`It cannot be enabled here:\n${lines(impossible)}`)
    return EXIT.cannotTell
  }
  if (faults.length > 0) {
    err.write(lines(faults))
    if (!repaired) err.write('Nothing repairs this here, because no systemd runs: run sudo enigm-dns system enable.\n')
    return EXIT.proofFailed
  }
  if (told) return EXIT.good
  const fix = world.isRoot() ? 'does not answer at its control socket. Restart it.' : 'does not answer this user. Run the command as root.'
  err.write(`Cannot tell whether names arrive: the service ${fix}\n`)
  return EXIT.cannotTell
}

async function recoverSystem({ boot, late, after, enforce }: RecoverOptions, world: SystemWorld): Promise<number> {
  const why = unable(world)
  if (why !== undefined) return refuse(why, world)
  const host = world.host()
  if (after !== undefined) await pause(host.clock, Number(after) || 0)
  if (enforce === true) {
    await applyPartsAgain(host)
    return EXIT.good
  }
  const foreign = await recover(host, boot === true ? 'boot' : late === undefined ? 'now' : { late })
  if (foreign.length > 0) world.err.write(`Changed by another program since, and kept: ${keptText(foreign)}\n`)
  return EXIT.good
}

/** Prints a refusal and returns the exit code. `why`: one sentence per line. */
function refuse(why: string, { out, err }: SystemWorld, json?: true): number {
  if (json === true) out.write(`${printableJson({ refused: why }, 2)}\n`)
  err.write(`refused: ${lines(why.split('\n'))}`)
  return EXIT.cannotTell
}

function thisWorld(): SystemWorld {
  return {
    out: process.stdout,
    err: process.stderr,
    host: thisTakeoverHost,
    isRoot: () => process.geteuid?.() === 0,
    isLinux: () => existsSync('/proc/self/mountinfo'),
    settings: async () => (await findConfig(undefined, thisHost())).loaded?.config.system ?? { enabled: false, vpnDns: 'leave' },
    alive() {
      const { port1 } = new MessageChannel()
      port1.on('message', () => {}).ref()
      return () => port1.close()
    },
    exit(code) {
      process.exitCode = code
      // Exit explicitly: a pending lookup would keep the process alive until the timeouts of the
      // system.
      process.stdout.write('', () => process.stderr.write('', () => process.exit(code)))
    },
  }
}
