import { readOpt } from '../dns/edns.ts'
import { isFinalFailure } from '../dns/final-failure.ts'
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

/** Whether a reply settles its question: any RCODE that does not blame the resolver, or a final failure. Another operator would only be a second party to tell. */
export function isFinal(reply: Uint8Array): boolean {
  return !blamesResolver(reply) || isFinalFailure(headerRcode(reply), readOpt(reply)?.ede?.code)
}
