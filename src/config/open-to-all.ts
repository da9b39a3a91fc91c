import { isLoopback, overlap, parseCidr } from './cidr.ts'
import { listenText, type SocketAddress } from './listen-address.ts'
import type { Loaded } from './load.ts'
import { quoted } from './problems.ts'
import { listed } from './without-effect.ts'

/**
 * The unicast addresses of the internet. Private blocks are inside them, but a block as wide as
 * MOST_BITS is never private alone.
 */
const PUBLIC = ['0.0.0.0/1', '128.0.0.0/2', '192.0.0.0/3', '2000::/3'] as const
/**
 * A block with a longer prefix belongs to known networks: the widest one that somebody holds is a
 * /8 (IPv4), or a /12 (IPv6).
 */
const MOST_BITS = { ipv4: 7, ipv6: 8 } as const

/**
 * A sentence if other hosts can reach the service and `allowFrom` admits a large part of the
 * internet: such a resolver is used for attacks with forged addresses (RFC 5358). `sockets`: those
 * that the service has besides `listen`.
 */
export function openToAll(
  { config, listen }: Pick<Loaded, 'config' | 'listen'>,
  sockets: readonly SocketAddress[] = [],
): readonly string[] {
  const places = new Set([...listen, ...sockets].filter(({ address }) => !isLoopback(address)).map(listenText))
  const blocks = config.allowFrom.filter(isMostOfTheInternet).map(quoted)
  if (places.size === 0 || blocks.length === 0) return []
  return [
    `allowFrom: with ${listed(blocks)} anyone on the internet who reaches ${listed([...places])} can use this service, and only the reply rate limits apply: restrict "allowFrom" to your own networks, as in "192.168.0.0/16".`,
  ]
}

function isMostOfTheInternet(block: string): boolean {
  const cidr = parseCidr(block)
  return cidr !== undefined && cidr.prefix <= MOST_BITS[cidr.family] && PUBLIC.some((one) => overlap(block, one))
}
