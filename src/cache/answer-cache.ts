import { LRUCache } from 'lru-cache'
import { HEADER_OCTETS } from '../dns/octets.ts'
import type { QueryScan } from '../dns/query-scan.ts'
import type { Kept } from '../dns/reply.ts'
import { sameData } from '../dns/same-data.ts'
import { putTtlOffsets, recordCount } from '../dns/ttl.ts'
import type { Answer, View } from '../resolve.ts'
import { FrontTable, type Quick, wholeTick } from './front-table.ts'
import { type CacheKey, flagsOfKey, keyOfScan, questionOctetsOf, sameQuestionKeys, typeOfKey } from './key.ts'
import { lastPartMs, speaksOfTheName } from './lifetime.ts'
import { type Place, Slabs } from './slabs.ts'

/** One kept answer: where it lies and until when (boot time, ms). Valid until the cache is next written to: the object is used again with its place. */
export interface Entry extends Kept, Place {
  readonly storedAtMs: number
  readonly expiresAtMs: number
  /** Hits on this network since it was stored; the responder counts them. */
  hits: number
  /** Past its time: until this second of boot time it stands in at once, since no newer one was to be had just now. */
  standInUntilS: number
  /**
   * A newer answer to the same question came under other flags, and says otherwise: this one is
   * used while it is fresh, and does not stand in.
   */
  outdated: boolean
}

type Writable<T> = { -readonly [K in keyof T]: T[K] }
type Held = Writable<Entry> & { key: CacheKey }

/** Not so young that the collector must move it: an entry that is made anew for each insert cost 10 % of a miss in collections. */
function blank({ page, at, size, home }: Place): Held {
  const times = { storedAtMs: Number.NaN, expiresAtMs: Number.NaN }
  return {
    page,
    at,
    size,
    home,
    length: 0,
    ttlCount: 0,
    rcode: 0,
    ede: undefined,
    ...times,
    hits: 0,
    standInUntilS: 0,
    outdated: false,
    key: '',
  }
}

const octetsOf = ({ page, at, length }: Place & { readonly length: number }) => page.subarray(at, at + length)

/** What an entry costs beside its octets: key string, entry object, index slots (measured: 307 octets at 100,000 entries). */
const OVERHEAD_OCTETS = 310
/** ANCOUNT, NSCOUNT and ARCOUNT. */
const RECORD_COUNTS_AT = 6
/** Entries looked at for expiry per insert: more than one, so that expired ones leave faster than new ones come. */
const SWEEP = 2
/** Below this share of the bytes nothing has to go. */
const SWEEP_ABOVE = 0.75
/** What pages that are partly empty may cost beyond `maxBytes` before one of them is cleared. */
const SLACK = 1.1
/** For so long an answer that was used is found without the index: its place among the least recently used is as old at most. */
const QUICK_MS = 2000

/**
 * Final answers by question, bounded in bytes; the least recently used goes when it is full, expired ones before that. An expired answer stays for `staleMaxS`, if
 * nothing needs its place: `stale` gives it. Answers made in an older epoch are not taken: `clear` (a reload, a policy change) starts a new one. Used from one thread.
 */
export class AnswerCache {
  readonly #index: LRUCache<CacheKey, Held>
  readonly #slabs: Slabs<Held>
  readonly #front: FrontTable
  readonly maxBytes: number
  #staleMaxMs: number
  #placesOctets = 0
  #epoch = 0
  /** A bit for each combination of DO and CD that something was kept under. */
  #flagsSeen = 0
  /**
   * What an earlier run saved is yet to come (`restore`): until then an answer that may not be kept
   * leaves a mark, so that an older one does not come over it.
   */
  awaitsSaved = false

  /** `maxBytes` from 64 KiB up: octets of answers, keys and bookkeeping together. */
  constructor(maxBytes: number, staleMaxS = 0) {
    this.maxBytes = maxBytes
    this.#staleMaxMs = staleMaxS * 1000
    this.#slabs = new Slabs(blank, maxBytes)
    this.#front = new FrontTable(this.#slabs.memories)
    this.#index = new LRUCache<CacheKey, Held>({
      maxSize: maxBytes,
      maxEntrySize: maxBytes,
      sizeCalculation: (entry, key) => entry.size + key.length + OVERHEAD_OCTETS,
      dispose: (entry) => this.#give(entry),
    })
  }

  /** Taken when a query starts and handed back to `put`. */
  get epoch(): number {
    return this.#epoch
  }
  get entries(): number {
    return this.#index.size
  }
  get bytes(): number {
    return this.#index.calculatedSize
  }
  /** Memory that answers lie in, the places that are free included. */
  get pageBytes(): number {
    return this.#slabs.octets
  }

  /** For how long past its time an answer may stand in; 0: never. */
  set staleMaxS(seconds: number) {
    this.#staleMaxMs = seconds * 1000
  }

  /** For the hit path: a fresh answer to the query that `scan` describes, if it was asked for a moment ago as well. What gives nothing here may be in `find`. */
  quick(packet: Uint8Array, scan: QueryScan, view: View, nowMs: number): Quick | undefined {
    return this.#front.find(packet, scan, view, nowMs)
  }

  /** The entry for the query that `scan` describes if it is still fresh. For two seconds at most, and not beyond the beginning of its last part, `quick` has it from then on. */
  find(packet: Uint8Array, scan: QueryScan, view: View, nowMs: number): Entry | undefined {
    const entry = this.get(keyOfScan(packet, scan, view), nowMs)
    if (entry === undefined) return undefined
    const lastMs = lastPartMs(entry)
    const untilMs = Math.min(nowMs + QUICK_MS, nowMs < lastMs ? lastMs : entry.expiresAtMs)
    this.#front.note(packet, scan, view, entry, nowMs, untilMs)
    return entry
  }

  /** The entry for `key` if it is still fresh. */
  get(key: CacheKey, nowMs: number): Entry | undefined {
    const entry = this.#index.get(key)
    if (entry === undefined || nowMs < entry.expiresAtMs) return entry
    if (!this.awaitsSaved && (entry.outdated || nowMs >= entry.expiresAtMs + this.#staleMaxMs)) this.#index.delete(key)
    return undefined
  }

  /**
   * The entry for `key` if it is past its time and may stand in: the newest answer about the name
   * that came, never a failure.
   */
  stale(key: CacheKey, nowMs: number): Entry | undefined {
    if (this.#staleMaxMs === 0) return undefined
    const entry = this.#index.get(key)
    if (entry === undefined || nowMs < entry.expiresAtMs || nowMs >= entry.expiresAtMs + this.#staleMaxMs) return undefined
    return speaksOfTheName(entry.rcode) && !entry.outdated ? entry : undefined
  }

  /**
   * Keeps `answer` for its `storeS`, unless that is 'no' or 0, the epoch has passed, or it is
   * larger than the cache. One about the name ends what was kept of the question before it, also
   * where it may not be kept itself (RFC 8767 section 5). A failure does not take the place of an
   * answer that is fresh or may stand in.
   */
  put(key: CacheKey, answer: Answer, epoch: number, nowMs: number): void {
    // What stood in is no newer than what is kept.
    if (epoch !== this.#epoch || answer.from === 'stale') return
    const storeMs = answer.storeS === 'no' ? 0 : answer.storeS * 1000
    if (!speaksOfTheName(answer.rcode)) {
      if (storeMs > 0 && !this.#worthKeeping(key, nowMs)) this.#keep(key, answer, nowMs, storeMs)
      return
    }
    this.#outdateOthers(key, answer, nowMs, nowMs)
    if (storeMs > 0 && this.#keep(key, answer, nowMs, storeMs)) return
    this.#index.delete(key)
    if (this.awaitsSaved) this.#mark(key, answer, nowMs)
  }

  /**
   * Puts back what an earlier run had, with its own times (boot time; they may lie before this
   * boot). Never over an answer that came since, whether it was kept or not; over a failure.
   */
  restore(key: CacheKey, answer: Pick<Answer, 'wire' | 'rcode' | 'ede'>, storedAtMs: number, expiresAtMs: number, nowMs: number): void {
    const held = this.#index.peek(key)
    if (held !== undefined && speaksOfTheName(held.rcode)) return
    if (!this.#insert(key, answer, storedAtMs, expiresAtMs)) return
    this.#outdateOthers(key, answer, storedAtMs, nowMs)
    const entry = this.#index.peek(key)
    if (entry !== undefined) entry.outdated = this.#overtaken(entry)
  }

  /** Every key, the least recently used first. */
  keys(): readonly CacheKey[] {
    return [...this.#index.rkeys()]
  }

  /** What is kept under `key`, expired or not; looking is no use of it. */
  peek(key: CacheKey): Entry | undefined {
    return this.#index.peek(key)
  }

  /** False, with nothing changed, where it is larger than the cache. */
  #insert(key: CacheKey, answer: Pick<Answer, 'wire' | 'rcode' | 'ede'>, storedAtMs: number, expiresAtMs: number): boolean {
    const { wire } = answer
    const octets = wire.length + 2 * recordCount(wire)
    if (octets + key.length + OVERHEAD_OCTETS > this.maxBytes) return false
    const entry = this.#take(octets)
    entry.page.set(wire, entry.at)
    entry.length = wire.length
    entry.ttlCount = putTtlOffsets(wire, entry.page, entry.at + wire.length)
    entry.rcode = answer.rcode
    entry.ede = answer.ede
    entry.storedAtMs = wholeTick(storedAtMs)
    entry.expiresAtMs = expiresAtMs
    entry.hits = 0
    entry.standInUntilS = 0
    entry.outdated = false
    entry.key = key
    this.#index.set(key, entry)
    this.#flagsSeen |= 1 << flagsOfKey(key)
    this.#front.growTo(this.#index.size)
    return true
  }

  #keep(key: CacheKey, answer: Answer, nowMs: number, storeMs: number): boolean {
    if (this.bytes > this.maxBytes * SWEEP_ABOVE) this.#sweep(nowMs)
    return this.#insert(key, answer, nowMs, nowMs + storeMs)
  }

  /**
   * Notes that an answer came, without the answer: its header and question, past their time at
   * once.
   */
  #mark(key: CacheKey, { wire, rcode }: Answer, nowMs: number): void {
    const mark = wire.slice(0, HEADER_OCTETS + questionOctetsOf(key))
    mark.fill(0, RECORD_COUNTS_AT, HEADER_OCTETS)
    this.#insert(key, { wire: mark, rcode }, nowMs, nowMs)
    const entry = this.#index.peek(key)
    if (entry !== undefined) entry.outdated = true
  }

  /**
   * An answer that came at `atMs` under `key` ends what older ones under other flags stood for,
   * unless it says the same.
   */
  #outdateOthers(key: CacheKey, { wire, rcode }: Pick<Answer, 'wire' | 'rcode'>, atMs: number, nowMs: number): void {
    if (!this.#seenOtherFlags(key)) return
    for (const other of sameQuestionKeys(key)) {
      const entry = this.#index.peek(other)
      if (entry === undefined || entry.storedAtMs > atMs || !speaksOfTheName(entry.rcode)) continue
      if (entry.rcode === rcode && sameData(octetsOf(entry), wire, typeOfKey(key))) continue
      entry.outdated = true
      if (nowMs >= entry.expiresAtMs && !this.awaitsSaved) this.#index.delete(other)
    }
  }

  /** Whether a newer one under other flags says otherwise than `entry`. */
  #overtaken(entry: Held): boolean {
    if (!this.#seenOtherFlags(entry.key)) return false
    return sameQuestionKeys(entry.key).some((other) => {
      const newer = this.#index.peek(other)
      if (newer === undefined || !speaksOfTheName(newer.rcode) || newer.storedAtMs <= entry.storedAtMs) return false
      if (!sameQuestionKeys(other).includes(entry.key)) return false
      return newer.rcode !== entry.rcode || !sameData(octetsOf(newer), octetsOf(entry), typeOfKey(other))
    })
  }

  /**
   * Where nothing stands in, or all who ask set the same flags, there is nothing to look for: a
   * miss costs no more.
   */
  #seenOtherFlags(key: CacheKey): boolean {
    return this.#staleMaxMs > 0 && (this.#flagsSeen & ~(1 << flagsOfKey(key))) !== 0
  }

  /** Forgets everything, wiped from memory; what is being asked now will not be kept either. */
  clear(): void {
    this.#epoch++
    this.#flagsSeen = 0
    this.#index.clear()
    this.#front.clear()
    this.#slabs.wipe()
  }

  /** Another network: failures were its own, what is popular must show anew, and it must not be told what the last one was asked. */
  newNetwork(): void {
    this.#front.clear()
    for (const [key, entry] of [...this.#index.entries()]) {
      entry.hits = 0
      entry.standInUntilS = 0
      if (!speaksOfTheName(entry.rcode)) this.#index.delete(key)
    }
  }

  #worthKeeping(key: CacheKey, nowMs: number): boolean {
    const entry = this.#index.peek(key)
    if (entry === undefined || !speaksOfTheName(entry.rcode)) return false
    return nowMs < entry.expiresAtMs || (!entry.outdated && nowMs < entry.expiresAtMs + this.#staleMaxMs)
  }

  /** What pages may come to: all that is not bookkeeping. */
  #take(octets: number): Held {
    for (;;) {
      const bookkeeping = this.bytes - this.#placesOctets
      const entry = this.#slabs.take(octets, this.maxBytes * SLACK - bookkeeping)
      if (entry !== undefined) {
        this.#placesOctets += entry.size
        return entry
      }
      this.#clearPage()
    }
  }

  /** Everything in the emptiest page goes, and the page with it. With none left, memory is free: `put` has checked that the answer fits. */
  #clearPage(): void {
    const page = this.#slabs.emptiest()
    if (page === undefined) this.#index.clear()
    for (const place of (page?.places ?? []) as Held[]) if (place.key !== '') this.#index.delete(place.key)
    if (page !== undefined) this.#slabs.drop(page)
  }

  #give(entry: Held): void {
    this.#front.forget(entry, questionOctetsOf(entry.key))
    entry.key = ''
    this.#placesOctets -= entry.size
    this.#slabs.give(entry)
  }

  /** Looks at the next few entries, round and round, and drops the expired. By their places: by the index each look would be a search of it. */
  #sweep(nowMs: number): void {
    for (let i = 0; i < SWEEP; i++) {
      const entry = this.#slabs.next()
      if (entry !== undefined && entry.key !== '' && nowMs >= entry.expiresAtMs && !this.awaitsSaved) this.#index.delete(entry.key)
    }
  }
}
