import { isIP } from 'node:net'
import { Command } from 'commander'
import { type Clock, systemClock } from '../clock.ts'
import { listenText, parseListen } from '../config/listen-address.ts'
import { asEnigmError, EnigmError, isBug } from '../errors.ts'
import { EXIT } from '../exit-codes.ts'
import { isRecord } from '../files/json.ts'
import { followOrder } from '../system/control-client.ts'
import { controlPath } from '../system/control-socket.ts'
import { askNetworkManager, findNetworkResolvers, type NetworkResolvers } from '../system/network-resolvers.ts'
import { type Host, thisHost } from './running-service.ts'
import { addressee, notTold } from './service-orders.ts'
import { printable } from './status-screen.ts'
import { durationOf } from './trace.ts'

const HELP = `
For the login page of a hotel, a train or an airport. While it runs, the names by which phones, browsers and systems
look for a login page, and at most three hosts that its redirects name, are asked of this network's own resolver, in
cleartext. Every other name is asked as ever. The status says exposed meanwhile and counts each packet. Nothing of it
is kept. It ends when the network lets traffic through, with its time (at most 1h), with this command, and when the
network changes or the service reloads, forgets or stops.

Exit codes:
  0  the network lets traffic through    1  it ended before that, or no daemon runs, or it refused
  2  the configuration, --for or --resolver will not do
  3  cannot tell whether a daemon runs, or which resolver this network has

Examples:
  $ enigm-dns portal
  $ enigm-dns portal --for 10m --resolver 192.168.1.1
`

/** The command's access to the system; tests replace it. */
export interface PortalWorld {
  readonly out: { write(text: string): unknown }
  readonly err: { write(text: string): unknown }
  readonly clock: Clock
  readonly exit: (code: number) => void
  readonly host?: Host
  readonly resolvers?: () => NetworkResolvers | undefined
}

interface PortalOptions {
  readonly config?: string
  readonly for: string
  readonly resolver?: readonly string[]
}

/** `enigm-dns portal`: the login page of a network, for a limited time. */
export function portalCommand(world: PortalWorld = thisWorld()): Command {
  return new Command('portal')
    .description("reach this network's login page, for a limited time")
    .option('--for <time>', 'how long at most, as 90s, 5m or 1h', '5m')
    .option('--resolver <address...>', "this network's own resolver (default: what the network told this host)")
    .option('-c, --config <file>', 'configuration file of the service (default: of the one that runs)')
    .addHelpText('after', HELP)
    .action(async (options: PortalOptions) => {
      try {
        world.exit(await portal(world, options))
      } catch (error) {
        const fault = asEnigmError(error)
        if (isBug(fault.code)) throw error
        world.err.write(`${fault.message}\n`)
        world.exit(EXIT.usage)
      }
    })
}

async function portal(world: PortalWorld, options: PortalOptions): Promise<number> {
  const { out, err, clock, host = thisHost() } = world
  const forMs = durationOf(options.for)
  const found = options.resolver === undefined ? world.resolvers?.() : { addresses: options.resolver.map(resolverOf), by: '--resolver' }
  if (found === undefined) {
    err.write('Which resolver this network has cannot be told: name it, as in enigm-dns portal --resolver 192.168.1.1\n')
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
      err.write(`${WHY[ended] ?? 'It ended.'} Cleartext packets that left: ${Number(line.packets)}.\n`)
    }
  }
  const order = `portal ${forMs} ${found.addresses.map(withPort).join(' ')}`
  const answered = !('verdict' in to) && (await followOrder(controlPath(to.statusFile), order, clock, forMs, show))
  if (!answered) {
    const { verdict, why } = 'verdict' in to ? to : notTold(to, options.config !== undefined, host, clock)
    err.write(`Nothing was asked: ${why}.\n`)
    return verdict === 'unknown' ? EXIT.cannotTell : EXIT.notAsWished
  }
  if (ended === undefined && !refused) err.write('The daemon hung up.\n')
  return ended === 'passed' ? EXIT.good : EXIT.notAsWished
}

function begun({ addresses, by }: NetworkResolvers, until: string): string {
  const who = `${addresses.join(' and ')} (by ${by})`
  return `Until ${printable(until)} at most the login page is asked for in cleartext, of ${who}; the status says exposed. Ctrl-C ends it.
Open http://neverssl.com in a browser, or the page below once it is found.
`
}

const WHY: Readonly<Record<string, string>> = {
  passed: 'The network lets traffic through: the login page is not asked for any more.',
  time: 'The time is over, and the network does not let traffic through yet.',
  network: 'The network changed, which ends this: run it again if there is a login page still.',
  policy: 'The policy lets nothing through now, which ends this.',
  reload: 'The service took another configuration, which ends this.',
  forget: 'What was asked is forgotten (enigm-dns forget), which ends this.',
  stop: 'The service stops.',
}

/** Throws `config` if `text` is neither an address nor an address with a port. */
function resolverOf(text: string): string {
  if (isIP(text) !== 0 || parseListen(text) !== undefined) return text
  throw new EnigmError('config', `--resolver takes a numeric address, as 192.168.1.1 or [fe80::1%wlan0]:53, and not ${printable(text)}.`)
}

const withPort = (text: string) => (isIP(text) === 0 ? text : listenText({ address: text, port: 53 }))

function thisWorld(): PortalWorld {
  return {
    out: process.stdout,
    err: process.stderr,
    clock: systemClock(),
    exit: (code) => {
      process.exitCode = code
    },
    resolvers: () => findNetworkResolvers({ now: new Date(), networkManager: askNetworkManager }),
  }
}
