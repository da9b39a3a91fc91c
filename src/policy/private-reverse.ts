import { nameFromText } from '../dns/name.ts'
import { TYPE } from './local-answer.ts'
import type { ZoneRule } from './rule.ts'
import { emptyZone } from './zone-actions.ts'

const LOCALHOST_NAME = nameFromText('localhost.')

function range(from: number, to: number): readonly number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i)
}

/** Under in-addr.arpa: RFC 6303 sections 4.1 and 4.2, RFC 7793 for the shared space 100.64.0.0/10. 254.169 is RFC 6762 section 12's too. */
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

/** Under ip6.arpa: RFC 6303 sections 4.3 to 4.6: `::`, unique local, link-local (RFC 6762 section 12 too), documentation. */
const PRIVATE_IPV6 = [`0.${'0.'.repeat(30)}0`, 'd.f', '8.e.f', '9.e.f', 'a.e.f', 'b.e.f', '8.b.d.0.1.0.0.2']

const LOOPBACK_IPV4 = '1.0.0.127.in-addr.arpa.'
const LOOPBACK_IPV6 = `1.${'0.'.repeat(31)}ip6.arpa.`

/**
 * Reverse zones of addresses that mean something only here: what is asked in them tells a resolver how this network is numbered. The two loopback addresses
 * have their name, `localhost`, as every resolver gives it.
 */
export const PRIVATE_REVERSE: readonly ZoneRule[] = [
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
