import { allowList } from '../config/cidr.ts'
import { ipv6Text } from '../dns/rdata-text.ts'
import { someAddress } from '../dns/records.ts'
import { synthesise } from '../dns/response.ts'
import { EnigmError } from '../errors.ts'
import type { Stage } from '../job.ts'
import { type ZoneTree, zoneTree } from './zone-tree.ts'

/** Exceptions: answers that may have private addresses. */
export interface RebindingRules {
  readonly protect: boolean
  /** Names; a name and everything below it may have any address. */
  readonly allow: readonly string[]
  /** Address blocks that any name may have. */
  readonly allowAddresses: readonly string[]
}

/** "Filtered" (RFC 8914 section 4.18): the person who set up this stub asked for it. */
const FILTERED = { code: 17, text: 'rebinding' } as const

/**
 * Refuses answers from upstream that hold addresses of this host or of its private network: a web
 * page with such an address for its own name reaches services that only insiders may reach (DNS
 * rebinding). The whole answer is replaced by NODATA and not by an error, because after an error
 * stubs ask the next server, which has no such filter. `refused` counts the refusals.
 */
export function refuseRebinding(rules: RebindingRules, refused: () => void): Stage {
  if (!rules.protect) return { enter: () => 'on' }
  const exempt = exemption(rules.allow)
  const inside = privateExcept(rules.allowAddresses)
  return {
    enter: () => 'on',
    leave(job) {
      const { outcome, query } = job
      // The names of a forward zone are those of a private network.
      if (job.side?.zone !== undefined) return 'on'
      // Only answers from upstream: localhost is answered here with 127.0.0.1.
      if (outcome === undefined || outcome instanceof EnigmError || typeof outcome.from === 'string') return 'on'
      if (!someAddress(outcome.wire, inside) || exempt.match(query.question)) return 'on'
      refused()
      const wire = synthesise(query.question, { rcode: 0 })
      job.outcome = { wire, rcode: 0, storeS: outcome.storeS, ede: FILTERED, from: 'policy' }
      return 'on'
    },
  }
}

function exemption(zones: readonly string[]): ZoneTree {
  return zoneTree(zones.map((zone) => ({ zone: zone.toLowerCase(), action: () => 'forward' as const })))
}

function privateExcept(allowed: readonly string[]): (octets: Uint8Array, at: number, length: 4 | 16) => boolean {
  const isPrivate = (octets: Uint8Array, at: number, length: 4 | 16) => (length === 4 ? isPrivate4(octets, at) : isPrivate6(octets, at))
  if (allowed.length === 0) return isPrivate
  const isAllowed = allowList(allowed)
  return (octets, at, length) => isPrivate(octets, at, length) && !isAllowed(textOf(octets.subarray(at, at + length)))
}

const textOf = (octets: Uint8Array) => (octets.length === 4 ? octets.join('.') : ipv6Text(octets))

/**
 * Whether a name of the public DNS should not have this IPv4 address: this host (0/8, 127/8),
 * private networks (RFC 1918), shared address space (RFC 6598), link-local (RFC 3927), broadcast.
 */
export function isPrivate4(octets: Uint8Array, at: number): boolean {
  const [a, b] = [octets[at] ?? 0, octets[at + 1] ?? 0]
  switch (a) {
    case 0:
    case 10:
    case 127:
      return true
    case 100:
      return b >= 64 && b <= 127
    case 169:
      return b === 254
    case 172:
      return b >= 16 && b <= 31
    case 192:
      return b === 168
    case 255:
      return b === 255 && octets[at + 2] === 255 && octets[at + 3] === 255
    default:
      return false
  }
}

/**
 * The same for IPv6: unspecified and loopback, unique-local (RFC 4193), link-local and site-local,
 * every IPv4-mapped address (no AAAA record needs one, and sockets connect to it over IPv4), and
 * forms that embed a private IPv4 address: compatible, NAT64 (RFC 6052, RFC 8215), 6to4 (RFC 3056).
 */
export function isPrivate6(octets: Uint8Array, at: number): boolean {
  const [a, b] = [octets[at] ?? 0, octets[at + 1] ?? 0]
  if ((a & 0xfe) === 0xfc) return true
  if (a === 0xfe && b >= 0x80) return true
  if (a === 0x20 && b === 0x02) return isPrivate4(octets, at + 2)
  if (a === 0 && b === 0x64 && octets[at + 2] === 0xff && octets[at + 3] === 0x9b) return isPrivate4(octets, at + 12)
  if (!zeros(octets, at, 10)) return false
  if (octets[at + 10] === 0xff && octets[at + 11] === 0xff) return true
  // ::, ::1 and ::a.b.c.d: the first two are 0.0.0.0 and 0.0.0.1 in the last four octets.
  return zeros(octets, at + 10, 2) && isPrivate4(octets, at + 12)
}

function zeros(octets: Uint8Array, at: number, count: number): boolean {
  for (let i = at; i < at + count; i++) if (octets[i] !== 0) return false
  return true
}
