import { LRUCache } from 'lru-cache'
import { putU16 } from '../dns/octets.ts'
import type { Kept } from '../dns/reply.ts'
import { ttlOffsets } from '../dns/ttl.ts'
import type { Answer } from '../resolve.ts'
import type { CacheKey } from './key.ts'
import { type Place, Slabs } from './slabs.ts'

/** One kept answer: where it lies and until when (boot time, ms). */
export interface Entry extends Kept, Place {
  readonly storedAtMs: number
  readonly expiresAtMs: number
}

/** What an entry costs beside its octets: key string, entry object, index slots (measured: 216 to 260 octets at 100,000 entries). */
const OVERHEAD_OCTETS = 240
/** Entries looked at for expiry per insert: more than one, so that expired ones leave faster than new ones come. */
const SWEEP = 2

/**
 * Final answers by question, bounded in bytes; the least recently used goes when it is full, expired ones before that. Answers made in an older epoch are not
 * taken: `clear` (a reload, a policy change) starts a new one. Used from one thread.
 */
export class AnswerCache {
  readonly #index: LRUCache<CacheKey, Entry>
  readonly #slabs = new Slabs()
  readonly maxBytes: number
  #sweeper: Generator<[CacheKey, Entry]> | undefined
  #epoch = 0

  /** `maxBytes` from 64 KiB up: octets of answers, keys and bookkeeping together. */
  constructor(maxBytes: number) {
    this.maxBytes = maxBytes
    this.#index = new LRUCache<CacheKey, Entry>({
      maxSize: maxBytes,
      maxEntrySize: maxBytes,
      sizeCalculation: (entry, key) => entry.size + key.length + OVERHEAD_OCTETS,
      dispose: (entry) => this.#slabs.give(entry),
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

  /** The entry for `key` if it is still fresh. */
  get(key: CacheKey, nowMs: number): Entry | undefined {
    const entry = this.#index.get(key)
    if (entry === undefined || nowMs < entry.expiresAtMs) return entry
    this.#index.delete(key)
    return undefined
  }

  /** Keeps `answer` for its `storeS`, unless that is 'no' or 0, the epoch has passed, or it is larger than the cache. */
  put(key: CacheKey, answer: Answer, epoch: number, nowMs: number): void {
    if (epoch !== this.#epoch || answer.storeS === 'no' || answer.storeS <= 0) return
    this.#sweep(nowMs)
    const offsets = ttlOffsets(answer.wire)
    const octets = answer.wire.length + 2 * offsets.length
    if (octets + key.length + OVERHEAD_OCTETS > this.maxBytes) return
    const place = this.#slabs.take(octets)
    place.page.set(answer.wire, place.at)
    offsets.forEach((offset, i) => {
      putU16(place.page, place.at + answer.wire.length + 2 * i, offset)
    })
    this.#index.set(key, {
      page: place.page,
      at: place.at,
      size: place.size,
      length: answer.wire.length,
      ttlCount: offsets.length,
      rcode: answer.rcode,
      ede: answer.ede,
      storedAtMs: nowMs,
      expiresAtMs: nowMs + answer.storeS * 1000,
    })
  }

  /** Forgets everything; what is being asked now will not be kept either. */
  clear(): void {
    this.#epoch++
    this.#sweeper = undefined
    this.#index.clear()
  }

  /** Looks at the next few entries from the least recently used end, round and round, and drops the expired. */
  #sweep(nowMs: number): void {
    for (let i = 0; i < SWEEP; i++) {
      this.#sweeper ??= this.#index.rentries() as Generator<[CacheKey, Entry]>
      const step = this.#sweeper.next()
      if (step.done === true) {
        this.#sweeper = undefined
        return
      }
      const [key, entry] = step.value
      if (nowMs >= entry.expiresAtMs) this.#index.delete(key)
    }
  }
}
