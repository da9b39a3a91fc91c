/**
 * What an observer of one link sees, in order of time: when, and how many octets of TLS record
 * body, below zero for those that come in.
 */
export interface Seen {
  readonly atMs: Float64Array
  readonly octets: Int16Array
}

/** A defended page: what is seen of it and what it cost. */
export interface Defended {
  readonly seen: Seen
  /** Requests sent, real and cover. */
  readonly cells: number
  readonly queries: number
  /** What each real query waited before it was sent, ms. */
  readonly waitsMs: Float64Array
}

/** TLS record bodies on DoT with padding of 128 and 468: what was measured on the wire. */
export const QUERY_BODY = 147
export const REPLY_BODY = 487
const REPLY_BLOCK = 468
/**
 * Around every record: 5 octets of its header, 52 of IPv4 and TCP with time stamps. Bare ACKs are
 * not counted.
 */
const AROUND = 57

/** The record body of a reply that is padded to so many blocks of 468 octets. */
export const replyBody = (blocks: number) => REPLY_BODY + (blocks - 1) * REPLY_BLOCK

/** Octets on the network of one cell and its reply of so many blocks. */
export const cellOctets = (blocks: number) => QUERY_BODY + replyBody(blocks) + 2 * AROUND

/** Octets on the network, both ways, of what was seen. */
export function networkOctets({ octets }: Seen): number {
  let sum = octets.length * AROUND
  for (const size of octets) sum += Math.abs(size)
  return sum
}

/** Collects records in any order; `seen` sorts them. */
export class Recorder {
  readonly #out: number[] = []
  readonly #outOctets: number[] = []
  readonly #in: number[] = []
  readonly #inOctets: number[] = []

  /** Below zero comes in. */
  add(atMs: number, octets: number): void {
    if (octets > 0) {
      this.#out.push(atMs)
      this.#outOctets.push(octets)
    } else {
      this.#in.push(atMs)
      this.#inOctets.push(octets)
    }
  }

  seen(): Seen {
    const out = sorted(this.#out, this.#outOctets)
    const back = sorted(this.#in, this.#inOctets)
    const length = out.atMs.length + back.atMs.length
    const atMs = new Float64Array(length)
    const octets = new Int16Array(length)
    let [o, b] = [0, 0]
    for (let i = 0; i < length; i++) {
      const isOut = b >= back.atMs.length || (o < out.atMs.length && out.atMs[o]! <= back.atMs[b]!)
      atMs[i] = isOut ? out.atMs[o]! : back.atMs[b]!
      octets[i] = isOut ? out.octets[o++]! : back.octets[b++]!
    }
    return { atMs, octets }
  }
}

/**
 * By time. Equal sizes, the usual case, need no permutation: sorting numbers alone is ten times as
 * fast.
 */
function sorted(at: readonly number[], sizes: readonly number[]): Seen {
  if (sizes.every((size) => size === sizes[0])) return { atMs: Float64Array.from(at).sort(), octets: Int16Array.from(sizes) }
  const order = Array.from(at.keys()).sort((a, b) => at[a]! - at[b]!)
  return { atMs: Float64Array.from(order, (i) => at[i]!), octets: Int16Array.from(order, (i) => sizes[i]!) }
}

/** The part in [fromMs, toMs), with times from its beginning. */
export function cut({ atMs, octets }: Seen, fromMs: number, toMs: number): Seen {
  const first = lowerBound(atMs, fromMs)
  const end = lowerBound(atMs, toMs)
  return { atMs: atMs.subarray(first, end).map((t) => t - fromMs), octets: octets.subarray(first, end) }
}

/** Index of the first value that is not below `limit`. */
export function lowerBound(sorted: Float64Array, limit: number): number {
  let [low, high] = [0, sorted.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((sorted[middle] ?? 0) < limit) low = middle + 1
    else high = middle
  }
  return low
}
