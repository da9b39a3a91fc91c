import { questionEnd } from '../../src/dns/name.ts'

/**
 * A response to `query` with `flags` (QR, RD and RA by default), the question as it was sent, and
 * `records` in the answer section; no OPT.
 */
export function replyTo(query: Uint8Array, records: readonly Uint8Array[] = [], flags = 0x8180): Uint8Array {
  const end = questionEnd(query)
  const reply = Buffer.concat([query.subarray(0, end), ...records])
  reply.writeUInt16BE(flags, 2)
  reply.writeUInt16BE(1, 4)
  reply.writeUInt16BE(records.length, 6)
  reply.writeUInt32BE(0, 8)
  return reply
}

/** An A record of the question's name: 192.0.2.1, TTL 300. */
export function addressRecord(lastOctet = 1): Uint8Array {
  return Uint8Array.of(0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 192, 0, 2, lastOctet)
}

/** The reply with an OPT of `options` behind it. */
export function withOptions(reply: Uint8Array, options: Uint8Array): Uint8Array {
  const whole = Buffer.concat([reply, Uint8Array.of(0, 0, 41, 4, 208, 0, 0, 0, 0, 0, options.length), options])
  whole.writeUInt16BE(whole.readUInt16BE(10) + 1, 10)
  return whole
}
