import { isIP } from 'node:net'
import { Command } from 'commander'
import { listenText, parseListen } from '../config/listen-address.ts'
import { EnigmError } from '../errors.ts'
import { EXIT } from '../exit-codes.ts'
import { isRecord } from '../files/json.ts'
import { followCommand } from '../system/control-client.ts'
import { controlPath } from '../system/control-socket.ts'
import { askNetworkManager, findNetworkResolvers, type NetworkResolvers } from '../system/network-resolvers.ts'
import { type CommandWorld, thisCommand } from './command-world.ts'
import { type Host, thisHost } from './running-service.ts'
import { addressee, exitAfter, exitOfUnreached, whyUnreached } from './service-orders.ts'
import { printable } from './status-screen.ts'
import { durationOf } from './trace.ts'

const HELP = `
For the login page of a hotel, a train or an airport. While it runs, cleartext queries go to the resolver of this
network, only for the names that phones, browsers and systems use to find a login page, and for at most three hosts
that its redirects name. All other names are resolved as before. The status shows exposed and counts each packet. Nothing
is stored. It ends when the network lets traffic through, when the time is over (at most 1h), when this command ends, and when the
network changes or the service reloads, forgets or stops.

Exit codes:
  0  the network lets traffic through    1  it ended before that, or no daemon runs, or it refused
  2  the configuration, --for or --resolver is invalid
  3  cannot tell whether a daemon runs, or which resolver this network has, or it does not accept commands from this user

Examples:
  $ enigm-dns portal
  $ enigm-dns portal --for 10m --resolver 192.168.1.1
`

/** The command's access to the system; tests replace it. */
export interface PortalWorld extends CommandWorld {
  readonly host?: Host
  readonly resolvers?: () => NetworkResolvers | undefined
}

interface PortalOptions {
  readonly config?: string
  readonly for: string
  readonly resolver?: readonly string[]
}

/** `enigm-dns portal`: gives access to the login page of a network, for a limited time. */
export function portalCommand(world: PortalWorld = thisWorld()): Command {
  return new Command('portal')
    .description('reach the login page of this network, for a limited time')
    .option('--for <time>', 'the longest time, for example 90s, 5m or 1h', '5m')
    .option('--resolver <address...>', 'the resolver of this network (default: the one that the network announced)')
    .option('-c, --config <file>', 'configuration file of the service (default: the running service)')
    .addHelpText('after', HELP)
    .action((options: PortalOptions) => exitAfter(world, () => portal(world, options)))
}

async function portal(world: PortalWorld, options: PortalOptions): Promise<number> {
  const { out, err, clock, host = thisHost() } = world
  const forMs = durationOf(options.for)
  const found = options.resolver === undefined ? world.resolvers?.() : { addresses: options.resolver.map(resolverOf), by: '--resolver' }
  if (found === undefined) {
    err.write('Cannot tell which resolver this network has. Name it, as in enigm-dns portal --resolver 192.168.1.1\n')
    return EXIT.cannotTell
  }
  const to = await addressee(options.config, host)
  let ended: string | undefined
  let refused = false
  const show = (line: unknown) => {
    if (!isRecord(line)) return
    if ('error' in line) {
      refused = true
      err.write(`The daemon refused: ${printable(String(line.error))}.\n`)
    } else if (line.portal === 'on') err.write(begun(found, String(line.until)))
    else if (line.portal === 'page') out.write(`Login page: ${printable(String(line.url))}\n`)
    else if (line.portal === 'off') {
      ended = String(line.why)
      err.write(`${WHY[ended] ?? 'It ended.'} Cleartext packets sent: ${Number(line.packets)}.\n`)
    }
  }
  const order = `portal ${forMs} ${found.addresses.map(withPort).join(' ')}`
  const answered = !('verdict' in to) && (await followCommand(controlPath(to.statusFile), order, clock, forMs, show))
  if (!answered) {
    const unreached = 'verdict' in to ? to : whyUnreached(to, options.config !== undefined, host, clock)
    err.write(`No query was sent: ${unreached.why}.\n`)
    return exitOfUnreached(unreached)
  }
  if (ended === undefined && !refused) err.write('The daemon closed the connection.\n')
  return ended === 'passed' ? EXIT.good : EXIT.notAsWished
}

function begun({ addresses, by }: NetworkResolvers, until: string): string {
  const who = `${addresses.join(' and ')} (by ${by})`
  return `Until ${printable(until)} at most the login page is asked for in cleartext, of ${who}; the status says exposed. Ctrl-C ends it.
Open http://neverssl.com in a browser, or the page below once it is found.
`
}

const WHY: Readonly<Record<string, string>> = {
  passed: 'The network lets traffic through. No more queries for the login page are sent.',
  time: 'The time is over, and the network does not let traffic through yet.',
  network: 'The network changed, which ends this. Run the command again if there is still a login page.',
  policy: 'The policy makes lookups fail now, which ends this.',
  reload: 'The service loaded another configuration, which ends this.',
  forget: 'All queries were removed (enigm-dns forget), which ends this.',
  stop: 'The service stops.',
}

/**
 * Parses a resolver address. Throws an EnigmError `config` if `text` is neither an address nor an
 * address with a port.
 */
function resolverOf(text: string): string {
  if (isIP(text) !== 0 || parseListen(text) !== undefined) return text
  throw new EnigmError('config', `--resolver needs a numeric address, as in 192.168.1.1 or [fe80::1%wlan0]:53, not ${printable(text)}.`)
}

const withPort = (text: string) => (isIP(text) === 0 ? text : listenText({ address: text, port: 53 }))

function thisWorld(): PortalWorld {
  return {
    ...thisCommand(),
    resolvers: () => findNetworkResolvers({ now: new Date(), networkManager: askNetworkManager }),
  }
}
