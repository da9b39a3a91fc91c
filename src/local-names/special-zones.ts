import { nameFromText } from '../dns/name.ts'
import { emptyZone, foundRecords, noData, noSuchType, nxdomain, nxdomainBelowParent, soaRecord, TYPE } from './local-answer.ts'
import type { ZoneRule } from './zone-tree.ts'

const IPV4_LOOPBACK = Uint8Array.of(127, 0, 0, 1)
const IPV6_LOOPBACK = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)
const LOCALHOST_SOA = soaRecord(nameFromText('localhost.'))

/**
 * RFC 6761 section 6.3: `localhost` and every name below it is this host; address questions get the
 * loopback address, all others nothing. No proof goes with that: the root denies the name, and
 * addresses beside a denial would make no sense.
 */
const LOCALHOST: readonly ZoneRule[] = [
  {
    zone: 'localhost.',
    unprovable: true,
    action: (question) => {
      if (question.type === TYPE.a) return foundRecords(question, [[TYPE.a, IPV4_LOOPBACK]])
      if (question.type === TYPE.aaaa) return foundRecords(question, [[TYPE.aaaa, IPV6_LOOPBACK]])
      if (question.type === TYPE.any)
        return foundRecords(question, [
          [TYPE.a, IPV4_LOOPBACK],
          [TYPE.aaaa, IPV6_LOOPBACK],
        ])
      return noSuchType(question, LOCALHOST_SOA)
    },
  },
]

/**
 * What this file holds was compared with IANA's registries on this day: Special-Use Domain Names
 * (its last change was of 2026-05-22) and Locally-Served DNS Zones. Left out, since their RFCs want
 * them resolved as usual: example. and example.com, .net, .org (RFC 6761 section 6.5),
 * ipv4only.arpa., 170.0.0.192.in-addr.arpa. and 171.0.0.192.in-addr.arpa. (RFC 8880 sections 7.1
 * and 7.2).
 */
export const REGISTRIES_AS_OF = '2026-11-28'

/**
 * Top-level names that the DNS will never have; asking for one only tells a resolver what runs
 * inside this network. DS too: nothing is delegated.
 */
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

/**
 * Names that RFCs set apart from the DNS, and the zones below arpa. that every site serves for
 * itself.
 */
export const RESERVED_NAMES: readonly ZoneRule[] = [
  ...NEVER_IN_DNS.map((zone) => ({ zone, action: nxdomain(zone) })),
  ...NEVER_BELOW_ARPA.map((zone) => ({ zone, action: nxdomainBelowParent(zone) })),
  // RFC 8375 section 4: served here; only DS of the apex goes upstream.
  { zone: 'home.arpa.', action: emptyZone('home.arpa.') },
  // RFC 9665: the network's own registry of services; `default.service.arpa` with what it holds,
  // too.
  { zone: 'service.arpa.', action: emptyZone('service.arpa.') },
  // RFC 9462 sections 6.1 and 6.4: NODATA says that there is no designated resolver to move to.
  // Never forwarded: the upstream would designate itself, and the client would leave this stub and
  // its policy. DS of the apex is: that it is delegated unsigned is the proof of our answer.
  { zone: 'resolver.arpa.', action: noData('resolver.arpa.') },
]

const LOCALHOST_NAME = nameFromText('localhost.')

function range(from: number, to: number): readonly number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i)
}

/**
 * Under in-addr.arpa: RFC 6303 sections 4.1 and 4.2, RFC 7793 for the shared space 100.64.0.0/10.
 * 254.169 is RFC 6762 section 12's too.
 */
const PRIVATE_IPV4 = [
  '0',
  '10',
  ...range(16, 31).map((n) => `${n}.172`),
  '168.192',
  '254.169',
  '2.0.192',
  '100.51.198',
  '113.0.203',
  '255.255.255.255',
  ...range(64, 127).map((n) => `${n}.100`),
]

/**
 * Under ip6.arpa: RFC 6303 sections 4.3 to 4.6: `::`, unique local, link-local (RFC 6762 section 12
 * too), documentation.
 */
const PRIVATE_IPV6 = [`0.${'0.'.repeat(30)}0`, 'd.f', '8.e.f', '9.e.f', 'a.e.f', 'b.e.f', '8.b.d.0.1.0.0.2']

const LOOPBACK_IPV4 = '1.0.0.127.in-addr.arpa.'
const LOOPBACK_IPV6 = `1.${'0.'.repeat(31)}ip6.arpa.`

/**
 * Reverse zones of addresses that mean something only here: what is asked in them tells a resolver
 * how this network is numbered. The two loopback addresses have their name, `localhost`, as every
 * resolver gives it.
 */
const PRIVATE_REVERSE: readonly ZoneRule[] = [
  ...[...PRIVATE_IPV4.map((z) => `${z}.in-addr.arpa.`), ...PRIVATE_IPV6.map((z) => `${z}.ip6.arpa.`)].map((zone) => ({
    zone,
    action: emptyZone(zone),
  })),
  {
    zone: '127.in-addr.arpa.',
    names: [LOOPBACK_IPV4],
    action: emptyZone('127.in-addr.arpa.', { at: LOOPBACK_IPV4, type: TYPE.ptr, rdata: LOCALHOST_NAME }),
  },
  { zone: LOOPBACK_IPV6, action: emptyZone(LOOPBACK_IPV6, { at: LOOPBACK_IPV6, type: TYPE.ptr, rdata: LOCALHOST_NAME }) },
]

/**
 * Mozilla's canary domain: a negative answer tells Firefox to leave its default DoH off. Resolution
 * is encrypted here already, and a browser with a resolver of its own would step around the trusted
 * set, the cache and the evidence. A user who turned DoH on by hand is not affected.
 */
export const CANARY: readonly ZoneRule[] = [{ zone: 'use-application-dns.net.', action: nxdomainBelowParent('use-application-dns.net.') }]

/** Every zone that is answered here. */
export const SPECIAL_ZONES: readonly ZoneRule[] = [...LOCALHOST, ...RESERVED_NAMES, ...PRIVATE_REVERSE, ...CANARY]
