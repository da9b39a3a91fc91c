import { record, synthesise } from '../dns/response.ts'
import type { Question } from '../resolve.ts'
import type { ZoneRecord } from './zone-file.ts'

const TYPE_CNAME = 5
const TYPE_SOA = 6
const TYPE_ANY = 255
const NXDOMAIN = 3
const REFUSED = 5

/** Answers questions from a handful of records. */
export interface Zone {
  /** A whole response with ID 0 and no OPT: the records, a CNAME chain of at most eight, NODATA or NXDOMAIN with the SOA (RFC 2308), REFUSED outside the zone. Records beside the apex (the root's NS, which every resolver has) are served too. */
  answer(question: Question): Uint8Array
}

/** `records` must hold one SOA; its owner is the apex. Names are matched as bytes, lower-cased by whoever wrote the zone. */
export function zoneOf(records: readonly ZoneRecord[]): Zone {
  const soa = records.find((r) => r.type === TYPE_SOA)
  const byName = new Map<string, ZoneRecord[]>()
  for (const r of records) byName.set(key(r.name), [...(byName.get(key(r.name)) ?? []), r])
  const apex = soa === undefined ? undefined : key(soa.name)
  const authority = soa === undefined ? [] : [wire(soa)]

  /** A name with names below it exists even without records of its own (RFC 8020). */
  const exists = (name: string) => [...byName.keys()].some((other) => other === name || other.endsWith(name))

  return {
    answer(question) {
      let name = key(question.lower.subarray(0, -4))
      if (apex === undefined || (!name.endsWith(apex) && !byName.has(name))) return synthesise(question, { rcode: REFUSED })
      const answers: Uint8Array[] = []
      for (let links = 0; links < 8; links++) {
        const here = byName.get(name) ?? []
        const found = here.filter((r) => r.type === question.type || question.type === TYPE_ANY)
        if (found.length > 0) return synthesise(question, { rcode: 0, answers: [...answers, ...found.map(wire)] })
        const alias = here.find((r) => r.type === TYPE_CNAME)
        if (alias === undefined) break
        answers.push(wire(alias))
        name = key(alias.rdata)
      }
      return synthesise(question, { rcode: exists(name) ? 0 : NXDOMAIN, answers, authority })
    },
  }
}

function wire(r: ZoneRecord): Uint8Array {
  return record(r.name, r.type, r.ttlS, r.rdata)
}

/** One character an octet: nothing is lost, as it would be with UTF-8. */
function key(name: Uint8Array): string {
  return Buffer.from(name).toString('latin1')
}
