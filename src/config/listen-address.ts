import { isIP } from 'node:net'
import { canonical, isLinkLocal6, isMulticastOrBroadcast, unmapped } from './cidr.ts'

/**
 * A numeric address and a port. A listener binds UDP and TCP there. Port 0: the system chooses a
 * free port.
 */
export interface SocketAddress {
  readonly address: string
  readonly port: number
}

/**
 * Parses "127.0.0.53:53", "[::1]:53" or "[fe80::1%eth0]:53". Undefined: any other text. Names are
 * never resolved.
 */
export function parseListen(text: string): SocketAddress | undefined {
  const found = /^(?:\[([^\]]+)\]|([^:[\]]+)):(0|[1-9]\d{0,4})$/.exec(text)
  if (found === null) return undefined
  const [, six, four, portText] = found
  const address = six ?? four ?? ''
  const port = Number(portText)
  return port <= 65535 && isIP(address) === (six === undefined ? 4 : 6) ? { address, port } : undefined
}

/** The inverse of `parseListen`. */
export function listenText({ address, port }: SocketAddress): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}

/** The canonical spelling of an endpoint. */
export function sameEndpoint(text: string): string {
  const found = parseListen(text)
  return found === undefined ? text : listenText({ address: canonical(found.address), port: found.port })
}

/**
 * Whether a socket on `own` prevents one on `other`: the same port, and the same address or all
 * addresses of its family.
 */
export function takes(own: SocketAddress, other: SocketAddress): boolean {
  if (own.port !== other.port || own.port === 0) return false
  return canonical(own.address) === canonical(other.address) || isWildcardFor(own.address, other.address)
}

const isWildcardFor = (own: string, other: string) => canonical(own) === (isIP(other) === 6 ? '::' : '0.0.0.0')

/**
 * Why one of the listen addresses cannot be opened beside another one that means all addresses of
 * its family, as a clause with the fix. Undefined: none of `others` does.
 */
export function coveredProblem(text: string, others: readonly string[]): string | undefined {
  const own = parseListen(text)
  if (own === undefined) return undefined
  const wide = others.find((other) => {
    const found = parseListen(other)
    return found !== undefined && sameEndpoint(other) !== sameEndpoint(text) && takes(found, own)
  })
  if (wide === undefined) return undefined
  return `"${text}" is covered by "${wide}", which takes port ${own.port} on every address; remove one of the two`
}

const FORM = 'must be ADDRESS:PORT, as in "127.0.0.53:53" or "[::1]:53"'

/**
 * The error of a listen address, as a clause with the fix. Undefined: it is valid. Whether this
 * host has the address is known only when a socket is opened.
 */
export function listenProblem(text: string): string | undefined {
  const found = parseListen(text)
  if (found === undefined) return `${FORM}${hint(text)}`
  const { address, port } = found
  const mapped = unmapped(address)
  if (mapped !== address) return `is an IPv4 address in IPv6 form; write "${mapped}:${port}"`
  if (isMulticastOrBroadcast(address)) return 'is a multicast or broadcast address, which cannot send replies; name an address of this host'
  if (isLinkLocal6(address) && !address.includes('%'))
    return `is link-local and needs its interface; add it, as in "[${address}%eth0]:${port}"`
  return undefined
}

/** A hint for the most common mistakes. Empty for other mistakes. */
function hint(text: string): string {
  if (text.trim() !== text) return '; remove the spaces around it'
  if (isIP(text) === 4) return `; the port is missing, write "${text}:53"`
  const bracketed = /^\[([^\]]*)\]$/.exec(text)?.[1]
  if (bracketed !== undefined && isIP(bracketed) === 6) return `; the port is missing, write "${text}:53"`
  const [, host = '', port = ''] = /^(.*):([^:]*)$/.exec(text) ?? []
  if (host === '' && port !== '') return `; the address is missing, write "127.0.0.1:${port}" or, for every address, "0.0.0.0:${port}"`
  if (/^\d+$/.test(text)) return `; the address is missing, write "127.0.0.1:${text}"`
  if (isIP(host) === 6) return `; an IPv6 address needs brackets, write "[${host}]:${port}"`
  if (isIP(text) === 6) return `; an IPv6 address needs brackets and the port after them, write "[${text}]:53"`
  const address = host.replace(/^\[(.*)\]$/, '$1')
  if (host !== address && isIP(address) === 4) return `; an IPv4 address has no brackets, write "${address}:${port}"`
  if (isIP(address) !== 0 && !address.includes('%') && isIP(host) !== 6)
    return '; a port is a number from 1 to 65535 without leading zeros, or 0 for any free port'
  if (isIP(address.split('%')[0] ?? '') === 4 && address.includes('%'))
    return '; an IPv4 address needs no interface; remove the % and the text after it'
  if (host === '*') return `; for every address write "0.0.0.0:${port}" and "[::]:${port}"`
  if (/^[a-z][a-z0-9._-]*$/i.test(host)) return '; a name is never looked up, write the address'
  return ''
}
