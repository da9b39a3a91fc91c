/** A place in a slab; `size` is the class it was cut to. */
export interface Place {
  readonly page: Buffer
  readonly at: number
  readonly size: number
}

const PAGE_OCTETS = 256 * 1024
/** Steps of a quarter: at most a fifth of a chunk is wasted, and 33 classes cover 64 octets to 16 KiB. Larger ones get a buffer of their own. */
const SIZES = sizesUpTo(16 * 1024)

function sizesUpTo(limit: number): readonly number[] {
  const sizes = [64]
  for (let size = 64; size < limit; ) {
    size = Math.ceil((size * 1.2) / 16) * 16
    sizes.push(size)
  }
  return sizes
}

/**
 * Memory for answers, cut from large pages. A Buffer of its own per answer costs some 185 octets of heap more, and 100,000 of them keep the collector busy.
 * Freed places are used again for the same class; pages are kept.
 */
export class Slabs {
  readonly #free: Place[][] = SIZES.map(() => [])
  readonly #fresh: { page: Buffer; at: number }[] = SIZES.map(() => ({ page: Buffer.alloc(0), at: 0 }))

  /** A place of at least `octets`; what is in it is left over from before. */
  take(octets: number): Place {
    const index = classOf(octets)
    const size = SIZES[index]
    if (size === undefined) return { page: Buffer.allocUnsafeSlow(octets), at: 0, size: octets }
    const freed = this.#free[index]!.pop()
    if (freed !== undefined) return freed
    const fresh = this.#fresh[index]!
    if (fresh.at + size > fresh.page.length) {
      fresh.page = Buffer.allocUnsafeSlow(Math.max(size, Math.floor(PAGE_OCTETS / size) * size))
      fresh.at = 0
    }
    const place = { page: fresh.page, at: fresh.at, size }
    fresh.at += size
    return place
  }

  /** Gives a place back; the caller holds it no more. */
  give(place: Place): void {
    const index = classOf(place.size)
    if (SIZES[index] === place.size) this.#free[index]!.push(place)
  }
}

function classOf(octets: number): number {
  let low = 0
  let high = SIZES.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (SIZES[middle]! < octets) low = middle + 1
    else high = middle
  }
  return low
}
