import { nameFromText } from '../dns/name.ts'
import { found, noSuchName, noSuchType, soaRecord, TYPE } from './local-answer.ts'
import type { ZoneAction } from './rule.ts'

/** Nothing is there, the apex included: NXDOMAIN for every name and type. For top-level names that the root does not have. */
export function nothing(zone: string): ZoneAction {
  const soa = once(() => soaRecord(nameFromText(zone)))
  return (question) => noSuchName(question, soa())
}

/** The same for a zone that its parent has or may have: DS at the apex is the parent's to answer (see `emptyZone`). */
export function nothingBelowParent(zone: string): ZoneAction {
  return parentHasDs(nothing(zone))
}

/** Every name is there and holds nothing: NODATA for every name and type, but DS at the apex. */
export function noData(zone: string): ZoneAction {
  const soa = once(() => soaRecord(nameFromText(zone)))
  return parentHasDs((question) => noSuchType(question, soa()))
}

/**
 * Made when it is first asked for: there are a hundred zones, a host asks in a few of them, and a
 * start in none.
 */
export function once<T extends object>(make: () => T): () => T {
  let made: T | undefined
  return () => (made ??= make())
}

function parentHasDs(action: ZoneAction): ZoneAction {
  return (question, place) => (place === 'apex' && question.type === TYPE.ds ? 'forward' : action(question, place))
}

/**
 * An empty zone as RFC 6303 section 3 describes it: SOA and NS at the apex, nothing else. A DS question at the apex belongs to the parent (RFC 4035
 * section 3.1.4.1) and is forwarded: its signed denial is what lets a validator accept the unsigned answers given here (RFC 6303 section 7, RFC 8375 section 4).
 * `data` holds what a name known to the rule has, for one type.
 */
export function emptyZone(zone: string, data?: { readonly at: string; readonly type: number; readonly rdata: Uint8Array }): ZoneAction {
  const parts = once(() => {
    const apex = nameFromText(zone)
    const soa = soaRecord(apex)
    return { apex, soa, soaData: soa.subarray(apex.length + 10), at: data === undefined ? undefined : Buffer.from(nameFromText(data.at)) }
  })
  return parentHasDs((question, place) => {
    const { apex, soa, soaData, at } = parts()
    if (place === 'below') return noSuchName(question, soa)
    const { type } = question
    if (data !== undefined && (type === data.type || type === TYPE.any) && at?.equals(question.lower.subarray(0, -4)))
      return found(question, [[data.type, data.rdata]])
    if (place === 'apex' && (type === TYPE.soa || type === TYPE.any)) return found(question, [[TYPE.soa, soaData]])
    if (place === 'apex' && type === TYPE.ns) return found(question, [[TYPE.ns, apex]])
    return noSuchType(question, soa)
  })
}
