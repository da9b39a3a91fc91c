import type { AnswerCache } from '../cache/answer-cache.ts'
import { describesName } from '../cache/lifetime.ts'
import { putSaved, readSaved, type SavedEntry } from '../cache/saved-records.ts'

/**
 * An instant on both clocks. Boot time counts a suspend and never goes back, but starts anew with
 * each boot.
 */
export interface BootInstant {
  /** Which boot it is; undefined where the system does not say. */
  readonly boot: string | undefined
  readonly bootMs: number
  readonly wallMs: number
}

/** How long it was between two instants, and by which clock that is known. */
export interface Elapsed {
  readonly ms: number
  readonly by: 'boot' | 'wall'
}

/**
 * The time from `then` to `now`: by boot time within one boot, whatever the wall clock did
 * meanwhile; else by the wall clock. undefined where that cannot be: a clock that went back, or one
 * that makes it less than the time since this boot (a clock not set yet, as without a battery).
 */
export function elapsedBetween(then: BootInstant, now: BootInstant): Elapsed | undefined {
  if (then.boot !== undefined && then.boot === now.boot) {
    const ms = now.bootMs - then.bootMs
    return ms >= 0 ? { ms, by: 'boot' } : undefined
  }
  const ms = now.wallMs - then.wallMs
  return ms >= now.bootMs ? { ms, by: 'wall' } : undefined
}

/** What the octets of a saved cache may be in all: more is not read at a start, nor written. */
export const MAX_SAVED_OCTETS = 64 * 1024 * 1024
export const MAX_FILE_OCTETS = MAX_SAVED_OCTETS + 1024 * 1024
/**
 * Some hundred entries: a query waits about a millisecond for them (measured; 4 with chunks of 64
 * KiB).
 */
const CHUNK_OCTETS = 16 * 1024
const MAX_RECORD_OCTETS = 28 + 262 + 65_535
/** Not worth the octets. */
const MIN_LEFT_MS = 1000

/** What goes in front: under which conditions the answers were made, and when they were saved. */
export interface SavedLabel {
  /**
   * Stands for the resolvers and what was asked of them; answers made under another one are not
   * ours to give.
   */
  readonly fingerprint: string
  readonly moment: BootInstant
}

/**
 * The cache as chunks to seal, what was kept first or used again last; the oldest stay out where it
 * is more than the limit (what an entry costs in memory is more than what it takes here). Gives way
 * to other work after each chunk; what changes meanwhile may or may not be in it.
 */
export async function* savedChunks(cache: AnswerCache, label: SavedLabel, staleMaxMs: number): AsyncGenerator<Uint8Array, void, void> {
  const nowMs = label.moment.bootMs
  yield Buffer.from(JSON.stringify(label))
  const page = Buffer.alloc(CHUNK_OCTETS + MAX_RECORD_OCTETS)
  let used = 0
  for (const entry of cache.walk(MAX_SAVED_OCTETS)) {
    // Failures are of this hour and this network; what a newer answer has overtaken must not stand
    // in.
    if (entry.outdated || !describesName(entry.rcode) || isSpent(entry.expiresAtMs, nowMs, staleMaxMs)) continue
    used = putSaved(page, used, entry, nowMs)
    if (used < CHUNK_OCTETS) continue
    yield Uint8Array.from(page.subarray(0, used))
    used = 0
    await nextTurn()
  }
  if (used > 0) yield Uint8Array.from(page.subarray(0, used))
}

/** Neither fresh for a moment longer nor able to stand in while no resolver answers (RFC 8767). */
function isSpent(expiresAtMs: number, nowMs: number, staleMaxMs: number): boolean {
  return expiresAtMs + staleMaxMs - nowMs < MIN_LEFT_MS
}

/**
 * What became of a saved cache. `foreign`: made under other conditions, or its time cannot be told.
 */
export type LoadOutcome =
  | { readonly outcome: 'loaded'; readonly entries: number; readonly by: Elapsed['by'] }
  | { readonly outcome: 'none' | 'foreign' | 'damaged' | 'overtaken' }

/**
 * Puts what `chunks` hold and is fresh, or may stand in for `staleMaxMs` after, into the cache, one
 * chunk at a turn. Ends, `overtaken`, when the cache is cleared meanwhile. Rejects as `chunks`
 * does.
 */
export async function loadSaved(
  chunks: AsyncIterable<Buffer>,
  cache: AnswerCache,
  label: SavedLabel,
  staleMaxMs: number,
): Promise<LoadOutcome> {
  const { epoch } = cache
  let elapsed: Elapsed | undefined
  let entries = 0
  for await (const chunk of chunks) {
    if (elapsed === undefined) {
      const then = readLabel(chunk)
      if (then === undefined) return { outcome: 'damaged' }
      elapsed = then.fingerprint === label.fingerprint ? elapsedBetween(then.moment, label.moment) : undefined
      if (elapsed === undefined) return { outcome: 'foreign' }
      continue
    }
    if (cache.epoch !== epoch) return { outcome: 'overtaken' }
    const savedAtMs = label.moment.bootMs - elapsed.ms
    const put = ({ asked, wire, rcode, ede, ageMs, leftMs }: SavedEntry) => {
      const expiresAtMs = savedAtMs + leftMs
      if (isSpent(expiresAtMs, label.moment.bootMs, staleMaxMs)) return
      cache.restore(asked, ede === undefined ? { wire, rcode } : { wire, rcode, ede }, savedAtMs - ageMs, expiresAtMs, label.moment.bootMs)
      entries++
    }
    if (!readSaved(chunk, put)) return { outcome: 'damaged' }
    await nextTurn()
  }
  return elapsed === undefined ? { outcome: 'none' } : { outcome: 'loaded', entries, by: elapsed.by }
}

/** A label as it was written, or undefined. */
function readLabel(chunk: Buffer): SavedLabel | undefined {
  try {
    const { fingerprint, moment } = JSON.parse(chunk.toString()) as SavedLabel
    const { boot, bootMs, wallMs } = moment
    const sound = typeof fingerprint === 'string' && (boot === undefined || typeof boot === 'string')
    return sound && Number.isFinite(bootMs) && Number.isFinite(wallMs) ? { fingerprint, moment: { boot, bootMs, wallMs } } : undefined
  } catch {
    return undefined
  }
}

/** Lets queries that wait go first. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
