import type { Rule } from './rule.ts'
import { emptyZone, noData, nothing } from './zone-actions.ts'

/** Top-level names that the DNS will never have; asking for one only tells a resolver what runs inside this network. DS too: nothing is delegated. */
const NEVER_IN_DNS = [
  'invalid.', // RFC 6761 section 6.4
  'test.', // RFC 6761 section 6.2
  'onion.', // RFC 7686 section 2: MUST answer NXDOMAIN
  'alt.', // RFC 9476 section 2
  'internal.', // reserved by ICANN for private use (board resolution of 29 July 2024)
  'local.', // RFC 6762 section 22.1: multicast DNS only
]

/** Names that RFCs set apart from the DNS, and the two zones below arpa. that every site serves for itself. */
export const RESERVED_NAMES: readonly Rule[] = [
  ...NEVER_IN_DNS.map((zone) => ({ zone, action: nothing(zone) })),
  // RFC 8375 section 4: served here; only DS of the apex goes upstream.
  { zone: 'home.arpa.', action: emptyZone('home.arpa.') },
  // RFC 9462 sections 6.1 and 6.4: NODATA says that there is no designated resolver to move to. Never forwarded: the upstream would designate itself, and
  // the client would leave this stub and its policy.
  { zone: 'resolver.arpa.', action: noData('resolver.arpa.') },
]
