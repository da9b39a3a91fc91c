/**
 * Mnemonics of the IANA registry that people type or read. Other types are written TYPE123 (RFC
 * 3597 section 5).
 */
const TYPE_NUMBERS: Readonly<Record<string, number>> = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  NULL: 10,
  PTR: 12,
  HINFO: 13,
  MX: 15,
  TXT: 16,
  RP: 17,
  AFSDB: 18,
  SIG: 24,
  KEY: 25,
  AAAA: 28,
  LOC: 29,
  SRV: 33,
  NAPTR: 35,
  KX: 36,
  CERT: 37,
  DNAME: 39,
  OPT: 41,
  APL: 42,
  DS: 43,
  SSHFP: 44,
  IPSECKEY: 45,
  RRSIG: 46,
  NSEC: 47,
  DNSKEY: 48,
  DHCID: 49,
  NSEC3: 50,
  NSEC3PARAM: 51,
  TLSA: 52,
  SMIMEA: 53,
  HIP: 55,
  CDS: 59,
  CDNSKEY: 60,
  OPENPGPKEY: 61,
  CSYNC: 62,
  ZONEMD: 63,
  SVCB: 64,
  HTTPS: 65,
  SPF: 99,
  EUI48: 108,
  EUI64: 109,
  TKEY: 249,
  TSIG: 250,
  IXFR: 251,
  AXFR: 252,
  MAILB: 253,
  MAILA: 254,
  ANY: 255,
  URI: 256,
  CAA: 257,
  RESINFO: 261,
}

const TYPE_TEXTS = new Map(Object.entries(TYPE_NUMBERS).map(([text, type]) => [type, text]))

/** `HTTPS`, `https`, `TYPE65` or `*` as a number; undefined if it is not a type. */
export function typeFromText(text: string): number | undefined {
  const upper = text.toUpperCase()
  if (upper === '*') return TYPE_NUMBERS.ANY
  if (Object.hasOwn(TYPE_NUMBERS, upper)) return TYPE_NUMBERS[upper]
  const digits = /^TYPE(0|[1-9][0-9]{0,4})$/.exec(upper)?.[1]
  return digits !== undefined && Number(digits) <= 65535 ? Number(digits) : undefined
}

/** The mnemonic, or `TYPE123`. */
export function textFromType(type: number): string {
  return TYPE_TEXTS.get(type) ?? `TYPE${type}`
}

/** RFC 6895 section 2.3. */
const RCODES: Readonly<Record<number, string>> = {
  0: 'NOERROR',
  1: 'FORMERR',
  2: 'SERVFAIL',
  3: 'NXDOMAIN',
  4: 'NOTIMP',
  5: 'REFUSED',
  6: 'YXDOMAIN',
  7: 'YXRRSET',
  8: 'NXRRSET',
  9: 'NOTAUTH',
  10: 'NOTZONE',
  16: 'BADVERS',
  23: 'BADCOOKIE',
}

/** RFC 8914 section 4 and the IANA registry, by code. */
const EXTENDED_ERRORS = [
  'Other Error',
  'Unsupported DNSKEY Algorithm',
  'Unsupported DS Digest Type',
  'Stale Answer',
  'Forged Answer',
  'DNSSEC Indeterminate',
  'DNSSEC Bogus',
  'Signature Expired',
  'Signature Not Yet Valid',
  'DNSKEY Missing',
  'RRSIGs Missing',
  'No Zone Key Bit Set',
  'NSEC Missing',
  'Cached Error',
  'Not Ready',
  'Blocked',
  'Censored',
  'Filtered',
  'Prohibited',
  'Stale NXDOMAIN Answer',
  'Not Authoritative',
  'Not Supported',
  'No Reachable Authority',
  'Network Error',
  'Invalid Data',
  'Signature Expired before Valid',
  'Too Early',
  'Unsupported NSEC3 Iterations Value',
  'Unable to conform to policy',
  'Synthesized',
  'Invalid Query Type',
]

/** The name of a response code, or `RCODE42`. */
export function rcodeText(rcode: number): string {
  return RCODES[rcode] ?? `RCODE${rcode}`
}

/** The name of an extended error, or undefined. */
export function extendedErrorText(code: number): string | undefined {
  return EXTENDED_ERRORS[code]
}
