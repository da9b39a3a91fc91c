import { type Ede, EnigmError, type Rcode } from '../errors.ts'
import type { Carried, Opt, Protection, Question, ReplyReading } from '../resolve.ts'
import { optAt } from './edns.ts'
import { rcodeWith } from './message.ts'
import { copyOf, HEADER_OCTETS, putU16, putU32, u16, u32 } from './octets.ts'
import { holdsNames, rdataNamesHold } from './rdata-names.ts'
import { belongsToHop, RecordCursor, TYPE } from './records.ts'

/** RFC 2308 section 5: a negative answer is kept for at most three hours. */
const MAX_NEGATIVE_TTL_S = 3 * 3600
/** A TTL with the top bit set counts as large and is capped (RFC 8767 section 4): seven days. */
export const MAX_TTL_S = 7 * 86400
const ANY = 255
const NONE: number[] = []

const readWalker = new RecordCursor()

class ParsedReply implements ReplyReading {
  opt: Opt | undefined = undefined
  rcode: Rcode = 0
  malformed: string | undefined = undefined
  cutAt: number | undefined = undefined
  additionalBeforeCut = 0
  lowestTtlS: number | undefined = undefined
  highestTtlS = 0
  chainTtlS = MAX_NEGATIVE_TTL_S
  hasType = false
  otherNames = false
  negativeTtlS: number | undefined = undefined
  end = 0
  ttlAts: number[] = NONE
}

/** Reads `reply`. Never throws for any octets. */
export function readReply(reply: Uint8Array): ReplyReading {
  const reading = new ParsedReply()
  const cursor = readWalker.start(reply)
  const qtype = cursor.end > HEADER_OCTETS ? u16(reply, cursor.end - 4) : 0
  while (cursor.next()) {
    if (belongsToHop(reply, cursor)) noteHop(reading, reply, cursor)
    else if (reading.cutAt === undefined) noteRecord(reading, reply, cursor, qtype)
  }
  if (cursor.malformed) reading.malformed ??= 'a record runs past the end'
  reading.rcode = rcodeWith(reply, reading.opt)
  reading.end = cursor.end
  return reading
}

/**
 * The parsed content of a reply that a link carried. It is parsed once and shared by all callers.
 */
export function readingOf(carried: { readonly wire: Uint8Array; reading?: ReplyReading | undefined }): ReplyReading {
  carried.reading ??= readReply(carried.wire)
  return carried.reading
}

/** A copy that may be kept: its octets are copied, and it has been parsed. */
export function keptCopy<P extends Protection>(carried: Carried<P>): Carried<P> {
  return { ...carried, cameMs: undefined, reading: readingOf(carried), wire: copyOf(carried.wire) }
}

function noteHop(reading: ParsedReply, reply: Uint8Array, cursor: RecordCursor): void {
  if (cursor.section !== 3) {
    reading.malformed ??= 'a record of the hop (OPT, TSIG) outside the additional section'
    return
  }
  reading.cutAt ??= cursor.recordAt
  if (cursor.type !== TYPE.OPT) return
  if (reading.opt === undefined) reading.opt = optAt(reply, cursor)
  else reading.malformed ??= 'more than one OPT'
}

function noteRecord(reading: ParsedReply, reply: Uint8Array, cursor: RecordCursor, qtype: number): void {
  const { section, type, recordAt } = cursor
  if (section === 3) reading.additionalBeforeCut++
  if (!rdataHolds(reply, cursor)) reading.malformed ??= 'a name or an address in a record is malformed'
  if (reply[recordAt] !== 0xc0 || reply[recordAt + 1] !== HEADER_OCTETS || holdsNames(type)) reading.otherNames = true
  // Most replies have one record; an array that grows by `push` takes room for 17 at once.
  if (reading.ttlAts.length === 0) reading.ttlAts = [cursor.ttlAt]
  else reading.ttlAts.push(cursor.ttlAt)
  const rawTtlS = cursor.ttlS
  const ttlS = cappedTtl(rawTtlS)
  if (rawTtlS > reading.highestTtlS) reading.highestTtlS = rawTtlS
  reading.lowestTtlS = Math.min(reading.lowestTtlS ?? ttlS, ttlS)
  if (section === 1) {
    reading.chainTtlS = Math.min(reading.chainTtlS, ttlS)
    if (type === qtype || qtype === ANY) reading.hasType = true
  }
  if (section === 2 && type === TYPE.SOA && cursor.rdLength >= 22) {
    const minimum = cappedTtl(u32(reply, cursor.rdataAt + cursor.rdLength - 4))
    reading.negativeTtlS = Math.min(ttlS, minimum, MAX_NEGATIVE_TTL_S)
  }
}

/**
 * Follows every name in the RDATA once, so that no pointer loop of an upstream reaches a client
 * (CVE-2026-2291), and checks the length of an address.
 */
export function rdataHolds(reply: Uint8Array, { type, rdataAt, rdLength }: RecordCursor): boolean {
  if (type === TYPE.A) return rdLength === 4
  if (type === TYPE.AAAA) return rdLength === 16
  return rdataNamesHold(reply, type, rdataAt, rdataAt + rdLength)
}

/** At most seven days. */
export function cappedTtl(ttlS: number): number {
  return Math.min(ttlS, MAX_TTL_S)
}

/** The kind of a response (RFC 2308 section 2). */
export type ReplyKind = 'positive' | 'nxdomain' | 'nodata' | 'truncated' | 'failure'

/** How long answers may be kept, in seconds; both from 0 to 7 days, min at most max. */
export interface TtlClamp {
  readonly minTtlS: number
  readonly maxTtlS: number
}

/**
 * A response in the form in which it is stored: no OPT or other record of the hop, ID 0, question
 * lower-cased, AA clear, RA set. `rcode` has the full 12 bits.
 */
export interface AcceptedReply {
  readonly wire: Uint8Array
  readonly rcode: Rcode
  readonly kind: ReplyKind
  /**
   * The lowest TTL of the records that count (RFC 2308 for negative ones), before any clamp;
   * undefined: the lifetime is unknown.
   */
  readonly ttlS: number | undefined
  readonly ede: Ede | undefined
  /** Offset of the TTL of each record of `wire`. */
  readonly ttlAts: readonly number[]
}

const walker = new RecordCursor()

/**
 * Converts a trusted resolver's reply to `question` into the form that is stored and passed on. The
 * bytes of the records stay as they are, except TTLs (Age subtracted, top bit capped, the clamp)
 * and records of the hop (OPT, TSIG and the like), which are cut off with everything after them
 * (pointers would shift). Clears AD unless `authenticated`. The result is a copy. Throws
 * `reply-malformed`. `reading`: the result of `readReply`.
 */
export function acceptReply(
  reply: Uint8Array,
  question: Question,
  o: { readonly authenticated: boolean; readonly ageS: number; readonly clamp: TtlClamp },
  reading = readReply(reply),
): AcceptedReply {
  if (reply.length === HEADER_OCTETS) return withoutQuestion(question, reading.rcode, undefined)
  if (reading.malformed !== undefined) throw malformed(reading.malformed)
  const { rcode } = reading
  const ede = reading.opt?.ede
  if (u16(reply, 4) === 0) return withoutQuestion(question, rcode, ede)
  const wire = withoutHop(reply, reading)
  putU16(wire, 0, 0)
  wire[2] = (wire[2]! & 0x02) | 0x81
  wire[3] = (wire[3]! & (o.authenticated ? 0x3f : 0x1f)) | 0x80
  wire.set(question.lower, HEADER_OCTETS)
  if (reading.otherNames && runsThroughTtl(wire)) throw malformed('a name runs through a TTL')
  const kind = kindOf(wire, rcode, reading.hasType)
  const whole =
    kind === 'positive'
      ? reading.lowestTtlS
      : reading.negativeTtlS === undefined
        ? undefined
        : Math.min(reading.negativeTtlS, reading.chainTtlS)
  const ttlS = whole === undefined || kind === 'failure' || kind === 'truncated' ? undefined : Math.max(0, whole - o.ageS)
  // RFC 2308 section 5: the SOA of a negative answer is passed on with the rest of the negative
  // TTL.
  settleTtls(wire, reading, o, kind === 'positive' ? MAX_TTL_S : (ttlS ?? MAX_TTL_S), ttlS !== undefined && ttlS > 0)
  return { wire, rcode, kind, ttlS, ede, ttlAts: reading.ttlAts }
}

/** An error that came without its question, possibly as a header alone. */
function withoutQuestion(question: Question, rcode: Rcode, ede: Ede | undefined): AcceptedReply {
  return { wire: synthesise(question, { rcode }), rcode, kind: 'failure', ttlS: undefined, ede, ttlAts: [] }
}

/**
 * Writes the TTLs that clients see: minus the age, at most `capS`, and inside the clamp if the
 * answer is kept (`clamped`). Most answers need no change, which the reading already shows; they
 * skip this.
 */
function settleTtls(
  wire: Uint8Array,
  reading: ReplyReading,
  o: { readonly ageS: number; readonly clamp: TtlClamp },
  capS: number,
  clamped: boolean,
): void {
  const { ageS } = o
  const lowS = clamped ? o.clamp.minTtlS : 0
  const highS = clamped ? o.clamp.maxTtlS : MAX_TTL_S
  if (ageS === 0 && reading.highestTtlS <= Math.min(capS, highS) && (reading.lowestTtlS ?? lowS) >= lowS) return
  rewriteTtls(wire, (own) => Math.max(lowS, Math.min(highS, capS, Math.max(0, own - ageS))))
}

function kindOf(wire: Uint8Array, rcode: Rcode, hasType: boolean): ReplyKind {
  if (wire[2]! & 0x02) return 'truncated'
  if (rcode === 3) return 'nxdomain'
  if (rcode !== 0) return 'failure'
  return hasType ? 'positive' : 'nodata'
}

/**
 * No label begins with these bits (RFC 1035 section 4.1.4), and the first octet of a TTL of at most
 * a week is 0.
 */
const NO_LABEL_TTL = 0x00404040

/**
 * TTLs are rewritten here and as the answer ages. So a name must not run through a TTL: it would
 * change, and a name that was valid once could become a loop later (found by fuzzing).
 */
function runsThroughTtl(wire: Uint8Array): boolean {
  const probe = copyOf(wire)
  const cursor = new RecordCursor(wire)
  while (cursor.next()) putU32(probe, cursor.ttlAt, NO_LABEL_TTL)
  const again = new RecordCursor(probe)
  while (again.next()) if (!rdataHolds(probe, again)) return true
  return again.malformed
}

/** A copy: the carrier reuses its buffer after the call that delivers it returns. */
function withoutHop(reply: Uint8Array, reading: ReplyReading): Uint8Array {
  const wire = copyOf(reply, 0, reading.cutAt ?? reading.end)
  if (reading.cutAt !== undefined) putU16(wire, 10, reading.additionalBeforeCut)
  return wire
}

/** Rewrites the TTL of every record of `wire` (no OPT in it) in place. */
export function rewriteTtls(wire: Uint8Array, to: (ttlS: number) => number): void {
  const cursor = walker.start(wire)
  while (cursor.next()) putU32(wire, cursor.ttlAt, to(cappedTtl(cursor.ttlS)))
}

function malformed(why: string): EnigmError {
  return new EnigmError('reply-malformed', `The reply is not a DNS message: ${why}.`)
}

/** One record as uncompressed wire bytes, class IN. */
export function record(name: Uint8Array, type: number, ttlS: number, rdata: Uint8Array): Uint8Array {
  const out = new Uint8Array(name.length + 10 + rdata.length)
  out.set(name)
  putU16(out, name.length, type)
  putU16(out, name.length + 2, 1)
  putU32(out, name.length + 4, ttlS)
  putU16(out, name.length + 8, rdata.length)
  out.set(rdata, name.length + 10)
  return out
}

/**
 * A response made here: ID 0, RD and RA set, the question lower-cased, with the given records (wire
 * bytes, see `record`). The upper bits of `rcode` are added with the OPT later.
 */
export function synthesise(
  question: Question,
  a: { readonly rcode: Rcode; readonly answers?: readonly Uint8Array[]; readonly authority?: readonly Uint8Array[] },
): Uint8Array {
  const records = [...(a.answers ?? []), ...(a.authority ?? [])]
  const wire = new Uint8Array(records.reduce((sum, r) => sum + r.length, HEADER_OCTETS + question.lower.length))
  putU16(wire, 2, 0x8180 | (a.rcode & 0x0f))
  wire[5] = 1
  putU16(wire, 6, a.answers?.length ?? 0)
  putU16(wire, 8, a.authority?.length ?? 0)
  wire.set(question.lower, HEADER_OCTETS)
  let at = HEADER_OCTETS + question.lower.length
  for (const r of records) {
    wire.set(r, at)
    at += r.length
  }
  return wire
}

const SERVFAIL = 2

/**
 * Whether a failure settles its question: a SERVFAIL whose EDE reports why DNSSEC failed (1, 2, 5
 * to 12), and anything blocked, censored, filtered or prohibited (EDE 15 to 18). To ask another
 * operator, or to serve a stale answer, would bypass validation or filtering.
 */
export function isFinalFailure(rcode: Rcode, ede: number | undefined): boolean {
  if (ede === undefined) return false
  return (ede >= 15 && ede <= 18) || (rcode === SERVFAIL && (ede === 1 || ede === 2 || (ede >= 5 && ede <= 12)))
}
