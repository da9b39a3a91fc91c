import { putU16, u16 } from '../dns/octets.ts'
import type { QueryScan } from '../dns/query-scan.ts'
import type { Asked, Job } from '../job.ts'
import type { Query, View } from '../resolve.ts'

/** Octets of view, DO and CD, which precede the question in a key. */
export const KEY_PREFIX = 3
// toString('latin1') calls latin1Slice; a direct call saves 60 ns per query. Node's type
// definitions lack it.
const scratch = Buffer.alloc(KEY_PREFIX + 255 + 4) as Buffer & { latin1Slice(start: number, end: number): string }

/**
 * The key of a failure: view, DO and CD, then the question's octets with A-Z lowered, as one latin1
 * string (one character per octet, nothing is lost).
 */
export type CacheKey = string

/** The key of a query. */
export function keyOfQuery({ question, client, edns, checkingDisabled }: Query): CacheKey {
  scratch.set(question.lower, KEY_PREFIX)
  putU16(scratch, 0, client.view)
  scratch[2] = (edns?.dnssecOk === true ? DO : 0) | (checkingDisabled ? CD : 0)
  return scratch.latin1Slice(0, KEY_PREFIX + question.lower.length)
}

const DO = 1
const CD = 2

/**
 * All that separates two answers to one question: its length, the view, DO and CD, as one number.
 * Never 0.
 */
export function markOf(questionOctets: number, view: number, dnssecOk: boolean, checkingDisabled: boolean): number {
  return (questionOctets << 18) | (view << 2) | (checkingDisabled ? CD : 0) | (dnssecOk ? DO : 0)
}

/**
 * The marks of the same question with other flags for which an answer under `mark` is evidence too.
 * DO only asks for signatures in addition to the same data. An answer with CD set was not
 * validated, so it is no evidence against a validated one.
 */
export function sameQuestionMarks(mark: number): readonly number[] {
  return (mark & CD) === 0 ? [mark ^ DO, mark | CD, (mark ^ DO) | CD] : [mark ^ DO]
}

/** Octets of the question in a mark. */
export function questionOctetsOf(mark: number): number {
  return mark >>> 18
}

/** The view in a mark. */
export function viewOf(mark: number): number {
  return (mark >>> 2) & 0xffff
}

/** DO (1) and CD (2) in a mark. */
export function flagsOf(mark: number): number {
  return mark & (DO | CD)
}

/** QTYPE of a question. */
export function typeOf({ octets, end }: Asked): number {
  return u16(octets, end - 4)
}

/**
 * The question of the query that `scan` describes. One object is reused: valid until the next call.
 */
export function askedByScan(packet: Uint8Array, scan: QueryScan, view: View): Asked {
  const { questionAt, questionEnd, dnssecOk, flags } = scan
  shared.octets = packet
  shared.from = questionAt
  shared.end = questionEnd
  shared.mark = markOf(questionEnd - questionAt, view, dnssecOk, (flags & 0x10) !== 0)
  shared.hash = 0
  return shared
}

/** The question of a parsed query; `hash` if the table has already computed it. */
export function askedBy({ question, client, edns, checkingDisabled }: Query, hash = 0): Asked {
  const { lower } = question
  const mark = markOf(lower.length, client.view, edns?.dnssecOk === true, checkingDisabled)
  return { octets: lower, from: 0, end: lower.length, mark, hash }
}

/** The same for a question in progress; computed once per job. */
export function askedOf(job: Job): Asked {
  job.asked ??= askedBy(job.query)
  return job.asked
}

const shared = { octets: new Uint8Array(0) as Uint8Array, from: 0, end: 0, mark: 0, hash: 0 }
