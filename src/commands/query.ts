import { isIP } from 'node:net'
import { domainToASCII } from 'node:url'
import { Command } from 'commander'
import { type Random, systemRandom } from '../clock.ts'
import { isLinkLocal6 } from '../config/cidr.ts'
import { parseListen, type SocketAddress } from '../config/listen-address.ts'
import { encodeQuestion, presentMessage } from '../dns/presentation.ts'
import { asEnigmError, EnigmError } from '../errors.ts'
import { EARLIER, EXIT } from '../exit-codes.ts'
import { askServer, nobodyListens, type StubReply } from './ask-server.ts'
import { type CommandWorld, thisCommand } from './command-world.ts'
import { complaint, jsonText, longText, shortText } from './dig-output.ts'
import { shownService, thisHost } from './running-service.ts'
import { type Silence, silenceAt } from './silence.ts'

/** The command's access to the system; tests replace all of it. */
export interface QueryWorld extends CommandWorld {
  readonly random: Random
  /** The address of the running service; undefined: none is known to run. */
  readonly runningServer?: () => string | undefined
  /** Why the service of this host that listens there gives no reply. */
  readonly silence?: (place: SocketAddress, text: string) => Promise<Silence | undefined>
}

export interface QueryOptions {
  readonly server?: string
  readonly short?: true
  readonly json?: true
  readonly tcp?: true
  /** Milliseconds, for tests; not an option of the command line. */
  readonly timeoutMs?: number
}

/** The default listen address of `run`. */
const DEFAULT_SERVER = '127.0.0.53:53'

/** One second longer than the daemon takes at most to answer SERVFAIL. */
const TIMEOUT_MS = 5000

const HELP = `
Exit codes:
  0  a reply arrived, with any content    2  bad usage    9  no reply

Examples:
  $ enigm-dns query example.com              the address, and where the answer came from
  $ enigm-dns query example.com HTTPS --short
  $ enigm-dns query example.com --json | jq -r .source
`

/**
 * `enigm-dns query`: asks the running stub, as any program would, and shows the source of its
 * answer. Sets the exit code.
 */
export function queryCommand(world: QueryWorld = thisWorld()): Command {
  return new Command('query')
    .description('send a query to the running stub, and show where the answer came from')
    .argument('<name>', 'a domain name')
    .argument('[type]', 'a record type: A, AAAA, HTTPS, TYPE65 ...', 'A')
    .option('--server <address:port>', 'the stub to query instead of the running one; packets go nowhere else', DEFAULT_SERVER)
    .option('--short', 'print only the data')
    .option('--json', 'print one JSON document')
    .option('--tcp', 'use TCP from the start')
    .addHelpText('after', HELP)
    .action(async (name: string, type: string, options: QueryOptions, command: Command) => {
      const running = command.getOptionValueSource('server') === 'default' ? world.runningServer?.() : undefined
      world.exit(await query(name, type, running === undefined ? options : { ...options, server: running }, world))
    })
}

/**
 * Asks once and prints the reply. Returns the exit code; as with dig, any response code is an
 * answer. Never rejects.
 */
export async function query(name: string, type: string, options: QueryOptions, world: QueryWorld): Promise<number> {
  const serverText = options.server ?? DEFAULT_SERVER
  let server: SocketAddress
  let wire: Uint8Array
  try {
    server = serverOf(serverText)
    wire = encodeQuestion(inAscii(name), type, world.random.below(65536))
  } catch (error) {
    world.err.write(`query: ${asEnigmError(error).message}\n`)
    return EXIT.usage
  }
  const shownServer = isIP(server.address) === 6 ? `[${server.address}]:${server.port}` : `${server.address}:${server.port}`
  let reply: StubReply
  try {
    reply = await askServer(server, wire, {
      clock: world.clock,
      timeoutMs: options.timeoutMs ?? TIMEOUT_MS,
      tcpOnly: options.tcp === true,
    })
  } catch (error) {
    const fault = asEnigmError(error)
    const { code, message } = fault
    const silence = nobodyListens(fault) ? undefined : await world.silence?.(server, shownServer)
    const known = silence === undefined ? '' : ` ${silence.why} ${silence.mend}`
    world.err.write(`query: no reply from ${shownServer} (${code}): ${message}${known}\n`)
    return EARLIER.noReply
  }
  print(reply, shownServer, options, world)
  return EXIT.good
}

function print(reply: StubReply, server: string, options: QueryOptions, world: QueryWorld): void {
  const message = presentMessage(reply.wire)
  // A reply shorter than a header never arrives here, because it matches no query.
  if (message === undefined) return
  const delivery = { server, over: reply.over, rttMs: reply.rttMs }
  if (options.json === true) world.out.write(jsonText(message, delivery))
  else if (options.short === true) {
    world.out.write(shortText(message))
    world.err.write(complaint(message))
  } else world.out.write(longText(message, delivery))
}

/**
 * ADDRESS:PORT, or an address alone for port 53. Names are never resolved: that would ask another
 * server.
 */
function serverOf(text: string): SocketAddress {
  const server = isIP(text) === 0 ? parseListen(text) : { address: text, port: 53 }
  if (server === undefined || server.port === 0)
    throw new EnigmError('config', 'the server must be ADDRESS:PORT, as in 127.0.0.53:53 or [::1]:53')
  if (isLinkLocal6(server.address) && !server.address.includes('%'))
    throw new EnigmError('config', `the server is link-local and needs its interface: add it, as in ${server.address}%eth0`)
  return server
}

/**
 * Converts an international name to ASCII (UTS 46). ASCII text stays unchanged, with escapes and
 * underscores.
 */
export function inAscii(name: string): string {
  return /^[\0-\x7f]*$/.test(name) ? name : domainToASCII(name) || name
}

/**
 * The listen address of the running service; undefined: none is known to run. A wildcard address
 * becomes the loopback address.
 */
function runningServer(): string | undefined {
  const places = shownService(thisHost())?.listen ?? []
  return places[0]?.replace(/^0\.0\.0\.0:/, '127.0.0.1:').replace(/^\[::\]:/, '[::1]:')
}

function thisWorld(): QueryWorld {
  return {
    ...thisCommand(),
    random: systemRandom,
    runningServer,
    silence: (place, text) => silenceAt(place, text, thisHost()),
  }
}
