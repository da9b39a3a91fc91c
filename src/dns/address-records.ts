import { nameLength } from './name.ts'
import { u16 } from './octets.ts'
import { RecordCursor, TYPE } from './records.ts'

const SVCB = 64
const HTTPS = 65
/** RFC 9460 section 14.3.2. */
const IPV4HINT = 4
const IPV6HINT = 6

const walker = new RecordCursor()

/**
 * Whether `test` says yes to one of the addresses that a client of `message` might connect to: A and AAAA records, and the hints in SVCB and HTTPS records (RFC 9460
 * section 7.3), in the answer and the additional section. `test` gets the message and where four or sixteen octets of address lie. Never throws.
 */
export function someAddress(message: Uint8Array, test: (octets: Uint8Array, at: number, length: 4 | 16) => boolean): boolean {
  const cursor = walker.start(message)
  while (cursor.next()) {
    const { type, rdataAt, rdLength } = cursor
    if (cursor.section === 2) continue
    if (type === TYPE.A && rdLength === 4 && test(message, rdataAt, 4)) return true
    if (type === TYPE.AAAA && rdLength === 16 && test(message, rdataAt, 16)) return true
    if ((type === SVCB || type === HTTPS) && someHint(message, rdataAt, rdataAt + rdLength, test)) return true
  }
  return false
}

function someHint(
  message: Uint8Array,
  from: number,
  end: number,
  test: (octets: Uint8Array, at: number, length: 4 | 16) => boolean,
): boolean {
  if (from + 3 > end) return false
  const target = nameLength(message, from + 2)
  if (target === 0) return false
  for (let at = from + 2 + target; at + 4 <= end; ) {
    const key = u16(message, at)
    const valueAt = at + 4
    at = valueAt + u16(message, at + 2)
    if (at > end) return false
    const size = key === IPV4HINT ? 4 : key === IPV6HINT ? 16 : 0
    if (size === 0) continue
    for (let one = valueAt; one + size <= at; one += size) if (test(message, one, size)) return true
  }
  return false
}
