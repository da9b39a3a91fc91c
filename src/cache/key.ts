import { copyLower, putU16, u16 } from '../dns/octets.ts'
import type { QueryScan } from '../dns/query-scan.ts'
import type { Query, View } from '../resolve.ts'

/** View, DO and CD, which stand before the question in a key. */
export const KEY_PREFIX = 3
// latin1Slice is what toString('latin1') calls; going straight to it saves 60 ns a query. The types
// leave it out.
const scratch = Buffer.alloc(KEY_PREFIX + 255 + 4) as Buffer & { latin1Slice(start: number, end: number): string }

/** Octets of a question, its name in any case, and the mark of what else tells answers apart. */
export interface Asked {
  readonly octets: Uint8Array
  readonly from: number
  readonly end: number
  readonly mark: number
}

/**
 * Under what a failure is kept and identical questions find each other: view, DO and CD, then the
 * question's octets with A-Z lowered, as one latin1 string (one octet a character, nothing is
 * lost).
 */
export type CacheKey = string

/**
 * The key of the query that `scan` describes, straight from the packet: the only allocation of a
 * hit.
 */
export function keyOfScan(packet: Uint8Array, scan: QueryScan, view: View): CacheKey {
  const length = scan.questionEnd - scan.questionAt
  copyLower(packet, scan.questionAt, length - 4, scratch, KEY_PREFIX)
  for (let i = length - 4; i < length; i++) scratch[KEY_PREFIX + i] = packet[scan.questionAt + i]!
  return finish(length, view, scan.dnssecOk, (scan.flags & 0x10) !== 0)
}

/** The same key from a query that was read: as it was told, or from its question. */
export function keyOfQuery(query: Query): CacheKey {
  if (query.cacheKey !== undefined) return query.cacheKey
  scratch.set(query.question.lower, KEY_PREFIX)
  return finish(query.question.lower.length, query.client.view, query.edns?.dnssecOk === true, query.checkingDisabled)
}

function finish(length: number, view: View, dnssecOk: boolean, checkingDisabled: boolean): CacheKey {
  putU16(scratch, 0, view)
  scratch[2] = (dnssecOk ? 1 : 0) | (checkingDisabled ? 2 : 0)
  return scratch.latin1Slice(0, KEY_PREFIX + length)
}

const DO = 1
const CD = 2

/**
 * All that tells two answers to one question apart: its length, the view, DO and CD, as one number.
 * Never 0.
 */
export function markOf(questionOctets: number, view: number, dnssecOk: boolean, checkingDisabled: boolean): number {
  return (questionOctets << 18) | (view << 2) | (checkingDisabled ? CD : 0) | (dnssecOk ? DO : 0)
}

/**
 * The marks of the same question with other flags that an answer under `mark` speaks of as well. DO
 * only asks for signatures beside the same data. What came with CD set was not validated, and says
 * nothing against what was.
 */
export function sameQuestionMarks(mark: number): readonly number[] {
  return (mark & CD) === 0 ? [mark ^ DO, mark | CD, (mark ^ DO) | CD] : [mark ^ DO]
}

/** Octets of the question that a mark speaks of. */
export function questionOctetsOf(mark: number): number {
  return mark >>> 18
}

/** The view that a mark speaks of. */
export function viewOf(mark: number): number {
  return (mark >>> 2) & 0xffff
}

/** DO (1) and CD (2) of a mark. */
export function flagsOf(mark: number): number {
  return mark & (DO | CD)
}

/** QTYPE of a question. */
export function typeOf({ octets, end }: Asked): number {
  return u16(octets, end - 4)
}

/**
 * What the query that `scan` describes asks for. One object is used for all: valid until the next
 * call.
 */
export function askedByScan(packet: Uint8Array, scan: QueryScan, view: View): Asked {
  const { questionAt, questionEnd, dnssecOk, flags } = scan
  shared.octets = packet
  shared.from = questionAt
  shared.end = questionEnd
  shared.mark = markOf(questionEnd - questionAt, view, dnssecOk, (flags & 0x10) !== 0)
  return shared
}

/** The same from a query that was read. */
export function askedBy(query: Pick<Query, 'question' | 'client' | 'edns' | 'checkingDisabled'>): Asked {
  const { lower } = query.question
  shared.octets = lower
  shared.from = 0
  shared.end = lower.length
  shared.mark = markOf(lower.length, query.client.view, query.edns?.dnssecOk === true, query.checkingDisabled)
  return shared
}

const shared = { octets: new Uint8Array(0) as Uint8Array, from: 0, end: 0, mark: 0 }
