import { repadded } from '../dns/edns.ts'
import type { ScheduledLink } from '../resolve.ts'

/** A query of 255 octets of name and all of its OPT fits in three records. */
const MAX_RECORDS = 4

/** `request` padded to fill as few records of `link` as it fits in; undefined where there is no connection, or it is no query of ours. */
export function cellOf(link: ScheduledLink, request: Uint8Array): Uint8Array | undefined {
  for (let records = 1; records <= MAX_RECORDS; records++) {
    const octets = link.octets(records)
    const cell = octets === undefined ? undefined : repadded(request, octets)
    if (cell !== undefined) return cell
  }
  return undefined
}
