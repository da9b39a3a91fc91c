import { Command } from 'commander'
import { EXIT } from '../exit-codes.ts'
import { isRecord } from '../files/json.ts'
import { sendCommand } from '../system/control-client.ts'
import { controlPath, ORDER_LIMIT_MS } from '../system/control-socket.ts'
import { type CommandWorld, thisCommand } from './command-world.ts'
import { type Host, thisHost } from './running-service.ts'
import { addressee, answersOrders, exitAfter, exitOfUnreached, whyUnreached } from './service-orders.ts'
import { printable } from './status-screen.ts'

const HELP = `
Makes the service read its configuration, trusted set and CA files again, like SIGHUP, and shows the result.
All connections are re-established, even if nothing changed. An invalid configuration is rejected; the old one stays.

Exit codes:
  0  accepted    1  refused, every fault named, or no service runs    2  the configuration cannot be read
  3  cannot tell whether one runs, or it does not accept commands from this user

Examples:
  $ enigm-dns reload
  $ enigm-dns reload --config /etc/enigm-dns/config.json
`

/** The command's access to the system; tests replace it. */
export interface ReloadWorld extends CommandWorld {
  readonly host: Host
}

/** `enigm-dns reload`: makes the service read its files again. Sets the exit code. */
export function reloadCommand(world: ReloadWorld = thisWorld()): Command {
  return new Command('reload')
    .description('make the service read its configuration again, and show whether it was accepted')
    .option('-c, --config <file>', 'configuration file of the service (default: the running service)')
    .addHelpText('after', HELP)
    .action((options: { readonly config?: string }) => exitAfter(world, () => reload(options.config, world)))
}

async function reload(config: string | undefined, { out, err, clock, host }: ReloadWorld): Promise<number> {
  const to = await addressee(config, host)
  // A reload may wait for earlier ones. A process that answers nothing is not waited for so long.
  const reached = !('verdict' in to) && (await answersOrders(to, clock))
  const reply = reached ? await sendCommand(controlPath(to.statusFile), 'reload', clock, ORDER_LIMIT_MS) : undefined
  if (isRecord(reply) && reply.accepted === true) {
    const waiting = Array.isArray(reply.waiting) ? reply.waiting.map(String) : []
    const later = waiting.length === 0 ? '' : `these settings take effect at the next start: ${printable(waiting.join(', '))}\n`
    const warnings = Array.isArray(reply.warnings) ? reply.warnings.map((one) => `warning: ${printable(String(one))}\n`).join('') : ''
    out.write(`accepted: the configuration is in force\n${later}${warnings}`)
    return EXIT.good
  }
  if (isRecord(reply) && typeof reply.refused === 'string') {
    const faults = reply.refused.split('\n').map(printable).join('\n')
    err.write(`refused; the old configuration stays in force:\n${faults}\n`)
    return EXIT.notAsWished
  }
  const unreached = 'verdict' in to ? to : whyUnreached(to, config !== undefined, host, clock)
  err.write(`Nothing was reloaded: ${unreached.why}.\n`)
  return exitOfUnreached(unreached)
}

function thisWorld(): ReloadWorld {
  return {
    ...thisCommand(),
    host: thisHost(),
  }
}
