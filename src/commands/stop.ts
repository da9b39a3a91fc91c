import { Command } from 'commander'
import { EXIT } from '../exit-codes.ts'
import { isRecord } from '../files/json.ts'
import { sendCommand } from '../system/control-client.ts'
import { controlPath } from '../system/control-socket.ts'
import { isSame } from '../system/process-identity.ts'
import { type CommandWorld, thisCommand } from './command-world.ts'
import { stopGuide } from './guides.ts'
import { managerOf, type ServiceManager } from './host-service.ts'
import { type Host, isDefaultConfig, type RunningService, thisHost } from './running-service.ts'
import { STOP_LIMIT_MS } from './service.ts'
import { type Addressee, addressee, exitAfter, exitOfUnreached, type Unreached, whyUnreached } from './service-orders.ts'

const HELP = `
Answers the queries in progress, then stops the service, and waits until it has ended.

Exit codes:
  0  it has ended    1  no service runs, or it still runs    2  the configuration cannot be read
  3  cannot tell whether one runs, it does not accept commands from this user, or a service manager would start it again

Examples:
  $ enigm-dns stop
  $ enigm-dns stop --config /etc/enigm-dns/config.json
`

/** The command's access to the system; tests replace it. */
export interface StopWorld extends CommandWorld {
  readonly host: Host
  /** Who manages a service; undefined: the one that systemd may start. Absent: nobody does. */
  readonly manager?: (service: RunningService | undefined) => ServiceManager
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

async function stop(config: string | undefined, { out, err, clock, host, pause, manager }: StopWorld): Promise<number> {
  const to = await addressee(config, host)
  const guide = manager === undefined ? undefined : guideFor(to, config, manager)
  if (guide !== undefined) {
    err.write(`Nothing was stopped: ${guide}\n`)
    return EXIT.cannotTell
  }
  const reply = 'verdict' in to ? undefined : await sendCommand(controlPath(to.statusFile), 'stop', clock)
  if (!isRecord(reply) || typeof reply.pid !== 'number') {
    const unreached = 'verdict' in to ? to : whyUnreached(to, config !== undefined, host, clock)
    err.write(`Nothing was stopped: ${unreached.why}.\n`)
    return exitOfUnreached(unreached)
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

/**
 * Why a stop would not last. The units have nothing to do with a configuration that no service was
 * started with, unless it is the default one.
 */
function guideFor(to: Addressee | Unreached, config: string | undefined, manager: NonNullable<StopWorld['manager']>): string | undefined {
  if ('verdict' in to) return undefined
  const ofUnits = to.service !== undefined || config === undefined || isDefaultConfig(config)
  return ofUnits ? stopGuide(manager(to.service)) : undefined
}

const POLL_MS = 50
/** Extra time after the service's own limit. */
const GRACE_MS = 5000

function thisWorld(): StopWorld {
  return {
    ...thisCommand(),
    host: thisHost(),
    manager: managerOf,
    pause: (ms) => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms),
  }
}
