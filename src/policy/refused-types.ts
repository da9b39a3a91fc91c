import { synthesise } from '../dns/response.ts'
import type { Stage } from '../resolve.ts'

const REFUSED = 5

/** OPT, TKEY, TSIG, IXFR, AXFR, MAILB, MAILA: no data of a name (RFC 6895 section 3.1); a transfer is between a zone's servers. ANY (255) is forwarded. */
const REFUSED_TYPES = new Set([41, 249, 250, 251, 252, 253, 254])

/** "Not supported", RFC 8914 section 4.22. */
const NOT_SUPPORTED = { code: 21 } as const

/** REFUSED for what is no question about data, as the gate says it too: a second line, for questions that come another way. Never kept: it costs nothing to make. */
export function refusedTypes(): Stage {
  return (next) => (query, ask) => {
    if (!REFUSED_TYPES.has(query.question.type)) return next(query, ask)
    const wire = synthesise(query.question, { rcode: REFUSED })
    return Promise.resolve({ wire, rcode: REFUSED, storeS: 'no', ede: NOT_SUPPORTED, from: 'policy' })
  }
}
