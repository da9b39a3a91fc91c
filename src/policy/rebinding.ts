import { allowList } from '../config/cidr.ts'
import { someAddress } from '../dns/address-records.ts'
import { ipv6Text } from '../dns/printable.ts'
import { synthesise } from '../dns/response.ts'
import { EnigmError } from '../errors.ts'
import type { Stage } from '../job.ts'
import { isPrivate4, isPrivate6 } from './private-addresses.ts'
import { type ZoneTree, zoneTree } from './zone-tree.ts'

/** What may point inside all the same. */
export interface RebindingRules {
  readonly protect: boolean
  /** Names; everything at and below one may have any address. */
  readonly allow: readonly string[]
  /** Blocks of addresses that any name may have. */
  readonly allowAddresses: readonly string[]
}

/** "Filtered" (RFC 8914 section 4.18): whoever set this stub up asked for it. */
const FILTERED = { code: 17, text: 'rebinding' } as const

/**
 * Refuses answers from outside that point inside, at this host or the network it is in: a page that gets one for its own name reaches what only insiders may (DNS
 * rebinding). The whole answer goes, as "no such data" rather than an error: at an error stubs ask the next server, which has no such filter. `refused` counts.
 */
export function refuseRebinding(rules: RebindingRules, refused: () => void): Stage {
  if (!rules.protect) return { enter: () => 'on' }
  const exempt = exemption(rules.allow)
  const inside = insideBut(rules.allowAddresses)
  return {
    enter: () => 'on',
    leave(job) {
      const { outcome, query } = job
      // Only what an upstream said: localhost is ours to answer with 127.0.0.1.
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

function insideBut(allowed: readonly string[]): (octets: Uint8Array, at: number, length: 4 | 16) => boolean {
  const isPrivate = (octets: Uint8Array, at: number, length: 4 | 16) => (length === 4 ? isPrivate4(octets, at) : isPrivate6(octets, at))
  if (allowed.length === 0) return isPrivate
  const isAllowed = allowList(allowed)
  return (octets, at, length) => isPrivate(octets, at, length) && !isAllowed(textOf(octets.subarray(at, at + length)))
}

const textOf = (octets: Uint8Array) => (octets.length === 4 ? octets.join('.') : ipv6Text(octets))
