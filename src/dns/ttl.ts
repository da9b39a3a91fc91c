import { putU16, u16 } from './octets.ts'
import { RecordCursor } from './records.ts'

const walker = new RecordCursor()

/** How many records the header of `wire` speaks of: the most offsets that `putTtlOffsets` writes. */
export function recordCount(wire: Uint8Array): number {
  return u16(wire, 6) + u16(wire, 8) + u16(wire, 10)
}

/**
 * Writes where the TTL of every record of `wire` (no OPT in it) stands, two octets each, from `at` of `page` on, and returns how many: worked out once at insert, so
 * that a hit patches without parsing.
 */
export function putTtlOffsets(wire: Uint8Array, page: Uint8Array, at: number): number {
  const cursor = walker.start(wire)
  let count = 0
  while (cursor.next()) putU16(page, at + 2 * count++, cursor.ttlAt)
  return count
}
