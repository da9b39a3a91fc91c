import { HEADER_OCTETS } from '../dns/octets.ts'
import { sameData } from '../dns/records.ts'
import type { Asked } from '../job.ts'
import type { Answer } from '../resolve.ts'
import { RULES_VERSIONS } from '../rules-version.ts'
import type { CacheEntry, JudgedUnder } from './answer-record.ts'
import { AnswerTable } from './answer-table.ts'
import { flagsOf, sameQuestionMarks, typeOf, viewOf } from './key.ts'
import { describesName, renewFromMs } from './lifetime.ts'

/**
 * Entries checked for expiry per insert: more than one, so that expired ones leave faster than new
 * ones come.
 */
const SWEEP = 2
/**
 * A hit is counted at most once in this time, and once more at the beginning of the last part of an
 * answer's life.
 */
const RECOUNT_MS = 2000
/** ANCOUNT, NSCOUNT and ARCOUNT. */
const RECORD_COUNTS_AT = 6

type KeptAnswer = Pick<Answer, 'wire' | 'rcode' | 'ede' | 'ttlAts' | 'ofNetwork'>

/** The rules about names, as far as stored answers depend on them. */
export interface CacheRules {
  /** Changes whenever the rules do; see `RulesVersion`. */
  readonly version: { readonly current: number }
  /**
   * Whether a stored answer, a whole message, may still be used for a view. Undefined: this thread
   * has no rules, and an answer of another version is not used.
   */
  readonly allows: ((wire: Uint8Array, view: number) => boolean) | undefined
}

export interface CacheOptions {
  /** From 64 KiB up: answers and bookkeeping together. */
  readonly maxBytes: number
  /** How long an expired answer may be served, in seconds; 0: never. */
  readonly staleMaxS: number
  /** 32 random bits. */
  readonly seed: number
  /** Absent: the rules never change. */
  readonly rules?: CacheRules
}

const NO_RULES: CacheRules = { version: { current: 0 }, allows: () => true }

/**
 * Complete answers by question, bounded in bytes. An expired answer stays for `staleMaxS` unless
 * its memory is needed; `stale` returns it. Answers made in an older epoch are not stored: `clear`
 * (a reload, a policy change) starts a new one. A returned entry is valid until the next call. Used
 * from one thread.
 */
export class AnswerCache {
  readonly #table: AnswerTable
  readonly #rules: CacheRules
  readonly maxBytes: number
  #staleMaxMs: number
  #epoch = 0
  /** A bit for each combination of DO and CD under which an answer was stored. */
  #flagsSeen = 0
  /**
   * True until the answers saved by an earlier run are loaded (`restore`). Until then an answer
   * that may not be stored leaves a mark, so that an older one does not replace it.
   */
  awaitsSaved = false

  constructor({ maxBytes, staleMaxS, seed, rules = NO_RULES }: CacheOptions) {
    this.#rules = rules
    this.maxBytes = maxBytes
    this.#staleMaxMs = staleMaxS * 1000
    this.#table = new AnswerTable(maxBytes, seed)
  }

  /** Read when a query starts, and passed back to `put`. */
  get epoch(): number {
    return this.#epoch
  }
  /** The version of the rules now, read when a query starts, and passed back to `put`. */
  get rulesVersion(): number {
    return this.#rules.version.current
  }
  get entries(): number {
    return this.#table.entries
  }
  get bytes(): number {
    return this.#table.bytes
  }
  /** Memory allocated for answers, including its free part. */
  get segmentBytes(): number {
    return this.#table.segmentBytes
  }

  set staleMaxS(seconds: number) {
    this.#staleMaxMs = seconds * 1000
  }

  /**
   * Whether this hit is to be counted as a use: the first in two seconds, and the first in the last
   * part of the answer's life.
   */
  counts(entry: CacheEntry, nowMs: number): boolean {
    if (nowMs < entry.recountMs) return false
    const lastMs = renewFromMs(entry)
    entry.recountMs = Math.min(nowMs + RECOUNT_MS, nowMs < lastMs ? lastMs : entry.expiresAtMs)
    return true
  }

  /**
   * The hash of a question in this cache: the same for any case of the name and any mark. It
   * depends on a secret of the cache. Never 0.
   */
  hashOf(asked: Asked): number {
    return this.#table.hashOf(asked)
  }

  /** The entry for a question if it is still fresh. */
  get(asked: Asked, nowMs: number): CacheEntry | undefined {
    const entry = this.#table.find(asked)
    if (entry === undefined) return undefined
    if (entry.rulesVersion !== this.#rules.version.current && !this.#stillHolds(asked, entry)) return undefined
    if (nowMs < entry.expiresAtMs) return entry
    if (!this.awaitsSaved && (entry.outdated || nowMs >= entry.expiresAtMs + this.#staleMaxMs)) this.#table.remove(asked)
    return undefined
  }

  /**
   * The entry if it is expired and may be served stale: the newest answer about the name, never a
   * failure.
   */
  stale(asked: Asked, nowMs: number): CacheEntry | undefined {
    if (this.#staleMaxMs === 0) return undefined
    const entry = this.#table.find(asked)
    if (entry === undefined || nowMs < entry.expiresAtMs || nowMs >= entry.expiresAtMs + this.#staleMaxMs) return undefined
    if (entry.rulesVersion !== this.#rules.version.current && !this.#stillHolds(asked, entry)) return undefined
    return describesName(entry.rcode) && !entry.outdated ? entry : undefined
  }

  /**
   * Stores `answer` for its `storeS`, unless that is 'no' or 0, the epoch is over, or it is larger
   * than the cache. An answer about the name removes older answers to the question, even if it may
   * not be stored itself (RFC 8767 section 5). A failure does not replace an answer that is fresh
   * or may be served stale. `rulesVersion`: that of the rules under which it was judged.
   */
  put(asked: Asked, answer: Answer, epoch: number, nowMs: number, rulesVersion = this.#rules.version.current): void {
    // A stale answer is no newer than the stored one.
    if (epoch !== this.#epoch || answer.from === 'stale') return
    const storeMs = answer.storeS === 'no' ? 0 : answer.storeS * 1000
    if (!describesName(answer.rcode)) {
      if (storeMs > 0 && !this.#worthKeeping(asked, nowMs)) this.#keep(asked, answer, nowMs, storeMs, rulesVersion)
      return
    }
    this.#outdateOthers(asked, answer, nowMs, nowMs)
    if (storeMs > 0 && this.#keep(asked, answer, nowMs, storeMs, rulesVersion)) return
    this.#table.remove(asked)
    if (this.awaitsSaved) this.#mark(asked, answer, nowMs)
  }

  /**
   * Restores an answer of an earlier run with its own times (boot time; they may lie before this
   * boot). It never replaces an answer that came since, stored or not, but it replaces a failure.
   */
  restore(asked: Asked, answer: KeptAnswer, storedAtMs: number, expiresAtMs: number, nowMs: number): void {
    const held = this.#table.find(asked)
    if (held !== undefined && describesName(held.rcode)) return
    if (!this.#write(asked, answer, storedAtMs, expiresAtMs, nowMs, UNJUDGED)) return
    this.#outdateOthers(asked, answer, storedAtMs, nowMs)
    if (this.#overtaken(asked, answer, storedAtMs)) this.#outdate(asked)
  }

  /**
   * Every entry, expired or not, the oldest first. If they exceed `limit` octets, the oldest are
   * left out. Reading does not count as a use. Entries that change during the walk may be left out.
   */
  walk(limit?: number): Generator<CacheEntry, void, void> {
    return this.#table.walk(limit)
  }

  /** Forgets everything and wipes the memory. Queries in progress will not be stored either. */
  clear(): void {
    this.#epoch++
    this.#flagsSeen = 0
    this.#table.clear()
  }

  /**
   * The network changed: forgets what belongs to the old one, which is failures, answers of its own
   * servers, and popularity. The new network must not learn what the old one was asked.
   */
  newNetwork(): void {
    this.#table.drop((entry) => {
      entry.hits = 0
      entry.recountMs = 0
      entry.staleUntilS = 0
      return entry.ofNetwork || !describesName(entry.rcode)
    })
  }

  /**
   * Judges an entry under the present rules: their change flushes nothing. Answers made here are
   * made again. An entry that may not be used is removed.
   */
  #stillHolds(asked: Asked, entry: CacheEntry): boolean {
    const { version, allows } = this.#rules
    if (allows !== undefined && !entry.isOwn && allows(octetsOf(entry), viewOf(asked.mark))) {
      entry.rulesVersion = version.current
      return true
    }
    if (!this.awaitsSaved) this.#table.remove(asked)
    return false
  }

  #worthKeeping(asked: Asked, nowMs: number): boolean {
    const entry = this.#table.find(asked)
    if (entry === undefined || !describesName(entry.rcode)) return false
    return nowMs < entry.expiresAtMs || (!entry.outdated && nowMs < entry.expiresAtMs + this.#staleMaxMs)
  }

  #keep(asked: Asked, answer: Answer, nowMs: number, storeMs: number, version: number): boolean {
    if (this.#table.crowded && !this.awaitsSaved) this.#table.sweep(SWEEP, nowMs)
    return this.#write(asked, answer, nowMs, nowMs + storeMs, nowMs, { version, isOwn: answer.from === 'policy' })
  }

  /** Returns false and changes nothing if the answer is larger than the cache. */
  #write(asked: Asked, answer: KeptAnswer, storedAtMs: number, expiresAtMs: number, nowMs: number, rules: JudgedUnder): boolean {
    this.#flagsSeen |= 1 << flagsOf(asked.mark)
    return this.#table.write(asked, answer, storedAtMs, expiresAtMs, nowMs, rules)
  }

  /** Records that an answer came, without the answer: its header and question, expired at once. */
  #mark(asked: Asked, { wire, rcode }: KeptAnswer, nowMs: number): void {
    const mark = wire.slice(0, HEADER_OCTETS + asked.end - asked.from)
    mark.fill(0, RECORD_COUNTS_AT, HEADER_OCTETS)
    if (this.#write(asked, { wire: mark, rcode }, nowMs, nowMs, nowMs, UNJUDGED)) this.#outdate(asked)
  }

  #outdate(asked: Asked): void {
    const entry = this.#table.find(asked)
    if (entry !== undefined) entry.outdated = true
  }

  /**
   * An answer that came at `atMs` makes older ones under other flags outdated, unless they have the
   * same content.
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

  /** Whether a newer answer under other flags contradicts an answer that came at `atMs`. */
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
   * If nothing may be served stale, or all clients set the same flags, there is nothing to look
   * for, and a miss costs nothing more.
   */
  #seenOtherFlags(asked: Asked): boolean {
    return this.#staleMaxMs > 0 && (this.#flagsSeen & ~(1 << flagsOf(asked.mark))) !== 0
  }
}

/** Of answers that were saved under rules that are not known now: no version has this number. */
const UNJUDGED: JudgedUnder = { version: RULES_VERSIONS - 1, isOwn: false }

const octetsOf = ({ octets, at, length }: CacheEntry) => octets.subarray(at, at + length)
