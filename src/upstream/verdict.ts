import { readOpt } from '../dns/edns.ts'
import { headerRcode } from '../dns/message.ts'

const FORMERR = 1
const SERVFAIL = 2
const NOTIMP = 4
const REFUSED = 5

/** Whether the RCODE is one of the four that speak of the resolver and not of the name. */
export function blamesResolver(reply: Uint8Array): boolean {
  const rcode = headerRcode(reply)
  return rcode === FORMERR || rcode === SERVFAIL || rcode === NOTIMP || rcode === REFUSED
}

/**
 * Whether a reply settles its question. A SERVFAIL that says why DNSSEC failed (EDE 1, 2, 5 to 12) and anything blocked, censored, filtered or prohibited
 * (EDE 15 to 18) does: to ask another operator would defeat validation or filtering, and tell a second party. Any other RCODE that blames the resolver does not.
 */
export function isFinal(reply: Uint8Array): boolean {
  if (!blamesResolver(reply)) return true
  const ede = readOpt(reply)?.ede?.code
  if (ede === undefined) return false
  return (ede >= 15 && ede <= 18) || (headerRcode(reply) === SERVFAIL && (ede === 1 || ede === 2 || (ede >= 5 && ede <= 12)))
}
