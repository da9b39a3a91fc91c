import type { ZoneRule } from './rule.ts'
import { emptyZone, noData, nothing, nothingBelowParent } from './zone-actions.ts'

/**
 * What this file and private-reverse.ts hold was compared with IANA's registries on this day: Special-Use Domain Names (its last change was of 2026-05-22) and
 * Locally-Served DNS Zones. Left out, since their RFCs want them resolved as usual: example. and example.com, .net, .org (RFC 6761 section 6.5), ipv4only.arpa.,
 * 170.0.0.192.in-addr.arpa. and 171.0.0.192.in-addr.arpa. (RFC 8880 sections 7.1 and 7.2).
 */
export const REGISTRIES_AS_OF = '2026-11-28'

/** Top-level names that the DNS will never have; asking for one only tells a resolver what runs inside this network. DS too: nothing is delegated. */
const NEVER_IN_DNS = [
  'invalid.', // RFC 6761 section 6.4
  'test.', // RFC 6761 section 6.2
  'onion.', // RFC 7686 section 2: MUST answer NXDOMAIN
  'alt.', // RFC 9476 section 2
  'internal.', // reserved by ICANN for private use (board resolution of 29 July 2024)
  'local.', // RFC 6762 section 22.1: multicast DNS only
]

/** Below arpa., and no names of the DNS either. */
const NEVER_BELOW_ARPA = [
  '6tisch.arpa.', // RFC 9031 section 11
  'eap.arpa.', // RFC 9965: DNS servers SHOULD return NXDOMAIN
  'eap-noob.arpa.', // RFC 9140, deprecated by RFC 9965
]

/** Names that RFCs set apart from the DNS, and the zones below arpa. that every site serves for itself. */
export const RESERVED_NAMES: readonly ZoneRule[] = [
  ...NEVER_IN_DNS.map((zone) => ({ zone, action: nothing(zone) })),
  ...NEVER_BELOW_ARPA.map((zone) => ({ zone, action: nothingBelowParent(zone) })),
  // RFC 8375 section 4: served here; only DS of the apex goes upstream.
  { zone: 'home.arpa.', action: emptyZone('home.arpa.') },
  // RFC 9665: the network's own registry of services; `default.service.arpa` with what it holds, too.
  { zone: 'service.arpa.', action: emptyZone('service.arpa.') },
  // RFC 9462 sections 6.1 and 6.4: NODATA says that there is no designated resolver to move to. Never forwarded: the upstream would designate itself, and
  // the client would leave this stub and its policy. DS of the apex is: that it is delegated unsigned is the proof of our answer.
  { zone: 'resolver.arpa.', action: noData('resolver.arpa.') },
]
