import { HEADER_OCTETS } from '../dns/octets.ts'
import { sameData } from '../dns/records.ts'
import type { Asked } from '../job.ts'
import type { Answer } from '../resolve.ts'
import type { CacheEntry } from './answer-record.ts'
import { AnswerTable } from './answer-table.ts'
import { flagsOf, sameQuestionMarks, typeOf } from './key.ts'
import { describesName, renewFromMs } from './lifetime.ts'

/**
 * Entries looked at for expiry per insert: more than one, so that expired ones leave faster than
 * new ones come.
 */
const SWEEP = 2
/**
 * A hit is counted once in this time, and once more at the beginning of the last part of an
 * answer's life.
 */
const RECOUNT_MS = 2000
/** ANCOUNT, NSCOUNT and ARCOUNT. */
const RECORD_COUNTS_AT = 6

type KeptAnswer = Pick<Answer, 'wire' | 'rcode' | 'ede' | 'ttlAts'>

export interface CacheOptions {
  /** From 64 KiB up: answers and bookkeeping together. */
  readonly maxBytes: number
  /** How long past its time an answer may stand in, in seconds; 0: never. */
  readonly staleMaxS: number
  /** 32 random bits. */
  readonly seed: number
}

/**
 * Final answers by question, bounded in bytes. An expired answer stays for `staleMaxS`, if nothing
 * needs its place: `stale` gives it. Answers made in an older epoch are not taken: `clear` (a
 * reload, a
 * policy change) starts a new one. What is returned is valid until the next call. Used from one
 * thread.
 */
export class AnswerCache {
  readonly #table: AnswerTable
  readonly maxBytes: number
  #staleMaxMs: number
  #epoch = 0
  /** A bit for each combination of DO and CD that something was kept under. */
  #flagsSeen = 0
  /**
   * What an earlier run saved is yet to come (`restore`): until then an answer that may not be kept
   * leaves a mark, so that an older one does not come over it.
   */
  awaitsSaved = false

  constructor({ maxBytes, staleMaxS, seed }: CacheOptions) {
    this.maxBytes = maxBytes
    this.#staleMaxMs = staleMaxS * 1000
    this.#table = new AnswerTable(maxBytes, seed)
  }

  /** Taken when a query starts and handed back to `put`. */
  get epoch(): number {
    return this.#epoch
  }
  get entries(): number {
    return this.#table.entries
  }
  get bytes(): number {
    return this.#table.bytes
  }
  /** Memory that answers lie in, what is free of it included. */
  get pageBytes(): number {
    return this.#table.pageBytes
  }

  set staleMaxS(seconds: number) {
    this.#staleMaxMs = seconds * 1000
  }

  /**
   * Whether this hit is to be counted as a use: the first in two seconds, and the first in the last
   * part of its life.
   */
  counts(entry: CacheEntry, nowMs: number): boolean {
    if (nowMs < entry.recountMs) return false
    const lastMs = renewFromMs(entry)
    entry.recountMs = Math.min(nowMs + RECOUNT_MS, nowMs < lastMs ? lastMs : entry.expiresAtMs)
    return true
  }

  /**
   * A number that the same question always has here, in any case of its name and under any mark;
   * its secret is the cache's. Never 0.
   */
  hashOf(asked: Asked): number {
    return this.#table.hashOf(asked)
  }

  /** The entry for a question if it is still fresh. */
  get(asked: Asked, nowMs: number): CacheEntry | undefined {
    const entry = this.#table.find(asked)
    if (entry === undefined || nowMs < entry.expiresAtMs) return entry
    if (!this.awaitsSaved && (entry.outdated || nowMs >= entry.expiresAtMs + this.#staleMaxMs)) this.#table.remove(asked)
    return undefined
  }

  /**
   * The entry if it is past its time and may stand in: the newest answer about the name that came,
   * never a failure.
   */
  stale(asked: Asked, nowMs: number): CacheEntry | undefined {
    if (this.#staleMaxMs === 0) return undefined
    const entry = this.#table.find(asked)
    if (entry === undefined || nowMs < entry.expiresAtMs || nowMs >= entry.expiresAtMs + this.#staleMaxMs) return undefined
    return describesName(entry.rcode) && !entry.outdated ? entry : undefined
  }

  /**
   * Keeps `answer` for its `storeS`, unless that is 'no' or 0, the epoch has passed, or it is
   * larger than the cache. One about the name ends what was kept of the
   * question before it, also where it may not be kept itself (RFC 8767 section 5). A failure does
   * not take the place of an answer that is fresh or may stand in.
   */
  put(asked: Asked, answer: Answer, epoch: number, nowMs: number): void {
    // What stood in is no newer than what is kept.
    if (epoch !== this.#epoch || answer.from === 'stale') return
    const storeMs = answer.storeS === 'no' ? 0 : answer.storeS * 1000
    if (!describesName(answer.rcode)) {
      if (storeMs > 0 && !this.#worthKeeping(asked, nowMs)) this.#keep(asked, answer, nowMs, storeMs)
      return
    }
    this.#outdateOthers(asked, answer, nowMs, nowMs)
    if (storeMs > 0 && this.#keep(asked, answer, nowMs, storeMs)) return
    this.#table.remove(asked)
    if (this.awaitsSaved) this.#mark(asked, answer, nowMs)
  }

  /**
   * Puts back what an earlier run had, with its own times (boot time; they may lie before this
   * boot). Never over an answer that came since, whether it was kept or
   * not; over a failure.
   */
  restore(asked: Asked, answer: KeptAnswer, storedAtMs: number, expiresAtMs: number, nowMs: number): void {
    const held = this.#table.find(asked)
    if (held !== undefined && describesName(held.rcode)) return
    if (!this.#write(asked, answer, storedAtMs, expiresAtMs, nowMs)) return
    this.#outdateOthers(asked, answer, storedAtMs, nowMs)
    if (this.#overtaken(asked, answer, storedAtMs)) this.#outdate(asked)
  }

  /**
   * Every entry, expired or not, those kept longest first; of more than `limit` octets the oldest
   * stay out. Looking is no use of it; what changes meanwhile may be left out.
   */
  walk(limit?: number): Generator<CacheEntry, void, void> {
    return this.#table.walk(limit)
  }

  /** Forgets everything, wiped from memory; what is being asked now will not be kept either. */
  clear(): void {
    this.#epoch++
    this.#flagsSeen = 0
    this.#table.clear()
  }

  /**
   * Another network: failures were its own, what is popular must show again, and it must not be
   * told what the last one was asked.
   */
  newNetwork(): void {
    this.#table.drop((entry) => {
      entry.hits = 0
      entry.recountMs = 0
      entry.staleUntilS = 0
      return !describesName(entry.rcode)
    })
  }

  #worthKeeping(asked: Asked, nowMs: number): boolean {
    const entry = this.#table.find(asked)
    if (entry === undefined || !describesName(entry.rcode)) return false
    return nowMs < entry.expiresAtMs || (!entry.outdated && nowMs < entry.expiresAtMs + this.#staleMaxMs)
  }

  #keep(asked: Asked, answer: KeptAnswer, nowMs: number, storeMs: number): boolean {
    if (this.#table.crowded && !this.awaitsSaved) this.#table.sweep(SWEEP, nowMs)
    return this.#write(asked, answer, nowMs, nowMs + storeMs, nowMs)
  }

  /** False, with nothing changed, where it is larger than the cache. */
  #write(asked: Asked, answer: KeptAnswer, storedAtMs: number, expiresAtMs: number, nowMs: number): boolean {
    this.#flagsSeen |= 1 << flagsOf(asked.mark)
    return this.#table.write(asked, answer, storedAtMs, expiresAtMs, nowMs)
  }

  /**
   * Notes that an answer came, without the answer: its header and question, past their time at
   * once.
   */
  #mark(asked: Asked, { wire, rcode }: KeptAnswer, nowMs: number): void {
    const mark = wire.slice(0, HEADER_OCTETS + asked.end - asked.from)
    mark.fill(0, RECORD_COUNTS_AT, HEADER_OCTETS)
    if (this.#write(asked, { wire: mark, rcode }, nowMs, nowMs, nowMs)) this.#outdate(asked)
  }

  #outdate(asked: Asked): void {
    const entry = this.#table.find(asked)
    if (entry !== undefined) entry.outdated = true
  }

  /**
   * An answer that came at `atMs` ends what older ones under other flags stood for, unless it says
   * the same.
   */
  #outdateOthers(asked: Asked, { wire, rcode }: KeptAnswer, atMs: number, nowMs: number): void {
    if (!this.#seenOtherFlags(asked)) return
    for (const mark of sameQuestionMarks(asked.mark)) {
      const entry = this.#table.find(asked, mark)
      if (entry === undefined || entry.storedAtMs > atMs || !describesName(entry.rcode)) continue
      if (entry.rcode === rcode && sameData(octetsOf(entry), wire, typeOf(asked))) continue
      entry.outdated = true
      if (nowMs >= entry.expiresAtMs && !this.awaitsSaved) this.#table.remove(asked, mark)
    }
  }

  /** Whether a newer one under other flags says otherwise than an answer that came at `atMs`. */
  #overtaken(asked: Asked, { wire, rcode }: KeptAnswer, atMs: number): boolean {
    if (!this.#seenOtherFlags(asked)) return false
    return sameQuestionMarks(asked.mark).some((mark) => {
      const newer = this.#table.find(asked, mark)
      if (newer === undefined || !describesName(newer.rcode) || newer.storedAtMs <= atMs) return false
      if (!sameQuestionMarks(mark).includes(asked.mark)) return false
      return newer.rcode !== rcode || !sameData(octetsOf(newer), wire, typeOf(asked))
    })
  }

  /**
   * Where nothing stands in, or all who ask set the same flags, there is nothing to look for: a
   * miss costs no more.
   */
  #seenOtherFlags(asked: Asked): boolean {
    return this.#staleMaxMs > 0 && (this.#flagsSeen & ~(1 << flagsOf(asked.mark))) !== 0
  }
}

const octetsOf = ({ page, at, length }: CacheEntry) => page.subarray(at, at + length)
