import { existsSync } from 'node:fs'
import { basename, dirname, extname, join, resolve } from 'node:path'
import { Command, Option } from 'commander'
import * as v from 'valibot'
import { parseJsonc } from '../config/jsonc.ts'
import { shippedResolversFile } from '../config/paths.ts'
import { configError, counted, problemsOf } from '../config/problems.ts'
import { configSchema } from '../config/settings.ts'
import { type TrustedSet, trustedSetSchema } from '../config/trusted-set.ts'
import { asEnigmError, EnigmError, isBug, systemCode } from '../errors.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { anyOwner, readSmall } from '../files/reading.ts'
import { writeNew } from '../files/writing.ts'
import type { Imported } from '../importers/draft.ts'
import { type ImportSource, importFrom, SOURCES } from '../importers/import-from.ts'
import type { Verdict } from '../importers/line-report.ts'
import { printable, printableJson } from './status-screen.ts'

const HELP = `
Reads the configuration of another program, and writes one for this program. The report says for each line:
  taken     it became a setting of the new configuration
  same      this program does the same without a setting
  left out  it is not in the new configuration, with the reason
Without --out, the configuration is printed, and the report goes to standard error. With --out, its other files
are written beside it: its trusted set and lists of rules. No file is overwritten, and nothing is sent.

Files: dnscrypt-proxy.toml, AdGuardHome.yaml, unbound.conf; of Pi-hole pihole.toml, setupVars.conf, custom.list,
adlists.list and files of dnsmasq.

Exit codes:
  0  every line is taken or the same    1  some lines are left out, or a file exists already
  2  the file cannot be read, has another format, has no setting, or is of another program

Examples:
  $ enigm-dns import --from unbound /etc/unbound/unbound.conf --out ./config.json
  $ enigm-dns import --from adguardhome AdGuardHome.yaml --json | jq '.lines[] | select(.verdict == "left out")'
`

/** Limit of the file. A configuration with its lists is smaller. */
const MAX_OCTETS = 16_777_216

/** The command's access to the system; tests replace all of it. */
export interface ImportWorld {
  readonly out: { write(text: string): unknown }
  readonly err: { write(text: string): unknown }
  readonly exit: (code: number) => void
}

interface ImportOptions {
  readonly from: ImportSource
  readonly out?: string
  readonly json?: true
}

/** `enigm-dns import`: converts the configuration of another program. Sets the exit code. */
export function importCommand(world: ImportWorld = thisWorld()): Command {
  return new Command('import')
    .description('convert the configuration of another program, and report on each line')
    .argument('<file>', 'the configuration of the other program')
    .addOption(new Option('--from <program>', 'the other program').choices(SOURCES).makeOptionMandatory())
    .option('--out <file>', 'write the configuration to this new file, and its other files beside it')
    .option('--json', 'print one JSON document: the configuration and the outcome of each line')
    .addHelpText('after', HELP)
    .action((file: string, options: ImportOptions) => world.exit(run(file, options, world)))
}

function run(file: string, options: ImportOptions, world: ImportWorld): ExitCode {
  try {
    return imported(file, options, world)
  } catch (error) {
    const fault = asEnigmError(error)
    if (isBug(fault.code)) throw error
    world.err.write(`import: ${printable(fault.message)}\n`)
    return EXIT.usage
  }
}

function imported(file: string, { from, out, json }: ImportOptions, world: ImportWorld): ExitCode {
  const shipped = shippedSet()
  const beside = (path: string) => textOf(resolve(dirname(file), path))
  const text = textOf(file)
  if (text === undefined)
    throw new EnigmError('config', `${file} cannot be read: it does not exist, is not a file, or is larger than 16 MiB`)
  let found: Imported
  try {
    found = importFrom(from, text, { shipped: shipped.resolvers, withFiles: out !== undefined, beside })
  } catch (error) {
    throw error instanceof EnigmError ? new EnigmError(error.code, `${file}: ${error.message}`, { cause: error }) : error
  }
  const files = filesOf(found, out, shipped)
  const config = setOf(found, out)
  const checked = v.safeParse(configSchema, config)
  if (!checked.success)
    world.err.write(`The new configuration has faults: ${configError(problemsOf('configuration', checked.issues)).message}\n`)
  const written = out === undefined ? true : writeAll(out, config, files, world)
  const asked = askedBy(found, shipped)
  if (json === true)
    world.out.write(
      `${printableJson({ config, files: [...files.keys()], lines: found.outcomes, resolvers: asked.map(({ id }) => id) }, 2)}\n`,
    )
  else if (out === undefined) world.out.write(`${printableJson(config, 2)}\n`)
  if (json !== true) (out === undefined ? world.err : world.out).write(`${reportText(found, text)}${askedText(found, asked)}`)
  const isWhole = found.outcomes.every(({ verdict }) => verdict !== 'left out')
  return written && checked.success && isWhole ? EXIT.good : EXIT.notAsWished
}

function textOf(path: string): string | undefined {
  try {
    const octets = readSmall(path, MAX_OCTETS, anyOwner)
    return typeof octets === 'string' ? undefined : octets.toString('utf8')
  } catch (error) {
    if (systemCode(error) === undefined) throw error
    return undefined
  }
}

const EMPTY_SET = { version: 1, resolvers: [] }

function shippedSet(): TrustedSet {
  const path = shippedResolversFile()
  const parsed = parseJsonc(path === undefined ? '' : (textOf(path) ?? ''))
  return v.parse(trustedSetSchema, parsed.problems === undefined ? parsed.value : EMPTY_SET)
}

const setName = (out: string) => `${basename(out, extname(out))}.resolvers.json`

/** The configuration, with the path of the trusted set beside it. */
function setOf({ config, resolvers }: Imported, out: string | undefined): Readonly<Record<string, unknown>> {
  return resolvers.length === 0 || out === undefined ? config : { ...config, resolvers: setName(out) }
}

/** The files to write beside the configuration, by name. */
function filesOf({ files, resolvers }: Imported, out: string | undefined, shipped: TrustedSet): ReadonlyMap<string, string> {
  if (resolvers.length === 0 || out === undefined) return files
  return new Map([
    ...files,
    [setName(out), `${JSON.stringify({ version: 1, resolvers: [...shipped.resolvers, ...resolvers] }, undefined, 2)}\n`],
  ])
}

/** The resolvers that the new configuration asks for general names. */
function askedBy({ config, resolvers }: Imported, shipped: TrustedSet): readonly { readonly id: string; readonly operator?: string }[] {
  const { use } = config as { readonly use?: readonly string[] }
  const all = [...shipped.resolvers, ...resolvers.map(({ id }) => ({ id }))]
  return use === undefined ? usedByDefault(config, shipped) : use.flatMap((id) => all.find((one) => one.id === id) ?? [])
}

function usedByDefault({ forward = [] }: Imported['config'], { resolvers }: TrustedSet) {
  const reserved = (forward as readonly { readonly to?: readonly string[] }[]).flatMap(({ to = [] }) => to)
  return resolvers.filter(({ id, enabled }) => enabled && !reserved.includes(id))
}

/** The last line of the report: who will get the names. */
function askedText({ hasUpstream }: Imported, asked: ReturnType<typeof askedBy>): string {
  const names = asked.map(({ id, operator }) => (operator === undefined ? id : `${id} (${operator})`)).join(', ')
  const why = hasUpstream
    ? 'The new configuration asks'
    : 'No resolver of the file is in the new configuration, which asks those of the shipped trusted set'
  return `${printable(`${why}: ${names}.`)}\n`
}

/** Writes all files, or none if one of them exists. Returns whether they were written. */
function writeAll(out: string, config: object, files: ReadonlyMap<string, string>, { err }: ImportWorld): boolean {
  const all = new Map([
    [out, `${JSON.stringify(config, undefined, 2)}\n`],
    ...[...files].map(([name, text]) => [join(dirname(out), name), text] as const),
  ])
  const there = [...all.keys()].filter((path) => existsSync(path))
  if (there.length > 0) {
    err.write(`Nothing was written, because ${there.map(printable).join(', ')} exists: name another file.\n`)
    return false
  }
  try {
    for (const [path, text] of all) writeNew(path, text, 0o600)
    return true
  } catch (error) {
    throw new EnigmError(
      'config',
      `${out} cannot be written (${systemCode(error) ?? 'unknown error'}): name a file in a directory that you may write`,
      { cause: error },
    )
  }
}

const WIDEST_SOURCE = 60

/** Formats the outcome of each line, and the totals. */
function reportText({ outcomes, silent }: Imported, text: string): string {
  const lines = text.replace(/^\uFEFF/, '').split(/\r?\n/)
  const shown = outcomes.map(({ line, verdict, says }) => {
    // The line may contain a password.
    const source = (lines[line - 1] ?? '').trim().replace(/^(.*(?:password|secret|token)[^:=]*[:=]).*$/i, '$1 ...')
    const cut = source.length > WIDEST_SOURCE ? `${source.slice(0, WIDEST_SOURCE - 3)}...` : source
    return printable(`line ${String(line).padEnd(5)} ${verdict.padEnd(8)}  ${cut}  ->  ${says}`)
  })
  const count = (wanted: Verdict) => outcomes.filter(({ verdict }) => verdict === wanted).length
  const passed = counted(silent, 'comment or empty line', 'comments and empty lines')
  shown.push(`${count('taken')} taken, ${count('same')} the same here, ${count('left out')} left out; ${passed}`)
  return `${shown.join('\n')}\n`
}

function thisWorld(): ImportWorld {
  return {
    out: process.stdout,
    err: process.stderr,
    exit: (code) => {
      process.exitCode = code
    },
  }
}
