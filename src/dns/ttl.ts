import { RecordCursor } from './records.ts'

/** Offsets of the TTL of every record of `wire`, which has no OPT: worked out once at insert, so that a hit patches without parsing. At most 65,535 each. */
export function ttlOffsets(wire: Uint8Array): number[] {
  const offsets: number[] = []
  const cursor = new RecordCursor(wire)
  while (cursor.next()) offsets.push(cursor.ttlAt)
  return offsets
}
