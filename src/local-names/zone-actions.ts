import { foundRecords, noSuchName, noSuchType, soaRecord } from '../dns/local-answer.ts'
import { nameFromText } from '../dns/name.ts'
import type { ZoneAction } from './zone-tree.ts'

/** Record types that the zones use. */
export const TYPE = { a: 1, ns: 2, soa: 6, ptr: 12, aaaa: 28, ds: 43, any: 255 } as const

/**
 * The zone is empty, the apex included: NXDOMAIN for every name and type. For top-level names that
 * are not in the root.
 */
export function nxdomain(zone: string): ZoneAction {
  const soa = lazily(() => soaRecord(nameFromText(zone)))
  return (question) => noSuchName(question, soa())
}

/**
 * The same for a zone that its parent delegates or may delegate: the parent answers DS at the apex
 * (see `emptyZone`).
 */
export function nxdomainBelowParent(zone: string): ZoneAction {
  return parentHasDs(nxdomain(zone))
}

/** Every name exists and has no records: NODATA for every name and type except DS at the apex. */
export function noData(zone: string): ZoneAction {
  const soa = lazily(() => soaRecord(nameFromText(zone)))
  return parentHasDs((question) => noSuchType(question, soa()))
}

/**
 * Calls `make` at the first use: there are a hundred zones, a host queries few of them, and a start
 * queries none.
 */
export function lazily<T extends object>(make: () => T): () => T {
  let made: T | undefined
  return () => (made ??= make())
}

function parentHasDs(action: ZoneAction): ZoneAction {
  return (question, place) => (place === 'apex' && question.type === TYPE.ds ? 'forward' : action(question, place))
}

/**
 * An empty zone as in RFC 6303 section 3: only SOA and NS at the apex. A DS question at the apex
 * belongs to the parent (RFC 4035 section 3.1.4.1) and is forwarded: its signed denial allows a
 * validator to accept the unsigned answers made here (RFC 6303 section 7, RFC 8375 section 4).
 * `data` holds the records of one type at one name of the rule.
 */
export function emptyZone(zone: string, data?: { readonly at: string; readonly type: number; readonly rdata: Uint8Array }): ZoneAction {
  const parts = lazily(() => {
    const apex = nameFromText(zone)
    const soa = soaRecord(apex)
    return { apex, soa, soaData: soa.subarray(apex.length + 10), at: data === undefined ? undefined : Buffer.from(nameFromText(data.at)) }
  })
  return parentHasDs((question, place) => {
    const { apex, soa, soaData, at } = parts()
    if (place === 'below') return noSuchName(question, soa)
    const { type } = question
    if (data !== undefined && (type === data.type || type === TYPE.any) && at?.equals(question.lower.subarray(0, -4)))
      return foundRecords(question, [[data.type, data.rdata]])
    if (place === 'apex' && (type === TYPE.soa || type === TYPE.any)) return foundRecords(question, [[TYPE.soa, soaData]])
    if (place === 'apex' && type === TYPE.ns) return foundRecords(question, [[TYPE.ns, apex]])
    return noSuchType(question, soa)
  })
}
