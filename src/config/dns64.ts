import * as v from 'valibot'
import { addressOctets, cidrProblem, parseCidr } from './cidr.ts'
import { checked, closed, described, distinct, text } from './fields.ts'

/** The valid lengths of a prefix in bits (RFC 6052 section 2.2). */
const LENGTHS: readonly number[] = [32, 40, 48, 56, 64, 96]
const FORM = 'must be an IPv6 prefix, as in "64:ff9b::/96"'

function prefixProblem(text: string): string | undefined {
  const cidr = parseCidr(text)
  if (cidr === undefined || !text.includes('/') || cidr.family !== 'ipv6') return FORM
  const { prefix, address } = cidr
  if (!LENGTHS.includes(prefix)) return `${FORM}; its length must be one of ${LENGTHS.join(', ')} (RFC 6052 section 2.2)`
  const octets = addressOctets(address)
  if (octets.subarray(prefix / 8).some((octet) => octet !== 0)) return `${FORM}; the bits after its length must be 0`
  return octets[8] === 0 ? undefined : `${FORM}; its bits 64 to 71 must be 0 (RFC 6052 section 2.2)`
}

/** The schema of the key `dns64`. */
export const dns64Schema = closed({
  prefix: described(
    'The prefix of the NAT64 of this network, of 32, 40, 48, 56, 64 or 96 bits (RFC 6052).',
    v.pipe(text(64), checked(prefixProblem)),
  ),
  exclude: v.optional(
    described(
      'AAAA records with these addresses count as absent (RFC 6147 section 5.1.4).',
      distinct(v.pipe(text(64), checked(cidrProblem)), 100, 0),
    ),
    ['::ffff:0:0/96'],
  ),
})

export type Dns64Settings = v.InferOutput<typeof dns64Schema>
