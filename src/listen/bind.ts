import type { Clock } from '../clock.ts'
import { canonical } from '../config/cidr.ts'
import { listenText, type SocketAddress } from '../config/listen-address.ts'
import { asEnigmError, EnigmError, systemCode } from '../errors.ts'
import { VIEW_OF_ALL } from '../resolve.ts'
import type { Listener, ListenOptions } from './listener.ts'
import { listenTcp } from './tcp.ts'
import { openUdp } from './udp-batch.ts'
import { isWildcard, listenUdpEverywhere } from './wildcard.ts'

/**
 * Addresses on which systemd-resolved listens (its stub and, from version 250, its proxy). It does
 * not use either as an upstream server, on any port (seen with 252 and 257).
 */
const RESOLVED = new Set(['127.0.0.53', '127.0.0.54'])

/**
 * A sentence if systemd-resolved would never query an endpoint, even if it is configured: it drops
 * the endpoint from `DNS=` without a message, and queries the network's server.
 */
export function neverAskedByResolved({ address, port }: SocketAddress): string | undefined {
  if (!RESOLVED.has(address) || port === 53) return undefined
  return (
    `systemd-resolved takes no server at ${address}, whatever the port: if it is to ask here, listen at 127.0.0.55:53 instead ` +
    '(docs/system.md, "With systemd-resolved"), or names go to the server of the network in cleartext'
  )
}

/**
 * One sentence that says why an endpoint could not be opened and how to fix it. `code` is the
 * system's; `holder` is "name (pid N)" if known; `activated`: the service manager passed other
 * sockets.
 */
export function bindRefusal(
  code: string,
  endpoint: SocketAddress,
  transport: 'udp' | 'tcp',
  holder: string | undefined,
  activated = false,
): string {
  const where = listenText(endpoint)
  const [, device] = endpoint.address.split('%')
  if (device !== undefined && (code === 'EINVAL' || code === 'ENODEV' || code === 'EADDRNOTAVAIL')) {
    return (
      `${where} cannot be opened because ${endpoint.address} is on no interface of this host: ` +
      `look with \`ip -6 address show dev ${device}\`, and choose another with --listen`
    )
  }
  switch (code) {
    case 'EADDRINUSE':
      return `${where} is taken by ${takenBy(endpoint, holder)}`
    case 'EACCES':
    case 'EPERM':
      if (activated)
        return (
          `${where} is not one of the sockets that the service manager opened, and this service may not open it for ${transport.toUpperCase()}: ` +
          `run \`systemctl edit enigm-dns.socket\`, write "[Socket]", ListenDatagram=${where} and ListenStream=${where}, and restart both units`
        )
      return (
        `${where} needs root or CAP_NET_BIND_SERVICE: start it as root, or run ` +
        `\`setcap cap_net_bind_service=+ep "$(readlink -f "$(command -v node)")"\`, or ` +
        `\`sysctl net.ipv4.ip_unprivileged_port_start=${endpoint.port}\`, or choose a port from 1024 up with --listen`
      )
    case 'EADDRNOTAVAIL':
      return `${where} cannot be opened because ${endpoint.address} is on no interface of this host: add it there, or choose another with --listen`
    case 'EAFNOSUPPORT':
      return `${where} cannot be opened because this host has no ${endpoint.address.includes(':') ? 'IPv6' : 'IPv4'}: choose another address with --listen`
    default:
      return `${where} cannot be opened for ${transport.toUpperCase()} (${code}): choose another address or port with --listen`
  }
}

function takenBy(endpoint: SocketAddress, holder: string | undefined): string {
  if (holder?.endsWith(`(pid ${process.pid})`)) return 'this process already: list it once, and not beside a wildcard that covers it'
  const likelyResolved = endpoint.port === 53 && RESOLVED.has(endpoint.address)
  if (holder?.startsWith('systemd-resolve') || (holder === undefined && likelyResolved)) {
    return (
      `${holder ?? 'another process, most likely systemd-resolved'}: leave it there, listen with --listen 127.0.0.55:53, and have systemd-resolved ask that address: ` +
      'the lines are in docs/system.md, "With systemd-resolved"'
    )
  }
  return `${holder ?? 'another process'}: stop it, or choose another address or port with --listen`
}

/** With port 0, the port that UDP got may be in use for TCP. */
const PORT_ATTEMPTS = 8

/** Returns the process that holds a port, as "name (pid N)", if it can be found. Never rejects. */
export type HolderOf = (address: string, port: number, transport: 'udp' | 'tcp') => Promise<string | undefined>

/** The sockets that the service manager passed; the type matches system/inherited-sockets.ts. */
export type InheritedSockets = readonly (SocketAddress & { readonly transport: 'udp' | 'tcp'; readonly fd: number })[]

/** The parameters of `bindAll` besides the endpoints. */
export interface BindOptions extends Omit<ListenOptions, 'address' | 'port' | 'inheritedFd'> {
  readonly holder: HolderOf
  /** Used for the endpoints to which they are bound; absent: none. */
  readonly inherited?: InheritedSockets
}

/**
 * Opens UDP and TCP, on the same port, on every endpoint, or opens none. Rejects with an EnigmError
 * `listen` whose one sentence names the cause or the fix.
 */
export async function bindAll(endpoints: readonly SocketAddress[], options: BindOptions): Promise<readonly Listener[]> {
  const listeners: Listener[] = []
  try {
    for (const endpoint of endpoints) listeners.push(...(await bindPair(endpoint, options)))
    return listeners
  } catch (error) {
    await Promise.all(listeners.map((listener) => listener.close()))
    throw error
  }
}

/** Why an endpoint cannot be opened now. */
export interface BindFault {
  readonly code: string
  readonly message: string
}

/**
 * Opens UDP and TCP on `endpoint` as `bindAll` does, and closes them at once without an answer to
 * any query. Returns the reason of a failure. Never rejects.
 */
export async function bindFault(endpoint: SocketAddress, clock: Clock, holder: HolderOf): Promise<BindFault | undefined> {
  const responder = { now: () => 0, later: async () => undefined }
  const nobody = { responder, allowed: () => false, view: () => VIEW_OF_ALL, clock, emit: () => {}, drainMs: 0, holder }
  try {
    const listeners = await bindAll([endpoint], nobody)
    await Promise.all(listeners.map((listener) => listener.close()))
    return undefined
  } catch (error) {
    const { message, cause } = asEnigmError(error)
    return { code: systemCode(cause) ?? 'unknown', message }
  }
}

async function bindPair(endpoint: SocketAddress, options: BindOptions): Promise<readonly Listener[]> {
  // With SO_REUSEPORT any process of the same user can share the UDP socket. The TCP socket cannot
  // be shared, so it is opened first.
  const [first, second] = options.reusePort === true ? (['tcp', 'udp'] as const) : (['udp', 'tcp'] as const)
  for (let attempt = 1; ; attempt++) {
    const one = await bindOne(first, endpoint, options)
    try {
      const other = await bindOne(second, { address: endpoint.address, port: one.port }, options)
      return first === 'udp' ? [one, other] : [other, one]
    } catch (error) {
      await one.close()
      const collision = endpoint.port === 0 && error instanceof EnigmError && systemCode(error.cause) === 'EADDRINUSE'
      if (!collision || attempt === PORT_ATTEMPTS) throw error
    }
  }
}

async function bindOne(
  transport: 'udp' | 'tcp',
  endpoint: SocketAddress,
  { holder, inherited = [], ...rest }: BindOptions,
): Promise<Listener> {
  const passed = inherited.find((socket) => socket.transport === transport && isAt(socket, endpoint))
  const options = { ...rest, ...endpoint, inheritedFd: passed?.fd }
  try {
    if (transport === 'tcp') return await listenTcp(options)
    return await (isWildcard(options.address) ? listenUdpEverywhere(options) : openUdp(options))
  } catch (error) {
    const code = systemCode(error) ?? 'unknown'
    const taken = code === 'EADDRINUSE' ? await holder(options.address, options.port, transport) : undefined
    throw new EnigmError('listen', bindRefusal(code, options, transport, taken, inherited.length > 0), { cause: error })
  }
}

const isAt = (socket: SocketAddress, { address, port }: SocketAddress) => socket.port === port && socket.address === canonical(address)
