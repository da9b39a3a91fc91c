import dnsPacket from 'dns-packet'

/**
 * Messages and records in text form, by dns-packet. Only for names in plain ASCII: dns-packet does
 * not support HTTPS, SVCB or RESINFO, passes control characters on, and reads the octet 0xFE as
 * U+FFFD. Other files of dns/ handle data from a network and all other octets.
 */

/** The data of a record of one of the types that have a text form here. */
export type RecordData =
  | { readonly type: 'A' | 'AAAA' | 'NS' | 'CNAME'; readonly data: string }
  | { readonly type: 'MX'; readonly data: { readonly preference: number; readonly exchange: string } }
  | { readonly type: 'TXT'; readonly data: readonly Buffer[] }
  | { readonly type: 'SOA'; readonly data: dnsPacket.SoaData }

/**
 * The octets before the data of a first record whose owner is the root: header, name, type, class,
 * TTL, length.
 */
const BEFORE_DATA = 12 + 1 + 2 + 2 + 4 + 2

/** RDATA, uncompressed. Throws if a name or an address is invalid. */
export function rdataOf(record: RecordData): Uint8Array {
  const answer = { name: '.', ...record, ...(record.type === 'TXT' ? { data: [...record.data] } : {}) } as dnsPacket.Answer
  return Uint8Array.from(dnsPacket.encode({ type: 'response', answers: [answer] }).subarray(BEFORE_DATA))
}

/** A query as any program would send it: RD set, no OPT. */
export function plainQuery(name: string, type: 'A' | 'TXT', id: number): Uint8Array {
  return dnsPacket.encode({ type: 'query', id, flags: dnsPacket.RECURSION_DESIRED, questions: [{ name, type }] })
}

/**
 * The data of the last record of `type` in the answer, as text. If there is none: the name of the
 * RCODE. Throws if the octets are not a message.
 */
export function plainAnswer(wire: Uint8Array, type: 'A' | 'TXT'): string {
  // The declared type lacks the RCODE, which is present.
  const reply = dnsPacket.decode(Buffer.from(wire)) as dnsPacket.DecodedPacket & { readonly rcode: string }
  const last = reply.answers?.findLast((answer) => answer.type === type)
  if (last?.type === 'A') return last.data
  if (last?.type === 'TXT') return `"${[last.data].flat().join('')}"`
  return reply.rcode
}
