import { Command } from 'commander'
import { EnigmError } from '../errors.ts'
import { EXIT } from '../exit-codes.ts'
import { isRecord } from '../files/json.ts'
import { followCommand } from '../system/control-client.ts'
import { controlPath } from '../system/control-socket.ts'
import { LONGEST_TRACE_MS } from '../trace/query-trace.ts'
import { type CommandWorld, thisCommand } from './command-world.ts'
import { type Host, thisHost } from './running-service.ts'
import { addressee, exitAfter, exitOfUnreached, whyUnreached } from './service-orders.ts'
import { printable, printableJson } from './status-screen.ts'

const HELP = `
Shows the queries to the running daemon and their results, while this command runs; for root and the user of the
service only. Nothing is written to a file, and the status shows that a trace is on. It ends with its time
(at most 1h), with this command, and when the service reloads, forgets or stops. Clients are not shown.

A line shows the time, the duration, the source (cache, stale, policy, RESOLVER/TRANSPORT, or what failed), the RCODE
and extended error, the name and the type.

Exit codes:
  0  it ran for its whole time    1  no daemon runs, or it refused or ended the trace
  2  the configuration or --for is invalid
  3  cannot tell whether a daemon runs, or it does not accept commands from this user

Examples:
  $ enigm-dns trace --for 5m
  $ enigm-dns trace --for 30s --json | jq -r .name
`

/** The command's access to the system; tests replace it. */
export interface TraceWorld extends CommandWorld {
  readonly host?: Host
}

interface TraceOptions {
  readonly config?: string
  readonly for: string
  readonly json?: true
}

/** `enigm-dns trace`: shows queries live, for a limited time. */
export function traceCommand(world: TraceWorld = thisCommand()): Command {
  return new Command('trace')
    .description('show the queries to the daemon, for a limited time; nothing is stored')
    .option('--for <time>', 'how long, for example 90s, 5m or 1h', '5m')
    .option('-c, --config <file>', 'configuration file of the service (default: the running service)')
    .option('--json', 'print one JSON object per line')
    .addHelpText('after', HELP)
    .action((options: TraceOptions) => exitAfter(world, () => trace(world, options)))
}

async function trace({ out, err, clock, host = thisHost() }: TraceWorld, options: TraceOptions): Promise<number> {
  const forMs = durationOf(options.for)
  const to = await addressee(options.config, host)
  let ended: string | undefined
  let begun = false
  const show = (line: unknown) => {
    if (!isRecord(line)) return
    if ('error' in line) err.write(`The daemon refused: ${printable(String(line.error))}.\n`)
    else if (line.trace === 'on') {
      begun = true
      err.write(`Showing queries until ${printable(String(line.until))}; Ctrl-C ends it. Until then the status shows that a trace is on.\n`)
    } else if (line.trace === 'off') ended = String(line.why)
    else out.write(options.json === true ? `${printableJson(line, 0)}\n` : `${inWords(line)}\n`)
  }
  const answered = !('verdict' in to) && (await followCommand(controlPath(to.statusFile), `trace ${forMs}`, clock, forMs, show))
  if (!answered) {
    const unreached = 'verdict' in to ? to : whyUnreached(to, options.config !== undefined, host, clock)
    err.write(`Nothing to show: ${unreached.why}.\n`)
    return exitOfUnreached(unreached)
  }
  if (begun && ended !== 'time') err.write(`${WHY[ended ?? ''] ?? 'The daemon closed the connection.'}\n`)
  return ended === 'time' ? EXIT.good : EXIT.notAsWished
}

const WHY: Readonly<Record<string, string>> = {
  reload: 'The service loaded another configuration, which ends a trace.',
  forget: 'All queries were removed (enigm-dns forget), which ends a trace.',
  stop: 'The service stops.',
}

const UNIT_MS = { s: 1000, m: 60_000, h: 3_600_000 } as const

/**
 * Parses a duration to ms. Throws an EnigmError `config` if it is malformed, or longer than a trace
 * may last.
 */
export function durationOf(text: string): number {
  const [, digits = '', unit = 's'] = /^([1-9]\d{0,5})([smh])$/.exec(text) ?? []
  const ms = Number(digits) * UNIT_MS[unit as keyof typeof UNIT_MS]
  if (digits !== '' && ms <= LONGEST_TRACE_MS) return ms
  throw new EnigmError('config', '--for needs a time from 1s to 1h, for example 90s, 5m or 1h.')
}

/**
 * Formats one line of the screen. All texts are escaped, because the names in them may come from
 * anybody.
 */
function inWords(line: Readonly<Record<string, unknown>>): string {
  if (typeof line.missed === 'number') return `(${line.missed} more queries could not be shown)`
  const text = (key: string) => printable(String(line[key] ?? ''))
  const error = line.ede === undefined ? '' : `/${text('ede')}`
  const ms = typeof line.ms === 'number' ? line.ms.toFixed(1) : '?'
  return `${text('at')}  ${`${ms} ms`.padStart(9)}  ${text('outcome').padEnd(16)}  ${`${text('rcode')}${error}`.padEnd(11)}  ${text('name')} ${text('type')}`
}
