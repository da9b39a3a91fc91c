import { nameFromText } from '../dns/name.ts'
import { record, synthesise } from '../dns/response.ts'
import type { Rcode } from '../errors.ts'
import type { Answer, Question } from '../resolve.ts'

/** Record types that policy names. */
export const TYPE = { a: 1, ns: 2, soa: 6, ptr: 12, aaaa: 28, ds: 43, any: 255 } as const

const NOERROR = 0
const NXDOMAIN = 3

/** TTL, and the SOA's numbers below: as RFC 6303 section 3 writes them, and the most that RFC 2308 section 5 lets a negative answer live. */
const TTL_S = 10_800
const SERIAL_REFRESH_RETRY_EXPIRE = [1, 3600, 1200, 604_800]

/** "Synthesized" of the IANA registry: RFC 8914's own list has no code for a special-use name. It tells whoever
 * wonders at a missing name that no resolver said so. */
export const SYNTHESIZED = { code: 29 } as const

/** The SOA that makes a negative answer of `zone` cacheable (RFC 2308 section 3), with MNAME and RNAME of RFC 6303 section 3, as a record. */
export function soaRecord(zone: Uint8Array): Uint8Array {
  const numbers = Buffer.alloc(20)
  for (const [i, n] of [...SERIAL_REFRESH_RETRY_EXPIRE, TTL_S].entries()) numbers.writeUInt32BE(n, i * 4)
  return record(zone, TYPE.soa, TTL_S, Buffer.concat([zone, nameFromText('nobody.invalid.'), numbers]))
}

/** "No such name", with the zone's SOA. */
export function noSuchName(question: Question, soa: Uint8Array): Answer {
  return { ...answer(question, NXDOMAIN, [], [soa]), ede: SYNTHESIZED }
}

/** "The name is there, that type is not", with the zone's SOA. */
export function noSuchType(question: Question, soa: Uint8Array): Answer {
  return { ...answer(question, NOERROR, [], [soa]), ede: SYNTHESIZED }
}

/** One or more records of the question's own name: pairs of type and RDATA. */
export function found(question: Question, data: readonly (readonly [type: number, rdata: Uint8Array])[]): Answer {
  const owner = question.lower.subarray(0, question.lower.length - 4)
  return answer(
    question,
    NOERROR,
    data.map(([type, rdata]) => record(owner, type, TTL_S, rdata)),
    [],
  )
}

function answer(question: Question, rcode: Rcode, answers: readonly Uint8Array[], authority: readonly Uint8Array[]): Answer {
  return { wire: synthesise(question, { rcode, answers, authority }), rcode, storeS: TTL_S, from: 'policy' }
}
