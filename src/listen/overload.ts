import { nameLength } from '../dns/name.ts'

const HEADER = 12
const SERVFAIL = 2

/**
 * Writes the SERVFAIL of a listener that is full at `at` in `out` (room for 271 octets: a header and the longest question) and returns its length, or 0 for
 * what gets no reply: a response (two servers would answer each other for ever) or less than a header.
 * The question goes back with it: stubs (glibc's `res_send`) wait on when a reply has none.
 */
export function overloadReply(packet: Uint8Array, out: Uint8Array, at: number): number {
  const flags = packet[2]
  if (packet.length < HEADER || flags === undefined || flags >= 0x80) return 0
  const asked = questionOctets(packet)
  out.set(packet.subarray(0, HEADER + asked), at)
  out[at + 2] = 0x80 | (flags & 0x79)
  out[at + 3] = 0x80 | ((packet[3] ?? 0) & 0x10) | SERVFAIL
  out.fill(0, at + 4, at + HEADER)
  out[at + 5] = asked > 0 ? 1 : 0
  return HEADER + asked
}

function questionOctets(packet: Uint8Array): number {
  if (packet[4] !== 0 || packet[5] !== 1) return 0
  const name = nameLength(packet, HEADER)
  return name > 0 && HEADER + name + 4 <= packet.length ? name + 4 : 0
}
