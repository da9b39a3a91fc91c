import { putU16, u16 } from '../dns/octets.ts'
import type { QueryScan } from '../dns/query-scan.ts'
import type { Asked, Job } from '../job.ts'
import type { Query, View } from '../resolve.ts'

/** View, DO and CD, which stand before the question in a key. */
export const KEY_PREFIX = 3
// latin1Slice is what toString('latin1') calls; going straight to it saves 60 ns a query. The types
// leave it out.
const scratch = Buffer.alloc(KEY_PREFIX + 255 + 4) as Buffer & { latin1Slice(start: number, end: number): string }

/**
 * Under what a failure is kept: view, DO and CD, then the question's octets with A-Z lowered, as
 * one latin1 string (one octet a character, nothing is lost).
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
  shared.hash = 0
  return shared
}

/** What a query that was read asks for; `hash` where the table has worked it out already. */
export function askedBy({ question, client, edns, checkingDisabled }: Query, hash = 0): Asked {
  const { lower } = question
  const mark = markOf(lower.length, client.view, edns?.dnssecOk === true, checkingDisabled)
  return { octets: lower, from: 0, end: lower.length, mark, hash }
}

/** The same of a question under way: worked out once. */
export function askedOf(job: Job): Asked {
  job.asked ??= askedBy(job.query)
  return job.asked
}

const shared = { octets: new Uint8Array(0) as Uint8Array, from: 0, end: 0, mark: 0, hash: 0 }
