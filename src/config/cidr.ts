import { BlockList, isIP, isIPv4 } from 'node:net'

/**
 * A block of addresses. An IPv4-mapped block (RFC 4291 section 2.5.5.2) is represented by the IPv4
 * block that it maps.
 */
export interface Cidr {
  readonly address: string
  readonly prefix: number
  readonly family: 'ipv4' | 'ipv6'
}

/**
 * Parses "10.0.0.0/8", "fd00::/8", or a single address. Undefined: it is none of these. Host bits
 * may be set and are ignored.
 */
export function parseCidr(text: string): Cidr | undefined {
  const [address = '', bits, ...rest] = text.split('/')
  const version = address.includes('%') ? 0 : isIP(address)
  if (version === 0 || rest.length > 0) return undefined
  if (bits !== undefined && !/^(0|[1-9]\d{0,2})$/.test(bits)) return undefined
  const width = version === 4 ? 32 : 128
  const prefix = bits === undefined ? width : Number(bits)
  if (prefix > width) return undefined
  const mapped = unmapped(address)
  if (version === 6 && mapped !== address && prefix >= 96) return { address: mapped, prefix: prefix - 96, family: 'ipv4' }
  return { address, prefix, family: version === 4 ? 'ipv4' : 'ipv6' }
}

/** The 4 or 16 octets of an address without a zone that `isIP` accepts. */
export function addressOctets(address: string): Uint8Array {
  if (isIPv4(address)) return Uint8Array.from(address.split('.'), Number)
  // The URL parser writes an embedded IPv4 address as hexadecimal groups.
  const plain = new URL(`http://[${address}]`).hostname.slice(1, -1)
  const [head = '', tail] = plain.split('::')
  const groups = (text: string) => (text === '' ? [] : text.split(':'))
  const [before, after] = [groups(head), groups(tail ?? '')]
  const zeros = Array<string>(tail === undefined ? 0 : 8 - before.length - after.length).fill('0')
  return Uint8Array.from(
    [...before, ...zeros, ...after].flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 0xff]),
  )
}

/** The address with all bits after the first `prefix` cleared, as a text that can be compared. */
export function firstBits(octets: Uint8Array, prefix: number): string {
  const kept = octets.map((octet, i) => octet & (0xff00 >> Math.max(0, Math.min(8, prefix - 8 * i))))
  return Buffer.from(kept).toString('latin1')
}

/** Why a block is invalid, as a clause with the fix. Undefined: the block is valid. */
export function cidrProblem(text: string): string | undefined {
  if (parseCidr(text) !== undefined) return undefined
  const form = 'must be a block of addresses, as in "127.0.0.0/8" or "fd00::/8"'
  if (text.trim() !== text) return `${form}; remove the spaces around it`
  const [address = '', bits] = text.split('/')
  if (isIP(address) !== 0 && address.includes('%')) return `${form}; it must not contain an interface; remove the % and the text after it`
  if (isIP(address) !== 0 && bits !== undefined) return `${form}; after the / write a number from 0 to ${isIP(address) === 4 ? 32 : 128}`
  return isIP(address) === 0 && /^[a-z][a-z0-9._-]*$/i.test(text) ? `${form}; a name is never looked up` : form
}

/**
 * Returns a function that reports whether an address lies in one of the blocks. Mapped addresses
 * (::ffff:a.b.c.d) count as IPv4, because a dual-stack socket reports IPv4 clients in this form. A
 * zone ("%eth0") is ignored. A text that is not an address lies in no block. Invalid blocks are
 * ignored; the caller checks them with `parseCidr`. The results are cached.
 */
export function allowList(cidrs: readonly string[]): (address: string) => boolean {
  const blocks = new BlockList()
  for (const text of cidrs) {
    const cidr = parseCidr(text)
    if (cidr !== undefined) blocks.addSubnet(cidr.address, cidr.prefix, cidr.family)
  }
  const check = (address: string) => {
    const plain = unmapped(withoutZone(address))
    const version = isIP(plain)
    return version !== 0 && blocks.check(plain, version === 4 ? 'ipv4' : 'ipv6')
  }
  // A check costs 8.6 us. All the other work of a cache hit costs less.
  return cachedByAddress(check)
}

/** Whether two blocks have an address in common: then one of them contains the other one. */
export function overlap(one: string, other: string): boolean {
  const [a, b] = [parseCidr(one), parseCidr(other)]
  return a !== undefined && b !== undefined && (allowList([one])(b.address) || allowList([other])(a.address))
}

/** Limit of cached results, so that a flood from forged addresses cannot fill the memory. */
const MOST_CACHED = 1024

/** Caches the results of `of` for up to 1024 addresses: clients are few, and send many queries. */
export function cachedByAddress<T extends {}>(of: (address: string) => T): (address: string) => T {
  const cached = new Map<string, T>()
  return (address) => {
    let found = cached.get(address)
    if (found === undefined) {
      found = of(address)
      if (cached.size >= MOST_CACHED) cached.clear()
      cached.set(address, found)
    }
    return found
  }
}

/** Whether only this host can reach a socket bound to `address`. */
export function isLoopback(address: string): boolean {
  return LOOPBACK(address)
}
const LOOPBACK = allowList(['127.0.0.0/8', '::1/128'])

/**
 * Whether an address is valid on one link only (RFC 4291 section 2.5.6), so that an interface must
 * be given with it.
 */
export function isLinkLocal6(address: string): boolean {
  return LINK_LOCAL_6(address)
}
const LINK_LOCAL_6 = allowList(['fe80::/10'])

/**
 * Whether an address belongs to many hosts: multicast (RFC 5771, RFC 4291 section 2.7) or
 * broadcast.
 */
export function isMulticastOrBroadcast(address: string): boolean {
  return MULTICAST_OR_BROADCAST(address)
}
const MULTICAST_OR_BROADCAST = allowList(['224.0.0.0/4', 'ff00::/8', '255.255.255.255/32'])

/** Whether an address is unspecified (0.0.0.0 or ::): it means all addresses of its family. */
export function isUnspecified(address: string): boolean {
  return UNSPECIFIED(address)
}
const UNSPECIFIED = allowList(['0.0.0.0/32', '::/128'])

/**
 * The canonical spelling of an IPv6 address; its zone stays as it is. Any other text is returned
 * unchanged: an IPv4 address has only one spelling.
 */
export function canonical(address: string): string {
  if (isIP(address) !== 6) return address
  const plain = withoutZone(address)
  return new URL(`http://[${plain}]`).hostname.slice(1, -1) + address.slice(plain.length)
}

/**
 * The IPv4 address in an IPv4-mapped IPv6 address of any spelling. Any other text is returned
 * unchanged.
 */
export function unmapped(address: string): string {
  if (isIPv4(address) || isIP(address) !== 6) return address
  // In Node only the URL parser normalizes addresses: it returns "[::ffff:7f00:1]" for every
  // spelling of a mapped 127.0.0.1.
  const canonical = new URL(`http://[${withoutZone(address)}]`).hostname
  const found = /^\[::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})\]$/.exec(canonical)
  if (found === null) return address
  const [high, low] = [Number.parseInt(found[1] ?? '', 16), Number.parseInt(found[2] ?? '', 16)]
  return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`
}

/** The address without its zone (RFC 4007 section 11): `fe80::1` for `fe80::1%eth0`. */
export function withoutZone(address: string): string {
  const at = address.indexOf('%')
  return at < 0 ? address : address.slice(0, at)
}
