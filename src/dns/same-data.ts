import { RecordCursor, TYPE } from './records.ts'

const RRSIG = 46
const NSEC = 47
const NSEC3 = 50
/**
 * Beside the data: signatures, and the way to it, whose names are compressed otherwise where
 * signatures stand between.
 */
const BESIDE: ReadonlySet<number> = new Set([TYPE.CNAME, TYPE.DNAME, RRSIG, NSEC, NSEC3])

/**
 * Whether two responses with the same question, of type `type`, and the same RCODE answer it with
 * the same data, in whatever order, TTLs and signatures aside. Data that only is written
 * differently (names compressed otherwise) counts as different.
 */
export function sameData(one: Uint8Array, other: Uint8Array, type: number): boolean {
  const data = dataOf(one, type)
  const others = dataOf(other, type)
  return data.length === others.length && data.every((record, i) => record === others[i])
}

function dataOf(message: Uint8Array, type: number): readonly string[] {
  const data: string[] = []
  const cursor = new RecordCursor(message)
  while (cursor.next() && cursor.section === 1) {
    if (cursor.type !== type && BESIDE.has(cursor.type)) continue
    data.push(`${cursor.type} ${Buffer.from(message.subarray(cursor.rdataAt, cursor.rdataAt + cursor.rdLength)).toString('latin1')}`)
  }
  return data.sort()
}
