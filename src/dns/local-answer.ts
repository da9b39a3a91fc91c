import type { Rcode } from '../errors.ts'
import type { Answer, Question } from '../resolve.ts'
import { nameFromText } from './name.ts'
import { record, synthesise } from './response.ts'

const NOERROR = 0
const NXDOMAIN = 3
const SOA = 6

/**
 * The TTL and the numbers of the SOA below: the values of RFC 6303 section 3, and the longest time
 * that RFC 2308 section 5 allows for a negative answer.
 */
const TTL_S = 10_800
const SERIAL_REFRESH_RETRY_EXPIRE = [1, 3600, 1200, 604_800]

/**
 * "Synthesized" of the IANA registry: RFC 8914 itself has no code for a special-use name. It shows
 * a person who misses a name that this denial does not come from a resolver.
 */
export const SYNTHESIZED = { code: 29 } as const

/**
 * The SOA that makes a negative answer of `zone` cacheable (RFC 2308 section 3), with MNAME and
 * RNAME of RFC 6303 section 3, as a record. `ttlS` is how long the answer may be kept.
 */
export function soaRecord(zone: Uint8Array, ttlS = TTL_S): Uint8Array {
  const numbers = Buffer.alloc(20)
  for (const [i, n] of [...SERIAL_REFRESH_RETRY_EXPIRE, ttlS].entries()) numbers.writeUInt32BE(n, i * 4)
  return record(zone, SOA, ttlS, Buffer.concat([zone, nameFromText('nobody.invalid.'), numbers]))
}

/** NXDOMAIN with the zone's SOA: the name does not exist. */
export function noSuchName(question: Question, soa: Uint8Array, ttlS = TTL_S): Answer {
  return { ...answer(question, NXDOMAIN, [], [soa], ttlS), ede: SYNTHESIZED }
}

/** NODATA with the zone's SOA: the name exists, but not this type. */
export function noSuchType(question: Question, soa: Uint8Array, ttlS = TTL_S): Answer {
  return { ...answer(question, NOERROR, [], [soa], ttlS), ede: SYNTHESIZED }
}

/** An answer with one or more records of the question's own name: pairs of type and RDATA. */
export function foundRecords(question: Question, data: readonly (readonly [type: number, rdata: Uint8Array])[]): Answer {
  const owner = question.lower.subarray(0, question.lower.length - 4)
  return answer(
    question,
    NOERROR,
    data.map(([type, rdata]) => record(owner, type, TTL_S, rdata)),
    [],
    TTL_S,
  )
}

function answer(
  question: Question,
  rcode: Rcode,
  answers: readonly Uint8Array[],
  authority: readonly Uint8Array[],
  storeS: number,
): Answer {
  return { wire: synthesise(question, { rcode, answers, authority }), rcode, storeS, from: 'policy' }
}
