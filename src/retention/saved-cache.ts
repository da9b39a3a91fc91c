import type { AnswerCache } from '../cache/answer-cache.ts'
import { describesName } from '../cache/lifetime.ts'
import { putSaved, readSaved, type SavedEntry } from '../cache/saved-records.ts'

/**
 * An instant on both clocks. Boot time counts a suspend and never goes back, but starts again at
 * each boot.
 */
export interface BootInstant {
  /** Identifies the boot; undefined if the system does not report it. */
  readonly boot: string | undefined
  readonly bootMs: number
  readonly wallMs: number
}

/** The time between two instants, and the clock by which it is known. */
export interface Elapsed {
  readonly ms: number
  readonly by: 'boot' | 'wall'
}

/**
 * The time from `then` to `now`: in boot time within one boot, independent of the wall clock;
 * otherwise by the wall clock. Undefined if the result is impossible: a clock that went back, or a
 * time shorter than that since this boot (a clock not set yet, as on a machine without a battery).
 */
export function elapsedBetween(then: BootInstant, now: BootInstant): Elapsed | undefined {
  if (then.boot !== undefined && then.boot === now.boot) {
    const ms = now.bootMs - then.bootMs
    return ms >= 0 ? { ms, by: 'boot' } : undefined
  }
  const ms = now.wallMs - then.wallMs
  return ms >= now.bootMs ? { ms, by: 'wall' } : undefined
}

/** Maximum size of a saved cache in octets: no more is written, or read at a start. */
export const MAX_SAVED_OCTETS = 64 * 1024 * 1024
export const MAX_FILE_OCTETS = MAX_SAVED_OCTETS + 1024 * 1024
/**
 * About a hundred entries: a query waits about a millisecond for them (measured; 4 ms with chunks
 * of 64 KiB).
 */
const CHUNK_OCTETS = 16 * 1024
const MAX_RECORD_OCTETS = 28 + 262 + 65_535
/** An answer with less time left is not saved. */
const MIN_LEFT_MS = 1000

/** The header: the conditions under which the answers were made, and when they were saved. */
export interface SavedLabel {
  /**
   * Identifies the resolvers and the settings of their queries; answers made under another
   * fingerprint must not be used.
   */
  readonly fingerprint: string
  readonly moment: BootInstant
}

/**
 * The cache as chunks to encrypt, the oldest entries first (a use renews an entry); if they exceed
 * the limit, the oldest are left out (an entry takes more octets in memory than in the file).
 * Yields to other work after each chunk; entries that change meanwhile may or may not be included.
 */
export async function* savedChunks(cache: AnswerCache, label: SavedLabel, staleMaxMs: number): AsyncGenerator<Uint8Array, void, void> {
  const nowMs = label.moment.bootMs
  yield Buffer.from(JSON.stringify(label))
  const page = Buffer.alloc(CHUNK_OCTETS + MAX_RECORD_OCTETS)
  let used = 0
  for (const entry of cache.walk(MAX_SAVED_OCTETS)) {
    // Failures and answers of the network's own servers belong to this network. An answer that
    // contradicts a newer one must not be served stale. Answers made here may be made by other
    // rules then.
    if (entry.isOwn || entry.ofNetwork || entry.outdated || !describesName(entry.rcode) || isSpent(entry.expiresAtMs, nowMs, staleMaxMs))
      continue
    used = putSaved(page, used, entry, nowMs)
    if (used < CHUNK_OCTETS) continue
    yield Uint8Array.from(page.subarray(0, used))
    used = 0
    await nextTurn()
  }
  if (used > 0) yield Uint8Array.from(page.subarray(0, used))
}

/** Whether an answer is no longer fresh and may not be served stale either (RFC 8767). */
function isSpent(expiresAtMs: number, nowMs: number, staleMaxMs: number): boolean {
  return expiresAtMs + staleMaxMs - nowMs < MIN_LEFT_MS
}

/**
 * The result of loading a saved cache. `foreign`: made under other conditions, or its age is
 * unknown.
 */
export type LoadOutcome =
  | { readonly outcome: 'loaded'; readonly entries: number; readonly by: Elapsed['by'] }
  | { readonly outcome: 'none' | 'foreign' | 'damaged' | 'overtaken' }

/**
 * Loads entries of `chunks` that are fresh, or may be served stale for `staleMaxMs`, into the
 * cache, one chunk per turn. Ends with `overtaken` if the cache is cleared meanwhile. Rejects as
 * `chunks` does.
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

/** The parsed label, or undefined. */
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

/** Lets waiting queries run first. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
