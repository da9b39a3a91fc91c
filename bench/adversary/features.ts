import { lowerBound, type Seen } from '../observer/observed.ts'

const CUMULATIVE_MS = [
  50, 100, 250, 500, 1000, 1500, 2000, 3000, 4000, 5000, 7500, 10_000, 12_500, 15_000, 20_000, 25_000, 30_000, 45_000, 60_000, 90_000,
]
const KTH = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20, 24, 28, 32, 40, 48, 64, 80, 100, 130, 160, 200, 300]
const GAP_BINS = 14
const FINE_BINS = 60
const FINE_MS = 100
const SIZES = 24
const ONE_WAY = CUMULATIVE_MS.length + KTH.length + GAP_BINS + 12
const PAIRS = GAP_BINS * GAP_BINS

/** How many features A1 computes of a page. */
export const FEATURES = 6 + 2 * ONE_WAY + PAIRS + 2 * FINE_BINS + SIZES

/** log2 of a gap in ms, in bins of one; under 1 ms is 0. */
export const gapBin = (gapMs: number) => (gapMs < 1 ? 0 : Math.min(GAP_BINS - 1, 1 + Math.floor(Math.log2(gapMs))))

/**
 * A1: counts, cumulative arrivals, times, log-gap n-grams, bins of 100 ms, sizes. Times count from
 * `origin`, the first record if it is not given.
 */
export function features({ atMs, octets }: Seen, into: Float32Array, at: number, origin = atMs[0] ?? 0): void {
  const [out, back] = directions(atMs, octets)
  let put = at
  into[put++] = out.length
  into[put++] = back.length
  into[put++] = sumOf(octets, 1)
  into[put++] = sumOf(octets, -1)
  into[put++] = (atMs.at(-1) ?? origin) - origin
  into[put++] = (out.at(-1) ?? origin) - origin
  for (const times of [out, back]) {
    for (const ms of CUMULATIVE_MS) into[put++] = lowerBound(times, origin + ms)
    for (const k of KTH) into[put++] = (times[k - 1] ?? Number.POSITIVE_INFINITY) - origin
    put = gaps(times, into, put)
  }
  gapPairs(out, into, put)
  put += PAIRS
  for (const times of [out, back]) {
    const end = lowerBound(times, origin + FINE_BINS * FINE_MS)
    for (let i = 0; i < end; i++) into[put + Math.floor(((times[i] ?? 0) - origin) / FINE_MS)]! += 1
    put += FINE_BINS
  }
  for (const size of octets) into[put + sizeBin(size)]! += 1
}

function directions(atMs: Float64Array, octets: Int16Array): readonly [Float64Array, Float64Array] {
  let outs = 0
  for (let i = 0; i < octets.length; i++) if (octets[i]! > 0) outs++
  const out = new Float64Array(outs)
  const back = new Float64Array(octets.length - outs)
  for (let i = 0, o = 0, b = 0; i < octets.length; i++) {
    if (octets[i]! > 0) out[o++] = atMs[i]!
    else back[b++] = atMs[i]!
  }
  return [out, back]
}

function sumOf(octets: Int16Array, sign: number): number {
  let sum = 0
  for (const size of octets) if (size * sign > 0) sum += size * sign
  return sum
}

/**
 * Bins of the gaps, then their longest, mean, deviation and quantiles, and where the longest stand.
 */
function gaps(times: Float64Array, into: Float32Array, at: number): number {
  const all = new Float64Array(Math.max(0, times.length - 1))
  let [sum, squares] = [0, 0]
  for (let i = 0; i < all.length; i++) {
    const gap = (times[i + 1] ?? 0) - (times[i] ?? 0)
    all[i] = gap
    sum += gap
    squares += gap * gap
    into[at + gapBin(gap)]! += 1
  }
  const mean = all.length > 0 ? sum / all.length : 0
  const sorted = all.slice().sort()
  const quantile = (q: number) => sorted[Math.floor(q * (sorted.length - 1))] ?? 0
  const longest = quantile(1)
  const stats = [mean, Math.sqrt(Math.max(0, squares / Math.max(1, all.length) - mean * mean)), longest, all.indexOf(longest)]
  stats.push(...[0.1, 0.25, 0.5, 0.75, 0.9, 0.95].map(quantile), sorted.at(-2) ?? 0, sorted.at(-3) ?? 0)
  into.set(stats, at + GAP_BINS)
  return at + GAP_BINS + stats.length
}

function gapPairs(times: Float64Array, into: Float32Array, at: number): void {
  let before = -1
  for (let i = 0; i + 1 < times.length; i++) {
    const bin = gapBin((times[i + 1] ?? 0) - (times[i] ?? 0))
    if (before >= 0) into[at + before * GAP_BINS + bin]! += 1
    before = bin
  }
}

/**
 * Out below 12, in from 12 on, by 48 octets: natural sizes spread over them, equal ones fall into
 * one each.
 */
const sizeBin = (size: number) => (size > 0 ? 0 : SIZES / 2) + Math.min(SIZES / 2 - 1, Math.floor(Math.abs(size) / 48))

/** How many features A2 computes. */
export const NGRAMS = 512

/**
 * A2: uni- and bigrams of directed record sizes, and of bursts (octets in one direction in a row),
 * hashed (Siby et al., NDSS 2020).
 */
export function ngrams({ octets }: Seen, into: Float32Array, at: number): void {
  const count = (kind: number, a: number, b: number) => {
    let hash = Math.imul(Math.imul(kind + 1, 0x9e3779b1) ^ (a + 70_000), 0x85ebca6b)
    hash = Math.imul(hash ^ (hash >>> 13) ^ (b + 70_000), 0xc2b2ae35)
    into[at + (((hash ^ (hash >>> 16)) >>> 0) % NGRAMS)]! += 1
  }
  let [burst, burstBefore, sizeBefore] = [0, 0, 0]
  const endBurst = () => {
    if (burst === 0) return
    count(2, burst, 0)
    if (burstBefore !== 0) count(3, burstBefore, burst)
    burstBefore = burst
    burst = 0
  }
  for (const size of octets) {
    count(0, size, 0)
    if (sizeBefore !== 0) count(1, sizeBefore, size)
    sizeBefore = size
    if (burst !== 0 && burst > 0 !== size > 0) endBurst()
    burst += size
  }
  endBurst()
}

const FIRST = 48
const LATENCY_BINS = 12
const WINDOWS = 30
/** How many features A4 computes. */
export const LATENCIES = FIRST + LATENCY_BINS + 2 * WINDOWS + 8

/**
 * A4: response latency alone. The k-th reply is taken for the k-th query's, as is all one can with
 * equal sizes: no times of their own, no counts.
 */
export function latencies({ atMs, octets }: Seen, into: Float32Array, at: number): void {
  const [out, back] = directions(atMs, octets)
  const origin = out[0] ?? 0
  const all = Float64Array.from({ length: Math.min(out.length, back.length) }, (_, i) => (back[i] ?? 0) - (out[i] ?? 0))
  for (let i = 0; i < FIRST; i++) into[at + i] = all[i] ?? -1
  let put = at + FIRST
  const sums = new Float64Array(WINDOWS)
  const counts = new Float64Array(WINDOWS)
  const slow = new Float64Array(WINDOWS)
  for (let i = 0; i < all.length; i++) {
    const ms = all[i]!
    into[put + Math.max(0, Math.min(LATENCY_BINS - 1, Math.floor(Math.log2(Math.max(1, ms)) * 1.4)))]! += 1 / all.length
    const window = Math.min(WINDOWS - 1, Math.floor(((out[i] ?? 0) - origin) / 1000))
    sums[window]! += ms
    counts[window]! += 1
    if (ms > 30) slow[window]! += 1
  }
  put += LATENCY_BINS
  for (let w = 0; w < WINDOWS; w++) {
    into[put++] = (counts[w] ?? 0) > 0 ? (sums[w] ?? 0) / (counts[w] ?? 1) : -1
    into[put++] = (counts[w] ?? 0) > 0 ? (slow[w] ?? 0) / (counts[w] ?? 1) : -1
  }
  const sorted = all.slice().sort()
  for (const q of [0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 1]) into[put++] = sorted[Math.floor(q * (sorted.length - 1))] ?? -1
}

/** How many symbols of a page A3 compares. */
export const SYMBOLS = 160

/** A3's symbols: direction and size class, log-gap. One octet each: 0 ends the sequence early. */
export function symbols({ atMs, octets }: Seen, into: Uint8Array, at: number): void {
  const length = Math.min(SYMBOLS, atMs.length)
  for (let i = 0; i < length; i++) {
    const gap = i === 0 ? 0 : gapBin((atMs[i] ?? 0) - (atMs[i - 1] ?? 0))
    const size = octets[i] ?? 0
    const sizeClass = size > 0 ? Math.min(7, size >> 5) : 8 + Math.min(7, -size >> 6)
    into[at + i] = 1 + sizeClass * 15 + gap
  }
}
