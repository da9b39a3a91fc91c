import { existsSync } from 'node:fs'
import { Command } from 'commander'
import { counted } from '../config/problems.ts'
import { asEnigmError, isBug } from '../errors.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { asHead, auditFiles, type ChainVerdict, headText, judgeChain } from '../posture/audit.ts'
import { readPlainFile } from '../posture/status-file.ts'
import { configOrThrow, findConfig, thisHost } from './running-service.ts'

/** The command's access to the system; tests replace it. */
export interface AuditWorld {
  readonly out: { write(text: string): unknown }
  readonly exit: (code: number) => void
  /**
   * Finds the state directory of a configuration file; without one, of the running service or the
   * default configuration. Rejects with an EnigmError `config`.
   */
  readonly stateDir: (config: string | undefined) => Promise<string>
}

interface AuditOptions {
  readonly dir?: string
  readonly config?: string
  readonly head?: string
}

const HELP = `
The log contains changes of state and violations of the policy. It contains no query name and no address. "Internally consistent" means that
between its first and last entry nothing was changed, removed or added, unless somebody rewrote the whole chain. A rewritten chain, or an end
that was cut off, shows only if a head was kept elsewhere: store the output of "audit head" on another machine, and pass it to
"audit verify --head".

Exit codes:
  0  head: printed    verify: internally consistent (and, with --head, complete up to that head)
  1  not consistent or empty, or the entry of the head is not in it    2  bad usage, or the configuration cannot be read
  3  no log, or it cannot be read

Examples:
  $ enigm-dns audit head | ssh trust-centre 'cat >> heads'
  $ enigm-dns audit verify --head 41:9f2c...
`

/** `enigm-dns audit verify` and `audit head`. */
export function auditCommand(world: AuditWorld = thisWorld()): Command {
  const place = (command: Command) =>
    command
      .option('--dir <directory>', 'the state directory (default: the one in the configuration)')
      .option('-c, --config <file>', 'configuration file (default: that of the running service)')
  const audit = new Command('audit').description('check the log of policy violations and changes of state').addHelpText('afterAll', HELP)
  audit.addCommand(
    place(new Command('verify'))
      .description('check whether the log is consistent, and complete up to a head that was kept elsewhere')
      .option('--head <n:hash>', 'what `audit head` printed before')
      .action((options: AuditOptions) => orConfigFault(world, verify(world, options))),
  )
  audit.addCommand(
    place(new Command('head'))
      .description('print the number and hash of the last entry, to keep elsewhere')
      .action((options: AuditOptions) => orConfigFault(world, head(world, options))),
  )
  return audit
}

/** Prints the error of an unreadable configuration, with exit code 2. */
function orConfigFault(world: AuditWorld, done: Promise<void>): Promise<void> {
  return done.catch((error: unknown) => {
    const fault = asEnigmError(error)
    if (isBug(fault.code)) throw error
    end(world, EXIT.usage, fault.message)
  })
}

async function verify(world: AuditWorld, options: AuditOptions): Promise<void> {
  const kept = options.head === undefined ? undefined : asHead(options.head)
  if (options.head !== undefined && kept === undefined)
    return end(world, EXIT.usage, '--head must have the form number:hash, as printed by `audit head`')
  const lines = await read(world, options)
  if (typeof lines === 'string') return end(world, EXIT.cannotTell, lines)
  const verdict = judgeChain(lines, kept)
  if (!verdict.consistent || verdict.head === undefined)
    return end(world, EXIT.notAsWished, `NOT consistent: ${verdict.fault ?? 'it is empty'}.`)
  const { text, code } = conclusion(verdict, await isRotated(world, options))
  end(world, code, text)
}

/** The oldest file exists only after so many rotations that the next ones remove entries. */
async function isRotated(world: AuditWorld, options: AuditOptions): Promise<boolean> {
  const [oldest] = auditFiles(await directoryOf(world, options))
  return oldest !== undefined && existsSync(oldest)
}

const directoryOf = async (world: AuditWorld, { dir, config }: AuditOptions) => dir ?? (await world.stateDir(config))

function conclusion(
  { first, head, gaps, holdsHead, torn }: ChainVerdict,
  rotated: boolean,
): { readonly text: string; readonly code: ExitCode } {
  const away = rotated ? 'rotated away' : 'rotated away or removed'
  const range = `Internally consistent: entries ${first?.n ?? 0} to ${head?.n ?? 0}.`
  const older = (first?.n ?? 1) > 1 ? ` Older ones were ${away}.` : ''
  const missing =
    gaps > 0 ? ` The log itself notes ${counted(gaps, 'gap')}: events that were not written, or entries that were removed.` : ''
  const open = torn ? ' The last line is incomplete, as after a crash or on a full disk. The next entry will record this as a gap.' : ''
  const said = `${range}${older}${missing}${open}`
  if (holdsHead === 'yes') return { text: `${said}\nComplete up to the head that was kept elsewhere.`, code: EXIT.good }
  if (holdsHead === 'no') return { text: `${said}\nNOT the log of that head: it was cut off or rewritten.`, code: EXIT.notAsWished }
  if (holdsHead === 'rotated-away')
    return { text: `${said}\nCannot tell whether it is complete: the entry of that head was ${away}.`, code: EXIT.notAsWished }
  return { text: `${said}\nWithout a head that was kept elsewhere (--head), it is not known whether the log is complete.`, code: EXIT.good }
}

async function head(world: AuditWorld, options: AuditOptions): Promise<void> {
  const lines = await read(world, options)
  if (typeof lines === 'string') return end(world, EXIT.cannotTell, lines)
  const verdict = judgeChain(lines)
  if (!verdict.consistent || verdict.head === undefined)
    return end(world, EXIT.notAsWished, `NOT consistent: ${verdict.fault ?? 'it is empty'}.`)
  end(world, EXIT.good, headText(verdict.head))
}

/** The lines of all log files, oldest first, or a sentence that says why they cannot be read. */
async function read(world: AuditWorld, options: AuditOptions): Promise<readonly string[] | string> {
  const directory = await directoryOf(world, options)
  const files = auditFiles(directory).filter((file) => existsSync(file))
  if (files.length === 0)
    return `There is no audit log in ${directory}: no policy with a log is configured, the service has not run with it yet, or this user cannot read the log.`
  const lines: string[] = []
  for (const file of files) {
    const got = readPlainFile(file, undefined, MAX_OCTETS)
    if (typeof got !== 'string')
      return got.judgement === 'permission-denied' ? 'This user cannot read the audit log.' : 'The audit log cannot be read.'
    lines.push(...got.split('\n').filter((line) => line !== ''))
  }
  return lines
}

/** Limit for reading one log file: 2 MiB. A file has at most 1 MiB and the entries of one write. */
const MAX_OCTETS = 1 << 21

function end(world: AuditWorld, code: number, text: string): void {
  world.out.write(`${text}\n`)
  world.exit(code)
}

function thisWorld(): AuditWorld {
  return {
    out: process.stdout,
    exit: (code) => {
      process.exitCode = code
    },
    async stateDir(config) {
      const judged = await findConfig(config, thisHost())
      return config === undefined && judged.service !== undefined ? judged.service.stateDir : configOrThrow(judged).config.stateDir
    },
  }
}
