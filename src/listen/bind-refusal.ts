import type { SocketAddress } from './listener.ts'

/** Where systemd-resolved listens (its stub and, from version 250, its proxy); it takes neither as a server, whatever the port (seen with 252 and 257). */
const RESOLVED = new Set(['127.0.0.53', '127.0.0.54'])

/** A sentence where systemd-resolved would never ask an endpoint, though it may be told to: it drops it from `DNS=` without a word, and asks the network's server. */
export function neverAskedByResolved({ address, port }: SocketAddress): string | undefined {
  if (!RESOLVED.has(address) || port === 53) return undefined
  return (
    `systemd-resolved takes no server at ${address}, whatever the port: if it is to ask here, listen at 127.0.0.55:53 instead ` +
    '(docs/system.md, "With systemd-resolved"), or names go to the server of the network in cleartext'
  )
}

/** One sentence on why an endpoint could not be opened and what mends it. `code` is the system's; `holder` is "name (pid N)" where known. */
export function bindRefusal(code: string, endpoint: SocketAddress, transport: 'udp' | 'tcp', holder: string | undefined): string {
  const where = textOf(endpoint)
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

function textOf({ address, port }: SocketAddress): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}
