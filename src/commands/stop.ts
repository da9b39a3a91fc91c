import { Command } from 'commander'
import { EXIT } from '../exit-codes.ts'
import { isRecord } from '../files/json.ts'
import { sendOrder } from '../system/control-client.ts'
import { controlPath } from '../system/control-socket.ts'
import { isSame } from '../system/process-identity.ts'
import { type CommandWorld, thisCommand } from './command-world.ts'
import { stopGuide } from './guides.ts'
import { hostService } from './host-service.ts'
import { type Host, thisHost } from './running-service.ts'
import { STOP_LIMIT_MS } from './service.ts'
import { addressee, exitAfter, notTold } from './service-orders.ts'

const HELP = `
Answers the queries in progress, then stops the service, and waits until it has ended.

Exit codes:
  0  it has ended    1  no service runs, or it still runs    2  the configuration cannot be read
  3  cannot tell whether one runs, it does not accept commands from this user, or systemd would start it again

Examples:
  $ enigm-dns stop
  $ enigm-dns stop --config /etc/enigm-dns/config.json
`

/** The command's access to the system; tests replace it. */
export interface StopWorld extends CommandWorld {
  readonly host: Host
  /** Whether systemd runs the service of this process; absent: it does not. */
  readonly managed?: () => boolean
  /** Waits synchronously. */
  readonly pause: (ms: number) => void
}

/** `enigm-dns stop`: ends the running service. Sets the exit code. */
export function stopCommand(world: StopWorld = thisWorld()): Command {
  return new Command('stop')
    .description('stop the running service, and wait until it has ended')
    .option('-c, --config <file>', 'configuration file of the service (default: the running service)')
    .addHelpText('after', HELP)
    .action((options: { readonly config?: string }) => exitAfter(world, () => stop(options.config, world)))
}

async function stop(config: string | undefined, { out, err, clock, host, pause, managed }: StopWorld): Promise<number> {
  const to = await addressee(config, host)
  const guide = config === undefined ? stopGuide({ managed: managed?.() === true }) : undefined
  if (guide !== undefined) {
    err.write(`Nothing was stopped: ${guide}\n`)
    return EXIT.cannotTell
  }
  const reply = 'verdict' in to ? undefined : await sendOrder(controlPath(to.statusFile), 'stop', clock)
  if (!isRecord(reply) || typeof reply.pid !== 'number') {
    const { verdict, why } = 'verdict' in to ? to : notTold(to, config !== undefined, host, clock)
    err.write(`Nothing was stopped: ${why}.\n`)
    return verdict === 'none' ? EXIT.notAsWished : EXIT.cannotTell
  }
  const { pid, processStart } = reply
  const start = typeof processStart === 'string' ? processStart : undefined
  for (let waitedMs = 0; isSame(pid, start) !== false; waitedMs += POLL_MS) {
    if (waitedMs > STOP_LIMIT_MS + GRACE_MS) {
      err.write(`Process ${pid} confirmed that it stops, but it still runs.\n`)
      return EXIT.notAsWished
    }
    pause(POLL_MS)
  }
  out.write(`stopped: process ${pid} is gone\n`)
  return EXIT.good
}

const POLL_MS = 50
/** Extra time after the service's own limit. */
const GRACE_MS = 5000

function thisWorld(): StopWorld {
  return {
    ...thisCommand(),
    host: thisHost(),
    managed: () => hostService(thisHost()).managed,
    pause: (ms) => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms),
  }
}
