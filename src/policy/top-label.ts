/**
 * Types that describe the delegation of a top-level domain and are no host data: a validator behind this stub needs them for every TLD.
 * NS SOA DS RRSIG NSEC DNSKEY NSEC3PARAM CDS CDNSKEY CSYNC ZONEMD.
 */
const INFRASTRUCTURE = new Set([2, 6, 43, 46, 47, 48, 51, 59, 60, 62, 63])

/**
 * A name of one label is a host of this network or a slip of a search list, never a public host (SAC 053, RFC 7085): NXDOMAIN for data types, here, so that machine names
 * do not leave. The infrastructure types are forwarded, unless the root is known not to have the label. The SOA is of the label itself, not of the root: what caches
 * behind this stub may learn is that the label is not served, not that the root denied a whole TLD (PowerDNS trusts a root NXDOMAIN so far).
 */
export function isInfrastructure(type: number): boolean {
  return INFRASTRUCTURE.has(type)
}

/**
 * Whether the label at `at` of a lower-case name is a number as the WHATWG's URL standard reads the last label of a host: digits alone, or 0x and hexadecimal digits.
 * What ends so is an IPv4 address that somebody asked for as a name (192.168.1.1, 10.0.0x7f): browsers take it for nothing else, and there is no such top-level domain,
 * nor will there be (RFC 1123 section 2.1, RFC 3696 section 2).
 */
export function isNumber(name: Uint8Array, at: number): boolean {
  const length = name[at]!
  const hexadecimal = length > 1 && name[at + 1] === 0x30 && name[at + 2] === 0x78
  for (let i = at + (hexadecimal ? 3 : 1); i <= at + length; i++) {
    const octet = name[i]!
    if (!(isDigit(octet) || (hexadecimal && octet >= 0x61 && octet <= 0x66))) return false
  }
  return true
}

const isDigit = (octet: number) => octet >= 0x30 && octet <= 0x39
