import { expandedName, nameLength } from './name.ts'

/**
 * Structure of the RDATA of a type: what precedes its first name, how many names there are, and how
 * many octets follow them.
 */
interface Layout {
  /**
   * Octets before the first name, or a function that returns the offset of the first name in the
   * message, `NO_NAME`, or `BROKEN`.
   */
  readonly before: number | ((message: Uint8Array, at: number, end: number) => number)
  /** `list`: as many as fit in the RDATA. */
  readonly names: 1 | 2 | 'list'
  /** `any`: the rest holds no name. */
  readonly after: number | 'any'
}

const NO_NAME = -1
const BROKEN = -2

const ONE: Layout = { before: 0, names: 1, after: 0 }
const TWO: Layout = { before: 0, names: 2, after: 0 }
const PREFERENCE: Layout = { before: 2, names: 1, after: 0 }
const SIGNATURE: Layout = { before: 18, names: 1, after: 'any' }
const NEXT: Layout = { before: 0, names: 1, after: 'any' }
const SERVICE: Layout = { before: 2, names: 1, after: 'any' }

/**
 * Every type of the IANA registry whose RDATA holds names: those of RFC 3597 section 4 and RFC 4034
 * section 6.2, and later ones.
 */
const LAYOUTS: readonly (Layout | undefined)[] = indexed({
  2: ONE, // NS
  3: ONE, // MD
  4: ONE, // MF
  5: ONE, // CNAME
  6: { before: 0, names: 2, after: 20 }, // SOA
  7: ONE, // MB
  8: ONE, // MG
  9: ONE, // MR
  12: ONE, // PTR
  14: TWO, // MINFO
  15: PREFERENCE, // MX
  17: TWO, // RP, RFC 1183
  18: PREFERENCE, // AFSDB, RFC 1183
  21: PREFERENCE, // RT, RFC 1183
  23: ONE, // NSAP-PTR, RFC 1348
  24: SIGNATURE, // SIG, RFC 2535
  26: { before: 2, names: 2, after: 0 }, // PX, RFC 2163
  30: NEXT, // NXT, RFC 2535
  33: { before: 6, names: 1, after: 0 }, // SRV, RFC 2782
  35: { before: afterStrings, names: 1, after: 0 }, // NAPTR, RFC 3403
  36: PREFERENCE, // KX, RFC 2230
  38: { before: afterSuffix, names: 1, after: 0 }, // A6, RFC 2874
  39: ONE, // DNAME, RFC 6672
  45: { before: gateway, names: 1, after: 'any' }, // IPSECKEY, RFC 4025
  46: SIGNATURE, // RRSIG, RFC 4034
  47: NEXT, // NSEC, RFC 4034
  55: { before: afterKey, names: 'list', after: 0 }, // HIP, RFC 8005
  58: TWO, // TALINK
  64: SERVICE, // SVCB, RFC 9460
  65: SERVICE, // HTTPS, RFC 9460
  66: { before: 5, names: 1, after: 0 }, // DSYNC, RFC 9859
  107: PREFERENCE, // LP, RFC 6742
  260: { before: relay, names: 1, after: 0 }, // AMTRELAY, RFC 8777
})

/** An array by type, so that each record needs one read. */
function indexed(byType: Readonly<Record<number, Layout>>): readonly (Layout | undefined)[] {
  const types = Object.keys(byType).map(Number)
  return Array.from({ length: Math.max(...types) + 1 }, (_, type) => byType[type])
}

/** Whether records of `type` hold names. */
export function holdsNames(type: number): boolean {
  return LAYOUTS[type] !== undefined
}

/**
 * Whether the names in the RDATA [at, end) of a record of `message` can be followed (see
 * `nameLength`) and match the layout of the type: complete, the right number, and nothing else.
 * True for a type without names. Compressed names are accepted in every type: some servers compress
 * where they must not (RFC 3597 section 4), and a client that decompresses them must not loop.
 * Names of a list (HIP) must not be compressed: each could be a long walk.
 */
export function rdataNamesHold(message: Uint8Array, type: number, at: number, end: number): boolean {
  const layout = LAYOUTS[type]
  if (layout === undefined) return true
  const { before, names, after } = layout
  let next = typeof before === 'number' ? at + before : before(message, at, end)
  if (next === NO_NAME) return true
  if (next === BROKEN) return false
  if (names === 'list') return listHolds(message, next, end)
  for (let left: number = names; left > 0; left--) {
    const length = next < end ? nameLength(message, next) : 0
    next += length
    if (length === 0 || next > end) return false
  }
  return after === 'any' || next + after === end
}

/**
 * The RDATA [at, end) of a record of `message` with every name in it written out. Undefined if
 * `rdataNamesHold` is false.
 */
export function expandedRdata(message: Uint8Array, type: number, at: number, end: number): Uint8Array | undefined {
  if (!rdataNamesHold(message, type, at, end)) return undefined
  const layout = LAYOUTS[type]
  const first = layout === undefined ? NO_NAME : typeof layout.before === 'number' ? at + layout.before : layout.before(message, at, end)
  // Names of a list are not compressed.
  if (layout === undefined || first === NO_NAME || layout.names === 'list') return message.slice(at, end)
  const parts = [message.subarray(at, first)]
  let next = first
  for (let left: number = layout.names; left > 0; left--) {
    parts.push(expandedName(message, next) ?? new Uint8Array(0))
    next += nameLength(message, next)
  }
  return Uint8Array.from(Buffer.concat([...parts, message.subarray(next, end)]))
}

function listHolds(message: Uint8Array, from: number, end: number): boolean {
  let octets = 1
  for (let at = from; at < end; ) {
    const length = message[at]!
    if (length > 63) return false
    octets = length === 0 ? 1 : octets + length + 1
    if (octets > 255 || (length !== 0 && at + length + 1 >= end)) return false
    at += length + 1
  }
  return from <= end
}

/** NAPTR: order, preference, and three strings. */
function afterStrings(message: Uint8Array, at: number, end: number): number {
  let next = at + 4
  for (let strings = 3; strings > 0; strings--) {
    if (next >= end) return BROKEN
    next += 1 + message[next]!
  }
  return next
}

/**
 * A6: the length of the prefix, the rest of the address in whole octets, and, unless the prefix is
 * empty, its name.
 */
function afterSuffix(message: Uint8Array, at: number, end: number): number {
  const prefix = at < end ? message[at]! : 129
  const next = at + 1 + Math.ceil((128 - prefix) / 8)
  if (prefix > 128 || next > end || (prefix === 0 && next !== end)) return BROKEN
  return prefix === 0 ? NO_NAME : next
}

/**
 * IPSECKEY: precedence, gateway type, algorithm, and the gateway, which is a name if its type is 3.
 */
function gateway(message: Uint8Array, at: number, end: number): number {
  if (end - at < 3) return BROKEN
  return message[at + 1] === 3 ? at + 3 : NO_NAME
}

/**
 * AMTRELAY: precedence, one bit and the relay type, and the relay, which is a name if its type is
 * 3.
 */
function relay(message: Uint8Array, at: number, end: number): number {
  if (end - at < 2) return BROKEN
  return (message[at + 1]! & 0x7f) === 3 ? at + 2 : NO_NAME
}

/**
 * HIP: lengths of the tag (1 octet) and of the key (2 octets, after the algorithm), then both, then
 * the rendezvous servers.
 */
function afterKey(message: Uint8Array, at: number, end: number): number {
  if (end - at < 4) return BROKEN
  const next = at + 4 + message[at]! + ((message[at + 2]! << 8) | message[at + 3]!)
  return next > end ? BROKEN : next
}
