import { Command } from 'commander'
import { type Random, systemRandom } from '../clock.ts'
import { hostsSummary } from '../config/hosts-file.ts'
import type { DefaultFiles, Loaded } from '../config/load.ts'
import { EXIT } from '../exit-codes.ts'
import type { ListsCheck } from '../lists/check-lists.ts'
import type { ListReport } from '../rules/list-build.ts'
import { unsafeEnvironment } from '../system/hardening.ts'
import { findingsText, listsText, problemsText, settingsText, warningsText } from './check-screen.ts'
import { type CommandWorld, thisCommand } from './command-world.ts'
import { clockRemark } from './diagnosis.ts'
import { type Finding, reachAll } from './reach.ts'
import { findConfig, type Host, thisHost } from './running-service.ts'
import { startFaults } from './start-faults.ts'
import { printable, printableJson } from './status-screen.ts'

/** The command's access to the system; tests replace all of it. */
export interface CheckWorld extends CommandWorld {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly execArgv: readonly string[]
  readonly random: Random
  /** The paths to use if no file is named; undefined: the system's. */
  readonly places: DefaultFiles | undefined
  readonly host?: Host
}

export interface CheckOptions {
  readonly config?: string
  readonly json?: true
  readonly offline?: true
}

const HELP = `
Exit codes:
  0  every connection to a resolver works (--offline: the configuration is valid)
  1  at least one connection does not work
  2  a start would be refused, or would refuse every query; every fault is named: configuration, environment,
     user, files, ports. What a running enigm-dns service holds is only a warning: it can be stopped first.
  3  this user cannot read the configuration of the running service

Examples:
  $ enigm-dns check
  $ enigm-dns check --config ./config.json --offline      no packet is sent
  $ enigm-dns check --json | jq '.resolvers[] | select(.ok | not)'
`

/**
 * `enigm-dns check`: shows whether a configuration would work, and which settings would be in
 * force. Sets the exit code.
 */
export function checkCommand(world: CheckWorld = thisWorld()): Command {
  return new Command('check')
    .description('report what a start would refuse or warn about, connect to every resolver, and print the settings that would be in force')
    .option(
      '-c, --config <file>',
      'configuration file (default: that of the running service, else /etc/enigm-dns/config.json if it exists)',
    )
    .option('--json', 'print one JSON document')
    .option('--offline', 'send nothing')
    .addHelpText('after', HELP)
    .action(async (options: CheckOptions) => world.exit(await check(options, world)))
}

/** Returns the exit code. Never rejects because of a file or the network. */
export async function check(options: CheckOptions, world: CheckWorld): Promise<number> {
  const host = world.host ?? thisHost()
  const { loaded, problems, unreadable, note, service } = await findConfig(options.config, host, world.places)
  if (note !== undefined) world.err.write(`${printable(note)}\n`)
  if (unreadable !== undefined) {
    if (options.json === true) world.out.write(`${printableJson({ ok: false, problems: [problem(unreadable)] }, 2)}\n`)
    else world.err.write(`${printable(unreadable)}\n`)
    return EXIT.cannotTell
  }
  const unsafe = unsafeEnvironment(world.env, world.execArgv).map((message) => ({ ...problem(message), file: 'environment' }))
  const credentials = world.env.CREDENTIALS_DIRECTORY
  const starting = loaded === undefined ? undefined : await startFaults(loaded, { host, service, clock: world.clock, credentials })
  const lists = loaded === undefined ? undefined : await listsOf(loaded, world.random)
  const faults = [...unsafe, ...problems, ...[...(starting?.refused ?? []), ...(lists?.refused ?? [])].map(problem)]
  const warnings = [...(starting?.warned ?? []), ...(lists?.warned ?? [])]
  if (loaded === undefined || faults.length > 0) {
    if (options.json === true) world.out.write(`${printableJson({ ok: false, problems: faults, warnings }, 2)}\n`)
    else world.err.write(`${problemsText(faults)}${warningsText(warnings)}`)
    return EXIT.usage
  }
  const findings = options.offline === true ? undefined : await reachAll(loaded, world)
  const ok = findings === undefined || findings.every((f) => f.ok)
  const clock = clockRemark({ wallMs: world.clock.wallMs(), links: findings })
  const allWarnings = clock.state === 'ok' ? warnings : [...warnings, `${clock.message} ${clock.mend}`]
  if (options.json === true) world.out.write(`${printableJson(documentOf(loaded, findings, ok, allWarnings, lists?.reports ?? []), 2)}\n`)
  else
    world.out.write(
      `${findings === undefined ? '' : `${findingsText(findings)}\n`}${settingsText(loaded)}${listsText(lists?.reports ?? [])}${warningsText(allWarnings)}`,
    )
  return ok ? EXIT.good : EXIT.notAsWished
}

/** Checks the lists. Their code is loaded only if a list is configured. */
async function listsOf(loaded: Loaded, random: Random): Promise<ListsCheck | undefined> {
  if (loaded.config.lists.length === 0) return undefined
  return (await import('../lists/check-lists.ts')).checkLists(loaded, random)
}

const problem = (message: string) => ({ file: 'configuration', path: '', message })

function documentOf(
  { config, files, hosts }: Loaded,
  findings: readonly Finding[] | undefined,
  ok: boolean,
  warnings: readonly string[],
  lists: readonly ListReport[],
) {
  const hostsSummaries = hosts.map((one) => {
    const { names, faultyLines } = hostsSummary(one)
    return { file: one.file, names, faultyLines }
  })
  return {
    ok,
    problems: [],
    warnings,
    ...(findings === undefined ? {} : { resolvers: findings }),
    ...(lists.length === 0 ? {} : { lists }),
    policy: config,
    files,
    hosts: hostsSummaries,
  }
}

function thisWorld(): CheckWorld {
  return {
    ...thisCommand(),
    env: process.env,
    execArgv: process.execArgv,
    random: systemRandom,
    places: undefined,
  }
}
