import { isFinalFailure } from '../dns/response.ts'
import type { Rcode } from '../errors.ts'
import type { ReplyReading, ReplyVerdict } from '../resolve.ts'

const SERVFAIL = 2
const REFUSED = 5
/** NOERROR, NXDOMAIN, and YXDOMAIN, for a DNAME that made a name too long (RFC 6672 section 2.2). */
const OF_THE_NAME: ReadonlySet<Rcode> = new Set([0, 3, 6])

/**
 * Whether an RCODE speaks of the hop between us and the resolver, and neither of the name nor of the
 * search for it: FORMERR, NOTIMP, NOTAUTH with its TSIG errors, BADVERS, BADCOOKIE, and whatever else
 * is no answer to a question (RFC 6895 section 2.3). It means nothing to a client.
 */
export function speaksOfHop(rcode: Rcode): boolean {
  return !OF_THE_NAME.has(rcode) && rcode !== SERVFAIL && rcode !== REFUSED
}

const SETTLED: ReplyVerdict = { final: true, blamesResolver: false, ofHop: false }

/** Judges a reply by what was read in it. */
export function verdictOn({ rcode, opt }: ReplyReading): ReplyVerdict {
  if (OF_THE_NAME.has(rcode)) return SETTLED
  const final = isFinalFailure(rcode, opt?.ede?.code)
  return { final, blamesResolver: true, ofHop: !final && speaksOfHop(rcode) }
}
