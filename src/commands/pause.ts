import { Command } from 'commander'
import { EnigmError } from '../errors.ts'
import { EXIT } from '../exit-codes.ts'
import { isRecord } from '../files/json.ts'
import { LONGEST_PAUSE_MS } from '../rules/list-times.ts'
import { sendCommand } from '../system/control-client.ts'
import { controlPath } from '../system/control-socket.ts'
import { type CommandWorld, thisCommand } from './command-world.ts'
import { type Host, thisHost } from './running-service.ts'
import { addressee, exitAfter, exitOfUnreached, whyUnreached } from './service-orders.ts'
import { printable, span } from './status-screen.ts'

const HELP = `
During a pause, the lists neither block nor allow names. Programs keep blocked answers for up to 60 s, so
reload the page in the browser if needed. The status shows the pause. A restart of the service ends it.

Exit codes:
  0  paused, or the pause ended    1  there is no such list, or no service runs
  2  the time or the configuration is invalid
  3  cannot tell whether a service runs, or it does not accept commands from this user

Examples:
  $ enigm-dns pause 10m
  $ enigm-dns pause 1h --list ads
  $ enigm-dns pause 0                    ends every pause
`

/** The command's access to the system; tests replace it. */
export interface PauseWorld extends CommandWorld {
  readonly host: Host
}

interface PauseOptions {
  readonly config?: string
  readonly list?: string
}

/** `enigm-dns pause`: switches lists off for a time. Sets the exit code. */
export function pauseCommand(world: PauseWorld = thisWorld()): Command {
  return new Command('pause')
    .description('switch lists off for a time')
    .argument('<time>', 'how long, for example 90s, 10m or 2h (a number alone: seconds); at most 24h; 0 ends a pause')
    .option('--list <id>', 'only this list (default: all lists)')
    .option('-c, --config <file>', 'configuration file of the service (default: the running service)')
    .addHelpText('after', HELP)
    .action((time: string, options: PauseOptions) => exitAfter(world, () => pause(time, options, world)))
}

async function pause(time: string, { config, list }: PauseOptions, { out, err, clock, host }: PauseWorld): Promise<number> {
  const forMs = pauseMs(time)
  if (list !== undefined && !/^[\w-]{1,63}$/.test(list)) throw new EnigmError('config', '--list needs the id of a list, as in --list ads.')
  const to = await addressee(config, host)
  const order = list === undefined ? `pause ${forMs}` : `pause ${forMs} ${list}`
  const reply = 'verdict' in to ? undefined : await sendCommand(controlPath(to.statusFile), order, clock)
  if (isRecord(reply) && Array.isArray(reply.lists)) {
    const lists = printable(reply.lists.join(', '))
    out.write(forMs === 0 ? `in force again: ${lists}\n` : `paused for ${span(forMs)}, until ${printable(String(reply.until))}: ${lists}\n`)
    return EXIT.good
  }
  if (isRecord(reply) && typeof reply.refused === 'string') {
    err.write(`Nothing was paused: ${printable(reply.refused)}.\n`)
    return EXIT.notAsWished
  }
  const unreached = 'verdict' in to ? to : whyUnreached(to, config !== undefined, host, clock)
  err.write(`Nothing was paused: ${unreached.why}.\n`)
  return exitOfUnreached(unreached)
}

const UNIT_MS = { s: 1000, m: 60_000, h: 3_600_000 } as const

/**
 * Parses the duration of a pause to ms. Throws an EnigmError `config` if it is malformed or too
 * long.
 */
function pauseMs(text: string): number {
  const [, digits = '', unit = 's'] = /^(\d{1,6})([smh])?$/.exec(text) ?? []
  const ms = Number(digits) * UNIT_MS[unit as keyof typeof UNIT_MS]
  if (digits !== '' && ms <= LONGEST_PAUSE_MS) return ms
  throw new EnigmError('config', 'A pause needs a time up to 24h, for example 90s, 10m or 2h; 0 ends a pause.')
}

function thisWorld(): PauseWorld {
  return {
    ...thisCommand(),
    host: thisHost(),
  }
}
