import type { Rcode } from '../errors.ts'
import type { Carried, Opt, Protection, Reading } from '../resolve.ts'
import { optAt } from './edns.ts'
import { rcodeWith } from './message.ts'
import { copyOf, HEADER_OCTETS, u16, u32 } from './octets.ts'
import { holdsNames, rdataNamesHold } from './rdata-names.ts'
import { belongsToHop, RecordCursor, TYPE } from './records.ts'

/** RFC 2308 section 5: a negative answer lives at most three hours. */
const MAX_NEGATIVE_TTL_S = 3 * 3600
/** A TTL with the top bit set is taken as large and capped (RFC 8767 section 4): seven days. */
export const MAX_TTL_S = 7 * 86400
const ANY = 255
const NONE: number[] = []

const walker = new RecordCursor()

class Read implements Reading {
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

/** Reads `reply`. Never throws, whatever the octets. */
export function readReply(reply: Uint8Array): Reading {
  const reading = new Read()
  const cursor = walker.start(reply)
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

/** What is read in what a link carried: once, whoever asks. */
export function readingOf(carried: { readonly wire: Uint8Array; reading?: Reading | undefined }): Reading {
  carried.reading ??= readReply(carried.wire)
  return carried.reading
}

/** For keeping: its octets are copied, and it has been read. */
export function kept<P extends Protection>(carried: Carried<P>): Carried<P> {
  return { ...carried, reading: readingOf(carried), wire: copyOf(carried.wire) }
}

function noteHop(reading: Read, reply: Uint8Array, cursor: RecordCursor): void {
  if (cursor.section !== 3) {
    reading.malformed ??= 'a record of the hop (OPT, TSIG) outside the additional section'
    return
  }
  reading.cutAt ??= cursor.recordAt
  if (cursor.type !== TYPE.OPT) return
  if (reading.opt === undefined) reading.opt = optAt(reply, cursor)
  else reading.malformed ??= 'more than one OPT'
}

function noteRecord(reading: Read, reply: Uint8Array, cursor: RecordCursor, qtype: number): void {
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
 * Every name in the RDATA is followed once here, so that no pointer loop of an upstream's reaches a
 * client (CVE-2026-2291); and an address is as long as it should be.
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
