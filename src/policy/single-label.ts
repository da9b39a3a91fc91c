import type { Answer, Question } from '../resolve.ts'
import { noSuchName, soaRecord } from './local-answer.ts'

/**
 * Types that describe the delegation of a top-level domain and are no host data: a validator behind this stub needs them for every TLD.
 * NS SOA DS RRSIG NSEC DNSKEY NSEC3PARAM CDS CDNSKEY CSYNC ZONEMD.
 */
const INFRASTRUCTURE = new Set([2, 6, 43, 46, 47, 48, 51, 59, 60, 62, 63])

/**
 * A name of one label is a host of this network or a slip of a search list, never a public host (SAC 053, RFC 7085): NXDOMAIN for data types, here, so that machine names do not leave. Undefined for the infrastructure types: forwarded. The SOA is of the label itself, not of the root:
 * what caches behind this stub may learn is that the label is not served, not that the root denied a whole TLD (PowerDNS trusts a root NXDOMAIN so far).
 */
export function singleLabelAnswer(question: Question): Answer | undefined {
  if (INFRASTRUCTURE.has(question.type)) return undefined
  return noSuchName(question, soaRecord(question.lower.slice(0, -4)))
}
