import { soaRecord } from '../dns/local-answer.ts'
import { record, synthesise } from '../dns/response.ts'
import type { Answer, Question } from '../resolve.ts'
import type { BlockedReply } from './list-kinds.ts'

/**
 * How long a blocked answer is kept, by clients too: short, so that a pause, or a name that is
 * allowed again, takes effect within a minute; long enough that a page is not asked for twice.
 */
export const BLOCKED_TTL_S = 60

const A = 1
const AAAA = 28
const NOERROR = 0
const NXDOMAIN = 3
const REFUSED = 5
const NULL_4 = new Uint8Array(4)
const NULL_6 = new Uint8Array(16)
/** RFC 8914: Forged Answer, Blocked. */
const FORGED = 4
const BLOCKED = 15

/**
 * The answer to a question about a blocked name. With `null-address`, A and AAAA get an address
 * that leads nowhere and every other type NODATA; such an answer is a lie, and says so (EDE 4).
 * Negative answers have an SOA of the name itself, so that caches keep them (RFC 2308). `list` is
 * the id of the list, which the client may see.
 */
export function blockedAnswer(question: Question, reply: BlockedReply, list: string): Answer {
  const owner = question.lower.subarray(0, question.lower.length - 4)
  const address = reply === 'null-address' ? (question.type === A ? NULL_4 : question.type === AAAA ? NULL_6 : undefined) : undefined
  const answers = address === undefined ? [] : [record(owner, question.type, BLOCKED_TTL_S, address)]
  const authority = address === undefined ? [soaRecord(owner, BLOCKED_TTL_S)] : []
  const rcode = reply === 'nxdomain' ? NXDOMAIN : reply === 'refused' ? REFUSED : NOERROR
  const code = reply === 'nxdomain' || reply === 'refused' ? BLOCKED : FORGED
  return {
    wire: synthesise(question, { rcode, answers, authority }),
    rcode,
    storeS: BLOCKED_TTL_S,
    ede: { code, text: `list ${list}` },
    from: 'policy',
  }
}
