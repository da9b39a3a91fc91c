import { Command } from 'commander'
import type { Clock } from '../clock.ts'
import { asEnigmError } from '../errors.ts'
import { EXIT } from '../exit-codes.ts'
import {
  cacheCommand,
  cacheStep,
  type ExplainInput,
  type ExplainStep,
  type Explanation,
  explain,
  explainInput,
  verdictText,
} from '../explain.ts'
import { sendCommand } from '../system/control-client.ts'
import { controlPath } from '../system/control-socket.ts'
import { problemsText } from './check-screen.ts'
import { type CommandWorld, thisCommand } from './command-world.ts'
import { inAscii } from './query.ts'
import { acceptsCommands, findConfig, type Host, type RunningService, thisHost } from './running-service.ts'
import { printable, printableJson } from './status-screen.ts'

const HELP = `
Sends nothing. Walks the stages of the running service in their order: which clients get answers, what is in
the cache, hosts files and answers, lists, local names, and the resolvers that would be asked.

Exit codes:
  0  it would be answered    1  it would be blocked or refused    2  bad usage, or an invalid configuration
  3  cannot tell: a file cannot be read

Examples:
  $ enigm-dns explain ads.example.com
  $ enigm-dns explain printer.example AAAA --as 192.168.1.7
  $ enigm-dns explain example.com HTTPS --json | jq .steps
`

/** The command's access to the system; tests replace all of it. */
export interface ExplainWorld extends CommandWorld {
  readonly host?: Host
}

interface ExplainOptions {
  readonly as: string
  readonly config?: string
  readonly json?: true
}

/** Time limit for the reply of the service about its cache. */
const CACHE_LIMIT_MS = 2000

/** `enigm-dns explain`: shows how a question would be answered, and which rule decides. */
export function explainCommand(world: ExplainWorld = thisCommand()): Command {
  return new Command('explain')
    .description('show which rule would answer, block or route a name; sends nothing')
    .argument('<name>', 'a domain name')
    .argument('[type]', 'a record type: A, AAAA, HTTPS, TYPE65 ...', 'A')
    .option('--as <address>', 'the address of the client that would ask', '127.0.0.1')
    .option(
      '-c, --config <file>',
      'configuration file (default: that of the running service, else /etc/enigm-dns/config.json if it exists)',
    )
    .option('--json', 'print one JSON document')
    .addHelpText('after', HELP)
    .action(async (name: string, type: string, options: ExplainOptions) => world.exit(await runExplain(name, type, options, world)))
}

async function runExplain(name: string, type: string, options: ExplainOptions, world: ExplainWorld): Promise<number> {
  const { out, err, host = thisHost() } = world
  let input: ExplainInput
  try {
    input = explainInput(inAscii(name), type, options.as)
  } catch (error) {
    err.write(`explain: ${asEnigmError(error).message}\n`)
    return EXIT.usage
  }
  const { loaded, problems, service, unreadable, note } = await findConfig(options.config, host)
  if (note !== undefined) err.write(`${printable(note)}\n`)
  if (loaded === undefined) {
    err.write(unreadable === undefined ? problemsText(problems) : `${printable(unreadable)}\n`)
    return unreadable === undefined ? EXIT.usage : EXIT.cannotTell
  }
  const found = await explain(loaded, input, await inMemory(input, service, host, world.clock))
  out.write(options.json === true ? `${printableJson(found, 2)}\n` : explanationText(found))
  return EXIT_OF[found.verdict]
}

const EXIT_OF = { answered: EXIT.good, blocked: EXIT.notAsWished, unknown: EXIT.cannotTell } as const

/**
 * The cache entry of the running service. Unknown if no service runs, or if it accepts no commands
 * from this user.
 */
async function inMemory(input: ExplainInput, service: RunningService | undefined, host: Host, clock: Clock): Promise<ExplainStep> {
  if (service === undefined) return cacheStep(undefined)
  if (!acceptsCommands(service, host))
    return cacheStep(undefined, 'the service accepts no commands from this user; run this as its user or root')
  return cacheStep(await sendCommand(controlPath(service.statusFile), cacheCommand(input), clock, CACHE_LIMIT_MS))
}

/** Formats an explanation as lines for a terminal. */
function explanationText(found: Explanation): string {
  const { name, type, steps } = found
  const lines = steps.map(({ stage, verdict: stepVerdict, list, source, line, rule }) => {
    const listText = list === undefined ? '' : `list ${list}, `
    const place = source === undefined ? '' : `  ${listText}${source}${line === undefined ? '' : ` line ${line}`}`
    return `  ${stage.padEnd(11)}  ${stepVerdict.padEnd(7)}${place}${rule === undefined ? '' : `  ${source === undefined ? rule : `(${rule})`}`}`.trimEnd()
  })
  return `${[`${name} ${type}: ${verdictText(found)}`, ...lines].map(printable).join('\n')}\n`
}
