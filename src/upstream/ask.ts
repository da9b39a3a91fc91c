import { upstreamQuery } from '../dns/message.ts'
import type { Accepted } from '../dns/response.ts'
import { acceptReply } from '../dns/response.ts'
import type { Ask, Carried, Resolve, Transport } from '../resolve.ts'

/** Whoever carries a query to one of the trusted resolvers and says which one answered. */
export interface Trusted {
  exchange(
    message: Uint8Array,
    dnssecOk: boolean,
    ask: Ask,
  ): Promise<Carried & { readonly transport: Transport; readonly upstream: string }>
}

/**
 * The end of the pipeline: asks the trusted set, and makes the reply into an answer. Nothing of the client's goes out but the question, CD and DO.
 * `lifetime` says how long the answer may be kept.
 */
export function askTrusted(trusted: Trusted, lifetime: (accepted: Accepted) => number | 'no'): Resolve {
  return async (query, ask) => {
    const message = upstreamQuery(query.question, query.checkingDisabled)
    const carried = await trusted.exchange(message, query.edns?.dnssecOk === true, ask)
    const accepted = acceptReply(carried.wire, query.question, { authenticated: carried.protection.authenticated, ageS: carried.ageS ?? 0 })
    return {
      wire: accepted.wire,
      rcode: accepted.rcode,
      storeS: lifetime(accepted),
      from: { upstream: carried.upstream, transport: carried.transport },
      ...(accepted.ede === undefined ? {} : { ede: accepted.ede }),
    }
  }
}
