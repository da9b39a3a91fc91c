import { foundRecords, noSuchType, soaRecord } from '../dns/local-answer.ts'
import { nameFromText } from '../dns/name.ts'
import { emptyZone, noData, nxdomain, nxdomainBelowParent, TYPE } from './zone-actions.ts'
import type { ZoneRule } from './zone-tree.ts'

const IPV4_LOOPBACK = Uint8Array.of(127, 0, 0, 1)
const IPV6_LOOPBACK = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)
const LOCALHOST_SOA = soaRecord(nameFromText('localhost.'))

/**
 * RFC 6761 section 6.3: `localhost` and every name below it are this host. Address questions get
 * the loopback address, all others NODATA. No proof is added: the root denies the name, and
 * addresses together with a denial would be contradictory.
 */
const LOCALHOST: readonly ZoneRule[] = [
  {
    zone: 'localhost.',
    unprovable: true,
    ofHost: true,
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
 * On this day the file was compared with IANA's registries: Special-Use Domain Names (last changed
 * 2026-05-22) and Locally-Served DNS Zones. Left out, because their RFCs want them resolved as
 * usual: example. and example.com, .net, .org (RFC 6761 section 6.5), ipv4only.arpa.,
 * 170.0.0.192.in-addr.arpa. and 171.0.0.192.in-addr.arpa. (RFC 8880 sections 7.1 and 7.2).
 */
export const REGISTRIES_AS_OF = '2026-11-28'

/**
 * Top-level names that the DNS will never have; a query for one only tells a resolver what runs
 * inside this network. DS is answered here too, because nothing is delegated.
 */
const NEVER_IN_DNS = [
  'invalid.', // RFC 6761 section 6.4
  'test.', // RFC 6761 section 6.2
  'onion.', // RFC 7686 section 2: MUST answer NXDOMAIN
  'alt.', // RFC 9476 section 2
  'internal.', // reserved by ICANN for private use (board resolution of 29 July 2024)
  'local.', // RFC 6762 section 22.1: multicast DNS only
]

/** Names below arpa. that are not in the DNS either. */
const NEVER_BELOW_ARPA = [
  '6tisch.arpa.', // RFC 9031 section 11
  'eap.arpa.', // RFC 9965: DNS servers SHOULD return NXDOMAIN
  'eap-noob.arpa.', // RFC 9140, deprecated by RFC 9965
]

/**
 * Names that RFCs exclude from the DNS, and the zones below arpa. that every site serves itself.
 */
export const RESERVED_NAMES: readonly ZoneRule[] = [
  ...NEVER_IN_DNS.map((zone) => ({ zone, action: nxdomain(zone) })),
  ...NEVER_BELOW_ARPA.map((zone) => ({ zone, action: nxdomainBelowParent(zone) })),
  // RFC 8375 section 4: served here; only DS of the apex is forwarded.
  { zone: 'home.arpa.', action: emptyZone('home.arpa.') },
  // RFC 9665: the network's own service registry; also `default.service.arpa` and everything in it.
  { zone: 'service.arpa.', action: emptyZone('service.arpa.') },
  // RFC 9462 sections 6.1 and 6.4: NODATA means that there is no designated resolver. Never
  // forwarded: the upstream would designate itself, and the client would bypass this stub and its
  // policy. DS of the apex is forwarded: that the zone is delegated unsigned is the proof of our
  // answer.
  { zone: 'resolver.arpa.', ofHost: true, action: noData('resolver.arpa.') },
]

const LOCALHOST_NAME = nameFromText('localhost.')

function range(from: number, to: number): readonly number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i)
}

/**
 * Under in-addr.arpa: RFC 6303 sections 4.1 and 4.2, RFC 7793 for the shared space 100.64.0.0/10.
 * 254.169 is also in RFC 6762 section 12.
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
 * Reverse zones of addresses with a local meaning: queries in them tell a resolver how this network
 * is numbered. The two loopback addresses have the name `localhost`, as in every resolver.
 */
const PRIVATE_REVERSE: readonly ZoneRule[] = [
  ...[...PRIVATE_IPV4.map((z) => `${z}.in-addr.arpa.`), ...PRIVATE_IPV6.map((z) => `${z}.ip6.arpa.`)].map((zone) => ({
    zone,
    action: emptyZone(zone),
  })),
  {
    zone: '127.in-addr.arpa.',
    names: [LOOPBACK_IPV4],
    ofHost: true,
    action: emptyZone('127.in-addr.arpa.', { at: LOOPBACK_IPV4, type: TYPE.ptr, rdata: LOCALHOST_NAME }),
  },
  { zone: LOOPBACK_IPV6, ofHost: true, action: emptyZone(LOOPBACK_IPV6, { at: LOOPBACK_IPV6, type: TYPE.ptr, rdata: LOCALHOST_NAME }) },
]

/**
 * Mozilla's canary domain: a negative answer tells Firefox to leave its default DoH off. Resolution
 * is encrypted here already, and a browser with its own resolver would bypass the trusted set, the
 * cache and the status. A user who enabled DoH by hand is not affected.
 */
export const CANARY: readonly ZoneRule[] = [
  { zone: 'use-application-dns.net.', ofHost: true, action: nxdomainBelowParent('use-application-dns.net.') },
]

/** Every zone that is answered here. */
export const SPECIAL_ZONES: readonly ZoneRule[] = [...LOCALHOST, ...RESERVED_NAMES, ...PRIVATE_REVERSE, ...CANARY]
