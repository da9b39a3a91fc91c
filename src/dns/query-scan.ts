import { HEADER_OCTETS, u16 } from './octets.ts'

/** How the gate handles a packet. Plain numbers, because the hit path compares one per packet. */
export const VERDICT = { ok: 0, drop: 1, formErr: 2, notImp: 3, refused: 4, badVers: 5, badType: 6 } as const
export type ScanVerdict = (typeof VERDICT)[keyof typeof VERDICT]

/**
 * Our private EDNS option (RFC 6891 section 9, local use): asks for, and reports, the source of an
 * answer. Used only between a client and this stub.
 */
export const SOURCE_OPTION = 65280

const TYPE_SOA = 6
const TYPE_OPT = 41
const TYPE_NXNAME = 128
const TYPE_IXFR = 251
const TYPE_ANY = 255
const CLASS_IN = 1
const MAX_NAME_OCTETS = 255
const MAX_ADDITIONAL = 4

/**
 * The result of `scanQuery`; one object is reused for every packet so that a hit allocates nothing.
 * Offsets count from the start of the buffer.
 */
export interface QueryScan {
  id: number
  /** The 16 flag bits of the header (RFC 1035 section 4.1.1, RFC 4035 section 3). */
  flags: number
  questionAt: number
  questionEnd: number
  type: number
  class: number
  hasOpt: boolean
  udpSize: number
  dnssecOk: boolean
  wantsSource: boolean
}

export function newScan(): QueryScan {
  return {
    id: 0,
    flags: 0,
    questionAt: 0,
    questionEnd: 0,
    type: 0,
    class: 0,
    hasOpt: false,
    udpSize: 512,
    dnssecOk: false,
    wantsSource: false,
  }
}

/**
 * Reads one query in place and returns how to handle it. Never throws, never reads outside [start,
 * end), and does bounded work: at most one name of 255 octets, one record of a zone transfer, and
 * four additional records. `questionEnd` is 0 if no question could be read.
 */
export function scanQuery(packet: Uint8Array, start: number, end: number, scan: QueryScan): ScanVerdict {
  scan.questionAt = start + HEADER_OCTETS
  scan.questionEnd = 0
  scan.hasOpt = false
  scan.udpSize = 512
  scan.dnssecOk = false
  scan.wantsSource = false
  if (end - start < HEADER_OCTETS) return VERDICT.drop
  scan.id = u16(packet, start)
  scan.flags = u16(packet, start + 2)
  if (scan.flags & 0x8000) return VERDICT.drop // a response: answering it could start a loop
  if (scan.flags & 0x7800) {
    // Its OPT is answered with one (RFC 6891 section 6.1.1) if the message has the form of a query.
    scanQuestion(packet, start, end, scan)
    return VERDICT.notImp
  }
  return scanQuestion(packet, start, end, scan)
}

function scanQuestion(packet: Uint8Array, start: number, end: number, scan: QueryScan): ScanVerdict {
  if (u16(packet, start + 4) !== 1) return VERDICT.formErr
  const nameEnd = questionNameEnd(packet, start + HEADER_OCTETS, end)
  if (nameEnd === 0 || nameEnd + 4 > end) return VERDICT.formErr
  scan.type = u16(packet, nameEnd)
  scan.class = u16(packet, nameEnd + 2)
  scan.questionEnd = nameEnd + 4
  if (u16(packet, start + 6) !== 0) return VERDICT.formErr
  const authorityEnd = u16(packet, start + 8) === 0 ? scan.questionEnd : versionEnd(packet, start, end, scan)
  if (authorityEnd === 0) return VERDICT.formErr
  const additional = u16(packet, start + 10)
  const verdict =
    additional === 0 ? (authorityEnd === end ? VERDICT.ok : VERDICT.formErr) : scanAdditional(packet, authorityEnd, end, additional, scan)
  return verdict === VERDICT.ok ? judge(scan) : verdict
}

/**
 * RD=0 would allow cache snooping. Zone transfers and other classes are not the task of a stub.
 * OPT, TSIG and other types without data cannot be queried (RFC 6895 section 3.1). NXNAME is
 * malformed and must not be asked upstream (RFC 9824 section 3.5).
 */
function judge({ flags, type, class: asked }: QueryScan): ScanVerdict {
  if ((flags & 0x0100) === 0 || asked !== CLASS_IN) return VERDICT.refused
  if (type === TYPE_NXNAME) return VERDICT.badType
  return type === 0 || type === TYPE_OPT || (type > TYPE_NXNAME && type < TYPE_ANY) ? VERDICT.refused : VERDICT.ok
}

/**
 * Offset of the end of the authority section of an incremental zone transfer, which holds the
 * client's SOA (RFC 1995 section 3); 0 for any other.
 */
function versionEnd(packet: Uint8Array, start: number, end: number, scan: QueryScan): number {
  if (scan.type !== TYPE_IXFR || u16(packet, start + 8) !== 1) return 0
  let at = scan.questionEnd
  // Names may be compressed here. They are not followed, because only the end of the record is
  // needed.
  while (at < end && packet[at]! > 0 && packet[at]! < 0xc0) at += packet[at]! + 1
  const fixed = at + (at < end && packet[at] === 0 ? 1 : 2)
  if (fixed + 10 > end || u16(packet, fixed) !== TYPE_SOA) return 0
  const next = fixed + 10 + u16(packet, fixed + 8)
  return next <= end ? next : 0
}

/**
 * End of an uncompressed name, or 0: a question has no earlier name that a pointer could refer to
 * (RFC 9267).
 */
function questionNameEnd(packet: Uint8Array, from: number, end: number): number {
  let at = from
  while (at < end) {
    const length = packet[at]!
    if (length === 0) return at + 1 - from <= MAX_NAME_OCTETS ? at + 1 : 0
    if (length > 63) return 0
    at += length + 1
    if (at - from >= MAX_NAME_OCTETS) return 0
  }
  return 0
}

function scanAdditional(packet: Uint8Array, from: number, end: number, count: number, scan: QueryScan): ScanVerdict {
  if (count > MAX_ADDITIONAL) return VERDICT.formErr
  let at = from
  let verdict: ScanVerdict = VERDICT.ok
  for (let i = 0; i < count; i++) {
    const nameEnd = questionNameEnd(packet, at, end)
    if (nameEnd === 0 || nameEnd + 10 > end) return VERDICT.formErr
    const rdata = nameEnd + 10
    const next = rdata + u16(packet, nameEnd + 8)
    if (next > end) return VERDICT.formErr
    if (u16(packet, nameEnd) === TYPE_OPT) {
      if (scan.hasOpt || nameEnd !== at + 1) return VERDICT.formErr // two OPTs, or one not at the root: RFC 6891 section 6.1.1
      scan.hasOpt = true
      scan.udpSize = u16(packet, nameEnd + 2)
      scan.dnssecOk = (packet[nameEnd + 6]! & 0x80) !== 0
      if (packet[nameEnd + 5] !== 0) verdict = VERDICT.badVers
      else if (!scanOptions(packet, rdata, next, scan)) return VERDICT.formErr
    }
    at = next
  }
  return at === end ? verdict : VERDICT.formErr
}

function scanOptions(packet: Uint8Array, from: number, end: number, scan: QueryScan): boolean {
  let at = from
  while (at < end) {
    if (at + 4 > end) return false
    if (u16(packet, at) === SOURCE_OPTION) scan.wantsSource = true
    at += 4 + u16(packet, at + 2)
  }
  return at === end
}
