import { expandedName, labelsOf, nameLength } from './name.ts'
import { copyLower, HEADER_OCTETS, u16 } from './octets.ts'
import { RecordCursor, TYPE } from './records.ts'
import { record } from './response.ts'

const NXDOMAIN = 3
const RRSIG = 46
const NSEC = 47
const NSEC3 = 50

/**
 * Four signatures by the largest keys in use (RSA, 4096 bits) take 2600 octets. A larger response
 * is not read: it would only cost work.
 */
const MOST_OCTETS = 4096

/** One RRset of a denial with the signatures over it. */
export interface SignedSet {
  /** Lower-case, uncompressed. */
  readonly owner: Uint8Array
  readonly type: number
  /**
   * Whole records without compression, signatures included. Their TTLs are those of the message.
   */
  readonly records: readonly Uint8Array[]
  readonly ttlS: number
  /** Of an NSEC: the next name of the zone, lower-case. */
  readonly next: Uint8Array | undefined
}

/**
 * The signed NXDOMAIN of a zone: its SOA and the NSEC or NSEC3 records that prove it (RFC 4035
 * section 3.1.3.2, RFC 5155 section 7.2.2).
 */
export interface Denial {
  /** The apex of the zone that denies, lower-case. */
  readonly zone: Uint8Array
  readonly soa: SignedSet
  readonly proofs: readonly SignedSet[]
}

/**
 * Reads the proof of an NXDOMAIN. Undefined for any other response, for one with an answer section
 * (an alias came before), if the SOA or a proof has no signature, and for more than 4096 octets of
 * records. The signatures are not checked here: the client that set DO does that. Never throws.
 */
export function readDenial(response: Uint8Array): Denial | undefined {
  if (response.length < HEADER_OCTETS || (response[3]! & 0x0f) !== NXDOMAIN || u16(response, 6) !== 0) return undefined
  const sets = new Map<
    string,
    { owner: Uint8Array; type: number; records: Uint8Array[]; ttlS: number; next: Uint8Array | undefined; signed: boolean }
  >()
  const cursor = new RecordCursor(response)
  let octets = 0
  while (cursor.next()) {
    if (cursor.section !== 2) continue
    const covered = cursor.type === RRSIG && cursor.rdLength > 18 ? u16(response, cursor.rdataAt) : cursor.type
    if (covered !== TYPE.SOA && covered !== NSEC && covered !== NSEC3) continue
    const name = expandedName(response, cursor.recordAt)
    const rdata = expandedRdata(response, cursor)
    if (name === undefined || rdata === undefined) return undefined
    const owner = lowered(name)
    const key = `${covered} ${Buffer.from(owner).toString('latin1')}`
    const set = sets.get(key) ?? { owner, type: covered, records: [], ttlS: cursor.ttlS, next: undefined, signed: false }
    sets.set(key, set)
    const whole = record(name, cursor.type, cursor.ttlS, rdata)
    octets += whole.length
    if (octets > MOST_OCTETS) return undefined
    set.records.push(whole)
    set.ttlS = Math.min(set.ttlS, cursor.ttlS)
    if (cursor.type === RRSIG) set.signed = true
    if (cursor.type === NSEC) set.next = lowered(expandedName(response, cursor.rdataAt) ?? name)
  }
  const all = [...sets.values()]
  const soa = all.find((set) => set.type === TYPE.SOA)
  const proofs = all.filter((set) => set !== soa)
  if (cursor.malformed || soa === undefined || proofs.length === 0 || !all.every((set) => set.signed)) return undefined
  return { zone: soa.owner, soa, proofs }
}

/**
 * RDATA without compression: of SOA (which may be compressed), and of RRSIG and NSEC (which must
 * not be, although some servers do it).
 */
function expandedRdata(message: Uint8Array, { type, rdataAt, rdLength }: RecordCursor): Uint8Array | undefined {
  const end = rdataAt + rdLength
  if (type === NSEC3) return message.slice(rdataAt, end)
  const parts: Uint8Array[] = []
  let at = rdataAt
  if (type === RRSIG) {
    parts.push(message.subarray(at, at + 18))
    at += 18
  }
  for (let names = type === TYPE.SOA ? 2 : 1; names > 0; names--) {
    const name = expandedName(message, at)
    if (name === undefined) return undefined
    parts.push(name)
    at += nameLength(message, at)
  }
  return at > end ? undefined : Buffer.concat([...parts, message.subarray(at, end)])
}

function lowered(name: Uint8Array): Uint8Array {
  const lower = new Uint8Array(name.length)
  copyLower(name, 0, name.length, lower, 0)
  return lower
}

/** Canonical order of two lower-case names (RFC 4034 section 6.1): negative, 0 or positive. */
export function compareNames(a: Uint8Array, b: Uint8Array): number {
  const [left, right] = [labelsOf(a).toReversed(), labelsOf(b).toReversed()]
  for (const [i, label] of left.entries()) {
    const other = right[i]
    if (other === undefined) return 1
    // Labels as strings with one character per octet compare in the same order; a label that is a
    // prefix of another one comes first.
    if (label !== other) return label < other ? -1 : 1
  }
  return left.length - right.length
}

/**
 * Whether an NSEC from `owner` to `next` proves that the top-level `name` does not exist: it lies
 * between the two, and `next` is not below it. The last NSEC of a zone points back to the apex (RFC
 * 4034 section 4.1.1).
 */
export function deniesTop(owner: Uint8Array, next: Uint8Array, name: Uint8Array): boolean {
  if (compareNames(owner, name) >= 0) return false
  if (next.length > 1 && compareNames(name, next) >= 0) return false
  return labelsOf(next).at(-1) !== labelsOf(name)[0]
}
